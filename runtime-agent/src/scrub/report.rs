//! What the background scrub has read and found: `/run/bennu/scrub.json`.
//!
//! Written by `bennud` now and then, read by a `bennud` that is started again (it goes on where the last one was, and
//! looks at the blocks again that were bad), and by `bennuctl` and the control socket. Root can write it, so nothing is
//! believed: a file that cannot be read is one that is not there, and a position that a slot does not have is its
//! beginning. What it can hide is what the next pass finds.

use super::words;
use crate::slots::{Place as PartitionPlace, Slot, Which};
use bennu_formats::decode::{DecodeError, Document};
use bennu_formats::{ImageVersion, RootHash};
use bennu_verity::scrub::{Fault, Finding, Place, groups};
use serde::{Deserialize, Serialize};

/// Bad blocks of a slot that are kept by number; what is beyond is counted.
pub const MOST_BAD: usize = 256;
/// Path of the report.
pub const PATH: &str = "/run/bennu/scrub.json";
/// Slots of a disk, at most.
const MOST_SLOTS: usize = 4;

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrubReport {
    /// Schema number; 1.
    pub schema: u32,
    /// What is read in a second, at most, in MiB; 0: nothing is read.
    pub mib_per_s: u32,
    /// Each slot with a verified manifest.
    pub slots: Vec<SlotReport>,
    /// What could not be judged, in words.
    pub troubles: Vec<String>,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotReport {
    /// Its version.
    pub version: ImageVersion,
    /// Its root hash.
    pub root_hash: RootHash,
    /// Whether the machine runs from it.
    pub running: bool,
    /// Groups of 128 data blocks that it has.
    pub groups: u64,
    /// The group that is read next; all before it were read in this pass.
    pub next_group: u64,
    /// Passes that were completed since the machine started.
    pub passes: u64,
    /// The last one of them.
    pub last_pass: Option<Pass>,
    /// Bad blocks that are known, as many as are kept.
    pub bad: Vec<BadBlock>,
    /// Those that are not kept.
    pub more_bad: u64,
    /// Data blocks below bad tree blocks, which nobody can judge.
    pub unjudged: u64,
    /// Blocks that were mended since the machine started.
    pub mended: u64,
    /// A repair was tried and left bad blocks: nobody has their bytes, or they cannot be written.
    pub unrepairable: bool,
}

/// A completed pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// When it ended, milliseconds since the machine started.
    pub ended_ms: u64,
    /// How long it took, pauses included.
    pub took_ms: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// Which partition of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Root.
    Root,
    /// Hash tree.
    Tree,
}

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadKind {
    /// Its bytes are not what the tree says.
    Wrong,
    /// It cannot be read.
    Unreadable,
}

/// A bad block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadBlock {
    /// Number of the partition in the table.
    pub partition: u32,
    /// Which one that is.
    pub area: Area,
    /// Level in the tree, 0 for the leaves; none in the root.
    pub level: Option<u32>,
    /// Block of 4096 bytes: of the root, or within the level.
    pub block: u64,
    /// Its first byte in the partition.
    pub offset: u64,
    /// What is wrong.
    pub kind: BadKind,
    /// The error's number where it cannot be read.
    pub errno: Option<i32>,
    /// Why a repair left it.
    pub left: Option<String>,
}

impl Document for ScrubReport {
    const NAME: &'static str = "scrub report";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 512 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        let most = self.slots.iter().map(|slot| slot.bad.len()).max().unwrap_or(0);
        if self.slots.len() > MOST_SLOTS || most > MOST_BAD {
            return Err(Self::bad_value(
                "slots",
                "4 slots with 256 bad blocks each, at most",
                format!("{} with {most}", self.slots.len()),
            ));
        }
        Ok(())
    }
}

impl ScrubReport {
    /// Nothing read yet.
    pub fn new(mib_per_s: u32) -> Self {
        Self {
            schema: 1,
            mib_per_s,
            slots: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// The slot with that root hash.
    pub fn slot_mut(&mut self, root_hash: &RootHash) -> Option<&mut SlotReport> {
        self.slots.iter_mut().find(|slot| slot.root_hash == *root_hash)
    }

    /// Slots as they are now, each with what an earlier report knew of it.
    pub fn take_over(&mut self, slots: &[Slot]) {
        let earlier = std::mem::take(&mut self.slots);
        for slot in slots.iter().take(MOST_SLOTS) {
            let known = earlier
                .iter()
                .find(|known| known.root_hash == slot.manifest.verity.root_hash);
            let mut report = SlotReport::new(slot);
            if let Some(known) = known.filter(|known| known.next_group <= report.groups) {
                report = SlotReport {
                    running: report.running,
                    groups: report.groups,
                    version: report.version,
                    ..known.clone()
                };
            }
            self.slots.push(report);
        }
    }
}

impl SlotReport {
    /// Nothing read yet.
    pub fn new(slot: &Slot) -> Self {
        Self {
            version: slot.manifest.version.clone(),
            root_hash: slot.manifest.verity.root_hash,
            running: slot.which == Which::Running,
            groups: groups(&slot.params),
            next_group: 0,
            passes: 0,
            last_pass: None,
            bad: Vec::new(),
            more_bad: 0,
            unjudged: 0,
            mended: 0,
            unrepairable: false,
        }
    }

    /// Which of the two.
    pub fn which(&self) -> Which {
        if self.running {
            Which::Running
        } else {
            Which::Other
        }
    }

    /// Adds what is not known yet; gives the words about it.
    pub fn add(&mut self, slot: &Slot, finding: &Finding) -> Option<String> {
        let bad = BadBlock::of(slot, finding);
        if self.bad.iter().any(|known| known.is_at(&bad)) {
            return None;
        }
        let told = words::block(self, &bad);
        if self.bad.len() < MOST_BAD {
            self.bad.push(bad);
            self.bad.sort_by_key(|bad| bad.finding().place);
        } else {
            self.more_bad = self.more_bad.saturating_add(1);
        }
        Some(told)
    }
}

impl BadBlock {
    /// In a report.
    pub fn of(slot: &Slot, finding: &Finding) -> Self {
        let (area, partition, level, block): (_, PartitionPlace, _, _) = match finding.place {
            Place::Data { block } => (Area::Root, slot.root, None, block),
            Place::Tree { level, index } => (Area::Tree, slot.tree, u32::try_from(level).ok(), index),
        };
        let (kind, errno) = match finding.fault {
            Fault::Wrong => (BadKind::Wrong, None),
            Fault::Unreadable(errno) => (BadKind::Unreadable, errno),
        };
        Self {
            partition: partition.number,
            area,
            level,
            block,
            offset: finding.place.offset(&slot.params),
            kind,
            errno,
            left: None,
        }
    }

    /// Out of a report: a hint, which may name a block that is good or is not there.
    pub fn finding(&self) -> Finding {
        let place = match self.level {
            Some(level) => Place::Tree {
                level: level as usize,
                index: self.block,
            },
            None => Place::Data { block: self.block },
        };
        let fault = match self.kind {
            BadKind::Wrong => Fault::Wrong,
            BadKind::Unreadable => Fault::Unreadable(self.errno),
        };
        Finding { place, fault }
    }

    /// Whether both are about the same block.
    pub fn is_at(&self, other: &Self) -> bool {
        (self.level, self.block) == (other.level, other.block)
    }
}
