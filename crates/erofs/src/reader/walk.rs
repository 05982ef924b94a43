//! Visits a whole image.

use std::collections::HashSet;

use super::{Image, Inode, Nid, ReadAt, ReadError};
use crate::ondisk::FileType;
use crate::tree::PATH_MAX;

impl<R: ReadAt> Image<R> {
    /// Gives every name of the image with its path (no leading slash; the root's is empty) and inode to
    /// `visit`, parents before children and siblings in bytewise order. Directories met twice are an
    /// error, so this ends for any image.
    ///
    /// # Errors
    /// [`ReadError::DirectoryLoop`], [`ReadError::DirectoryType`], [`ReadError::PathTooLong`], what
    /// reading inodes and directories gives, and what `visit` gives.
    pub fn walk<E: From<ReadError>>(
        &self,
        mut visit: impl FnMut(&[u8], &Inode) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut seen = HashSet::new();
        let mut stack: Vec<(Vec<u8>, Nid, FileType)> =
            vec![(Vec::new(), self.superblock().root, FileType::Directory)];
        while let Some((path, nid, expected)) = stack.pop() {
            let inode = self.inode(nid)?;
            if inode.file_type != expected {
                return Err(ReadError::DirectoryType {
                    nid,
                    expected,
                    found: inode.file_type,
                }
                .into());
            }
            visit(&path, &inode)?;
            if expected != FileType::Directory {
                continue;
            }
            if !seen.insert(nid) {
                return Err(ReadError::DirectoryLoop { nid }.into());
            }
            for entry in self.read_dir(&inode)?.into_iter().rev() {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend(entry.name);
                if below.len() > PATH_MAX {
                    return Err(ReadError::PathTooLong { found: below.len() }.into());
                }
                stack.push((below, entry.nid, entry.file_type));
            }
        }
        Ok(())
    }
}
