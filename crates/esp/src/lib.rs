//! The mounted EFI system partition: boot entries with their counters, the boot record, sealed secrets.
//!
//! Both agents change these files, so there is one piece of code for it. Everybody who has the disk can write
//! them: every read is bounded, every name is parsed, nothing is executed or followed. A write goes to a
//! temporary name, is flushed, and takes its final name last; a reader never sees half a file.

mod files;

pub use files::{EspError, MAX_DIRECTORY_ENTRIES};

use bennu_formats::boot_record::BootRecord;
use bennu_formats::decode::{DecodeError, Document};
use bennu_formats::names::UkiFileName;
use bennu_formats::{ImageId, ImageVersion, failure_log, paths};
use std::path::{Path, PathBuf};

/// Options for mounting the ESP (kernel, `Documentation/filesystems/vfat.rst`): only root sees it, names as we
/// write them, read-only from the first error on.
pub const VFAT_OPTIONS: [(&str, &str); 5] = [
    ("umask", "0077"),
    ("codepage", "437"),
    ("iocharset", "ascii"),
    ("shortname", "mixed"),
    ("errors", "remount-ro"),
];

/// Largest sealed secret in bytes.
pub const MAX_SEALED_BYTES: usize = 4096;

/// The boot record as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundRecord {
    /// Read and decoded.
    Whole(BootRecord),
    /// There is none: a freshly flashed disk.
    None,
    /// There is one that is not a boot record; the reason. The caller starts from an empty one and says so.
    Damaged(DecodeError),
}

/// A mounted ESP.
#[derive(Debug, Clone)]
pub struct Esp {
    root: PathBuf,
}

impl Esp {
    /// The ESP that is mounted at `root`.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The boot entries of image `id`, newest version first. Other files in the directory are not ours.
    ///
    /// # Errors
    /// The directory cannot be listed, or has more than [`MAX_DIRECTORY_ENTRIES`] files.
    pub fn entries(&self, id: &ImageId) -> Result<Vec<UkiFileName>, EspError> {
        let names = files::list(&self.root.join(paths::ESP_UKI_DIRECTORY))?;
        let mut entries: Vec<UkiFileName> = names
            .iter()
            .filter_map(|n| n.parse::<UkiFileName>().ok())
            .filter(|e| e.image_id == *id)
            .collect();
        entries.sort_by(|a, b| {
            b.version
                .cmp(&a.version)
                .then_with(|| a.to_string().cmp(&b.to_string()))
        });
        Ok(entries)
    }

    /// Renames the entries of `version` so that exactly one stays, with the counter that `change` gives it.
    ///
    /// # Errors
    /// No entry of that version, or the rename failed.
    pub fn rename_entry(
        &self,
        id: &ImageId,
        version: &ImageVersion,
        change: impl FnOnce(&UkiFileName) -> UkiFileName,
    ) -> Result<UkiFileName, EspError> {
        let found = self.entries(id)?.into_iter().find(|e| e.version == *version);
        let old = found.ok_or_else(|| EspError::NoEntry {
            id: id.clone(),
            version: version.clone(),
        })?;
        let new = change(&old);
        if new != old {
            let directory = self.root.join(paths::ESP_UKI_DIRECTORY);
            files::rename(&directory.join(old.to_string()), &directory.join(new.to_string()))?;
        }
        Ok(new)
    }

