//! Writes a [`Tree`] as an EROFS image, in one pass and in order.
//!
//! ```text
//! block 0        zeros, superblock at byte 1024, zeros
//! block 1 …      inodes, each with its xattrs and small data behind it, in path order
//! …              blocks of directories and symlinks that did not fit there, in path order
//! …              whole blocks of regular files, in path order, each file from a block's start
//! ```
//!
//! Path order is that of a walk with siblings ordered bytewise. Nothing but the tree and the options goes
//! in, so the same tree gives the same bytes. File data is apart from everything that changes whenever
//! anything changes, and a file that is the same in two releases has the same blocks in both, though
//! not in the same place.
//!
//! A second thread reads file contents ahead of the writing, at most four buffers of 1 MiB. On failure
//! what has been written is no image and is to be thrown away.

mod dirents;
mod encode;
mod output;
mod plan;
mod xattrs;

use std::io::{self, Write};
use std::thread;

use thiserror::Error;

use crate::ondisk::BLOCK_SIZE;
use crate::tree::{ContentError, Tree};

/// A volume name: at most 15 bytes, none of them zero (older kernels refuse an unterminated name).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VolumeName([u8; 16]);

impl VolumeName {
    /// # Errors
    /// [`WriteError::VolumeName`].
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, WriteError> {
        let name = name.as_ref();
        let mut field = [0; 16];
        if name.len() >= field.len() || name.contains(&0) {
            return Err(WriteError::VolumeName {
                found: name.escape_ascii().to_string(),
            });
        }
        field[..name.len()].copy_from_slice(name);
        Ok(Self(field))
    }
}

/// What an image says besides its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOptions {
    /// Identity of the file system, as its bytes are stored.
    pub uuid: [u8; 16],
    /// Build time in seconds since 1970 (`SOURCE_DATE_EPOCH`). Inodes with this very mtime can be half
    /// as long.
    pub build_time_s: u64,
    /// Name of the volume; may be empty.
    pub volume_name: VolumeName,
    /// Most bytes the image may have; `None` leaves only the format's limit of 16 TiB. Checked before
    /// anything is written.
    pub size_limit_bytes: Option<u64>,
    /// Data behind the last whole block of a regular file goes next to its inode when it has at most so
    /// many bytes, else to a block of its own. 0 never does it, 4095 whenever the format allows. Small
    /// values keep the metadata small, and the metadata is what differs between any two releases; large
    /// ones save up to a block for each file.
    pub inline_tail_max_bytes: u16,
}

impl ImageOptions {
    /// Default for [`ImageOptions::inline_tail_max_bytes`].
    pub const INLINE_TAIL_MAX_BYTES: u16 = 1024;

    /// Without name and limit.
    pub fn new(uuid: [u8; 16], build_time_s: u64) -> Self {
        Self {
            uuid,
            build_time_s,
            volume_name: VolumeName::default(),
            size_limit_bytes: None,
            inline_tail_max_bytes: Self::INLINE_TAIL_MAX_BYTES,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSummary {
    /// Length of the image in bytes, a multiple of 4096.
    pub bytes: u64,
    /// Inodes, hard links counted once.
    pub inodes: u64,
    /// Bytes before the first block of file data: superblock, inodes, directories.
    pub metadata_bytes: u64,
    /// Bytes of whole blocks of file data.
    pub data_bytes: u64,
}

/// An image could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A volume name that does not fit.
    #[error("name the volume {found}: at most 15 bytes, none of them zero, are allowed")]
    VolumeName {
        /// The name.
        found: String,
    },
    /// The image would exceed its limit.
    #[error(
        "write an image of {needed} bytes: the limit is {limit}; make the slot larger or the tree smaller"
    )]
    ImageTooLarge {
        /// What the tree needs, in bytes.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file's content could not be read, or has changed.
    #[error("read content for the image: {0}")]
    Content(#[from] ContentError),
    /// The image would not write.
    #[error("write the image at byte {offset}: {source}")]
    Output {
        /// Offset in the image in bytes.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// No thread to read ahead.
    #[error("start a thread to read file contents: {0}")]
    Thread(io::Error),
    /// Two parts of the image met; a defect of this crate.
    #[error(
        "lay out the image: byte {position} was reached where {expected} was planned; report this as a bug"
    )]
    Overrun {
        /// Where writing stood.
        position: u64,
        /// Where it should have stood.
        expected: u64,
    },
}

/// Writes `tree` as an image to `out`, from its present position on; `out` is not flushed. `progress` is
/// given the bytes written so far, about once a mebibyte and at the end.
///
/// # Errors
/// [`WriteError::ImageTooLarge`] before anything is written; the others leave an incomplete image.
pub fn write_image<W: Write + ?Sized>(
    tree: &Tree,
    out: &mut W,
    options: &ImageOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<ImageSummary, WriteError> {
    let plan = plan::Plan::new(tree, options)?;
    let (sink, source) = output::pipe();
    thread::scope(|scope| {
        let producer = thread::Builder::new()
            .name("erofs-read".into())
            .spawn_scoped(scope, || encode::encode(&plan, options, sink))
            .map_err(WriteError::Thread)?;
        let written = source.drain_to(out, progress);
        let encoded = producer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A failed write makes the producer stop as well, so it is the one to report.
        written.and(encoded)
    })?;
    Ok(ImageSummary {
        bytes: u64::from(plan.blocks) * BLOCK_SIZE,
        inodes: plan.inodes.len() as u64,
        metadata_bytes: plan.data_start,
        data_bytes: u64::from(plan.blocks) * BLOCK_SIZE - plan.data_start,
    })
}
