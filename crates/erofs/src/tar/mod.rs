//! A tree out of a tar archive, plain or compressed with zstd.
//!
//! The archive is untrusted: every length is bounded before anything is read, names cannot leave the
//! tree, and what would be kept wrongly (sparse files, textual ACLs, unknown entry types, data behind
//! entries that have none) is refused rather than dropped. Entries are applied in order, as extraction
//! would: the last entry of a name wins. File contents are not read; the tree refers to the archive, or
//! to the unnamed file it was decompressed to, until it is dropped.
//!
//! Formats: ustar and POSIX pax (IEEE Std 1003.1, `pax`), GNU (tar manual, "Basic Tar Format"), with the
//! `SCHILY.xattr.`, `LIBARCHIVE.xattr.` and `RHT.security.selinux` records for xattrs.

mod apply;
mod error;
mod members;
mod pax;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::TarError;

use crate::tree::{OpenFile, OwnerPolicy, Tree};

/// First bytes of a zstd frame (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of what is recognised to say so, and not read.
const OTHER_COMPRESSIONS: [(&str, &[u8]); 4] = [
    ("gzip", &[0x1f, 0x8b]),
    ("xz", b"\xfd7zXZ\0"),
    ("bzip2", b"BZh"),
    ("lz4", &[0x04, 0x22, 0x4d, 0x18]),
];

/// How an archive becomes a tree.
#[derive(Debug, Clone)]
pub struct TarOptions {
    /// Whose the files become.
    pub owners: OwnerPolicy,
    /// Where a compressed archive is decompressed to, as a file without a name. Default: the system's
    /// temporary directory.
    pub scratch_directory: PathBuf,
    /// Most bytes a compressed archive may grow to. Default: 64 GiB.
    pub unpacked_max_bytes: u64,
    /// Most entries taken. Default: four million.
    pub entries_max: u64,
}

impl Default for TarOptions {
    fn default() -> Self {
        Self {
            owners: OwnerPolicy::AsRecorded,
            scratch_directory: std::env::temp_dir(),
            unpacked_max_bytes: 64 << 30,
            entries_max: 4_000_000,
        }
    }
}

impl Tree {
    /// The file system in the tar archive at `path`, which must be a regular file. A root directory that
    /// the archive does not describe is root:root 0755 of 1970, and so are other missing parents but for
    /// their mtime, which is that of the first entry below.
    ///
    /// # Errors
    /// [`TarError`], with the archive's path or the offset of the entry.
    pub fn from_tar(path: &Path, options: &TarOptions) -> Result<Self, TarError> {
        let open = |source| TarError::Open {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(open)?;
        if !file.metadata().map_err(open)?.is_file() {
            return Err(TarError::NotRegular {
                path: path.to_owned(),
            });
        }
        let mut magic = [0; 6];
        let got = read_some(&file, &mut magic).map_err(open)?;
        if let Some((name, _)) = OTHER_COMPRESSIONS
            .iter()
            .find(|(_, start)| magic[..got].starts_with(start))
        {
            return Err(TarError::Compression {
                path: path.to_owned(),
                found: name,
            });
        }
        if magic.starts_with(&ZSTD_MAGIC) {
            file = unpack(path, file, options)?;
        }
        let length = file.metadata().map_err(open)?.len();
        apply::tree_of(&Arc::new(OpenFile::new(path.to_owned(), file)), length, options)
    }
}

fn read_some(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let length = file.metadata()?.len().min(buffer.len() as u64) as usize;
    file.read_exact_at(&mut buffer[..length], 0)?;
    Ok(length)
}

/// Decompresses into a file that has no name and goes away with its last user.
fn unpack(path: &Path, packed: File, options: &TarOptions) -> Result<File, TarError> {
    let failed = |source| TarError::Unpack {
        path: path.to_owned(),
        source,
    };
    let mut scratch =
        tempfile::tempfile_in(&options.scratch_directory).map_err(|source| TarError::Scratch {
            path: options.scratch_directory.clone(),
            source,
        })?;
    let limit = options.unpacked_max_bytes;
    let mut decoder = zstd::stream::read::Decoder::new(packed)
        .map_err(failed)?
        .take(limit.saturating_add(1));
    let copied = io::copy(&mut decoder, &mut scratch).map_err(failed)?;
    if copied > limit {
        return Err(TarError::UnpackedTooLong {
            path: path.to_owned(),
            limit,
        });
    }
    scratch
        .flush()
        .and_then(|()| scratch.seek(SeekFrom::Start(0)))
        .map_err(failed)?;
    Ok(scratch)
}
