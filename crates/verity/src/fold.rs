//! Data blocks in, tree blocks out: the one pass that building and verifying share.
//!
//! Workers read and hash groups of data blocks; the calling thread receives the groups in order and folds them
//! into the upper levels. The order of the output does not depend on the number of workers. Memory: per worker two
//! groups of 1 MiB data and 8 KiB digests, plus one block per level, whatever the size of the device.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha2::{Digest, Sha256};

use crate::{BLOCK_BYTES, DIGEST_BYTES, DIGESTS_PER_BLOCK, HashTreeLayout, ReadAt, RootHash, VerityParams};

/// Leaf blocks in one group: 256 data blocks, 1 MiB, so that a group stays in a core's second-level cache between
/// the read and the hash.
const LEAF_BLOCKS_PER_GROUP: u64 = 2;
const DATA_BLOCKS_PER_GROUP: u64 = LEAF_BLOCKS_PER_GROUP * DIGESTS_PER_BLOCK;

/// Most workers; more would only add memory.
const MAX_WORKERS: usize = 64;

/// Receives the finished blocks of the tree. Within a level they come in order.
pub(crate) trait TreeSink {
    type Error;

    /// Takes block `index` of `level` (4096 bytes).
    fn put(&mut self, level: usize, index: u64, block: &[u8]) -> Result<(), Self::Error>;
}

/// Why the pass stopped.
pub(crate) enum FoldError<E> {
    /// A data block could not be read.
    ReadData { block: u64, source: io::Error },
    /// A worker ended without an answer.
    WorkerLost,
    /// The sink refused a block.
    Sink(E),
}

/// Digest of the salt and one block.
pub(crate) fn hash_block(salted: &Sha256, block: &[u8]) -> [u8; DIGEST_BYTES] {
    salted.clone().chain_update(block).finalize().into()
}

/// Hashes all data, gives every block of the tree to `sink` and returns the root hash. `progress` gets the number
/// of data blocks done.
pub(crate) fn fold_device<S: TreeSink>(
    data: &(impl ReadAt + ?Sized),
    params: &VerityParams,
    sink: &mut S,
    progress: &mut dyn FnMut(u64),
    threads: NonZeroUsize,
) -> Result<RootHash, FoldError<S::Error>> {
    let salted = params.salt().hasher();
    if params.layout().levels().is_empty() {
        return hash_only_block(data, &salted, progress);
    }
    let mut fold = Fold::new(params.layout(), &salted, sink);
    let groups = params.data_blocks().div_ceil(DATA_BLOCKS_PER_GROUP);
    let workers = u64::min(threads.get().min(MAX_WORKERS) as u64, groups);
    let hasher = GroupHasher {
        data,
        salted: &salted,
        data_blocks: params.data_blocks(),
    };
    if workers == 1 {
        let mut buffer = Vec::new();
        for index in 0..groups {
            fold.take(hasher.hash(index, &mut buffer)?, progress)?;
        }
        return fold.finish().map_err(FoldError::Sink);
    }
    std::thread::scope(|scope| {
        let receivers: Vec<Receiver<GroupResult>> = (0..workers)
            .map(|first| {
                let (sender, receiver) = sync_channel(1);
                let hasher = &hasher;
                scope.spawn(move || hasher.run(first, workers, groups, &sender));
                receiver
            })
            .collect();
        for index in 0..groups {
            let group = receivers[(index % workers) as usize]
                .recv()
                .map_err(|_| FoldError::WorkerLost)?;
            fold.take(group?, progress)?;
        }
        fold.finish().map_err(FoldError::Sink)
    })
}

fn hash_only_block<E>(
    data: &(impl ReadAt + ?Sized),
    salted: &Sha256,
    progress: &mut dyn FnMut(u64),
) -> Result<RootHash, FoldError<E>> {
    let mut block = [0; BLOCK_BYTES];
    data.read_exact_at(&mut block, 0)
        .map_err(|source| FoldError::ReadData { block: 0, source })?;
    progress(1);
    Ok(RootHash(hash_block(salted, &block)))
}

/// Leaf blocks of one group, with the digest of each.
struct Group {
    leaves: Vec<u8>,
    digests: Vec<[u8; DIGEST_BYTES]>,
    data_blocks: u64,
}

/// First data block of the group that could not be read, and why.
struct GroupReadError {
    block: u64,
    source: io::Error,
}

impl<E> From<GroupReadError> for FoldError<E> {
    fn from(error: GroupReadError) -> Self {
        Self::ReadData {
            block: error.block,
            source: error.source,
        }
    }
}

type GroupResult = Result<Group, GroupReadError>;

