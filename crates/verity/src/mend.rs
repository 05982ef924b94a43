//! Rewrites bad blocks of a device with bytes that its own root hash vouches for.
//!
//! A tree block is recomputed from what it covers; a data block, or a tree block that cannot be recomputed, comes from
//! a [`BlockSource`]. Nothing of a source is trusted: what is written has the digest that a good parent, or the trusted
//! root hash, has for that block. Each block is written, synced, read back and compared before the next one.
//!
//! A block that is good is never written, so a power cut leaves bad at most what was bad before. Used by `bennud` on
//! the slot that does not run. What cannot be mended is named with the reason, and left as it is.

use crate::scrub::{Digest, Finding, Place, Scrub, entry};
use crate::{BLOCK_BYTES, DIGEST_BYTES, DIGESTS_PER_BLOCK, ReadAt};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Most blocks that are asked of the sources at a time: 1 MiB of answers.
pub const MOST_WANTED: usize = 256;
/// Most digests of a stored tree block that may differ from the recomputed ones and are still tried in each
/// combination (2^8 hashes). One is what a flipped bit changes; each bad block below is one more.
const MOST_DIFFERENCES: usize = 8;

/// Where good blocks may come from: another slot, or an update server.
pub trait BlockSource {
    /// For people and records.
    fn name(&self) -> String;

    /// Blocks by their digest, as many of `wanted` as there are. `alive` is called now and then. What cannot be read is
    /// not there. Answers are checked by who asks.
    fn find(&mut self, wanted: &BTreeSet<Digest>, alive: &mut dyn FnMut()) -> BTreeMap<Digest, Vec<u8>>;
}

/// Writes to one device, for good when it returns.
pub trait WriteBlock {
    /// Writes one block of 4096 bytes at byte `offset` of the device that `place` is on, and waits for the medium.
    ///
    /// # Errors
    /// The device's.
    fn write(&mut self, place: Place, offset: u64, block: &[u8]) -> io::Result<()>;
}

/// Where the bytes of a mended block came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Recomputed from the blocks that it covers.
    Children,
    /// A source, by its name.
    Source(String),
}

/// Why a block stays bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Nobody has its bytes.
    NoSource,
    /// The tree block above it is bad, so nobody knows what it should be.
    BelowBad,
    /// It could not be written.
    Write(String),
    /// It was written and does not read back.
    ReadBack,
}

/// What became of the bad blocks, in the order in which they were met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Good now.
    pub mended: Vec<(Place, Origin)>,
    /// Bad still.
    pub left: Vec<(Place, Left)>,
}

/// Mends what `findings` name, and what turns up below a tree block that was mended. Tree blocks come first, from the
/// top down.
pub fn mend<D: ReadAt + ?Sized, H: ReadAt + ?Sized>(
    scrub: &mut Scrub<'_, D, H>,
    findings: &[Finding],
    sources: &mut [&mut dyn BlockSource],
    target: &mut dyn WriteBlock,
    alive: &mut dyn FnMut(),
) -> Outcome {
    let open = findings.iter().map(|finding| finding.place).collect();
    let mut mender = Mender {
        scrub,
        open,
        sources,
        target,
        outcome: Outcome::default(),
    };
    mender.scrub.forget();
    let levels = mender.scrub.params().layout().levels().len();
    for level in (0..levels).rev() {
        mender.level(
            |place| matches!(place, Place::Tree { level: found, .. } if *found == level),
            alive,
        );
    }
    mender.level(|place| matches!(place, Place::Data { .. }), alive);
    mender.outcome
}

/// How the digest of a child is come by.
type DigestOf<'a> = dyn Fn(Place, &mut dyn FnMut()) -> Option<Digest> + 'a;

struct Mender<'m, 's, 'a, D: ?Sized, H: ?Sized> {
    scrub: &'m mut Scrub<'a, D, H>,
    open: BTreeSet<Place>,
    sources: &'m mut [&'s mut dyn BlockSource],
    target: &'m mut dyn WriteBlock,
    outcome: Outcome,
}

