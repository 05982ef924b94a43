//! Uncompressed EROFS images: a deterministic writer that needs no privileges, and a reader that no
//! bytes can make panic.
//!
//! The way through the crate:
//!
//! 1. [`Tree`] holds the metadata of a root file system; file contents stay where they are
//!    ([`Content`]). It comes from [`Tree::from_tar`], from [`Tree::from_directory`] or from the
//!    editing calls, in any mixture.
//! 2. [`write_image`] lays the tree out and streams it, in one pass and in order, to any
//!    [`std::io::Write`]. The same tree and options give the same bytes, on every machine.
//! 3. [`Image`] reads such an image back, and those of `mkfs.erofs` that are neither compressed nor
//!    chunked, out of anything that is [`ReadAt`].
//!
//! Who writes: the builder. Who reads: the Linux kernel (5.4 and later; no incompatible feature is
//! used), `bennu inspect` and the tests. On failure every call gives a typed error and the caller
//! throws the partly written image away; nothing here retries.
//!
//! The format is the one of the Linux kernel, `fs/erofs/erofs_fs.h`, and of
//! `Documentation/filesystems/erofs.rst`. Not written, by choice: compression, chunks, shared xattrs,
//! 48-bit addresses.

mod crc32c;
mod ondisk;
pub mod reader;
mod tar;
pub mod tree;
pub mod writer;

pub use ondisk::{BLOCK_SIZE, FileType};
pub use reader::{Image, ReadAt, ReadError, Window};
pub use tar::{TarError, TarOptions};
pub use tree::{
    Content, ContentError, Device, DirectoryError, DirectoryOptions, Kind, Metadata, Mode, Node, NodeId,
    OwnerPolicy, Timestamp, Tree, TreeError, XattrPolicy, Xattrs,
};
pub use writer::{ImageOptions, ImageSummary, VolumeName, WriteError, write_image};
