//! Directory blocks, checked as the kernel and fsck.erofs do, order included.

use super::{Image, Inode, Nid, ReadAt, ReadError};
use crate::ondisk::{BLOCK_SIZE, DIRENT_LEN, FileType, NAME_MAX, u16_at, u64_at};

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, 1 to 255 bytes without `/` and zero.
    pub name: Vec<u8>,
    /// The inode it leads to.
    pub nid: Nid,
    /// Its type, as the directory has it.
    pub file_type: FileType,
}

/// What is carried from entry to entry.
#[derive(Default)]
struct Progress {
    last: Vec<u8>,
    dot: bool,
    dot_dot: bool,
}

impl<R: ReadAt> Image<R> {
    /// All names of a directory in bytewise order, without `.` and `..`. Memory is bounded by the size of
    /// the directory, which the image's bounds.
    ///
    /// # Errors
    /// [`ReadError::WrongType`], and the `Directory…` variants for a directory that makes no sense.
    pub fn read_dir(&self, inode: &Inode) -> Result<Vec<DirEntry>, ReadError> {
        let mut entries = Vec::new();
        self.scan(inode, |name, nid, file_type| {
            entries.push(DirEntry {
                name: name.to_vec(),
                nid,
                file_type,
            });
            true
        })?;
        Ok(entries)
    }

    /// One name of a directory.
    ///
    /// # Errors
    /// As for [`Image::read_dir`]; entries behind the one found are not looked at.
    pub fn find(&self, inode: &Inode, wanted: &[u8]) -> Result<Option<DirEntry>, ReadError> {
        let mut found = None;
        self.scan(inode, |name, nid, file_type| {
            if name == wanted {
                found = Some(DirEntry {
                    name: name.to_vec(),
                    nid,
                    file_type,
                });
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Gives entry by entry to `each` until it says `false`.
    fn scan(
        &self,
        inode: &Inode,
        mut each: impl FnMut(&[u8], Nid, FileType) -> bool,
    ) -> Result<(), ReadError> {
        self.expect(inode, FileType::Directory)?;
        let mut progress = Progress::default();
        let mut block = vec![0; BLOCK_SIZE as usize];
        for number in 0..inode.size.div_ceil(BLOCK_SIZE) {
            let used = self.read_at(inode, number * BLOCK_SIZE, &mut block)?;
            if !scan_block(inode, number, &block[..used], &mut progress, &mut each)? {
                return Ok(());
            }
        }
        if !(progress.dot && progress.dot_dot) {
            return Err(ReadError::DirectorySpecial { nid: inode.nid });
        }
        Ok(())
    }
}

/// `false` when `each` has had enough.
fn scan_block(
    inode: &Inode,
    number: u64,
    block: &[u8],
    progress: &mut Progress,
    each: &mut impl FnMut(&[u8], Nid, FileType) -> bool,
) -> Result<bool, ReadError> {
    let nid = inode.nid;
    let malformed = |entry| ReadError::DirectoryEntry {
        nid,
        block: number,
        entry,
    };
    if block.len() < DIRENT_LEN {
        return Err(malformed(0));
    }
    let names_start = usize::from(u16_at(block, 8));
    if names_start == 0 || !names_start.is_multiple_of(DIRENT_LEN) || names_start > block.len() {
        return Err(malformed(0));
    }
    let count = names_start / DIRENT_LEN;
    let mut start = names_start;
    for entry in 0..count {
        let raw = &block[entry * DIRENT_LEN..(entry + 1) * DIRENT_LEN];
        let end = match entry + 1 < count {
            true => usize::from(u16_at(block, (entry + 1) * DIRENT_LEN + 8)),
            // Names have no terminator; the last one ends with the block or at the first zero.
            false => block[start..]
                .iter()
                .position(|byte| *byte == 0)
                .map_or(block.len(), |len| start + len),
        };
        let name = block.get(start..end).ok_or(malformed(entry))?;
        let file_type = FileType::from_dirent(raw[10]).ok_or(malformed(entry))?;
        if name.is_empty() || name.len() > NAME_MAX || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(malformed(entry));
        }
        if name <= progress.last.as_slice() {
            return Err(ReadError::DirectoryOrder {
                nid,
                block: number,
                entry,
            });
        }
        progress.last.clear();
        progress.last.extend_from_slice(name);
        start = end;
        let target = Nid(u64_at(raw, 0));
        match name {
            b"." if target == nid => progress.dot = true,
            b"." => return Err(ReadError::DirectorySpecial { nid }),
            b".." => progress.dot_dot = true,
            name if !each(name, target, file_type) => return Ok(false),
            _ => {}
        }
    }
    Ok(true)
}
