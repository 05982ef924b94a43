//! What lies on the ESP and is not ours to change while the system runs: boot loader, UKIs, their add-ons.
//!
//! Read by `bennud`, which compares two looks. `/bennu` is left out: it is ours and untrusted anyway. Names of boot
//! entries lose their counter, which systemd-boot and `bennud` change, unless two entries of one release lie there.

use crate::error::EspError;
use crate::files::MAX_DIRECTORY_ENTRIES;
use bennu_formats::names::UkiFileName;
use bennu_formats::{ImageId, ImageVersion, Sha256Digest, paths};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most bytes of one file that are hashed; beyond it the length alone counts.
const MAX_HASHED_BYTES: u64 = 512 << 20;
/// How deep folders are entered.
const MAX_DEPTH: usize = 8;

/// Digests of files by their path.
pub type Census = BTreeMap<String, Sha256Digest>;
/// Length in bytes and time of the last change of files by their path: what a look costs next to nothing for. Whoever can
/// write the ESP can set the time, so it says when to take a [`Census`], not that none is needed.
pub type Listing = BTreeMap<String, (u64, SystemTime)>;

pub(crate) fn take(root: &Path) -> Result<Census, EspError> {
    each_file(root, digest)
}

pub(crate) fn list(root: &Path) -> Result<Listing, EspError> {
    each_file(root, |path| {
        let metadata = path.metadata()?;
        Ok((metadata.len(), metadata.modified()?))
    })
}

fn each_file<T>(
    root: &Path,
    look_at: impl Fn(&Path) -> io::Result<T>,
) -> Result<BTreeMap<String, T>, EspError> {
    let mut found = Vec::new();
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
                let seen = look_at(&path).map_err(|source| EspError::Read {
                    path: path.clone(),
                    source,
                })?;
                found.push((path, seen));
            }
            if found.len() > MAX_DIRECTORY_ENTRIES {
                return Err(EspError::TooManyFiles { path: folder });
            }
        }
    }
    Ok(named(root, found))
}

/// By the path below the root. A boot entry is named without its counter; where two differ in that alone, each keeps its
/// own, so that a second one is not taken for the first.
fn named<T>(root: &Path, found: Vec<(PathBuf, T)>) -> BTreeMap<String, T> {
    let mut times = BTreeMap::new();
    for (path, _) in &found {
        *times.entry(without_counter(path)).or_insert(0) += 1;
    }
    found
        .into_iter()
        .map(|(path, seen)| {
            let plain = without_counter(&path);
            let path = if times[&plain] == 1 { plain } else { path };
            let below = path.strip_prefix(root).unwrap_or(&path);
            (below.to_string_lossy().into_owned(), seen)
        })
        .collect()
}

/// The name under which a census has a version's boot entry, if there is one alone.
#[must_use]
pub fn entry_in_census(id: &ImageId, version: &ImageVersion) -> String {
    format!("{}/{id}_{version}.efi", paths::ESP_UKI_DIRECTORY)
}

fn without_counter(path: &Path) -> PathBuf {
    let entry = path
        .file_name()
        .and_then(|name| name.to_str()?.parse::<UkiFileName>().ok());
    match entry {
        Some(UkiFileName {
            image_id, version, ..
        }) => path.with_file_name(format!("{image_id}_{version}.efi")),
        None => path.to_owned(),
    }
}

/// That of the bytes alone, but for a file of which not all are hashed: there the length comes first.
fn digest(path: &Path) -> io::Result<Sha256Digest> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = Sha256::new();
    if length > MAX_HASHED_BYTES {
        hasher.update(length.to_le_bytes());
    }
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

    #[test]
    fn a_second_entry_of_one_release_under_another_counter_is_seen_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(dir.path().join(name), "uki").unwrap();
        put("demo_2+3.efi");
        let before = take(dir.path()).unwrap();
        assert!(before.keys().eq(["demo_2.efi"]));
        for second in ["demo_2+2-1.efi", "demo_2.efi"] {
            put(second);
            let both = take(dir.path()).unwrap();
            assert!(both.keys().any(|name| name == second), "{both:?}");
            assert!(both.keys().any(|name| name == "demo_2+3.efi"), "{both:?}");
            assert_eq!(list(dir.path()).unwrap().len(), 2);
            fs::remove_file(dir.path().join(second)).unwrap();
        }
        assert_eq!(take(dir.path()).unwrap(), before);
    }

    #[test]
    fn a_listing_has_the_same_files_and_changes_with_a_length_or_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loader.efi");
        fs::write(&path, "loader").unwrap();
        let before = list(dir.path()).unwrap();
        assert!(before.keys().eq(take(dir.path()).unwrap().keys()));
        assert_eq!(list(dir.path()).unwrap(), before, "positive control");
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let older = list(dir.path()).unwrap();
        assert_ne!(older, before);
        file.set_len(7).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(list(dir.path()).unwrap(), older);
    }
}
