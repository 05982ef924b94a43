//! Inodes, checked.

use std::fmt;

use super::{Image, ReadAt, ReadError};
use crate::ondisk::{
    BLOCK_SIZE, FileType, INODE_COMPACT_LEN, INODE_EXTENDED_LEN, INODE_SLOT, Layout, RawInode, decode_device,
    xattr_body_len,
};
use crate::tree::{Mode, Timestamp};

/// Number of an inode: its place in the image. Two names with one number are hard links of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nid(pub u64);

impl fmt::Display for Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An inode as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its number.
    pub nid: Nid,
    /// What it is.
    pub file_type: FileType,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names it has, as recorded.
    pub nlink: u32,
    /// Length of its data in bytes.
    pub size: u64,
    /// Last change.
    pub mtime: Timestamp,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    pub(super) start_block: u32,
    layout: Layout,
    /// Byte offset of the xattrs.
    pub(super) xattr_offset: u64,
    /// Bytes of the xattrs.
    pub(super) xattr_len: usize,
}

impl Inode {
    /// Where in the data the part begins that is behind the inode.
    pub(super) fn tail_start(&self) -> u64 {
        match self.layout {
            Layout::FlatPlain => self.size,
            // Linux `erofs_map_blocks`: all blocks but the last one lie apart.
            Layout::FlatInline => self.size.saturating_sub(1) / BLOCK_SIZE * BLOCK_SIZE,
        }
    }

    /// Byte offset behind inode and xattrs.
    pub(super) fn body_end(&self) -> u64 {
        self.xattr_offset + self.xattr_len as u64
    }
}

/// The fields of an inode and the byte offset behind them.
fn read_raw<R: ReadAt>(image: &Image<R>, nid: Nid) -> Result<(RawInode, u64), ReadError> {
    let start = u64::from(image.superblock().meta_block) * BLOCK_SIZE;
    // A product that overflows is past any end.
    let offset = nid
        .0
        .checked_mul(INODE_SLOT)
        .and_then(|offset| offset.checked_add(start))
        .unwrap_or(u64::MAX);
    let mut compact = [0; INODE_COMPACT_LEN];
    image.read_exact(offset, &mut compact)?;
    let raw = RawInode::decode_compact(&compact);
    if raw.format & 1 == 0 {
        return Ok((raw, offset + INODE_COMPACT_LEN as u64));
    }
    let mut extended = [0; INODE_EXTENDED_LEN];
    image.read_exact(offset, &mut extended)?;
    Ok((
        RawInode::decode_extended(&extended),
        offset + INODE_EXTENDED_LEN as u64,
    ))
}

pub(super) fn read<R: ReadAt>(image: &Image<R>, nid: Nid) -> Result<Inode, ReadError> {
    let superblock = image.superblock();
    let (raw, xattr_offset) = read_raw(image, nid)?;
    let layout = Layout::from_format(raw.format)
        .filter(|_| raw.format >> 4 == 0)
        .ok_or(ReadError::InodeFormat {
            nid,
            format: raw.format,
        })?;
    let file_type = FileType::from_mode(raw.mode).ok_or(ReadError::InodeMode { nid, mode: raw.mode })?;
    let mtime = match raw.mtime {
        Some((seconds, nanoseconds)) => Timestamp {
            seconds: seconds as i64,
            nanoseconds,
        },
        None => Timestamp {
            seconds: superblock.build_time_s as i64,
            nanoseconds: superblock.build_time_ns,
        },
    };
    if mtime.nanoseconds >= 1_000_000_000 {
        return Err(ReadError::InodeTime {
            nid,
            found: mtime.nanoseconds,
        });
    }
    let has_data = matches!(
        file_type,
        FileType::Regular | FileType::Directory | FileType::Symlink
    );
    let size = if has_data { raw.size } else { 0 };
    let bytes = superblock.bytes();
    if size > bytes {
        return Err(ReadError::InodeSize {
            nid,
            found: size,
            image: bytes,
        });
    }
    let device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
    let inode = Inode {
        nid,
        file_type,
        mode: Mode::new(raw.mode.into()),
        uid: raw.uid,
        gid: raw.gid,
        nlink: raw.nlink,
        size,
        mtime,
        device: device.then(|| decode_device(raw.union)),
        start_block: if has_data { raw.union } else { 0 },
        layout,
        xattr_offset,
        xattr_len: xattr_body_len(raw.xattr_count),
    };
    if inode.body_end() % BLOCK_SIZE + (size - inode.tail_start()) > BLOCK_SIZE {
        return Err(ReadError::InlineData { nid });
    }
    Ok(inode)
}
