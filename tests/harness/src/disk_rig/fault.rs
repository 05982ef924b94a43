//! What can go wrong with a disk, as data.

use std::ops::Range;

use super::DiskRigError;

/// One thing that a disk does wrong. Ranges are bytes of the whole disk; [`crate::disk::Disk::range`] finds
/// those of a partition.
///
/// Reads are counted for each 512-byte sector and for each fault, from 1, and everybody's count: the firmware
/// reads the GPT and the ESP, and Linux looks at the start and end of each partition. A story that does not
/// know the number says `u32::MAX`, which is off, and calls [`super::DiskWatch::turn_on`] at its marker, or
/// reads [`super::DiskWatch::reads`] of an honest boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskFault {
    /// The n-th read of a sector and all later ones see another content in this range.
    Lie {
        /// Bytes that change.
        range: Range<u64>,
        /// First read that is lied to.
        from_read: u32,
        /// What it sees.
        content: Lie,
    },
    /// Reads that touch the range fail with EIO, from the n-th read of a sector on.
    ReadError {
        /// Bytes that cannot be read.
        range: Range<u64>,
        /// First read that fails.
        from_read: u32,
        /// How many reads of a sector fail; `u32::MAX` for all.
        times: u32,
    },
    /// Writes that touch the range fail with EIO and change nothing.
    WriteError {
        /// Bytes that cannot be written.
        range: Range<u64>,
    },
}

/// What a lying disk shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// Each byte with all its bits inverted.
    Inverted,
    /// These bytes, as many as the range has.
    Bytes(Vec<u8>),
}

/// Which of the writes since the last flush a power cut leaves on the disk. The seeds make a case repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None of them: only what was flushed is there.
    Nothing,
    /// All of them.
    Everything,
    /// The first, the third, the fifth, …
    EveryOther,
    /// Of each write, each 512-byte sector or not, by the toss of a coin.
    Torn {
        /// Start of the coin's sequence.
        seed: u64,
    },
    /// In another order, and only some of them: the last that arrives is torn at a sector.
    Reordered {
        /// Start of the order's sequence.
        seed: u64,
    },
}

impl DiskFault {
    pub(crate) fn range(&self) -> &Range<u64> {
        match self {
            Self::Lie { range, .. } | Self::ReadError { range, .. } | Self::WriteError { range } => range,
        }
    }

    /// A fault that cannot strike as it is meant is the story's mistake, not a quiet disk.
    pub(crate) fn check(&self, number: usize, disk_bytes: u64) -> Result<(), DiskRigError> {
        let range = self.range();
        let wrong = |found: String| Err(DiskRigError::Fault { number, found });
        if range.is_empty() || range.end > disk_bytes {
            return wrong(format!(
                "expected a range of the disk's {disk_bytes} bytes, found {range:?}"
            ));
        }
        match self {
            Self::Lie {
                content: Lie::Bytes(bytes),
                ..
            } if bytes.len() as u64 != range.end - range.start => wrong(format!(
                "expected as many bytes as {range:?} has, found {}",
                bytes.len()
            )),
            _ => Ok(()),
        }
    }
}

/// Numbers from a seed: SplitMix64. Good enough to choose sectors, for nothing else.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A number below `bound`, which is not 0; slightly uneven for bounds that a disk never has.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }
}
