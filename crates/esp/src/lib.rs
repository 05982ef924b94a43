//! The mounted EFI system partition: boot entries with their counters, the boot record, sealed secrets.
//!
//! Both agents change these files, so there is one piece of code for it. Everybody who has the disk can write
//! them: every read is bounded, every name is parsed, nothing is executed or followed. The power may be cut at any
//! moment: what that leaves of each write is said there, and why in [`files`].

mod census;
mod certificates;
mod error;
mod files;
mod record;
mod reset;
mod volume;

pub use census::{Census, Listing, entry_in_census};
pub use certificates::About;
pub use error::EspError;
pub use files::MAX_DIRECTORY_ENTRIES;
pub use record::{FoundRecord, OtherCopy};

use bennu_formats::boot_record::BootRecord;
use bennu_formats::decode::Document as _;
use bennu_formats::firmware_record::FirmwareRecord;
use bennu_formats::names::UkiFileName;
use bennu_formats::{ImageId, ImageVersion, Sha256Digest, debug_token, failure_log, paths};
use std::path::{Path, PathBuf};
use volume::Mounted;

/// Options for mounting the ESP (kernel, `Documentation/filesystems/vfat.rst`): only root sees it, names as we
/// write them, read-only from the first error on. Not `dirsync`: see `files.rs`.
pub const VFAT_OPTIONS: [(&str, &str); 5] = [
    ("umask", "0077"),
    ("codepage", "437"),
    ("iocharset", "ascii"),
    ("shortname", "mixed"),
    ("errors", "remount-ro"),
];

/// Largest sealed secret in bytes.
pub const MAX_SEALED_BYTES: usize = 4096;

