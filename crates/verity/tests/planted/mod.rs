//! Slots in memory with a medium that can be damaged, refuse reads, lie, and lose its power.

use bennu_verity::mend::{BlockSource, Outcome, WriteBlock, mend};
use bennu_verity::scrub::{Finding, Place, Scrub, groups};
use bennu_verity::source::SlotSource;
use bennu_verity::{BLOCK_BYTES, ReadAt, RootHash, Salt, VerityParams, build};
use std::collections::BTreeSet;
use std::io::{self, Cursor};
use std::num::NonZeroUsize;
use std::sync::Mutex;

/// Three leaves and a top.
pub const BLOCKS: u64 = 300;

/// A medium with blocks that cannot be read, and blocks that lie once.
#[derive(Default)]
pub struct Medium {
    pub bytes: Mutex<Vec<u8>>,
    pub unreadable: Mutex<BTreeSet<u64>>,
    pub lies_once: Mutex<BTreeSet<u64>>,
}

impl Medium {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            ..Self::default()
        }
    }

    pub fn flip(&self, block: u64, byte: usize) {
        self.bytes.lock().unwrap()[block as usize * BLOCK_BYTES + byte] ^= 4;
    }

    pub fn whole(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl ReadAt for Medium {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let blocks = offset / 4096..(offset + buf.len() as u64).div_ceil(4096);
        let unreadable = self.unreadable.lock().unwrap();
        if blocks.clone().any(|block| unreadable.contains(&block)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.bytes.lock().unwrap().read_exact_at(buf, offset)?;
        let mut lies = self.lies_once.lock().unwrap();
        if blocks.into_iter().any(|block| lies.remove(&block)) {
            buf[0] ^= 1;
        }
        Ok(())
    }
}

pub struct Slot {
    pub data: Medium,
    pub hash: Medium,
    pub params: VerityParams,
    pub root: RootHash,
    pub sound: (Vec<u8>, Vec<u8>),
}

pub fn block(seed: u64) -> Vec<u8> {
    let mut block = vec![0x5a; BLOCK_BYTES];
    block[..8].copy_from_slice(&seed.to_le_bytes());
    block
}

/// A slot whose blocks are made from these numbers.
pub fn slot_of(seeds: impl Iterator<Item = u64>, salt: &[u8]) -> Slot {
    let data: Vec<u8> = seeds.flat_map(block).collect();
    let salt = Salt::new(salt).unwrap();
    let params = VerityParams::new((data.len() / BLOCK_BYTES) as u64, salt, [1; 16]).unwrap();
    let mut hash = Cursor::new(Vec::new());
    let root = build(&data, &params, &mut hash, &mut |_| {}, NonZeroUsize::MIN).unwrap();
    Slot {
        sound: (data.clone(), hash.get_ref().clone()),
        data: Medium::new(data),
        hash: Medium::new(hash.into_inner()),
        params,
        root,
    }
}

pub fn slot() -> Slot {
    slot_of(0..BLOCKS, b"salt")
}

/// All blocks of [`slot`], elsewhere, among others.
pub fn other() -> Slot {
    slot_of((0..BLOCKS + 77).map(|seed| (BLOCKS + 76) - seed), b"salt")
}

impl Slot {
    pub fn scrub(&self) -> Scrub<'_, Medium, Medium> {
        Scrub::new(&self.data, &self.hash, &self.params, self.root)
    }

    pub fn all(&self) -> (Vec<Finding>, u64) {
        let mut scrub = self.scrub();
        let mut all = (Vec::new(), 0);
        for group in 0..groups(&self.params) {
            let found = scrub.group(group);
            all.0.extend(found.findings);
            all.1 += found.unjudged;
        }
        all
    }

    pub fn source(&self, wanted_for: &Slot) -> Option<SlotSource<'_, Medium, Medium>> {
        SlotSource::new(
            "other".into(),
            &self.data,
            &self.hash,
            &self.params,
            &wanted_for.params,
        )
    }

    pub fn is_sound(&self) -> bool {
        (self.data.whole(), self.hash.whole()) == self.sound
    }

    /// Block of the hash device at which a tree block lies.
    pub fn tree(&self, level: usize, index: u64) -> u64 {
        Place::Tree { level, index }.offset(&self.params) / 4096
    }

    pub fn mend(&self, sources: &mut [&mut dyn BlockSource], after: usize) -> (Outcome, Vec<Place>) {
        let (findings, _) = self.all();
        let mut writer = Writer {
            slot: self,
            cut_after: after,
            written: Vec::new(),
        };
        let outcome = mend(&mut self.scrub(), &findings, sources, &mut writer, &mut || {});
        (outcome, writer.written)
    }
}

/// Writes whole blocks until the power goes, and half of one then.
pub struct Writer<'a> {
    pub slot: &'a Slot,
    pub cut_after: usize,
    pub written: Vec<Place>,
}

impl WriteBlock for Writer<'_> {
    fn write(&mut self, place: Place, offset: u64, block: &[u8]) -> io::Result<()> {
        let medium = match place {
            Place::Data { .. } => &self.slot.data,
            Place::Tree { .. } => &self.slot.hash,
        };
        assert_eq!(offset, place.offset(&self.slot.params));
        let cut = self.written.len() >= self.cut_after;
        if self.written.len() <= self.cut_after {
            let length = if cut { 2048 } else { BLOCK_BYTES };
            medium.bytes.lock().unwrap()[offset as usize..][..length].copy_from_slice(&block[..length]);
            self.written.push(place);
            medium.unreadable.lock().unwrap().remove(&(offset / 4096));
        }
        if cut {
            Err(io::Error::other("no power"))
        } else {
            Ok(())
        }
    }
}
