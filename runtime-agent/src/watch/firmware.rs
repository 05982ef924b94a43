//! EFI variables that decide what boots, and those of ours. Nothing of ours writes one while the system runs: `bennu-init`
//! does, before it, and `bennuctl` asks for a factory reset on the ESP.

use super::{Baseline, Look, Sighting, Subject};
use crate::kernel_files::{KernelFiles, KernelFs};
use bennu_formats::Sha256Digest;
use bennu_formats::boot_record::{RESTARTS_VARIABLE, STARTS_VARIABLE};
use bennu_formats::factory_reset::FLOOR_VARIABLE;
use bennu_linux::efivars::{BENNU, GLOBAL, LOADER, VendorGuid};
use bennu_policy::drift::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `EFI_IMAGE_SECURITY_DATABASE_GUID` (UEFI 2.10, 32.6.1).
const SECURITY_DATABASE: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
/// Of the firmware (UEFI 2.10, 3.3 and 32.6), of systemd-boot and of ours, with their vendors.
const VARIABLES: [(&str, VendorGuid); 10] = [
    ("SecureBoot", GLOBAL),
    ("PK", GLOBAL),
    ("KEK", GLOBAL),
    (BOOT_ORDER, GLOBAL),
    ("BootNext", GLOBAL),
    ("LoaderEntryDefault", LOADER),
    ("LoaderEntryOneShot", LOADER),
    (RESTARTS_VARIABLE, BENNU),
    (STARTS_VARIABLE, BENNU),
    (FLOOR_VARIABLE, BENNU),
];
/// Numbers of boot entries, 16 bits each, behind the attributes' 4 bytes.
const BOOT_ORDER: &str = "BootOrder";
/// Most boot entries that are watched, from the front: firmware makes some ten.
const MAX_ENTRIES: usize = 64;
/// Most bytes of one: a dbx has tens of kilobytes.
const MAX_BYTES: usize = 256 * 1024;

/// Digests of the variables by name and vendor; none for one that is not there.
type Values = BTreeMap<String, Option<Sha256Digest>>;

/// The variables.
pub struct Variables {
    kernel: Arc<KernelFiles>,
    /// `Boot####` that the order named at the first look.
    entries: Option<Vec<String>>,
    first: Baseline<Values>,
}

