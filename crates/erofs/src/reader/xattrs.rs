//! Extended attributes, those behind the inode and the shared ones of `mkfs.erofs`.

use super::{Image, Inode, ReadAt, ReadError};
use crate::ondisk::{
    BLOCK_SIZE, NAME_MAX, XATTR_ENTRY_LEN, XATTR_HEADER_LEN, XATTR_PREFIXES, u16_at, u32_at,
};
use crate::tree::Xattrs;

/// Most bytes of one entry: its head, a name, a value.
const ENTRY_MAX: u64 = (XATTR_ENTRY_LEN + NAME_MAX + u16::MAX as usize) as u64;

impl<R: ReadAt> Image<R> {
    /// The xattrs of an inode by full name. At most 256 KiB behind the inode and 255 shared ones of at
    /// most 64 KiB.
    ///
    /// # Errors
    /// [`ReadError::Xattr`], [`ReadError::PastEnd`].
    pub fn xattrs(&self, inode: &Inode) -> Result<Xattrs, ReadError> {
        let mut xattrs = Xattrs::new();
        if inode.xattr_len == 0 {
            return Ok(xattrs);
        }
        let mut body = vec![0; inode.xattr_len];
        self.read_exact(inode.xattr_offset, &mut body)?;
        let shared = usize::from(body[4]);
        let mut at = XATTR_HEADER_LEN + shared * 4;
        let malformed = |at: u64| ReadError::Xattr { nid: inode.nid, at };
        let here = |at: usize| inode.xattr_offset + at as u64;
        if at > body.len() {
            return Err(malformed(here(XATTR_HEADER_LEN)));
        }
        for number in 0..shared {
            let id = u32_at(&body, XATTR_HEADER_LEN + number * 4);
            let (name, value) = self.shared_xattr(inode, id)?;
            xattrs.insert(name, value);
        }
        while at < body.len() {
            let (name, value, used) = entry(&body[at..]).ok_or(malformed(here(at)))?;
            xattrs.insert(name, value);
            at += used;
        }
        Ok(xattrs)
    }

    fn shared_xattr(&self, inode: &Inode, id: u32) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
        let at =
            u64::from(self.superblock().xattr_block) * BLOCK_SIZE + u64::from(id) * XATTR_ENTRY_LEN as u64;
        let left = self.superblock().bytes().saturating_sub(at).min(ENTRY_MAX);
        let mut head = [0; XATTR_ENTRY_LEN];
        self.read_exact(at, &mut head)?;
        let length = (XATTR_ENTRY_LEN as u64 + u64::from(head[0]) + u64::from(u16_at(&head, 2))).min(left);
        let mut raw = vec![0; length as usize];
        self.read_exact(at, &mut raw)?;
        let (name, value, _) = entry(&raw).ok_or(ReadError::Xattr { nid: inode.nid, at })?;
        Ok((name, value))
    }
}

/// Name, value and aligned length of the entry `raw` begins with.
fn entry(raw: &[u8]) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    let head = raw.get(..XATTR_ENTRY_LEN)?;
    let name_end = XATTR_ENTRY_LEN + usize::from(head[0]);
    let end = name_end + usize::from(u16_at(head, 2));
    let (_, prefix) = XATTR_PREFIXES.into_iter().find(|(index, _)| *index == head[1])?;
    let mut name = prefix.to_vec();
    name.extend(raw.get(XATTR_ENTRY_LEN..name_end)?);
    Some((
        name,
        raw.get(name_end..end)?.to_vec(),
        end.next_multiple_of(XATTR_ENTRY_LEN),
    ))
}
