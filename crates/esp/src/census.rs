//! What lies on the ESP and is not ours to change while the system runs: boot loader, UKIs, their add-ons.
//!
//! Read by `bennud`, which compares two looks. `/bennu` is left out: it is ours and untrusted anyway. Names of boot
//! entries lose their counter, which systemd-boot and `bennud` change.

use crate::error::EspError;
use crate::files::MAX_DIRECTORY_ENTRIES;
use bennu_formats::names::UkiFileName;
use bennu_formats::{Sha256Digest, paths};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Most bytes of one file that are hashed; beyond it the length alone counts.
const MAX_HASHED_BYTES: u64 = 512 << 20;
/// How deep folders are entered.
const MAX_DEPTH: usize = 8;

/// Digests of files by their path.
pub type Census = BTreeMap<String, Sha256Digest>;

pub(crate) fn take(root: &Path) -> Result<Census, EspError> {
    let mut census = Census::new();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let listed = |source| EspError::List {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(listed)? {
            let entry = entry.map_err(listed)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(listed)?;
            if path == root.join(paths::ESP_BENNU_DIRECTORY) {
                continue;
            }
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if kind.is_file() {
                let digest = digest(&path).map_err(|source| EspError::Read {
                    path: path.clone(),
                    source,
                })?;
                census.insert(name(root, &path), digest);
            }
            if census.len() > MAX_DIRECTORY_ENTRIES {
                return Err(EspError::TooManyFiles { path: folder });
            }
        }
    }
    Ok(census)
}

/// The path below the root, without the counter of a boot entry.
fn name(root: &Path, path: &Path) -> String {
    let below: PathBuf = path.strip_prefix(root).unwrap_or(path).to_owned();
    let entry = path
        .file_name()
        .and_then(|name| name.to_str()?.parse::<UkiFileName>().ok());
    let below = match entry {
        Some(UkiFileName {
            image_id, version, ..
        }) => below.with_file_name(format!("{image_id}_{version}.efi")),
        None => below,
    };
    below.to_string_lossy().into_owned()
}

fn digest(path: &Path) -> io::Result<Sha256Digest> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = Sha256::new_with_prefix(length.to_le_bytes());
    io::copy(&mut io::Read::take(file, MAX_HASHED_BYTES), &mut hasher)?;
    Ok(Sha256Digest(hasher.finalize().into()))
}

/// SHA-256 of a whole file, or a refusal of one that is too long to be hashed.
pub(crate) fn sha256(path: &Path) -> Result<Sha256Digest, EspError> {
    let failed = |source| EspError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut bytes = io::Read::take(file, MAX_HASHED_BYTES + 1);
    let length = io::copy(&mut bytes, &mut hasher).map_err(failed)?;
    if length > MAX_HASHED_BYTES {
        return Err(EspError::TooLong {
            path: path.to_owned(),
            limit: MAX_HASHED_BYTES as usize,
        });
    }
    Ok(Sha256Digest(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_new_file_is_seen_and_a_counter_and_our_own_folder_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("EFI/Linux/demo_2+3-0.efi", "uki");
        put("EFI/BOOT/BOOTX64.EFI", "loader");
        put("bennu/boot-record.json", "{}");
        let before = take(dir.path()).unwrap();
        assert_eq!(before.len(), 2);
        fs::rename(
            dir.path().join("EFI/Linux/demo_2+3-0.efi"),
            dir.path().join("EFI/Linux/demo_2+2-1.efi"),
        )
        .unwrap();
        put("bennu/boot-record.json", "{ }");
        assert_eq!(take(dir.path()).unwrap(), before, "positive control");
        put("EFI/BOOT/BOOTX64.EFI", "loadeR");
        assert_ne!(take(dir.path()).unwrap(), before);
        put("EFI/BOOT/BOOTX64.EFI", "loader");
        put("loader/addons/x.addon.efi", "");
        assert_eq!(take(dir.path()).unwrap().len(), 3);
    }
}
