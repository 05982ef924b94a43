//! Builds the hash device of an image: superblock, then the tree, top level first.
//!
//! Called by the builder, and by tests as the source of fixtures. One streaming pass over the data. On failure the
//! output is left half-written and must be thrown away.

use std::io::{self, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

use crate::fold::{FoldError, TreeSink, fold_device};
use crate::{BLOCK_BYTES, HashArea, ReadAt, RootHash, SUPERBLOCK_BYTES, Superblock, VerityParams};

/// Why no tree was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The data is shorter than the parameters say, or the read failed.
    #[error("build hash tree: read data from block {block} on: {source}")]
    ReadData {
        /// First block of the read that failed.
        block: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A tree block could not be written.
    #[error("build hash tree: write block {index} of level {level}: {source}")]
    WriteTree {
        /// Level, 0 for the leaves.
        level: usize,
        /// Block within the level.
        index: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The superblock could not be written.
    #[error("build hash tree: write superblock: {0}")]
    WriteSuperblock(#[source] io::Error),
    /// The output could not be flushed.
    #[error("build hash tree: flush hash device: {0}")]
    Flush(#[source] io::Error),
    /// A hashing thread ended without a result.
    #[error("build hash tree: a hashing thread was lost; try again with one thread")]
    WorkerLost,
}

/// Hashes `data` and writes the whole hash device to `out`, from its byte 0 on.
///
/// Reads `params.data_blocks()` blocks. Writes exactly `layout.tree_bytes_with_superblock()` bytes (or
/// `tree_bytes()` for [`HashArea::TreeOnly`]), each once. `progress` gets the number of data blocks done. The
/// output does not depend on `threads`. `out` is flushed but not synced.
pub fn build(
    data: &(impl ReadAt + ?Sized),
    params: &VerityParams,
    out: &mut (impl Write + Seek),
    progress: &mut dyn FnMut(u64),
    threads: NonZeroUsize,
) -> Result<RootHash, BuildError> {
    if params.hash_area() == HashArea::SuperblockThenTree {
        let mut block = [0; BLOCK_BYTES];
        block[..SUPERBLOCK_BYTES].copy_from_slice(&Superblock::encode(params));
        out.seek(SeekFrom::Start(0))
            .map_err(BuildError::WriteSuperblock)?;
        out.write_all(&block).map_err(BuildError::WriteSuperblock)?;
    }
    let mut writer = TreeWriter {
        position: None,
        params,
        out,
    };
    let root = fold_device(data, params, &mut writer, progress, threads).map_err(|error| match error {
        FoldError::ReadData { block, source } => BuildError::ReadData { block, source },
        FoldError::WorkerLost => BuildError::WorkerLost,
        FoldError::Sink(error) => error,
    })?;
    writer.out.flush().map_err(BuildError::Flush)?;
    Ok(root)
}

struct TreeWriter<'a, W> {
    /// Where `out` stands, if known: leaves are contiguous, so most seeks can be left out.
    position: Option<u64>,
    params: &'a VerityParams,
    out: &'a mut W,
}

impl<W: Write + Seek> TreeSink for TreeWriter<'_, W> {
    type Error = BuildError;

    fn put(&mut self, level: usize, index: u64, block: &[u8]) -> Result<(), BuildError> {
        let offset = self.params.hash_block_offset(level, index);
        let failed = |source| BuildError::WriteTree { level, index, source };
        if self.position != Some(offset) {
            self.out.seek(SeekFrom::Start(offset)).map_err(failed)?;
        }
        self.position = None;
        self.out.write_all(block).map_err(failed)?;
        self.position = Some(offset + block.len() as u64);
        Ok(())
    }
}
