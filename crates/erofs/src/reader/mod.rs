//! Reads EROFS images: those of this crate and those of `mkfs.erofs` whose files are neither compressed
//! nor made of chunks, with blocks of 4096 bytes.
//!
//! Images are untrusted. Every length is compared with the image's own size or a constant before it is
//! used, every offset with the image's end; no bytes make a call panic, loop without end or take more
//! memory than the caller's limit or the sizes given here. What does not make sense is an error, never
//! skipped: an image that reads to the end is as good as `fsck.erofs` can tell, and names are in the order
//! the kernel needs to find them.

mod directory;
mod error;
mod inode;
mod source;
mod superblock;
mod walk;
mod xattrs;

pub use directory::DirEntry;
pub use error::ReadError;
pub use inode::{Inode, Nid};
pub use source::{ReadAt, Seekable, Window};
pub use superblock::Superblock;

use crate::ondisk::{BLOCK_SIZE, FileType, Layout};
use crate::tree::{PATH_MAX, SYMLINK_HOPS_MAX, SYMLINK_MAX};

/// An open image.
#[derive(Debug)]
pub struct Image<R> {
    source: R,
    superblock: Superblock,
}

impl<R: ReadAt> Image<R> {
    /// Reads and checks the superblock, with its checksum if it has one.
    ///
    /// # Errors
    /// [`ReadError`] for a source that is no image this crate reads.
    pub fn open(source: R) -> Result<Self, ReadError> {
        let superblock = Superblock::read(&source)?;
        Ok(Self { source, superblock })
    }

    /// What the image says about itself.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The root directory.
    ///
    /// # Errors
    /// As for [`Image::inode`]; also when it is not a directory.
    pub fn root(&self) -> Result<Inode, ReadError> {
        let root = self.inode(self.superblock.root)?;
        self.expect(&root, FileType::Directory)?;
        Ok(root)
    }

    /// The inode with this number.
    ///
    /// # Errors
    /// [`ReadError`] for a number outside the image or an inode that makes no sense.
    pub fn inode(&self, nid: Nid) -> Result<Inode, ReadError> {
        inode::read(self, nid)
    }

    /// What is at `path`, from the root, no symlinks followed; `None` when nothing is there.
    ///
    /// # Errors
    /// [`ReadError::PathTooLong`], [`ReadError::WrongType`] when a component on the way is no directory,
    /// and what reading directories gives.
    pub fn lookup(&self, path: impl AsRef<[u8]>) -> Result<Option<Inode>, ReadError> {
        let path = path.as_ref();
        if path.len() > PATH_MAX {
            return Err(ReadError::PathTooLong { found: path.len() });
        }
        let mut inode = self.root()?;
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
        {
            match self.find(&inode, name)? {
                Some(entry) => inode = self.inode(entry.nid)?,
                None => return Ok(None),
            }
        }
        Ok(Some(inode))
    }

    /// What is at `path` with all symlinks followed, inside the image; `None` when nothing is there.
    ///
    /// # Errors
    /// [`ReadError::SymlinkLoop`], and as for [`Image::lookup`].
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Result<Option<Inode>, ReadError> {
        let mut rest = path.as_ref().to_vec();
        let mut ancestors = vec![self.root()?];
        let mut hops = 0;
        loop {
            if rest.len() > PATH_MAX + SYMLINK_MAX {
                return Err(ReadError::PathTooLong { found: rest.len() });
            }
            let start = rest.iter().position(|byte| *byte != b'/').unwrap_or(rest.len());
            let end = rest[start..]
                .iter()
                .position(|byte| *byte == b'/')
                .map_or(rest.len(), |len| start + len);
            let name = rest[start..end].to_vec();
            rest.drain(..end);
            let Some(here) = ancestors.last() else {
                return Ok(None);
            };
            match name.as_slice() {
                b"" => return Ok(ancestors.pop()),
                b"." => {}
                b".." if ancestors.len() > 1 => ancestors.truncate(ancestors.len() - 1),
                b".." => {}
                name => {
                    let Some(entry) = self.find(here, name)? else {
                        return Ok(None);
                    };
                    let inode = self.inode(entry.nid)?;
                    if inode.file_type != FileType::Symlink {
                        ancestors.push(inode);
                        continue;
                    }
                    hops += 1;
                    if hops > SYMLINK_HOPS_MAX {
                        return Err(ReadError::SymlinkLoop);
                    }
                    let target = self.read_link(&inode)?;
                    if target.starts_with(b"/") {
                        ancestors.truncate(1);
                    }
                    rest.splice(..0, target);
                }
            }
        }
    }

    /// Fills as much of `buffer` as the data of `inode` has from `offset` on, and tells how much that is.
    ///
    /// # Errors
    /// [`ReadError`] when the data is not where the inode says.
    pub fn read_at(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let available = inode.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < available {
            let at = offset + done as u64;
            let (from, len) = if at < inode.tail_start() {
                (
                    u64::from(inode.start_block) * BLOCK_SIZE + at,
                    inode.tail_start() - at,
                )
            } else {
                (inode.body_end() + (at - inode.tail_start()), inode.size - at)
            };
            let count = len.min((available - done) as u64) as usize;
            self.read_exact(from, &mut buffer[done..done + count])?;
            done += count;
        }
        Ok(done)
    }

    /// The whole content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError::WrongType`], [`ReadError::FileTooLong`], and as for [`Image::read_at`].
    pub fn read_file(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.expect(inode, FileType::Regular)?;
        self.read_all(inode, limit)
    }

    /// Where a symlink points.
    ///
    /// # Errors
    /// [`ReadError::WrongType`], [`ReadError::FileTooLong`] beyond 4095 bytes, [`ReadError::Symlink`].
    pub fn read_link(&self, inode: &Inode) -> Result<Vec<u8>, ReadError> {
        self.expect(inode, FileType::Symlink)?;
        let target = self.read_all(inode, SYMLINK_MAX as u64)?;
        if target.is_empty() || target.contains(&0) {
            return Err(ReadError::Symlink { nid: inode.nid });
        }
        Ok(target)
    }

    fn read_all(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>, ReadError> {
        if inode.size > limit {
            return Err(ReadError::FileTooLong {
                nid: inode.nid,
                found: inode.size,
                limit,
            });
        }
        let mut bytes = vec![0; inode.size as usize];
        self.read_at(inode, 0, &mut bytes)?;
        Ok(bytes)
    }

    fn expect(&self, inode: &Inode, expected: FileType) -> Result<(), ReadError> {
        if inode.file_type != expected {
            return Err(ReadError::WrongType {
                nid: inode.nid,
                expected,
                found: inode.file_type,
            });
        }
        Ok(())
    }

    /// Reads inside the image as its superblock bounds it.
    fn read_exact(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = buffer.len() as u64;
        if offset
            .checked_add(length)
            .is_none_or(|end| end > self.superblock.bytes())
        {
            return Err(ReadError::PastEnd {
                offset,
                length,
                image: self.superblock.bytes(),
            });
        }
        self.source
            .read_exact_at(buffer, offset)
            .map_err(|source| ReadError::Read {
                offset,
                length,
                source,
            })
    }
}

impl Layout {
    /// The layout an inode's format names, if it is one that is read.
    fn from_format(format: u16) -> Option<Self> {
        match (format >> 1) & 7 {
            0 => Some(Self::FlatPlain),
            2 => Some(Self::FlatInline),
            _ => None,
        }
    }
}