    /// Reads the boot record.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn boot_record(&self) -> Result<FoundRecord, EspError> {
        // One byte more than allowed, so that the decoder sees the excess and says so.
        let bytes = files::read(&self.root.join(paths::ESP_BOOT_RECORD), BootRecord::MAX_BYTES + 1)?;
        Ok(match bytes.map(|b| BootRecord::decode(&b)) {
            None => FoundRecord::None,
            Some(Ok(record)) => FoundRecord::Whole(record),
            Some(Err(error)) => FoundRecord::Damaged(error),
        })
    }

    /// Writes the boot record.
    ///
    /// # Errors
    /// Encoding or writing failed; the old record is still there.
    pub fn write_boot_record(&self, record: &BootRecord) -> Result<(), EspError> {
        let bytes = record.encode().map_err(EspError::Encode)?;
        files::write(&self.root.join(paths::ESP_BOOT_RECORD), &bytes)
    }

    /// Reads a sealed secret; `None` where there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is longer than [`MAX_SEALED_BYTES`].
    pub fn sealed_secret(&self, name: &str) -> Result<Option<Vec<u8>>, EspError> {
        let path = self.secret_path(name);
        let bytes = files::read(&path, MAX_SEALED_BYTES + 1)?;
        match bytes {
            Some(bytes) if bytes.len() > MAX_SEALED_BYTES => Err(EspError::TooLong {
                path,
                limit: MAX_SEALED_BYTES,
            }),
            other => Ok(other),
        }
    }

    /// Writes a sealed secret.
    ///
    /// # Errors
    /// Writing failed; nothing stands under the final name.
    pub fn write_sealed_secret(&self, name: &str, sealed: &[u8]) -> Result<(), EspError> {
        files::write(&self.secret_path(name), sealed)
    }

    /// Replaces the log of the last start that failed.
    ///
    /// # Errors
    /// Longer than [`failure_log::MAX_BYTES`], or writing failed; the old log is still there.
    pub fn write_failure_log(&self, log: &[u8]) -> Result<(), EspError> {
        let path = self.root.join(paths::ESP_FAILURE_LOG);
        if log.len() > failure_log::MAX_BYTES {
            return Err(EspError::TooLong {
                path,
                limit: failure_log::MAX_BYTES,
            });
        }
        files::write(&path, log).inspect_err(|_| files::remove_unfinished(&path))
    }

    fn secret_path(&self, name: &str) -> PathBuf {
        self.root
            .join(paths::ESP_SECRETS_DIRECTORY)
            .join(format!("{name}{}", paths::SEALED_SUFFIX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn esp(entries: &[&str]) -> (tempfile::TempDir, Esp) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("EFI/Linux")).unwrap();
        for entry in entries {
            std::fs::write(dir.path().join("EFI/Linux").join(entry), entry).unwrap();
        }
        let esp = Esp::at(dir.path());
        (dir, esp)
    }

    #[test]
    fn entries_are_those_of_the_image_newest_first() {
        let (_dir, esp) = esp(&["demo_9+3-0.efi", "demo_10+1-2.efi", "other_11.efi", "notes.txt"]);
        let found: Vec<String> = esp
            .entries(&"demo".parse().unwrap())
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["demo_10+1-2.efi", "demo_9+3-0.efi"]);
    }

    #[test]
    fn an_entry_is_marked_bad_and_armed_again_by_renaming() {
        let (dir, esp) = esp(&["demo_2+2-1.efi"]);
        let (id, version) = ("demo".parse().unwrap(), "2".parse().unwrap());
        assert_eq!(
            esp.rename_entry(&id, &version, UkiFileName::bad)
                .unwrap()
                .to_string(),
            "demo_2+0-1.efi"
        );
        assert_eq!(
            esp.rename_entry(&id, &version, |e| e.armed(3))
                .unwrap()
                .to_string(),
            "demo_2+3-0.efi"
        );
        assert_eq!(
            std::fs::read(dir.path().join("EFI/Linux/demo_2+3-0.efi")).unwrap(),
            b"demo_2+2-1.efi"
        );
        let missing = esp.rename_entry(&id, &"3".parse().unwrap(), UkiFileName::bad);
        assert!(matches!(missing, Err(EspError::NoEntry { .. })));
    }

    #[test]
    fn the_record_is_absent_whole_or_damaged() {
        let (dir, esp) = esp(&[]);
        assert_eq!(esp.boot_record().unwrap(), FoundRecord::None);
        let mut record = BootRecord::default();
        record.slot_mut(&"2".parse().unwrap()).attempts = 1;
        esp.write_boot_record(&record).unwrap();
        assert_eq!(esp.boot_record().unwrap(), FoundRecord::Whole(record));
        std::fs::write(dir.path().join("bennu/boot-record.json"), b"{").unwrap();
        assert!(matches!(
            esp.boot_record().unwrap(),
            FoundRecord::Damaged(DecodeError::Malformed { .. })
        ));
        std::fs::write(dir.path().join("bennu/boot-record.json"), vec![b' '; 100_000]).unwrap();
        assert!(matches!(
            esp.boot_record().unwrap(),
            FoundRecord::Damaged(DecodeError::TooLong { .. })
        ));
    }

    #[test]
    fn the_failure_log_is_replaced_whole_and_one_that_is_too_long_is_refused() {
        let (dir, esp) = esp(&[]);
        let path = dir.path().join("bennu/last-failure.log");
        esp.write_failure_log(b"first, longer").unwrap();
        esp.write_failure_log(b"second").unwrap();
        let refused = esp.write_failure_log(&vec![b'x'; failure_log::MAX_BYTES + 1]);
        assert!(matches!(
            refused,
            Err(EspError::TooLong {
                limit: failure_log::MAX_BYTES,
                ..
            })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path().join("bennu")).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_log_that_cannot_take_its_name_leaves_nothing_behind() {
        let (dir, esp) = esp(&[]);
        // A directory that is not empty cannot be replaced by a file.
        std::fs::create_dir_all(dir.path().join("bennu/last-failure.log/x")).unwrap();
        assert!(matches!(
            esp.write_failure_log(b"log"),
            Err(EspError::Rename { .. })
        ));
        assert_eq!(std::fs::read_dir(dir.path().join("bennu")).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_is_too_long_is_refused_not_cut() {
        let (dir, esp) = esp(&[]);
        assert_eq!(esp.sealed_secret("a").unwrap(), None);
        esp.write_sealed_secret("a", b"blob").unwrap();
        assert_eq!(esp.sealed_secret("a").unwrap().unwrap(), b"blob");
        std::fs::write(
            dir.path().join("bennu/secrets/a.sealed"),
            vec![0; MAX_SEALED_BYTES + 1],
        )
        .unwrap();
        assert!(matches!(esp.sealed_secret("a"), Err(EspError::TooLong { .. })));
    }
}
