//! What the execution gate trusts and what it protects, decided from what `bennu-init` handed over and what the
//! kernel says now.
//!
//! Everything that `bennud` may have been told wrongly is compared with something that it cannot have been: the root
//! hash of the command line is inside the signed UKI, the table is the kernel's, and the device of `bennud`'s own
//! executable is the kernel's answer, too.

use bennu_formats::RootHash;
use bennu_formats::guids::{TYPE_ROOT_VERITY_SIG_X86_64, TYPE_ROOT_VERITY_X86_64, TYPE_ROOT_X86_64};

/// Major and minor number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// 12 bits.
    pub major: u32,
    /// 20 bits.
    pub minor: u32,
}

impl Device {
    /// The reverse of [`Self::kernel_number`].
    pub fn of_kernel(number: u32) -> Self {
        Self {
            major: number >> 20,
            minor: number & 0xf_ffff,
        }
    }

    /// The number as the kernel keeps it: `major << 20 | minor`.
    pub fn kernel_number(self) -> u32 {
        self.major << 20 | self.minor
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What is known of the root.
#[derive(Debug, Clone)]
pub struct RootFacts<'a> {
    /// The root's device according to `bennu-init`.
    pub handed_over: Device,
    /// Its table as `bennu-init` read it back.
    pub table_handed_over: &'a str,
    /// Its table now: target and parameters.
    pub table_now: &'a str,
    /// Root hash of the kernel command line.
    pub root_hash: RootHash,
    /// The device of the file system that the running `bennud` was executed from.
    pub own_executable: Device,
}

/// Why the gate does not trust the root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootRefusal {
    /// bennud itself is not on the root.
    #[error("bennud: expected its executable on the root's device {root}, found it on {found}")]
    ForeignExecutable {
        /// The root.
        root: Device,
        /// Where bennud is.
        found: Device,
    },
    /// The table changed.
    #[error("device-mapper table of the root: expected the one that bennu-init read back, found another")]
    TableChanged,
    /// No dm-verity.
    #[error("device-mapper table of the root: expected target verity, found {0}")]
    NotVerity(String),
    /// Another root hash than the signed one.
    #[error("device-mapper table of the root: expected the command line's root hash {0}, found another")]
    OtherRootHash(RootHash),
}

/// Place of the root hash among the words of a verity table line that begins with the target's name
/// (Documentation/admin-guide/device-mapper/verity.rst: version, devices, block sizes, blocks, hash start,
/// algorithm, digest).
const ROOT_HASH_WORD: usize = 9;

/// The device whose files execute.
///
/// # Errors
/// See [`RootRefusal`].
pub fn root_device(facts: &RootFacts<'_>) -> Result<Device, RootRefusal> {
    let root = facts.handed_over;
    if facts.own_executable != root {
        return Err(RootRefusal::ForeignExecutable {
            root,
            found: facts.own_executable,
        });
    }
    let words: Vec<&str> = facts.table_now.split_ascii_whitespace().collect();
    match words.first() {
        Some(&"verity") => {}
        other => {
            return Err(RootRefusal::NotVerity(
                other.copied().unwrap_or_default().to_owned(),
            ));
        }
    }
    if words.get(ROOT_HASH_WORD) != Some(&facts.root_hash.to_string().as_str()) {
        return Err(RootRefusal::OtherRootHash(facts.root_hash));
    }
    if !facts.table_handed_over.ends_with(facts.table_now) {
        return Err(RootRefusal::TableChanged);
    }
    Ok(root)
}

/// A partition of the boot disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Type GUID, in the byte order of its text form.
    pub kind: [u8; 16],
    /// Its device.
    pub device: Device,
}

