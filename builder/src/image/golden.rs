//! The golden-file index of a root file system that exists: made anew from it, or opened in it.

use crate::steps::golden::{PIECE_BYTES, kind};
use bennu_erofs::reader::{Inode, Nid};
use bennu_erofs::{FileType, Image, ReadAt, ReadError};
use bennu_formats::{Sha256Digest, paths};
use bennu_golden::{BuildError, CapabilityError, Entry, Index, IndexBuilder, IndexError, xattr_set};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io;

/// Why a root has no index, or none can be made of it.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system.
    #[error("{0}")]
    Erofs(#[from] ReadError),
    /// A file's capabilities.
    #[error("path {path}: {source}")]
    Capability {
        /// Path.
        path: String,
        /// Why.
        source: CapabilityError,
    },
    /// More than an index holds.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// What lies there is no index.
    #[error("{0}")]
    Index(#[from] IndexError),
}

/// Makes the index of everything in `image` but the index itself.
///
/// # Errors
/// See [`ImageError`].
pub fn of_image<R: ReadAt>(image: &Image<R>) -> Result<Vec<u8>, ImageError> {
    let itself = image.resolve(paths::ROOT_GOLDEN_INDEX)?.map(|inode| inode.nid);
    let mut builder = IndexBuilder::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut linked: HashMap<Nid, Sha256Digest> = HashMap::new();
    image.walk(|path, inode| -> Result<(), ImageError> {
        if Some(inode.nid) == itself {
            return Ok(());
        }
        let digest = match (linked.get(&inode.nid), inode.file_type) {
            (Some(known), _) => *known,
            (None, FileType::Regular) => {
                let digest = digest_of(image, inode, &mut buffer)?;
                if inode.nlink > 1 {
                    linked.insert(inode.nid, digest);
                }
                digest
            }
            (None, FileType::Symlink) => Sha256Digest::of(&image.read_link(inode)?),
            (None, _) => Sha256Digest::ZERO,
        };
        builder.push(entry(image, path, inode, digest)?)?;
        Ok(())
    })?;
    Ok(builder.finish()?)
}

fn digest_of<R: ReadAt>(
    image: &Image<R>,
    inode: &Inode,
    buffer: &mut [u8],
) -> Result<Sha256Digest, ReadError> {
    let mut hasher = Sha256::new();
    let mut done = 0;
    while done < inode.size {
        let count = image.read_at(inode, done, buffer)?;
        hasher.update(&buffer[..count]);
        done += count as u64;
    }
    Ok(Sha256Digest(hasher.finalize().into()))
}

fn entry<R: ReadAt>(
    image: &Image<R>,
    path: &[u8],
    inode: &Inode,
    digest: Sha256Digest,
) -> Result<Entry, ImageError> {
    let xattrs = image.xattrs(inode)?;
    let xattrs = xattr_set(xattrs.iter().map(|(n, v)| (n.as_slice(), v.as_slice())));
    let xattrs = xattrs.map_err(|source| ImageError::Capability {
        path: path.escape_ascii().to_string(),
        source,
    })?;
    Ok(Entry {
        path: path.to_vec(),
        kind: kind(inode.file_type),
        mode: inode.mode.bits(),
        uid: inode.uid,
        gid: inode.gid,
        size: match (inode.file_type, inode.device) {
            (FileType::Regular | FileType::Symlink, _) => inode.size,
            (_, Some((major, minor))) => u64::from(major) << 32 | u64::from(minor),
            _ => 0,
        },
        digest,
        xattrs,
    })
}

/// A file of an image as something that can be read at any offset.
pub struct FileInImage<'i, R> {
    image: &'i Image<R>,
    inode: Inode,
}

impl<R: ReadAt> bennu_golden::ReadAt for FileInImage<'_, R> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.image.read_at(&self.inode, offset, buffer) {
            Ok(count) if count == buffer.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(ReadError::Read { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// The index in `image` with its digest; `None` where there is none.
pub type Found<'i, R> = Option<(Index<FileInImage<'i, R>>, Sha256Digest)>;

/// Opens the index in `image`.
///
/// # Errors
/// See [`ImageError`].
pub fn in_image<R: ReadAt>(image: &Image<R>) -> Result<Found<'_, R>, ImageError> {
    let Some(inode) = image.resolve(paths::ROOT_GOLDEN_INDEX)? else {
        return Ok(None);
    };
    if inode.file_type != FileType::Regular {
        return Ok(None);
    }
    let digest = digest_of(image, &inode, &mut vec![0; PIECE_BYTES])?;
    let length = inode.size;
    Ok(Some((Index::open(FileInImage { image, inode }, length)?, digest)))
}
