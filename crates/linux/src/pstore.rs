//! Records that the kernel left of an earlier boot's end: panics, oopses, consoles.
//!
//! Written by: the kernel, into the firmware or reserved memory. Read and deleted by: `bennu-init` (was
//! the last boot cut short by corruption?) and `bennud`. Contents are untrusted: the firmware's store
//! can be written by whoever owns the machine.

use std::io;
use std::path::{Path, PathBuf};

use crate::bounded::{self, ReadError};

/// Most records that are listed.
const RECORDS_LIMIT: usize = 1024;
/// Longest name in bytes: `NAME_MAX`.
const NAME_LIMIT: usize = 255;

/// Why pstore could not be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum PstoreError {
    #[error("cannot list {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("more than {RECORDS_LIMIT} records in {path}; delete some")]
    TooMany { path: PathBuf },
    #[error("cannot read pstore record: {0}")]
    Read(#[from] ReadError),
    #[error("cannot delete pstore record {name}: {source}")]
    Delete { name: String, source: io::Error },
}

/// The name of a record, as listed; something like `dmesg-efi_pstore-170000000001001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName(String);

impl RecordName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mounted pstore.
#[derive(Debug, Clone)]
pub struct Pstore(PathBuf);

impl Default for Pstore {
    fn default() -> Self {
        Self(PathBuf::from("/sys/fs/pstore"))
    }
}

impl Pstore {
    /// A pstore that is mounted elsewhere, or a directory in a test.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// The names of all records, sorted. Names that are not plain ASCII are left out: the kernel makes
    /// none.
    ///
    /// # Errors
    /// [`PstoreError::List`], [`PstoreError::TooMany`].
    pub fn records(&self) -> Result<Vec<RecordName>, PstoreError> {
        let list_error = |source| PstoreError::List {
            path: self.0.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(list_error)? {
            let name = entry.map_err(list_error)?.file_name();
            let Some(name) = name.to_str().filter(|name| is_plain(name)) else {
                continue;
            };
            if names.len() >= RECORDS_LIMIT {
                return Err(PstoreError::TooMany { path: self.0.clone() });
            }
            names.push(RecordName(name.to_owned()));
        }
        names.sort();
        Ok(names)
    }

    /// Reads a record of at most `limit` bytes.
    ///
    /// # Errors
    /// [`PstoreError::Read`].
    pub fn read(&self, name: &RecordName, limit: usize) -> Result<Vec<u8>, PstoreError> {
        Ok(bounded::read(&self.0.join(&name.0), limit)?)
    }

    /// Deletes a record, which makes room in the firmware's store; false if it was gone already.
    ///
    /// # Errors
    /// [`PstoreError::Delete`].
    pub fn delete(&self, name: &RecordName) -> Result<bool, PstoreError> {
        match std::fs::remove_file(self.0.join(&name.0)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(PstoreError::Delete {
                name: name.0.clone(),
                source,
            }),
        }
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    name.len() <= NAME_LIMIT && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_listed_read_within_their_limit_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dmesg-efi_pstore-2"), b"panic").unwrap();
        std::fs::write(dir.path().join("dmesg-efi_pstore-1"), b"x").unwrap();
        std::fs::write(dir.path().join("odd name"), b"x").unwrap();
        let pstore = Pstore::at(dir.path());
        let names = pstore.records().unwrap();
        assert_eq!(
            names.iter().map(RecordName::as_str).collect::<Vec<_>>(),
            ["dmesg-efi_pstore-1", "dmesg-efi_pstore-2"]
        );
        assert_eq!(pstore.read(&names[1], 5).unwrap(), b"panic");
        let refused = pstore.read(&names[1], 4);
        assert!(matches!(
            refused,
            Err(PstoreError::Read(ReadError::TooLong { limit: 4, .. }))
        ));
        assert!(pstore.delete(&names[1]).unwrap());
        assert!(!pstore.delete(&names[1]).unwrap());
        assert_eq!(pstore.records().unwrap().len(), 1);
    }

    #[test]
    fn a_pstore_that_is_not_there_is_an_error_and_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Pstore::at(&dir.path().join("none")).records();
        assert!(matches!(refused, Err(PstoreError::List { .. })));
    }
}
