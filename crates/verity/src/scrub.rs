//! Reads a device group by group and names each block that a trusted root hash does not vouch for.
//!
//! A group is what one leaf of the tree covers: 128 data blocks, 512 KiB. Unlike [`crate::verify_device`], which
//! answers yes or no in one pass, this goes on after a bad block, can begin at any group, and holds one group and one
//! block of each level in memory whatever the size of the device. What lies below a bad tree block cannot be judged
//! and is counted. Used by `bennud`, which reads both slots in the background.
//!
//! A block that does not match is read once more, alone, before it is named. Nothing here writes.

use crate::fold::hash_block;
use crate::{BLOCK_BYTES, DIGEST_BYTES, DIGESTS_PER_BLOCK, ReadAt, RootHash, VerityParams};
use sha2::Sha256;
use std::io;

/// SHA-256 over salt and block.
pub type Digest = [u8; DIGEST_BYTES];

/// A block of the device: of the tree, or of the data. Ordered so that a parent comes before its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A block of the hash tree.
    Tree {
        /// Level, 0 for the leaves.
        level: usize,
        /// Block within the level.
        index: u64,
    },
    /// A block of the data device.
    Data {
        /// Block.
        block: u64,
    },
}

impl Place {
    /// Byte of its own device (data device, or hash device with its superblock) at which it begins.
    pub fn offset(self, params: &VerityParams) -> u64 {
        match self {
            Self::Tree { level, index } => params.hash_block_offset(level, index),
            Self::Data { block } => block * BLOCK_BYTES as u64,
        }
    }

    /// Level, with data below the leaves: 0 is data, 1 the leaves.
    fn height(self) -> (usize, u64) {
        match self {
            Self::Tree { level, index } => (level + 1, index),
            Self::Data { block } => (0, block),
        }
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let ((height, index), (than, beside)) = (self.height(), other.height());
        than.cmp(&height).then(index.cmp(&beside))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It was read, twice, and is not what the tree says.
    Wrong,
    /// It cannot be read: the system's error number, where it has one.
    Unreadable(Option<i32>),
}

/// A bad block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub place: Place,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What one group gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bad blocks that were not named before by the same [`Scrub`].
    pub findings: Vec<Finding>,
    /// Data blocks that could not be judged, because a tree block above them is bad.
    pub unjudged: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// A tree block that was read last in its level.
struct Held {
    index: u64,
    /// None for a bad one.
    block: Option<Vec<u8>>,
}

/// One look at a device. Made anew after the device was written to.
pub struct Scrub<'a, D: ?Sized, H: ?Sized> {
    data: &'a D,
    hash: &'a H,
    params: &'a VerityParams,
    root: RootHash,
    salted: Sha256,
    held: Vec<Option<Held>>,
    buffer: Vec<u8>,
}

/// Groups of a device: its leaves, and one where the data is a single block.
pub fn groups(params: &VerityParams) -> u64 {
    params.data_blocks().div_ceil(DIGESTS_PER_BLOCK)
}

impl<'a, D: ReadAt + ?Sized, H: ReadAt + ?Sized> Scrub<'a, D, H> {
    /// The device with data `data` and hash device `hash` (from its byte 0), judged by `root`.
    pub fn new(data: &'a D, hash: &'a H, params: &'a VerityParams, root: RootHash) -> Self {
        Self {
            data,
            hash,
            params,
            root,
            salted: params.salt().hasher(),
            held: params.layout().levels().iter().map(|_| None).collect(),
            buffer: Vec::new(),
        }
    }

    /// Checks the tree blocks above a group that were not checked yet, and its data blocks. A group beyond the last
    /// one has nothing to find.
    pub fn group(&mut self, group: u64) -> Checked {
        let mut checked = Checked::default();
        let first = group.saturating_mul(DIGESTS_PER_BLOCK);
        let count = DIGESTS_PER_BLOCK.min(self.params.data_blocks().saturating_sub(first));
        if count == 0 {
            return checked;
        }
        if self.params.layout().levels().is_empty() {
            self.data_block(0, &self.root.0, &mut checked);
            return checked;
        }
        let Some(leaf) = self.tree_block(0, group, &mut checked) else {
            checked.unjudged = count;
            return checked;
        };
        self.data(first, count, &leaf, &mut checked);
        checked
    }