/// A sealed secret as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundSecret {
    /// What the file holds, at most [`MAX_SEALED_BYTES`]; untrusted.
    Sealed(Vec<u8>),
    /// An empty file, or one of zeros: a write that a power cut undid, or what a factory reset left. Nobody has that
    /// secret, since it is given to nobody before [`Esp::write_sealed_secret`] has returned.
    Undone,
    /// No file.
    None,
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

    /// Renames the entry of `version` to have the counter that `change` gives it; gives its name then. Power cuts
    /// can leave two names of one file (docs/spec/disk-layout.md §3): a name that is there is never replaced, since
    /// that would free the file.
    ///
    /// # Errors
    /// No entry of that version, or the rename failed.
    pub fn rename_entry(
        &self,
        id: &ImageId,
        version: &ImageVersion,
        change: impl FnOnce(&UkiFileName) -> UkiFileName,
    ) -> Result<UkiFileName, EspError> {
        let names = self.entries(id)?;
        let found = names.iter().find(|e| e.version == *version);
        let old = found.ok_or_else(|| EspError::NoEntry {
            id: id.clone(),
            version: version.clone(),
        })?;
        let new = change(old);
        if !names.contains(&new) {
            let directory = self.root.join(paths::ESP_UKI_DIRECTORY);
            let path = |name: &UkiFileName| directory.join(name.to_string());
            files::rename(&Mounted, &path(old), &path(&new))?;
        }
        Ok(new)
    }

    /// Reads the boot record from its two copies.
    ///
    /// # Errors
    /// A copy is there and cannot be read.
    pub fn boot_record(&self) -> Result<FoundRecord, EspError> {
        record::read(&Mounted, &self.root)
    }

    /// Writes both copies of the boot record and flushes. At each moment one of them is whole.
    ///
    /// # Errors
    /// Encoding or writing failed; the old or the new record is there.
    pub fn write_boot_record(&self, record: &BootRecord) -> Result<(), EspError> {
        record::write(&Mounted, &self.root, record)
    }

    /// Reads a sealed secret.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is longer than [`MAX_SEALED_BYTES`].
    pub fn sealed_secret(&self, name: &str) -> Result<FoundSecret, EspError> {
        let path = self.secret_path(name);
        match files::read(&Mounted, &path, MAX_SEALED_BYTES + 1)? {
            None => Ok(FoundSecret::None),
            Some(bytes) if bytes.len() > MAX_SEALED_BYTES => Err(EspError::TooLong {
                path,
                limit: MAX_SEALED_BYTES,
            }),
            Some(bytes) if is_blank(&bytes) => Ok(FoundSecret::Undone),
            Some(bytes) => Ok(FoundSecret::Sealed(bytes)),
        }
    }

    /// Writes a sealed secret and flushes: when this returns it is durable, and only then may anybody have it. A
    /// power cut before leaves [`FoundSecret::Undone`] or [`FoundSecret::None`].
    ///
    /// # Errors
    /// Writing failed; nothing, an empty or a blank file stands under the final name.
    pub fn write_sealed_secret(&self, name: &str, sealed: &[u8]) -> Result<(), EspError> {
        let path = self.secret_path(name);
        match files::read(&Mounted, &path, MAX_SEALED_BYTES)? {
            // After a factory reset: its clusters may have a second name, so they are neither freed nor renamed over.
            Some(bytes) if !bytes.is_empty() && is_blank(&bytes) => files::write(&Mounted, &path, sealed),
            _ => files::publish(&Mounted, &path, sealed),
        }
    }

    /// The debug token as it lies there: at most one byte more than it may have; `None` without a file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn debug_token(&self) -> Result<Option<Vec<u8>>, EspError> {
        let path = self.root.join(paths::ESP_DEBUG_TOKEN);
        files::read(&Mounted, &path, debug_token::MAX_FILE_BYTES + 1)
    }

    /// Replaces a sealed secret that is of no use any more. A power cut leaves the old one, the new one, an empty file,
    /// none, or one with other bytes: for a secret that can be sealed once more.
    ///
    /// # Errors
    /// Writing failed.
    pub fn replace_sealed_secret(&self, name: &str, sealed: &[u8]) -> Result<(), EspError> {
        files::write(&Mounted, &self.secret_path(name), sealed)
    }

    /// Names of the sealed secrets that are there, of any release: 1 to 32 characters of `[a-z0-9.-]`.
    ///
    /// # Errors
    /// The directory cannot be listed, or has more than [`MAX_DIRECTORY_ENTRIES`] files.
    pub fn sealed_names(&self) -> Result<Vec<String>, EspError> {
        let directory = self.root.join(paths::ESP_SECRETS_DIRECTORY);
        let names = match files::list(&directory) {
            Err(EspError::List { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            names => names?,
        };
        let ours = |name: &String| {
            (1..=32).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        };
        let mut names: Vec<String> = names
            .iter()
            .filter_map(|name| Some(name.strip_suffix(paths::SEALED_SUFFIX)?.to_owned()))
            .filter(ours)
            .collect();
        names.sort();
        Ok(names)
    }

    /// Removes a sealed secret that nothing can open any more.
    ///
    /// # Errors
    /// It is not there, or cannot be removed.
    pub fn forget_sealed_secret(&self, name: &str) -> Result<(), EspError> {
        files::forget(&Mounted, &self.secret_path(name))
    }

    /// Writes the recovery key, encrypted to the escrow key, and flushes. A power cut before this returns leaves the
    /// old file, an empty one, or none.
    ///
    /// # Errors
    /// Writing failed.
    pub fn write_recovery_blob(&self, blob: &[u8]) -> Result<(), EspError> {
        files::publish(&Mounted, &self.root.join(paths::ESP_RECOVERY_BLOB), blob)
    }

    /// Reads it; `None` where there is none. At most [`MAX_SEALED_BYTES`]; untrusted.
    ///
    /// # Errors
    /// It is there and cannot be read, or is longer.
    pub fn recovery_blob(&self) -> Result<Option<Vec<u8>>, EspError> {
        let path = self.root.join(paths::ESP_RECOVERY_BLOB);
        match files::read(&Mounted, &path, MAX_SEALED_BYTES + 1)? {
            Some(bytes) if bytes.len() > MAX_SEALED_BYTES => Err(EspError::TooLong {
                path,
                limit: MAX_SEALED_BYTES,
            }),
            found => Ok(found.filter(|bytes| !bytes.is_empty())),
        }
    }

    /// Reads the first-boot configuration: at most one byte more than an envelope may have, so that a longer file is
    /// refused by its decoder. `None` where there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn first_boot(&self) -> Result<Option<Vec<u8>>, EspError> {
        let path = self.root.join(paths::ESP_FIRST_BOOT);
        files::read(&Mounted, &path, bennu_formats::dsse::MAX_ENVELOPE_BYTES + 1)
    }

    /// Replaces the log of the last start that failed. A power cut may leave none, or half of one: its digest on the
    /// screen tells.
    ///
    /// # Errors
    /// Longer than [`failure_log::MAX_BYTES`], or writing failed.
    pub fn write_failure_log(&self, log: &[u8]) -> Result<(), EspError> {
        let path = self.root.join(paths::ESP_FAILURE_LOG);
        if log.len() > failure_log::MAX_BYTES {
            return Err(EspError::TooLong {
                path,
                limit: failure_log::MAX_BYTES,
            });
        }
        files::write(&Mounted, &path, log)
    }

    /// Reads the firmware record; `None` where there is none, or an empty file that a power cut left.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is no firmware record.
    pub fn firmware_record(&self) -> Result<Option<FirmwareRecord>, EspError> {
        let path = self.root.join(paths::ESP_FIRMWARE_RECORD);
        let bytes = files::read(&Mounted, &path, FirmwareRecord::MAX_BYTES + 1)?;
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        bytes
            .map(|bytes| FirmwareRecord::decode(&bytes))
            .transpose()
            .map_err(|source| EspError::Decode { path, source })
    }

    /// Replaces the firmware record. A power cut may leave none, or one that does not decode.
    ///
    /// # Errors
    /// Encoding or writing failed, or it is longer than [`FirmwareRecord::MAX_BYTES`].
    pub fn write_firmware_record(&self, record: &FirmwareRecord) -> Result<(), EspError> {
        let path = self.root.join(paths::ESP_FIRMWARE_RECORD);
        let bytes = record.encode().map_err(EspError::Encode)?;
        if bytes.len() > FirmwareRecord::MAX_BYTES {
            return Err(EspError::TooLong {
                path,
                limit: FirmwareRecord::MAX_BYTES,
            });
        }
        files::write(&Mounted, &path, &bytes)
    }

    /// Writes an action certificate over the one eight numbers before it, and flushes. A power cut may leave none, or one
    /// that does not verify, in that place.
    ///
    /// # Errors
    /// Longer than an envelope may be, or writing failed.
    pub fn write_certificate(&self, number: u64, about: About, envelope: &[u8]) -> Result<(), EspError> {
        certificates::write(&self.root, number, about, envelope)
    }

    /// The action certificates that are there: at most eight, in no order; untrusted, each with at most one byte more
    /// than an envelope may have.
    ///
    /// # Errors
    /// One is there and cannot be read.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, EspError> {
        certificates::read(&self.root)
    }

    /// Digests of everything outside `/bennu`, by path.
    ///
    /// # Errors
    /// A folder or a file cannot be read, or there are too many.
    pub fn census(&self) -> Result<Census, EspError> {
        census::take(&self.root)
    }

    /// Lengths and times of the same files.
    ///
    /// # Errors
    /// As [`Self::census`].
    pub fn listing(&self) -> Result<Listing, EspError> {
        census::list(&self.root)
    }

    /// SHA-256 of a boot entry's file.
    ///
    /// # Errors
    /// The file is gone, cannot be read, or is longer than 512 MiB.
    pub fn uki_sha256(&self, name: &UkiFileName) -> Result<Sha256Digest, EspError> {
        census::sha256(&self.root.join(paths::ESP_UKI_DIRECTORY).join(name.to_string()))
    }

    fn secret_path(&self, name: &str) -> PathBuf {
        self.root
            .join(paths::ESP_SECRETS_DIRECTORY)
            .join(format!("{name}{}", paths::SEALED_SUFFIX))
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod power_cuts;
#[cfg(test)]
mod tests;
