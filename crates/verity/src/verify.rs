//! Checks a whole device against a trusted root hash.
//!
//! Called after a slot was written and by `bennu verify`. The data is read once and a tree is computed from it: the
//! answer is yes only when its root is the trusted one and each stored tree block equals the computed one, padding
//! included. So a device that changes between two reads cannot make the answer yes. Only after a difference is the
//! stored tree walked from the root down, to name the first block that the trusted root does not vouch for.
//!
//! The superblock is not looked at: it takes no part in what the kernel trusts.

use std::io;
use std::num::NonZeroUsize;

use crate::fold::{FoldError, TreeSink, fold_device, hash_block};
use crate::{BLOCK_BYTES, DIGEST_BYTES, DIGESTS_PER_BLOCK, ReadAt, RootHash, VerityParams};

/// Why a device is refused, or could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The first data block whose digest is not the one in the (verified) tree.
    #[error("verify data: block {block} (byte {}) does not match the hash tree", block * BLOCK_BYTES as u64)]
    DataBlock {
        /// Block of the data device.
        block: u64,
    },
    /// The first tree block, from the root down, whose digest its parent (or the root hash) does not vouch for.
    #[error(
        "verify hash tree: block {index} of level {level} (byte {offset} of the hash device) does not match"
    )]
    HashBlock {
        /// Level, 0 for the leaves.
        level: usize,
        /// Block within the level.
        index: u64,
        /// Byte of the hash device.
        offset: u64,
    },
    /// A tree block has bytes after its last digest that are not zero.
    #[error(
        "verify hash tree: block {index} of level {level} has data after its last digest; expected zeros"
    )]
    HashPadding {
        /// Level, 0 for the leaves.
        level: usize,
        /// Block within the level.
        index: u64,
    },
    /// Data and tree fit each other but not the root hash.
    #[error("verify root hash: expected {expected}, found {found}; the device holds another image")]
    RootHash {
        /// The trusted root hash.
        expected: RootHash,
        /// What data and tree hash to.
        found: RootHash,
    },
    /// A difference was seen and was gone when looked for.
    #[error("verify device: block {index} of level {level} differed once and not again; check the device")]
    Unstable {
        /// Level of the tree block that differed.
        level: usize,
        /// Block within the level.
        index: u64,
    },
    /// Data could not be read. No judgement.
    #[error("verify data: read from block {block} on: {source}")]
    ReadData {
        /// First block of the read that failed.
        block: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The tree could not be read. No judgement.
    #[error("verify hash tree: read block {index} of level {level}: {source}")]
    ReadHash {
        /// Level, 0 for the leaves.
        level: usize,
        /// Block within the level.
        index: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A hashing thread ended without a result. No judgement.
    #[error("verify device: a hashing thread was lost; try again with one thread")]
    WorkerLost,
}

impl VerityError {
    /// Whether the device was judged and refused; otherwise it could not be read.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::DataBlock { .. }
            | Self::HashBlock { .. }
            | Self::HashPadding { .. }
            | Self::RootHash { .. }
            | Self::Unstable { .. } => true,
            Self::ReadData { .. } | Self::ReadHash { .. } | Self::WorkerLost => false,
        }
    }
}

/// Checks every data block and every tree block against `root_hash`.
///
/// `hash` is the hash device from its byte 0, superblock included if `params` say so. `progress` gets the number of
/// data blocks done.
pub fn verify_device(
    data: &(impl ReadAt + ?Sized),
    hash: &(impl ReadAt + ?Sized),
    params: &VerityParams,
    root_hash: &RootHash,
    progress: &mut dyn FnMut(u64),
    threads: NonZeroUsize,
) -> Result<(), VerityError> {
    let mut compare = Compare {
        hash,
        params,
        stored: vec![0; BLOCK_BYTES],
    };
    match fold_device(data, params, &mut compare, progress, threads) {
        Ok(found) if found == *root_hash => Ok(()),
        Ok(found) => Err(VerityError::RootHash {
            expected: *root_hash,
            found,
        }),
        Err(FoldError::ReadData { block, source }) => Err(VerityError::ReadData { block, source }),
        Err(FoldError::WorkerLost) => Err(VerityError::WorkerLost),
        Err(FoldError::Sink(Difference::Read { level, index, source })) => {
            Err(VerityError::ReadHash { level, index, source })
        }
        Err(FoldError::Sink(Difference::Found { level, index })) => {
            let walk = Walk { data, hash, params };
            walk.first_bad(root_hash)?;
            Err(VerityError::Unstable { level, index })
        }
    }
}