impl<D: ReadAt + ?Sized, H: ReadAt + ?Sized> Mender<'_, '_, '_, D, H> {
    /// All open places that `which` takes: what can be recomputed at once, the rest asked of the sources together.
    fn level(&mut self, which: impl Fn(&Place) -> bool, alive: &mut dyn FnMut()) {
        let places: Vec<Place> = self.open.iter().copied().filter(which).collect();
        let mut wanted: BTreeMap<Digest, Vec<Place>> = BTreeMap::new();
        for place in places {
            alive();
            self.open.remove(&place);
            let Some(expected) = self.scrub.expected(place) else {
                self.outcome.left.push((place, Left::BelowBad));
                continue;
            };
            if self.is_good(place, &expected) {
                // Good, but what it covers was not judged while the block above it was bad.
                self.open_below(place);
                continue;
            }
            match self.recomputed(place, &expected, alive) {
                Some(block) => self.put(place, &expected, &block, Origin::Children),
                None => wanted.entry(expected).or_default().push(place),
            }
        }
        let digests: Vec<Digest> = wanted.keys().copied().collect();
        for part in digests.chunks(MOST_WANTED) {
            self.ask(part, &mut wanted, alive);
        }
        for place in wanted.into_values().flatten() {
            self.outcome.left.push((place, Left::NoSource));
        }
    }

    /// Asks one source after the other for what is still wanted of `part`.
    fn ask(&mut self, part: &[Digest], wanted: &mut BTreeMap<Digest, Vec<Place>>, alive: &mut dyn FnMut()) {
        let mut missing: BTreeSet<Digest> = part.iter().copied().collect();
        for index in 0..self.sources.len() {
            if missing.is_empty() {
                return;
            }
            let source = &mut self.sources[index];
            let (name, found) = (source.name(), source.find(&missing, alive));
            for (digest, block) in found {
                let is_it = block.len() == BLOCK_BYTES && self.scrub.digest(&block) == digest;
                if !is_it || !missing.remove(&digest) {
                    continue;
                }
                for place in wanted.remove(&digest).unwrap_or_default() {
                    alive();
                    self.put(place, &digest, &block, Origin::Source(name.clone()));
                }
            }
        }
    }

    fn is_good(&self, place: Place, expected: &Digest) -> bool {
        self.scrub
            .read(place)
            .is_ok_and(|block| self.scrub.digest(&block) == *expected)
    }

    /// Writes a block that has the expected digest, reads it back, and opens what can now be judged below it.
    fn put(&mut self, place: Place, expected: &Digest, block: &[u8], origin: Origin) {
        let offset = place.offset(self.scrub.params());
        if let Err(error) = self.target.write(place, offset, block) {
            return self.outcome.left.push((place, Left::Write(error.to_string())));
        }
        self.scrub.forget();
        if !self.is_good(place, expected) {
            return self.outcome.left.push((place, Left::ReadBack));
        }
        self.outcome.mended.push((place, origin));
        self.open_below(place);
    }

    /// What can be judged now: the bad data blocks of a leaf, every child of a block above it.
    fn open_below(&mut self, place: Place) {
        match place {
            Place::Data { .. } => {}
            Place::Tree { level: 0, index } => {
                let found = self.scrub.group(index).findings;
                self.open.extend(found.into_iter().map(|finding| finding.place));
            }
            Place::Tree { .. } => self.open.extend(self.children(place)),
        }
    }

    /// A tree block out of the digests of what it covers: of its children as they are stored, or, where that gives no
    /// block with the expected digest, of its children as the data below them makes them.
    fn recomputed(&self, place: Place, expected: &Digest, alive: &mut dyn FnMut()) -> Option<Vec<u8>> {
        let Place::Tree { level, .. } = place else {
            return None;
        };
        let as_stored = |child, _: &mut dyn FnMut()| {
            let bytes = self.scrub.read(child).ok()?;
            Some(self.scrub.digest(&bytes))
        };
        let first = self.out_of(place, expected, &as_stored, alive);
        if level == 0 || first.is_some() {
            return first;
        }
        self.out_of(
            place,
            expected,
            &|child, alive| self.digest_by_data(child, alive),
            alive,
        )
    }

    /// Where the digests of the children and the ones that the block has differ in a few places, one combination of
    /// them is the right one if each single digest is right in one of the two.
    fn out_of(
        &self,
        place: Place,
        expected: &Digest,
        digest_of: &DigestOf<'_>,
        alive: &mut dyn FnMut(),
    ) -> Option<Vec<u8>> {
        let stored = self.scrub.read(place).ok();
        let mut block = vec![0; BLOCK_BYTES];
        let mut differ: Vec<(usize, Digest)> = Vec::new();
        for (within, child) in self.children(place).into_iter().enumerate() {
            alive();
            let kept = stored.as_ref().map(|stored| entry(stored, within as u64));
            let at = within * DIGEST_BYTES;
            let digest = digest_of(child, alive).or(kept)?;
            block[at..at + DIGEST_BYTES].copy_from_slice(&digest);
            if let Some(kept) = kept.filter(|kept| *kept != digest) {
                differ.push((at, kept));
            }
        }
        self.combination(block, &differ, expected)
    }

    /// Digest of a block that is made from nothing but the data below it.
    fn digest_by_data(&self, place: Place, alive: &mut dyn FnMut()) -> Option<Digest> {
        let Place::Tree { .. } = place else {
            alive();
            return Some(self.scrub.digest(&self.scrub.read(place).ok()?));
        };
        let mut block = vec![0; BLOCK_BYTES];
        for (within, child) in self.children(place).into_iter().enumerate() {
            let digest = self.digest_by_data(child, alive)?;
            block[within * DIGEST_BYTES..][..DIGEST_BYTES].copy_from_slice(&digest);
        }
        Some(self.scrub.digest(&block))
    }

    /// What a tree block has digests of, in their order; a data block has none.
    fn children(&self, place: Place) -> Vec<Place> {
        let Place::Tree { level, index } = place else {
            return Vec::new();
        };
        let layout = self.scrub.params().layout();
        let below = level.checked_sub(1);
        let blocks = below.map_or(layout.data_blocks(), |below| layout.levels()[below].blocks);
        let first = index * DIGESTS_PER_BLOCK;
        let child = |index| match below {
            Some(level) => Place::Tree { level, index },
            None => Place::Data { block: index },
        };
        (first..(first + DIGESTS_PER_BLOCK).min(blocks))
            .map(child)
            .collect()
    }

    fn combination(
        &self,
        mut block: Vec<u8>,
        differ: &[(usize, Digest)],
        expected: &Digest,
    ) -> Option<Vec<u8>> {
        let tried = if differ.len() <= MOST_DIFFERENCES {
            differ
        } else {
            &[]
        };
        let computed = block.clone();
        for choice in 0..1_u32 << tried.len() {
            block.copy_from_slice(&computed);
            for (_, (at, kept)) in tried.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1) {
                block[*at..*at + DIGEST_BYTES].copy_from_slice(kept);
            }
            if self.scrub.digest(&block) == *expected {
                return Some(block);
            }
        }
        None
    }
}
