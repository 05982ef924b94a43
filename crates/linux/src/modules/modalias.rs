//! What the hardware asks for: the `modalias` files below `/sys/devices`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::bounded::{self, ReadError};

/// Longest modalias in bytes: one sysfs page (CPU and DMI aliases run to hundreds of bytes).
const MODALIAS_LIMIT: usize = 4096;
/// Deepest directory below `/sys/devices` that is looked into; real ones stay under 20.
const DEPTH_LIMIT: usize = 40;
/// Most directories that are looked into.
const DIRECTORIES_LIMIT: usize = 200_000;

/// Why the hardware could not be asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum ModaliasError {
    #[error("cannot list {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("cannot read a modalias: {0}")]
    Read(#[from] ReadError),
    #[error("more than {limit} directories below {path}")]
    TooMany { path: PathBuf, limit: usize },
}

/// Collects the distinct modaliases below a directory (`/sys/devices`), sorted. Links are not followed
/// and devices that vanish meanwhile are left out; so are empty and non-text modaliases.
///
/// # Errors
/// [`ModaliasError`].
pub fn modaliases(devices: &Path) -> Result<BTreeSet<String>, ModaliasError> {
    let mut found = BTreeSet::new();
    let mut pending = vec![(devices.to_owned(), 0)];
    let mut looked_into = 0;
    while let Some((directory, depth)) = pending.pop() {
        looked_into += 1;
        if looked_into > DIRECTORIES_LIMIT {
            return Err(ModaliasError::TooMany {
                path: devices.to_owned(),
                limit: DIRECTORIES_LIMIT,
            });
        }
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if depth > 0 && bounded::is_vanished(&error) => continue,
            Err(source) => {
                return Err(ModaliasError::List {
                    path: directory,
                    source,
                });
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if bounded::is_vanished(&error) => break,
                Err(source) => {
                    return Err(ModaliasError::List {
                        path: directory,
                        source,
                    });
                }
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH_LIMIT => pending.push((entry.path(), depth + 1)),
                Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                    found.extend(one(&entry.path())?);
                }
                Ok(_) => {}
                Err(error) if bounded::is_vanished(&error) => {}
                Err(source) => {
                    return Err(ModaliasError::List {
                        path: entry.path(),
                        source,
                    });
                }
            }
        }
    }
    Ok(found)
}

fn one(path: &Path) -> Result<Option<String>, ModaliasError> {
    match bounded::read_text(path, MODALIAS_LIMIT) {
        Ok(text) => Ok((!text.is_empty()).then_some(text)),
        Err(ReadError::NotText { .. }) => Ok(None),
        Err(error) if error.is_vanished() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modaliases_are_found_at_any_depth_once_each_and_not_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let pci = dir.path().join("pci0000:00/0000:00:01.0/virtio0");
        std::fs::create_dir_all(&pci).unwrap();
        std::fs::write(pci.join("modalias"), "virtio:d00000002v00001AF4\n").unwrap();
        std::fs::write(pci.join("../modalias"), "pci:v00001AF4\n").unwrap();
        std::fs::create_dir(dir.path().join("twin")).unwrap();
        std::fs::write(dir.path().join("twin/modalias"), "pci:v00001AF4\n").unwrap();
        std::fs::write(dir.path().join("modalias"), "\n").unwrap();
        std::os::unix::fs::symlink(&pci, dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), pci.join("subsystem")).unwrap();
        let found = modaliases(dir.path()).unwrap();
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
