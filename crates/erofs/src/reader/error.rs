//! Why an image is not read.

use std::io;

use thiserror::Error;

use super::Nid;
use crate::ondisk::FileType;

/// An image, or a part of it, could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The source would not read.
    #[error("read {length} bytes at {offset} of the image: {source}")]
    Read {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Something is recorded to lie behind the end.
    #[error("read {length} bytes at {offset} of the image: it has only {image}; it is damaged or cut short")]
    PastEnd {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// Length of the image in bytes, as its superblock has it.
        image: u64,
    },
    /// Another magic number.
    #[error("read the superblock: magic {found:#010x}, expected 0xe0f5e1e2; this is not an EROFS image")]
    Magic {
        /// As found.
        found: u32,
    },
    /// The superblock's block was changed.
    #[error(
        "read the superblock: checksum {expected:#010x} recorded, {found:#010x} computed; the image is damaged"
    )]
    Checksum {
        /// As recorded.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// Blocks of another size.
    #[error(
        "read the superblock: blocks of 2^{found} bytes, expected 2^12; make the image with 4096-byte blocks"
    )]
    BlockSize {
        /// log2 of the size.
        found: u8,
    },
    /// A feature without which files would be read wrongly.
    #[error(
        "read the superblock: incompatible features {found:#x} are not supported; make the image without compression and chunks"
    )]
    Features {
        /// The bits that are not supported.
        found: u32,
    },
    /// Inode fields outside the format.
    #[error("read inode {nid}: format {format:#06x} is compressed, chunked or unknown")]
    InodeFormat {
        /// The inode.
        nid: Nid,
        /// `i_format`.
        format: u16,
    },
    /// A mode without a file type.
    #[error("read inode {nid}: mode {mode:#o} has no file type")]
    InodeMode {
        /// The inode.
        nid: Nid,
        /// `i_mode`.
        mode: u16,
    },
    /// Nanoseconds of a second or more.
    #[error("read inode {nid}: {found} nanoseconds, expected less than 1000000000")]
    InodeTime {
        /// The inode.
        nid: Nid,
        /// As recorded.
        found: u32,
    },
    /// A file larger than the image it is in.
    #[error("read inode {nid}: a size of {found} bytes in an image of {image}")]
    InodeSize {
        /// The inode.
        nid: Nid,
        /// Size in bytes.
        found: u64,
        /// Length of the image in bytes.
        image: u64,
    },
    /// Inline data that goes over a block's end, which the kernel refuses.
    #[error("read inode {nid}: its inline data crosses a block boundary")]
    InlineData {
        /// The inode.
        nid: Nid,
    },
    /// Another type than the call is for.
    #[error("use inode {nid}: it is a {found:?}, expected a {expected:?}")]
    WrongType {
        /// The inode.
        nid: Nid,
        /// What the call is for.
        expected: FileType,
        /// What it is.
        found: FileType,
    },
    /// A file beyond the caller's limit.
    #[error("read inode {nid}: it has {found} bytes, more than the limit of {limit}")]
    FileTooLong {
        /// The inode.
        nid: Nid,
        /// Size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A symlink with an empty target or a zero byte in it.
    #[error("read symlink {nid}: its target is empty or has a zero byte")]
    Symlink {
        /// The inode.
        nid: Nid,
    },
    /// A directory block whose offsets, names or types make no sense.
    #[error("read directory {nid}: entry {entry} of block {block} is malformed")]
    DirectoryEntry {
        /// The inode.
        nid: Nid,
        /// Block of the directory, from 0.
        block: u64,
        /// Entry in the block, from 0.
        entry: usize,
    },
    /// Names that are not in ascending order, so that the kernel would not find them.
    #[error("read directory {nid}: entry {entry} of block {block} is not in order")]
    DirectoryOrder {
        /// The inode.
        nid: Nid,
        /// Block of the directory, from 0.
        block: u64,
        /// Entry in the block, from 0.
        entry: usize,
    },
    /// `.` or `..` missing, or `.` leading elsewhere.
    #[error("read directory {nid}: `.` or `..` is missing or wrong")]
    DirectorySpecial {
        /// The inode.
        nid: Nid,
    },
    /// A type in a directory that is not that of the inode.
    #[error("read inode {nid}: its directory says {expected:?}, the inode {found:?}")]
    DirectoryType {
        /// The inode.
        nid: Nid,
        /// As the directory has it.
        expected: FileType,
        /// As the inode has it.
        found: FileType,
    },
    /// A directory with two names, or one that is in itself.
    #[error("walk directory {nid}: it was met before; the tree has a loop")]
    DirectoryLoop {
        /// The inode.
        nid: Nid,
    },
    /// An xattr that goes beyond its place or has no known name.
    #[error("read the xattrs of inode {nid}: the entry at byte {at} is malformed")]
    Xattr {
        /// The inode.
        nid: Nid,
        /// Offset in the image in bytes.
        at: u64,
    },
    /// A path longer than 4096 bytes.
    #[error("use a path of {found} bytes: at most 4096 are allowed")]
    PathTooLong {
        /// Length in bytes.
        found: usize,
    },
    /// More than 40 symlinks on one path.
    #[error("follow a path: more than 40 symlinks; look for a loop")]
    SymlinkLoop,
}