    /// The digest that a good parent, or the root hash, has for `place`; none where the parent is bad, and for a place
    /// that the device does not have.
    pub fn expected(&mut self, place: Place) -> Option<Digest> {
        let (height, index) = place.height();
        let mut unseen = Checked::default();
        let blocks = match place {
            Place::Tree { level, .. } => self.params.layout().levels().get(level)?.blocks,
            Place::Data { .. } => self.params.data_blocks(),
        };
        if index >= blocks {
            return None;
        }
        if height >= self.held.len() {
            return Some(self.root.0);
        }
        let parent = self.tree_block(height, index / DIGESTS_PER_BLOCK, &mut unseen)?;
        Some(entry(&parent, index % DIGESTS_PER_BLOCK))
    }

    /// A block as it is on the device.
    ///
    /// # Errors
    /// The device's.
    pub fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK_BYTES];
        let at = place.offset(self.params);
        match place {
            Place::Tree { .. } => self.hash.read_exact_at(&mut block, at)?,
            Place::Data { .. } => self.data.read_exact_at(&mut block, at)?,
        }
        Ok(block)
    }

    /// Whether a block that can be judged is bad.
    pub fn is_bad(&mut self, place: Place) -> bool {
        let expected = self.expected(place);
        expected.is_some_and(|expected| self.judge(place, &expected).is_err())
    }

    /// Digest of a block with this device's salt.
    pub fn digest(&self, block: &[u8]) -> Digest {
        hash_block(&self.salted, block)
    }

    /// Forgets what was read, after a write.
    pub fn forget(&mut self) {
        self.held.iter_mut().for_each(|held| *held = None);
    }

    /// The device's parameters.
    pub fn params(&self) -> &'a VerityParams {
        self.params
    }

    /// Block `index` of `level` if it and all above it are good.
    fn tree_block(&mut self, level: usize, index: u64, checked: &mut Checked) -> Option<Vec<u8>> {
        if let Some(held) = self.held[level].as_ref().filter(|held| held.index == index) {
            return held.block.clone();
        }
        let expected = if level + 1 == self.held.len() {
            self.root.0
        } else {
            let parent = self.tree_block(level + 1, index / DIGESTS_PER_BLOCK, checked)?;
            entry(&parent, index % DIGESTS_PER_BLOCK)
        };
        let place = Place::Tree { level, index };
        checked.bytes += BLOCK_BYTES as u64;
        let block = match self.judge(place, &expected) {
            Ok(block) => Some(block),
            Err(fault) => {
                checked.findings.push(Finding { place, fault });
                None
            }
        };
        self.held[level] = Some(Held {
            index,
            block: block.clone(),
        });
        block
    }

    /// Reads a block; a second time if it is not what it should be.
    fn judge(&self, place: Place, expected: &Digest) -> Result<Vec<u8>, Fault> {
        let mut fault = Fault::Wrong;
        for _ in 0..2 {
            match self.read(place) {
                Ok(block) if self.digest(&block) == *expected => return Ok(block),
                Ok(_) => fault = Fault::Wrong,
                Err(error) => fault = Fault::Unreadable(error.raw_os_error()),
            }
        }
        Err(fault)
    }

    fn data(&mut self, first: u64, count: u64, leaf: &[u8], checked: &mut Checked) {
        let mut buffer = std::mem::take(&mut self.buffer);
        // At most one group: 512 KiB.
        buffer.resize(count as usize * BLOCK_BYTES, 0);
        let whole = self
            .data
            .read_exact_at(&mut buffer, first * BLOCK_BYTES as u64)
            .is_ok();
        checked.bytes += buffer.len() as u64;
        for within in 0..count {
            let expected = entry(leaf, within);
            let bytes = &buffer[within as usize * BLOCK_BYTES..][..BLOCK_BYTES];
            if !whole || self.digest(bytes) != expected {
                self.data_block(first + within, &expected, checked);
            }
        }
        self.buffer = buffer;
    }

    fn data_block(&self, block: u64, expected: &Digest, checked: &mut Checked) {
        let place = Place::Data { block };
        checked.bytes += BLOCK_BYTES as u64;
        if let Err(fault) = self.judge(place, expected) {
            checked.findings.push(Finding { place, fault });
        }
    }
}

/// Digest number `within` of a tree block.
pub(crate) fn entry(block: &[u8], within: u64) -> Digest {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&block[within as usize * DIGEST_BYTES..][..DIGEST_BYTES]);
    digest
}