struct GroupHasher<'a, D: ?Sized> {
    data: &'a D,
    salted: &'a Sha256,
    data_blocks: u64,
}

impl<D: ReadAt + ?Sized> GroupHasher<'_, D> {
    /// Hashes the groups `first`, `first + step`, … and sends them in that order; ends when nobody listens.
    fn run(&self, first: u64, step: u64, groups: u64, sender: &SyncSender<GroupResult>) {
        let mut buffer = Vec::new();
        let mut index = first;
        while index < groups {
            let group = self.hash(index, &mut buffer);
            let stop = group.is_err();
            if sender.send(group).is_err() || stop {
                return;
            }
            index += step;
        }
    }

    fn hash(&self, index: u64, buffer: &mut Vec<u8>) -> GroupResult {
        let first = index * DATA_BLOCKS_PER_GROUP;
        let data_blocks = u64::min(DATA_BLOCKS_PER_GROUP, self.data_blocks - first);
        buffer.resize(data_blocks as usize * BLOCK_BYTES, 0);
        self.data
            .read_exact_at(buffer, first * BLOCK_BYTES as u64)
            .map_err(|source| GroupReadError { block: first, source })?;
        let leaf_blocks = data_blocks.div_ceil(DIGESTS_PER_BLOCK) as usize;
        let mut leaves = vec![0; leaf_blocks * BLOCK_BYTES];
        for (block, slot) in buffer
            .chunks_exact(BLOCK_BYTES)
            .zip(leaves.chunks_exact_mut(DIGEST_BYTES))
        {
            slot.copy_from_slice(&hash_block(self.salted, block));
        }
        let digests = leaves
            .chunks_exact(BLOCK_BYTES)
            .map(|leaf| hash_block(self.salted, leaf))
            .collect();
        Ok(Group {
            leaves,
            digests,
            data_blocks,
        })
    }
}

/// A block above the leaves that is being filled.
struct Pending {
    block: Vec<u8>,
    filled: usize,
    index: u64,
}

struct Fold<'a, S> {
    salted: &'a Sha256,
    sink: &'a mut S,
    /// One for each level above the leaves: `pending[0]` belongs to level 1.
    pending: Vec<Pending>,
    leaf_blocks: u64,
    data_blocks: u64,
    root: [u8; DIGEST_BYTES],
}

impl<'a, S: TreeSink> Fold<'a, S> {
    fn new(layout: &HashTreeLayout, salted: &'a Sha256, sink: &'a mut S) -> Self {
        let empty = || Pending {
            block: vec![0; BLOCK_BYTES],
            filled: 0,
            index: 0,
        };
        let pending = layout.levels().iter().skip(1).map(|_| empty()).collect();
        Self {
            salted,
            sink,
            pending,
            leaf_blocks: 0,
            data_blocks: 0,
            root: [0; DIGEST_BYTES],
        }
    }

    fn take(&mut self, group: Group, progress: &mut dyn FnMut(u64)) -> Result<(), FoldError<S::Error>> {
        for (leaf, digest) in group.leaves.chunks_exact(BLOCK_BYTES).zip(&group.digests) {
            self.sink
                .put(0, self.leaf_blocks, leaf)
                .map_err(FoldError::Sink)?;
            self.leaf_blocks += 1;
            self.add_digest(1, *digest).map_err(FoldError::Sink)?;
        }
        self.data_blocks += group.data_blocks;
        progress(self.data_blocks);
        Ok(())
    }

    /// Adds the digest of a block of `level - 1`. What lies above the top level is the root.
    fn add_digest(&mut self, level: usize, digest: [u8; DIGEST_BYTES]) -> Result<(), S::Error> {
        let Some(pending) = self.pending.get_mut(level - 1) else {
            self.root = digest;
            return Ok(());
        };
        pending.block[pending.filled..pending.filled + DIGEST_BYTES].copy_from_slice(&digest);
        pending.filled += DIGEST_BYTES;
        if pending.filled == BLOCK_BYTES {
            self.close_block(level)
        } else {
            Ok(())
        }
    }

    fn close_block(&mut self, level: usize) -> Result<(), S::Error> {
        let pending = &mut self.pending[level - 1];
        self.sink.put(level, pending.index, &pending.block)?;
        let digest = hash_block(self.salted, &pending.block);
        pending.block.fill(0);
        pending.filled = 0;
        pending.index += 1;
        self.add_digest(level + 1, digest)
    }

    fn finish(mut self) -> Result<RootHash, S::Error> {
        for level in 1..=self.pending.len() {
            if self.pending[level - 1].filled > 0 {
                self.close_block(level)?;
            }
        }
        Ok(RootHash(self.root))
    }
}
