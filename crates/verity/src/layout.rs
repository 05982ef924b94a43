//! Where each level of a hash tree lies.
//!
//! Pure arithmetic, shared by the writer, the verifier and whoever sizes partitions. Levels are counted from the
//! leaves: level 0 holds the digests of the data blocks. On the device the top level comes first.

use crate::{BLOCK_BYTES, DIGESTS_PER_BLOCK};

/// Most data blocks of one device: 2^40 (4 PiB). Keeps every sum below in range; far above any image.
pub const MAX_DATA_BLOCKS: u64 = 1 << 40;

/// Why a device of this size has no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Nothing to protect.
    #[error("lay out hash tree: the data device has no block; give at least one block of 4096 bytes")]
    NoData,
    /// Above [`MAX_DATA_BLOCKS`].
    #[error(
        "lay out hash tree: {found} data blocks; at most {} are supported",
        MAX_DATA_BLOCKS
    )]
    TooLarge {
        /// Data blocks asked for.
        found: u64,
    },
}

/// One level of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// First block of the level, in blocks from the start of the tree (the superblock not counted).
    pub first_block: u64,
    /// Blocks in the level; at least 1.
    pub blocks: u64,
}

/// The levels of one tree and their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTreeLayout {
    data_blocks: u64,
    levels: Vec<Level>,
    tree_blocks: u64,
}

impl HashTreeLayout {
    /// The layout for `data_blocks` blocks of 4096 bytes.
    pub fn new(data_blocks: u64) -> Result<Self, LayoutError> {
        match data_blocks {
            0 => return Err(LayoutError::NoData),
            found if found > MAX_DATA_BLOCKS => return Err(LayoutError::TooLarge { found }),
            _ => {}
        }
        let mut sizes = Vec::new();
        let mut below = data_blocks;
        while below > 1 {
            below = below.div_ceil(DIGESTS_PER_BLOCK);
            sizes.push(below);
        }
        let mut levels = Vec::with_capacity(sizes.len());
        let mut next_free = 0;
        for &blocks in sizes.iter().rev() {
            levels.push(Level {
                first_block: next_free,
                blocks,
            });
            next_free += blocks;
        }
        levels.reverse();
        Ok(Self {
            data_blocks,
            levels,
            tree_blocks: next_free,
        })
    }

    /// Data blocks the tree protects.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The levels, leaves first. Empty for a device of one block: its digest is the root hash itself.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Bytes of the tree alone.
    pub fn tree_bytes(&self) -> u64 {
        self.tree_blocks * BLOCK_BYTES as u64
    }

    /// Bytes of the hash device: one block for the superblock, then the tree.
    pub fn tree_bytes_with_superblock(&self) -> u64 {
        self.tree_bytes() + BLOCK_BYTES as u64
    }
}

/// Bytes a hash partition needs (superblock included) so that any data of at most `data_bytes` bytes fits.
pub fn max_tree_bytes_for_data(data_bytes: u64) -> Result<u64, LayoutError> {
    let blocks = data_bytes.div_ceil(BLOCK_BYTES as u64);
    Ok(HashTreeLayout::new(blocks)?.tree_bytes_with_superblock())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(data_blocks: u64) -> Vec<(u64, u64)> {
        let layout = HashTreeLayout::new(data_blocks).unwrap();
        layout
            .levels()
            .iter()
            .map(|level| (level.first_block, level.blocks))
            .collect()
    }

    #[test]
    fn levels_lie_top_first() {
        assert_eq!(sizes(1), []);
        assert_eq!(sizes(2), [(0, 1)]);
        assert_eq!(sizes(128), [(0, 1)]);
        assert_eq!(sizes(129), [(1, 2), (0, 1)]);
        assert_eq!(sizes(16384), [(1, 128), (0, 1)]);
        assert_eq!(sizes(16385), [(3, 129), (1, 2), (0, 1)]);
    }

    #[test]
    fn sizes_that_cannot_be_laid_out_are_refused() {
        assert_eq!(HashTreeLayout::new(0), Err(LayoutError::NoData));
        assert!(HashTreeLayout::new(MAX_DATA_BLOCKS).is_ok());
        let found = MAX_DATA_BLOCKS + 1;
        assert_eq!(HashTreeLayout::new(found), Err(LayoutError::TooLarge { found }));
        assert!(max_tree_bytes_for_data(u64::MAX).is_err());
    }

    #[test]
    fn a_partition_sized_for_the_largest_root_holds_every_smaller_one() {
        let most = max_tree_bytes_for_data(16385 * 4096).unwrap();
        assert_eq!(most, (1 + 1 + 2 + 129) * 4096);
        for blocks in [1, 2, 128, 129, 16384, 16385] {
            assert!(HashTreeLayout::new(blocks).unwrap().tree_bytes_with_superblock() <= most);
        }
    }
}
