//! A fault at work: who has read what, and what that leads to.

use std::collections::HashMap;
use std::ops::Range;

use super::fault::{DiskFault, Lie};
use super::store::SECTOR;

/// A rule with its counts.
#[derive(Debug)]
pub(crate) struct ActiveFault {
    rule: DiskFault,
    turned_on: bool,
    /// Reads of each sector that the range touches.
    reads: HashMap<u64, u32>,
    struck: u32,
}

impl ActiveFault {
    pub(crate) fn new(rule: DiskFault) -> Self {
        Self {
            rule,
            turned_on: false,
            reads: HashMap::new(),
            struck: 0,
        }
    }

    /// Requests that it spoilt.
    pub(crate) fn struck(&self) -> u32 {
        self.struck
    }

    /// How often the most-read sector of its range was read.
    pub(crate) fn reads(&self) -> u32 {
        self.reads.values().copied().max().unwrap_or(0)
    }

    pub(crate) fn turn_on(&mut self) {
        self.turned_on = true;
    }

    /// Counts a read of these bytes; gives the parts of them that are struck, at most one for each sector.
    pub(crate) fn read(&mut self, asked: &Range<u64>) -> Vec<Range<u64>> {
        let (from_read, times) = match &self.rule {
            DiskFault::Lie { from_read, .. } => (*from_read, u32::MAX),
            DiskFault::ReadError { from_read, times, .. } => (*from_read, *times),
            DiskFault::WriteError { .. } => return Vec::new(),
        };
        let common = common(self.rule.range(), asked);
        if common.is_empty() {
            return Vec::new();
        }
        let sector_bytes = SECTOR as u64;
        let mut struck = Vec::new();
        for sector in common.start / sector_bytes..common.end.div_ceil(sector_bytes) {
            let reads = self.reads.entry(sector).or_default();
            *reads = reads.saturating_add(1);
            // u32::MAX is off, not a number.
            let counted = from_read != u32::MAX && *reads >= from_read;
            if self.turned_on || counted && *reads - from_read < times {
                let bytes = sector * sector_bytes..(sector + 1) * sector_bytes;
                struck.push(self::common(&bytes, &common));
            }
        }
        if !struck.is_empty() {
            self.struck = self.struck.saturating_add(1);
        }
        struck
    }

    /// Whether a write of these bytes fails.
    pub(crate) fn refuses_write(&mut self, asked: &Range<u64>) -> bool {
        let DiskFault::WriteError { range } = &self.rule else {
            return false;
        };
        let refused = !common(range, asked).is_empty();
        self.struck = self.struck.saturating_add(u32::from(refused));
        refused
    }

    /// Whether a read that it struck fails.
    pub(crate) fn refuses_reads(&self) -> bool {
        matches!(self.rule, DiskFault::ReadError { .. })
    }

    /// Changes the struck part of `bytes`, which were read at byte `offset` of the disk.
    pub(crate) fn tell(&self, struck: &Range<u64>, offset: u64, bytes: &mut [u8]) {
        let DiskFault::Lie { range, content, .. } = &self.rule else {
            return;
        };
        let Some(shown) = bytes.get_mut(within(struck, offset)) else {
            return;
        };
        match content {
            Lie::Inverted => shown.iter_mut().for_each(|byte| *byte = !*byte),
            Lie::Bytes(lie) => {
                if let Some(lie) = lie.get(within(struck, range.start)) {
                    shown.copy_from_slice(lie);
                }
            }
        }
    }
}

fn common(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// The range counted from `start`, as an index of memory; it lies in a request, which has at most 32 MiB, or
/// in a lie's bytes.
fn within(range: &Range<u64>, start: u64) -> Range<usize> {
    let index = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
    index(range.start)..index(range.end)
}
