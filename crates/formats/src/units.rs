//! Sizes with their unit in the type.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A number of 512-byte sectors: the unit of device-mapper tables and of sysfs `size` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sectors512(pub u64);

/// A number of 4096-byte blocks: the unit of the hash tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blocks4K(pub u64);

/// Bytes in a [`Blocks4K`].
pub const BLOCK_BYTES: u64 = 4096;
/// Bytes in a [`Sectors512`].
pub const SECTOR_BYTES: u64 = 512;

impl Blocks4K {
    /// The same in bytes; `None` when it does not fit.
    pub fn to_bytes(self) -> Option<Bytes> {
        self.0.checked_mul(BLOCK_BYTES).map(Bytes)
    }

    /// The same in sectors; `None` when it does not fit.
    pub fn to_sectors(self) -> Option<Sectors512> {
        self.0.checked_mul(BLOCK_BYTES / SECTOR_BYTES).map(Sectors512)
    }
}

impl Sectors512 {
    /// The same in bytes; `None` when it does not fit.
    pub fn to_bytes(self) -> Option<Bytes> {
        self.0.checked_mul(SECTOR_BYTES).map(Bytes)
    }
}

impl fmt::Display for Bytes {
    /// Exact below 10 KiB, otherwise with one decimal in the largest fitting binary unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 10 * 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}