/// Devices that nobody writes: the whole disk and each slot's partitions, the running slot's by number besides,
/// whatever the table says.
pub fn protected_devices(disk: Device, running: &[Device], partitions: &[Partition]) -> Vec<Device> {
    let slot_types = [
        TYPE_ROOT_X86_64,
        TYPE_ROOT_VERITY_X86_64,
        TYPE_ROOT_VERITY_SIG_X86_64,
    ];
    let of_slots = partitions
        .iter()
        .filter(|partition| slot_types.contains(&partition.kind))
        .map(|partition| partition.device);
    let mut all: Vec<Device> = std::iter::once(disk)
        .chain(running.iter().copied())
        .chain(of_slots)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Those of the [`protected_devices`] that `bennud` mends block by block: root and hash tree of slots that do not run.
/// Never a manifest, never the running slot or the whole disk, whatever the table says.
pub fn repairable_devices(disk: Device, running: &[Device], partitions: &[Partition]) -> Vec<Device> {
    let kinds = [TYPE_ROOT_X86_64, TYPE_ROOT_VERITY_X86_64];
    partitions
        .iter()
        .filter(|partition| kinds.contains(&partition.kind))
        .map(|partition| partition.device)
        .filter(|device| *device != disk && !running.contains(device))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::guids::{TYPE_ESP, TYPE_LINUX_GENERIC};

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const ROOT: Device = Device { major: 253, minor: 1 };

    fn table(target: &str, hash: &str) -> String {
        format!("{target} 1 254:2 254:3 4096 4096 100 1 sha256 {hash} aabb 1 panic_on_corruption")
    }

    fn decide(now: &str, before: &str, own: Device) -> Result<Device, RootRefusal> {
        root_device(&RootFacts {
            handed_over: ROOT,
            table_handed_over: before,
            table_now: now,
            root_hash: HASH.parse().unwrap(),
            own_executable: own,
        })
    }

    #[test]
    fn the_root_is_trusted_when_record_kernel_command_line_and_bennud_agree() {
        let now = table("verity", HASH);
        assert_eq!(decide(&now, &now, ROOT), Ok(ROOT));
        assert_eq!(decide(&now, &format!("0 800 {now}"), ROOT), Ok(ROOT));
        assert_eq!(ROOT.kernel_number(), 0x0fd0_0001);
    }

    #[test]
    fn a_root_is_refused_for_each_difference() {
        let now = table("verity", HASH);
        let other = HASH.replace("00", "01");
        let found = Device { major: 0, minor: 40 };
        assert_eq!(
            decide(&now, &now, found),
            Err(RootRefusal::ForeignExecutable { root: ROOT, found })
        );
        let linear = table("linear", HASH);
        assert_eq!(
            decide(&linear, &linear, ROOT),
            Err(RootRefusal::NotVerity("linear".into()))
        );
        assert_eq!(decide("", "", ROOT), Err(RootRefusal::NotVerity(String::new())));
        let foreign = table("verity", &other);
        assert_eq!(
            decide(&foreign, &foreign, ROOT),
            Err(RootRefusal::OtherRootHash(HASH.parse().unwrap()))
        );
        let changed = now.replace("panic_on_corruption", "ignore_corruption");
        assert_eq!(decide(&changed, &now, ROOT), Err(RootRefusal::TableChanged));
    }

    #[test]
    fn the_disk_and_all_slots_are_protected_and_the_esp_and_state_are_not() {
        let device = |minor| Device { major: 254, minor };
        let partition = |kind, minor| Partition {
            kind,
            device: device(minor),
        };
        let running = [device(2), device(3)];
        let partitions = [
            partition(TYPE_ESP, 1),
            partition(TYPE_ROOT_X86_64, 2),
            partition(TYPE_ROOT_VERITY_SIG_X86_64, 4),
            partition(TYPE_ROOT_X86_64, 5),
            partition(TYPE_ROOT_VERITY_X86_64, 6),
            partition(TYPE_ROOT_VERITY_SIG_X86_64, 7),
            partition(TYPE_LINUX_GENERIC, 8),
        ];
        let found = protected_devices(device(0), &running, &partitions);
        assert_eq!(found, [0, 2, 3, 4, 5, 6, 7].map(device));
        let mended = repairable_devices(device(0), &running, &partitions);
        assert_eq!(mended, [5, 6].map(device));
        // A table that an intruder wrote names the disk and the running slot again.
        let forged = [0, 2, 3, 5].map(|minor| partition(TYPE_ROOT_X86_64, minor));
        assert_eq!(repairable_devices(device(0), &running, &forged), [device(5)]);
    }
}
