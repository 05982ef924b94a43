//! The header of one copy of the table: 92 bytes in a sector of its own. Source: UEFI 2.10, section 5.3.2.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `EFI PART` |
//! | 8 | 4 | revision, 1.0 |
//! | 12 | 4 | header bytes, 92 |
//! | 16 | 4 | CRC-32 of the header with this field zero |
//! | 20 | 4 | zero |
//! | 24 | 8 | sector of this header |
//! | 32 | 8 | sector of the other header |
//! | 40 | 8 | first usable sector |
//! | 48 | 8 | last usable sector |
//! | 56 | 16 | disk GUID (mixed-endian) |
//! | 72 | 8 | first sector of the entries |
//! | 80 | 4 | number of entries |
//! | 84 | 4 | bytes per entry, 128 |
//! | 88 | 4 | CRC-32 of the entries |

use std::io;

use uuid::Uuid;

use super::entry::{guid_at, u64_at};
use super::{ENTRY_BYTES, MAX_ENTRIES};
use crate::SECTOR_BYTES;

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_BYTES: usize = 92;

/// Sector of the primary header.
pub(crate) const PRIMARY_SECTOR: u64 = 1;

/// First sector of the primary's entries.
pub(crate) const PRIMARY_ENTRIES_SECTOR: u64 = 2;

/// Why one copy of the table is no good. The other copy may be.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It could not be read.
    #[error("read partition table at sector {sector}: {source}")]
    Read {
        /// Sector of the header.
        sector: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The first eight bytes are not `EFI PART`.
    #[error("parse partition table at sector {sector}: no GPT signature")]
    Signature {
        /// Sector of the header.
        sector: u64,
    },
    /// Not revision 1.0.
    #[error("parse partition table: revision {found:#x}; expected {:#x}", REVISION)]
    Revision {
        /// Revision found.
        found: u32,
    },
    /// Header size below 92 or above a sector.
    #[error("parse partition table: header of {found} bytes; expected 92 to 512")]
    HeaderSize {
        /// Bytes found.
        found: u32,
    },
    /// The header's checksum is wrong.
    #[error("parse partition table: header checksum {found:#010x}; expected {expected:#010x}")]
    HeaderChecksum {
        /// Computed from the bytes.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// The header says that it lies elsewhere.
    #[error("parse partition table: header at sector {sector} says it is at {found}")]
    Place {
        /// Sector it was read from.
        sector: u64,
        /// Sector it names.
        found: u64,
    },
    /// Number of entries zero or above [`MAX_ENTRIES`].
    #[error("parse partition table: {found} entries; 1 to {} are supported", MAX_ENTRIES)]
    EntryCount {
        /// Entries found.
        found: u32,
    },
    /// Entry size other than 128.
    #[error("parse partition table: entries of {found} bytes; only 128 is supported")]
    EntrySize {
        /// Bytes found.
        found: u32,
    },
    /// Entries, usable area and headers overlap or lie outside the disk.
    #[error(
        "parse partition table: entries at sector {entries}, usable {first} to {last}, disk of {disk}: overlap"
    )]
    Geometry {
        /// First sector of the entries.
        entries: u64,
        /// First usable sector.
        first: u64,
        /// Last usable sector.
        last: u64,
        /// Sectors of the disk.
        disk: u64,
    },
    /// The entries' checksum is wrong.
    #[error("parse partition table: entries checksum {found:#010x}; expected {expected:#010x}")]
    EntriesChecksum {
        /// Computed from the bytes.
        expected: u32,
        /// Stored.
        found: u32,
    },
}

/// A header as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sector: u64,
    pub(crate) other_sector: u64,
    pub(crate) first_usable: u64,
    pub(crate) last_usable: u64,
    pub(crate) disk_guid: Uuid,
    pub(crate) entries_sector: u64,
    pub(crate) entry_count: u32,
    pub(crate) entries_crc: u32,
}

impl Header {
    pub(crate) fn entries_bytes(&self) -> usize {
        self.entry_count as usize * ENTRY_BYTES
    }

    pub(crate) fn entries_sectors(&self) -> u64 {
        (self.entries_bytes() as u64).div_ceil(SECTOR_BYTES)
    }

