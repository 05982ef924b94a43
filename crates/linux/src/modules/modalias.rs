//! What the hardware asks for: the `modalias` of each device on each bus, `/sys/bus/<bus>/devices/<device>/modalias`.

use std::collections::BTreeSet;
use std::fs::ReadDir;
use std::io;
use std::path::{Path, PathBuf};

use crate::bounded::{self, ReadError};

/// Longest modalias in bytes: one sysfs page.
const MODALIAS_LIMIT: usize = 4096;
/// Most devices that are looked at.
const DEVICES_LIMIT: usize = 65_536;
/// Buses without hardware that could lead to a disk. What CPUs ask for is loaded by name.
const PASSED_OVER: [&str; 6] = [
    "clockevents",
    "clocksource",
    "cpu",
    "event_source",
    "memory",
    "workqueue",
];

/// Why the hardware could not be asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum ModaliasError {
    #[error("cannot list {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("cannot read a modalias: {0}")]
    Read(#[from] ReadError),
    #[error("more than {limit} devices below {path}")]
    TooMany { path: PathBuf, limit: usize },
}

/// Collects the distinct modaliases of the devices on the buses below a directory (`/sys/bus`), sorted. Devices that
/// vanish meanwhile are left out; so are empty and non-text modaliases, and devices without one.
///
/// # Errors
/// [`ModaliasError`].
pub fn modaliases(buses: &Path) -> Result<BTreeSet<String>, ModaliasError> {
    let mut found = BTreeSet::new();
    let mut looked_at = 0;
    for bus in names(buses, list(buses)?)? {
        if PASSED_OVER.iter().any(|passed| bus.ends_with(passed)) {
            continue;
        }
        let devices = bus.join("devices");
        let entries = match list(&devices) {
            Err(ModaliasError::List { source, .. }) if bounded::is_vanished(&source) => continue,
            other => other?,
        };
        for device in names(&devices, entries)? {
            looked_at += 1;
            if looked_at > DEVICES_LIMIT {
                return Err(ModaliasError::TooMany {
                    path: buses.to_owned(),
                    limit: DEVICES_LIMIT,
                });
            }
            found.extend(one(&device.join("modalias"))?);
        }
    }
    Ok(found)
}

fn list(path: &Path) -> Result<ReadDir, ModaliasError> {
    std::fs::read_dir(path).map_err(|source| ModaliasError::List {
        path: path.to_owned(),
        source,
    })
}

fn names(path: &Path, entries: ReadDir) -> Result<Vec<PathBuf>, ModaliasError> {
    let mut found = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => found.push(entry.path()),
            Err(error) if bounded::is_vanished(&error) => break,
            Err(source) => {
                return Err(ModaliasError::List {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(found)
}

fn one(path: &Path) -> Result<Option<String>, ModaliasError> {
    match bounded::read_text(path, MODALIAS_LIMIT) {
        Ok(text) => Ok((!text.is_empty()).then_some(text)),
        Err(ReadError::NotText { .. }) => Ok(None),
        // A device without a modalias, or one that has just gone.
        Err(error) if error.is_vanished() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, bus: &str, name: &str, modalias: Option<&str>) {
        let real = root.join("devices").join(name);
        std::fs::create_dir_all(&real).unwrap();
        if let Some(text) = modalias {
            std::fs::write(real.join("modalias"), text).unwrap();
        }
        let devices = root.join("bus").join(bus).join("devices");
        std::fs::create_dir_all(&devices).unwrap();
        std::os::unix::fs::symlink(&real, devices.join(name)).unwrap();
    }

    #[test]
    fn modaliases_are_found_on_every_bus_once_each_but_not_those_of_cpus() {
        let dir = tempfile::tempdir().unwrap();
        device(dir.path(), "pci", "0000:00:01.0", Some("pci:v00001AF4\n"));
        device(dir.path(), "pci", "0000:00:02.0", Some("pci:v00001AF4\n"));
        device(dir.path(), "pci", "0000:00:03.0", Some("\n"));
        device(
            dir.path(),
            "virtio",
            "virtio0",
            Some("virtio:d00000002v00001AF4\n"),
        );
        device(dir.path(), "scsi", "host0", None);
        device(dir.path(), "cpu", "cpu0", Some("cpu:type:x86\n"));
        std::fs::create_dir(dir.path().join("bus/empty")).unwrap();
        let found = modaliases(&dir.path().join("bus")).unwrap();
        assert_eq!(
            Vec::from_iter(found),
            ["pci:v00001AF4", "virtio:d00000002v00001AF4"]
        );
    }

    #[test]
    fn a_missing_sysfs_is_an_error_and_not_an_empty_machine() {
        let dir = tempfile::tempdir().unwrap();
        assert!(modaliases(dir.path()).unwrap().is_empty());
        let refused = modaliases(&dir.path().join("none"));
        assert!(matches!(refused, Err(ModaliasError::List { .. })));
    }
}
