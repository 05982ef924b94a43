//! A slot of this machine as a source of blocks: whatever its tree has a digest of.
//!
//! The tree is read once from its first block to its last; each digest in it that is wanted names a data block, or a
//! tree block of the level below, which is read and returned if it has that digest. The slot need not be verified for
//! that: an answer is right or it is none. Memory: 512 KiB and the answers. Only a slot with the same salt has equal
//! digests for equal blocks; one with another salt is not searched, because that would mean to read and hash all of it.

use crate::mend::BlockSource;
use crate::scrub::{Digest, Place, entry};
use crate::{BLOCK_BYTES, DIGESTS_PER_BLOCK, ReadAt, VerityParams, fold::hash_block};
use std::collections::{BTreeMap, BTreeSet};

/// Tree blocks that are read at a time.
const AT_A_TIME: u64 = 128;

/// Blocks of a slot.
pub struct SlotSource<'a, D: ?Sized, H: ?Sized> {
    name: String,
    data: &'a D,
    hash: &'a H,
    params: &'a VerityParams,
}

impl<'a, D: ReadAt + ?Sized, H: ReadAt + ?Sized> SlotSource<'a, D, H> {
    /// The slot with data `data` and hash device `hash`, for a device with salt and parameters `wanted_for`; none where
    /// the salts differ.
    pub fn new(
        name: String,
        data: &'a D,
        hash: &'a H,
        params: &'a VerityParams,
        wanted_for: &VerityParams,
    ) -> Option<Self> {
        (params.salt() == wanted_for.salt()).then_some(Self {
            name,
            data,
            hash,
            params,
        })
    }

    fn read(&self, place: Place) -> Option<Vec<u8>> {
        let mut block = vec![0; BLOCK_BYTES];
        let at = place.offset(self.params);
        match place {
            Place::Tree { .. } => self.hash.read_exact_at(&mut block, at),
            Place::Data { .. } => self.data.read_exact_at(&mut block, at),
        }
        .ok()?;
        Some(block)
    }

    /// Tree blocks from `index` on of `level`; those that cannot be read are zeros, which name nothing.
    fn part(&self, level: usize, index: u64, blocks: u64) -> Vec<u8> {
        let mut bytes = vec![0; blocks as usize * BLOCK_BYTES];
        let at = Place::Tree { level, index }.offset(self.params);
        if self.hash.read_exact_at(&mut bytes, at).is_ok() {
            return bytes;
        }
        for (index, block) in (index..).zip(bytes.chunks_exact_mut(BLOCK_BYTES)) {
            block.copy_from_slice(
                &self
                    .read(Place::Tree { level, index })
                    .unwrap_or(vec![0; BLOCK_BYTES]),
            );
        }
        bytes
    }
}

impl<D: ReadAt + ?Sized, H: ReadAt + ?Sized> BlockSource for SlotSource<'_, D, H> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn find(&mut self, wanted: &BTreeSet<Digest>, alive: &mut dyn FnMut()) -> BTreeMap<Digest, Vec<u8>> {
        let salted = self.params.salt().hasher();
        let mut found = BTreeMap::new();
        for (level, place) in self.params.layout().levels().iter().enumerate() {
            let mut index = 0;
            while index < place.blocks && found.len() < wanted.len() {
                alive();
                let blocks = AT_A_TIME.min(place.blocks - index);
                let bytes = self.part(level, index, blocks);
                for child in 0..blocks * DIGESTS_PER_BLOCK {
                    let digest = entry(&bytes, child);
                    if !wanted.contains(&digest) || found.contains_key(&digest) {
                        continue;
                    }
                    let child = index * DIGESTS_PER_BLOCK + child;
                    let named = match level.checked_sub(1) {
                        Some(level) => Place::Tree { level, index: child },
                        None => Place::Data { block: child },
                    };
                    let block = self.read(named).filter(|b| hash_block(&salted, b) == digest);
                    found.extend(block.map(|block| (digest, block)));
                }
                index += blocks;
            }
        }
        found
    }
}