    pub(crate) fn encode(&self) -> [u8; SECTOR_BYTES as usize] {
        let mut bytes = [0; SECTOR_BYTES as usize];
        bytes[..8].copy_from_slice(SIGNATURE);
        bytes[8..12].copy_from_slice(&REVISION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sector.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.other_sector.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_usable.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.last_usable.to_le_bytes());
        bytes[56..72].copy_from_slice(&self.disk_guid.to_bytes_le());
        bytes[72..80].copy_from_slice(&self.entries_sector.to_le_bytes());
        bytes[80..84].copy_from_slice(&self.entry_count.to_le_bytes());
        bytes[84..88].copy_from_slice(&(ENTRY_BYTES as u32).to_le_bytes());
        bytes[88..92].copy_from_slice(&self.entries_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes untrusted bytes read from `sector`. The entries' checksum is left to the caller.
    pub(crate) fn decode(bytes: &[u8; 512], sector: u64, disk_sectors: u64) -> Result<Self, HeaderError> {
        if &bytes[..8] != SIGNATURE {
            return Err(HeaderError::Signature { sector });
        }
        let revision = u32_at(bytes, 8);
        if revision != REVISION {
            return Err(HeaderError::Revision { found: revision });
        }
        let size = u32_at(bytes, 12);
        if !(HEADER_BYTES as u32..=SECTOR_BYTES as u32).contains(&size) {
            return Err(HeaderError::HeaderSize { found: size });
        }
        let mut zeroed = *bytes;
        zeroed[16..20].fill(0);
        let (expected, found) = (crc32fast::hash(&zeroed[..size as usize]), u32_at(bytes, 16));
        if expected != found {
            return Err(HeaderError::HeaderChecksum { expected, found });
        }
        let header = Self {
            sector: u64_at(bytes, 24),
            other_sector: u64_at(bytes, 32),
            first_usable: u64_at(bytes, 40),
            last_usable: u64_at(bytes, 48),
            disk_guid: guid_at(bytes, 56),
            entries_sector: u64_at(bytes, 72),
            entry_count: u32_at(bytes, 80),
            entries_crc: u32_at(bytes, 88),
        };
        if header.sector != sector {
            return Err(HeaderError::Place {
                sector,
                found: header.sector,
            });
        }
        if header.entry_count == 0 || header.entry_count > MAX_ENTRIES {
            return Err(HeaderError::EntryCount {
                found: header.entry_count,
            });
        }
        let entry_bytes = u32_at(bytes, 84);
        if entry_bytes as usize != ENTRY_BYTES {
            return Err(HeaderError::EntrySize { found: entry_bytes });
        }
        if header.geometry_is_sound(disk_sectors) {
            return Ok(header);
        }
        let (entries, first, last) = (header.entries_sector, header.first_usable, header.last_usable);
        Err(HeaderError::Geometry {
            entries,
            first,
            last,
            disk: disk_sectors,
        })
    }

    /// Whether headers, entries and usable area lie on the disk, in the order of their copy, without overlap. Both
    /// copies of the entries must have room, wherever this one's are.
    fn geometry_is_sound(&self, disk_sectors: u64) -> bool {
        let is_primary = self.sector == PRIMARY_SECTOR;
        let backup = if is_primary {
            self.other_sector
        } else {
            self.sector
        };
        let other = if is_primary { backup } else { PRIMARY_SECTOR };
        let Some(entries_end) = self.entries_sector.checked_add(self.entries_sectors()) else {
            return false;
        };
        let entries_fit = if is_primary {
            self.entries_sector >= PRIMARY_ENTRIES_SECTOR && entries_end <= self.first_usable
        } else {
            self.entries_sector > self.last_usable && entries_end <= backup
        };
        entries_fit
            && self.other_sector == other
            && backup < disk_sectors
            && self.first_usable >= PRIMARY_ENTRIES_SECTOR + self.entries_sectors()
            && self.first_usable <= self.last_usable
            && self.last_usable < backup
            && backup - self.last_usable > self.entries_sectors()
    }

    /// The header of the other copy, for the same entries.
    pub(crate) fn counterpart(&self) -> Self {
        let entries_sector = if self.sector == PRIMARY_SECTOR {
            self.other_sector - self.entries_sectors()
        } else {
            PRIMARY_ENTRIES_SECTOR
        };
        Self {
            sector: self.other_sector,
            other_sector: self.sector,
            entries_sector,
            ..self.clone()
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