impl Variables {
    /// Of this machine.
    pub fn of(kernel: Arc<KernelFiles>) -> Self {
        Self {
            kernel,
            entries: None,
            first: Baseline::default(),
        }
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self.kernel.read(KernelFs::EfiVariables, name, MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read(&mut self) -> Result<Values, String> {
        let entries = match &self.entries {
            Some(entries) => entries.clone(),
            None => {
                let order = self.bytes(&file_name(BOOT_ORDER, GLOBAL))?;
                self.entries.insert(in_order(&order.unwrap_or_default())).clone()
            }
        };
        let named = VARIABLES.map(|(name, vendor)| file_name(name, vendor));
        let databases = ["db", "dbx"].map(|name| file_name(name, SECURITY_DATABASE));
        let mut values = Values::new();
        for name in named.into_iter().chain(databases).chain(entries) {
            let value = self.bytes(&name)?.map(|bytes| Sha256Digest::of(&bytes));
            values.insert(name, value);
        }
        Ok(values)
    }
}

/// As efivarfs has it.
fn file_name(name: &str, vendor: impl std::fmt::Display) -> String {
    format!("{name}-{vendor}")
}

/// The boot entries that a `BootOrder` names, with its attributes in front (UEFI 2.10, 3.3: four upper-case hex digits).
fn in_order(order: &[u8]) -> Vec<String> {
    let (_attributes, order) = order.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    let (numbers, _half) = order.as_chunks::<2>();
    let name = |number: &[u8; 2]| file_name(&format!("Boot{:04X}", u16::from_le_bytes(*number)), GLOBAL);
    numbers.iter().take(MAX_ENTRIES).map(name).collect()
}

impl Subject for Variables {
    fn name(&self) -> &'static str {
        "EFI variables"
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn look(&mut self) -> Look {
        let now = self.read()?;
        let Some((first, now)) = self.first.first(now) else {
            return Ok(Vec::new());
        };
        let changed = now
            .iter()
            .filter(|(name, value)| first.get(*name) != Some(*value));
        let told = |(name, _): (&String, &Option<Sha256Digest>)| {
            let name = name.split('-').next().unwrap_or_default();
            Sighting::new(Signal::EfiVariableChanged, format!("{name} changed"))
        };
        Ok(changed.map(told).collect())
    }

    fn first_look(&self) -> Option<Value> {
        let (entries, first) = (self.entries.as_ref()?, self.first.kept()?);
        Some(json!([entries, first]))
    }

    fn go_on_from(&mut self, first: Value) -> serde_json::Result<()> {
        let (entries, first) = serde_json::from_value(first)?;
        (self.entries, self.first) = (Some(entries), Baseline(Some(first)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn put(efivarfs: &Path, name: &str, bytes: &[u8]) {
        std::fs::write(efivarfs.join(name), bytes).unwrap();
    }

    fn words(variables: &mut Variables) -> Vec<String> {
        let seen = variables.look().unwrap();
        assert!(seen.iter().all(|one| one.signal == Signal::EfiVariableChanged));
        seen.into_iter().map(|one| one.detail).collect()
    }

    #[test]
    fn each_variable_is_told_by_its_name_when_it_comes_changes_and_goes() {
        let databases = ["db", "dbx"].map(|name| (name, file_name(name, SECURITY_DATABASE)));
        let named = VARIABLES.map(|(name, vendor)| (name, file_name(name, vendor)));
        for (name, file) in named.into_iter().chain(databases) {
            let dir = tempfile::tempdir().unwrap();
            let efivarfs = dir.path().join("efivarfs");
            std::fs::create_dir(&efivarfs).unwrap();
            let told = [format!("{name} changed")];
            let mut absent = Variables::of(Arc::new(KernelFiles::at(dir.path())));
            assert!(words(&mut absent).is_empty());
            assert!(words(&mut absent).is_empty(), "control");
            put(&efivarfs, &file, b"\x07\0\0\0a");
            assert_eq!(words(&mut absent), told, "it comes");
            let mut there = Variables::of(Arc::new(KernelFiles::at(dir.path())));
            assert!(words(&mut there).is_empty());
            assert!(words(&mut there).is_empty(), "control");
            put(&efivarfs, &file, b"\x07\0\0\0b");
            assert_eq!(words(&mut there), told, "it changes");
            std::fs::remove_file(efivarfs.join(&file)).unwrap();
            assert_eq!(words(&mut there), told, "it goes");
        }
    }

    #[test]
    fn what_changed_while_no_bennud_ran_is_told_and_entries_stay_those_of_the_first_look() {
        let dir = tempfile::tempdir().unwrap();
        let efivarfs = dir.path().join("efivarfs");
        std::fs::create_dir(&efivarfs).unwrap();
        let order = file_name(BOOT_ORDER, GLOBAL);
        put(&efivarfs, &order, b"\x07\0\0\0\x01\0");
        let mut before = Variables::of(Arc::new(KernelFiles::at(dir.path())));
        assert_eq!(before.first_look(), None);
        assert!(words(&mut before).is_empty());
        let first = before.first_look().unwrap();
        let mut after = Variables::of(Arc::new(KernelFiles::at(dir.path())));
        after.go_on_from(first.clone()).unwrap();
        assert!(words(&mut after).is_empty(), "control");
        put(&efivarfs, &file_name("Boot0001", GLOBAL), b"\x07\0\0\0x");
        put(&efivarfs, &order, b"\x07\0\0\0\x02\0");
        let mut after = Variables::of(Arc::new(KernelFiles::at(dir.path())));
        after.go_on_from(first).unwrap();
        assert_eq!(words(&mut after), ["Boot0001 changed", "BootOrder changed"]);
        assert!(after.go_on_from(json!({"no": "list"})).is_err());
    }

    #[test]
    fn bodies_of_the_boot_entries_in_the_order_are_watched_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let efivarfs = dir.path().join("efivarfs");
        std::fs::create_dir(&efivarfs).unwrap();
        let file = |name: &str| file_name(name, GLOBAL);
        put(&efivarfs, &file("BootOrder"), &[7, 0, 0, 0, 0x1a, 0, 2, 0, 9]);
        for name in ["Boot001A", "Boot0002", "Boot0003"] {
            put(&efivarfs, &file(name), b"\x07\0\0\0a");
        }
        let mut variables = Variables::of(Arc::new(KernelFiles::at(dir.path())));
        assert!(words(&mut variables).is_empty());
        put(&efivarfs, &file("Boot0003"), b"\x07\0\0\0b");
        assert!(words(&mut variables).is_empty(), "control");
        put(&efivarfs, &file("Boot001A"), b"\x07\0\0\0b");
        assert_eq!(words(&mut variables), ["Boot001A changed"]);
        // The order is told by itself; the entries of the first one stay watched.
        put(&efivarfs, &file("BootOrder"), &[7, 0, 0, 0, 3, 0]);
        assert_eq!(words(&mut variables), ["Boot001A changed", "BootOrder changed"]);
        assert_eq!(in_order(&[7, 0, 0]), Vec::<String>::new());
    }
}
