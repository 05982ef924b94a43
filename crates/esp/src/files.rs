//! Bounded reads, and writes that a power cut at any moment leaves whole or undone.
//!
//! What Linux's vfat does, and a device may add (fs/fat/{file,inode,namei_vfat,fatent}.c; the stories run 6.12):
//!
//! - rename(2) makes an entry without content or lets the one that it replaces stand, and gives it the file's
//!   cluster and length only when the inode is written: fsync(2) of the directory alone makes an empty file durable.
//! - fsync(2) of a file writes its data, its entry, the FAT, and flushes once, at the end. Between two flushes
//!   anything may arrive, in any order, and each 512-byte sector or not.
//! - An entry whose clusters the FAT calls free is worse than a lost file: whoever truncates, replaces or removes it
//!   meets an error, and the ESP is read-only from then on (`errors=remount-ro`), at each start; or its clusters
//!   become another file's.
//!
//! So nothing here truncates, an overwritten file keeps its clusters, and each entry is flushed before or after the
//! FAT on purpose: fsync(2) of the directory, which then has nothing of its own to write, writes and flushes the FAT
//! alone. The mount is not `dirsync`: that option adds writes between these steps (an empty entry, an entry without
//! its length) and no flush, while without it an entry that keeps to one sector changes from old to new at once.

use crate::error::EspError;
use crate::volume::Volume;
use std::fs;
use std::io;
use std::path::Path;

/// Most files that are looked at in one directory of the ESP.
pub const MAX_DIRECTORY_ENTRIES: usize = 512;

/// Names of the files in `path` that are text.
pub(crate) fn list(path: &Path) -> Result<Vec<String>, EspError> {
    let failed = |source| EspError::List {
        path: path.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        if names.len() == MAX_DIRECTORY_ENTRIES {
            return Err(EspError::TooManyFiles {
                path: path.to_owned(),
            });
        }
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// At most `limit` bytes of `path`; `None` where there is no such file. Any other error is an error.
pub(crate) fn read(volume: &impl Volume, path: &Path, limit: usize) -> Result<Option<Vec<u8>>, EspError> {
    volume.read(path, limit).map_err(|source| EspError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Writes `bytes` as the whole file `path`, and flushes.
///
/// A file of the same length is overwritten where it lies, after it was filled with NULs: it never has bytes of both
/// contents. Otherwise it is made anew. A power cut leaves a file that is old, new, empty, absent, or one of the new
/// length with other bytes; whoever cannot live with the last keeps a second copy or uses [`publish`].
pub(crate) fn write(volume: &impl Volume, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
    let written = match prepare(volume, path, bytes.len() as u64) {
        Ok(Place::SameLength) => overwrite(volume, path, bytes),
        Ok(Place::Empty) => fill(volume, path, bytes),
        Err(error) => Err(error),
    };
    written.map_err(|source| EspError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes `bytes` under a temporary name, flushes, and lets them take the name `path`: a power cut leaves the whole
/// file, an empty one, or none. One that was there is removed first.
///
/// The temporary file may stay, with the same clusters as the whole one; nobody touches it as long as that is there.
pub(crate) fn publish(volume: &impl Volume, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
    let temporary = path.with_extension("new");
    write(volume, &temporary, bytes)?;
    // An empty file under the name, so that what is left for the rename is one entry in one sector.
    prepare(volume, path, 0)
        .and_then(|_| sync_entry(volume, path))
        .map_err(|source| EspError::Write {
            path: path.to_owned(),
            source,
        })?;
    rename(volume, &temporary, path)
}

/// Removes a file for good. What [`publish`] may have left beside it, under a temporary name and with the same clusters,
/// gets a name that nobody writes to: whoever wrote there would write to clusters that are free.
pub(crate) fn forget(volume: &impl Volume, path: &Path) -> Result<(), EspError> {
    let failed = |source| EspError::Write {
        path: path.to_owned(),
        source,
    };
    let (temporary, left) = (path.with_extension("new"), path.with_extension("left"));
    let lengths = volume
        .length(&temporary)
        .and_then(|temporary| Ok((temporary, volume.length(&left)?)));
    if let (Some(1..), None) = lengths.map_err(failed)? {
        rename(volume, &temporary, &left)?;
    }
    remove(volume, path).map_err(failed)
}

/// Renames; flushes the file, which writes its cluster and length into the new entry, and then the directory.
/// `to` must not exist or be empty: what it occupies would be freed while its entry may still be on the disk.
pub(crate) fn rename(volume: &impl Volume, from: &Path, to: &Path) -> Result<(), EspError> {
    volume
        .rename(from, to)
        .and_then(|()| sync_entry(volume, to))
        .map_err(|source| EspError::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            source,
        })
}

/// Zeros over the first `limit` bytes of a file where it lies, and flushes; nothing where there is none.
pub(crate) fn blank(volume: &impl Volume, path: &Path, limit: usize) -> Result<(), EspError> {
    let act = || match volume.length(path)? {
        None | Some(0) => Ok(()),
        Some(length) => {
            let bytes = usize::try_from(length).unwrap_or(limit).min(limit);
            volume.overwrite(path, &vec![0; bytes])?;
            volume.sync(path)
        }
    };
    act().map_err(|source| EspError::Write {
        path: path.to_owned(),
        source,
    })
}

/// How a file stands before it is written.
enum Place {
    /// As long as what is to be written.
    SameLength,
    /// Empty.
    Empty,
}

fn prepare(volume: &impl Volume, path: &Path, length: u64) -> io::Result<Place> {
    match volume.length(path)? {
        Some(0) => return Ok(Place::Empty),
        Some(found) if found == length => return Ok(Place::SameLength),
        Some(_) => remove(volume, path)?,
        None => volume.make_directory(directory_of(path))?,
    }
    volume.create(path)?;
    Ok(Place::Empty)
}

/// Blank, flush, write, flush: the file's clusters stay the same, and so does what its entry says of them.
fn overwrite(volume: &impl Volume, path: &Path, bytes: &[u8]) -> io::Result<()> {
    volume.overwrite(path, &vec![0; bytes.len()])?;
    volume.sync(path)?;
    volume.overwrite(path, bytes)?;
    volume.sync(path)
}

/// Fills an empty file. Its entry is durable before it gets clusters, the FAT before the entry names them.
fn fill(volume: &impl Volume, path: &Path, bytes: &[u8]) -> io::Result<()> {
    sync_entry(volume, path)?;
    volume.overwrite(path, bytes)?;
    volume.sync(directory_of(path))?;
    volume.sync(path)
}

/// Removes a file: its clusters are freed when no entry names them any more.
fn remove(volume: &impl Volume, path: &Path) -> io::Result<()> {
    let file = volume.unlink(path)?;
    volume.sync(directory_of(path))?;
    volume.release(file);
    volume.sync(directory_of(path))
}

fn sync_entry(volume: &impl Volume, path: &Path) -> io::Result<()> {
    volume.sync(path)?;
    volume.sync(directory_of(path))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