enum Difference {
    Found {
        level: usize,
        index: u64,
    },
    Read {
        level: usize,
        index: u64,
        source: io::Error,
    },
}

/// Compares computed blocks with the stored ones.
struct Compare<'a, H: ?Sized> {
    hash: &'a H,
    params: &'a VerityParams,
    stored: Vec<u8>,
}

impl<H: ReadAt + ?Sized> TreeSink for Compare<'_, H> {
    type Error = Difference;

    fn put(&mut self, level: usize, index: u64, block: &[u8]) -> Result<(), Difference> {
        self.hash
            .read_exact_at(&mut self.stored, self.params.hash_block_offset(level, index))
            .map_err(|source| Difference::Read { level, index, source })?;
        if self.stored == block {
            Ok(())
        } else {
            Err(Difference::Found { level, index })
        }
    }
}

/// The walk from the root down that names the first bad block.
struct Walk<'a, D: ?Sized, H: ?Sized> {
    data: &'a D,
    hash: &'a H,
    params: &'a VerityParams,
}

impl<D: ReadAt + ?Sized, H: ReadAt + ?Sized> Walk<'_, D, H> {
    fn first_bad(&self, root_hash: &RootHash) -> Result<(), VerityError> {
        let salted = self.params.salt().hasher();
        let levels = self.params.layout().levels();
        for level in (0..levels.len()).rev() {
            let mut parent = Vec::new();
            for index in 0..levels[level].blocks {
                let expected = self.expected(level + 1, index, &mut parent, root_hash)?;
                let block = self.hash_block(level, index)?;
                if hash_block(&salted, &block) != expected {
                    let offset = self.params.hash_block_offset(level, index);
                    return Err(VerityError::HashBlock { level, index, offset });
                }
                self.check_padding(level, index, &block)?;
            }
        }
        let mut parent = Vec::new();
        let mut buffer = vec![0; BLOCK_BYTES];
        for block in 0..self.params.data_blocks() {
            let expected = self.expected(0, block, &mut parent, root_hash)?;
            self.data
                .read_exact_at(&mut buffer, block * BLOCK_BYTES as u64)
                .map_err(|source| VerityError::ReadData { block, source })?;
            if hash_block(&salted, &buffer) != expected {
                return Err(VerityError::DataBlock { block });
            }
        }
        Ok(())
    }

    /// The digest that `level` stores for child `child`; above the top level it is the root hash. `parent` holds
    /// the block last used and is read again when the child is the first of a block.
    fn expected(
        &self,
        level: usize,
        child: u64,
        parent: &mut Vec<u8>,
        root_hash: &RootHash,
    ) -> Result<[u8; DIGEST_BYTES], VerityError> {
        if level >= self.params.layout().levels().len() {
            return Ok(root_hash.0);
        }
        let within = (child % DIGESTS_PER_BLOCK) as usize;
        if within == 0 {
            *parent = self.hash_block(level, child / DIGESTS_PER_BLOCK)?;
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&parent[within * DIGEST_BYTES..][..DIGEST_BYTES]);
        Ok(digest)
    }

    fn hash_block(&self, level: usize, index: u64) -> Result<Vec<u8>, VerityError> {
        let mut block = vec![0; BLOCK_BYTES];
        self.hash
            .read_exact_at(&mut block, self.params.hash_block_offset(level, index))
            .map_err(|source| VerityError::ReadHash { level, index, source })?;
        Ok(block)
    }

    fn check_padding(&self, level: usize, index: u64, block: &[u8]) -> Result<(), VerityError> {
        let layout = self.params.layout();
        let children = if level == 0 {
            layout.data_blocks()
        } else {
            layout.levels()[level - 1].blocks
        };
        let used = u64::min(DIGESTS_PER_BLOCK, children - index * DIGESTS_PER_BLOCK) as usize;
        if block[used * DIGEST_BYTES..].iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(VerityError::HashPadding { level, index })
        }
    }
}
