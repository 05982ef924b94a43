//! One partition entry: 128 bytes. Source: UEFI 2.10, section 5.3.3.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 16 | type GUID (mixed-endian), zero when unused |
//! | 16 | 16 | unique GUID (mixed-endian) |
//! | 32 | 8 | first sector |
//! | 40 | 8 | last sector, inclusive |
//! | 48 | 8 | attributes |
//! | 56 | 72 | name, UTF-16LE, NUL-padded |

use std::fmt;

use uuid::Uuid;

use super::ENTRY_BYTES;
use crate::SECTOR_BYTES;

/// UTF-16 code units in a partition's name.
pub const MAX_LABEL_UNITS: usize = 36;

const UNIQUE_GUID: std::ops::Range<usize> = 16..32;
const LABEL: std::ops::Range<usize> = 56..128;

/// Why text cannot be a partition's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// More than 36 UTF-16 code units.
    #[error(
        "take partition label: {found} UTF-16 code units; at most {} are allowed",
        MAX_LABEL_UNITS
    )]
    TooLong {
        /// Code units given.
        found: usize,
    },
    /// Has a NUL, which would end it.
    #[error("take partition label: it has a NUL character")]
    Nul,
}

/// A partition's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label([u16; MAX_LABEL_UNITS]);

impl Label {
    /// Takes text of at most 36 UTF-16 code units.
    pub fn new(text: &str) -> Result<Self, LabelError> {
        let found = text.encode_utf16().count();
        if found > MAX_LABEL_UNITS {
            return Err(LabelError::TooLong { found });
        }
        if text.contains('\0') {
            return Err(LabelError::Nul);
        }
        let mut units = [0; MAX_LABEL_UNITS];
        for (slot, unit) in units.iter_mut().zip(text.encode_utf16()) {
            *slot = unit;
        }
        Ok(Self(units))
    }

    /// Whether it is this text, exactly.
    pub fn is(&self, text: &str) -> bool {
        Self::new(text).is_ok_and(|label| label.text_units() == self.text_units())
    }

    fn text_units(&self) -> &[u16] {
        self.0.split(|&unit| unit == 0).next().unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut units = [0; MAX_LABEL_UNITS];
        for (slot, pair) in units.iter_mut().zip(bytes.chunks_exact(2)) {
            *slot = u16::from_le_bytes([pair[0], pair[1]]);
        }
        Self(units)
    }

    fn to_bytes(self) -> [u8; 2 * MAX_LABEL_UNITS] {
        let mut bytes = [0; 2 * MAX_LABEL_UNITS];
        for (pair, unit) in bytes.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&unit.to_le_bytes());
        }
        bytes
    }
}

/// The text up to the first NUL; what is not UTF-16 prints as U+FFFD.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf16_lossy(self.text_units()))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Attribute bits of a partition. Bits 48 to 63 belong to the type; those named here are the Discoverable Partitions
/// Specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub u64);

impl Attributes {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// Bit 59: the file system grows to the partition's size when it is mounted.
    pub const GROW_FILE_SYSTEM: Self = Self(1 << 59);
    /// Bit 60: mount read-only.
    pub const READ_ONLY: Self = Self(1 << 60);
    /// Bit 63: do not mount automatically.
    pub const NO_AUTO: Self = Self(1 << 63);

    /// Both sets of bits.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One used entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number, from 1 (`/dev/vda1`).
    pub number: u32,
    /// GUID of the type.
    pub type_guid: Uuid,
    /// GUID of this partition (PARTUUID).
    pub unique_guid: Uuid,
    /// First sector of 512 bytes.
    pub first_sector: u64,
    /// Last sector of 512 bytes, inclusive.
    pub last_sector: u64,
    /// Attribute bits.
    pub attributes: Attributes,
    /// Name (PARTLABEL).
    pub label: Label,
}

impl Partition {
    /// First byte on the disk.
    pub fn byte_offset(&self) -> u64 {
        self.first_sector * SECTOR_BYTES
    }

    /// Length in bytes.
    pub fn byte_len(&self) -> u64 {
        (self.last_sector - self.first_sector + 1) * SECTOR_BYTES
    }

    /// Decodes entry `number`; `None` when it is unused. Nothing is checked.
    pub(crate) fn decode(number: u32, bytes: &[u8]) -> Option<Self> {
        let type_guid = guid_at(bytes, 0);
        if type_guid.is_nil() {
            return None;
        }
        Some(Self {
            number,
            type_guid,
            unique_guid: guid_at(bytes, UNIQUE_GUID.start),
            first_sector: u64_at(bytes, 32),
            last_sector: u64_at(bytes, 40),
            attributes: Attributes(u64_at(bytes, 48)),
            label: Label::from_bytes(&bytes[LABEL]),
        })
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..16].copy_from_slice(&self.type_guid.to_bytes_le());
        bytes[32..40].copy_from_slice(&self.first_sector.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last_sector.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.attributes.0.to_le_bytes());
        rename(&mut bytes, self.unique_guid, self.label);
        bytes
    }
}

/// Puts another GUID and label into an encoded entry; the other bytes stay.
pub(crate) fn rename(entry: &mut [u8], unique_guid: Uuid, label: Label) {
    entry[UNIQUE_GUID].copy_from_slice(&unique_guid.to_bytes_le());
    entry[LABEL].copy_from_slice(&label.to_bytes());
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

pub(crate) fn guid_at(bytes: &[u8], at: usize) -> Uuid {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[at..at + 16]);
    Uuid::from_bytes_le(guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_36_code_units_and_no_nul() {
        let longest = "𝄞".repeat(18);
        assert_eq!(Label::new(&longest).unwrap().to_string(), longest);
        assert_eq!(
            Label::new(&format!("{longest}a")),
            Err(LabelError::TooLong { found: 37 })
        );
        assert_eq!(Label::new("a\0b"), Err(LabelError::Nul));
        assert!(Label::new("root").unwrap().is("root"));
        assert!(!Label::new("root").unwrap().is("roo"));
    }

    #[test]
    fn an_entry_reads_back_and_an_unused_one_is_none() {
        let partition = Partition {
            number: 3,
            type_guid: Uuid::from_u128(1),
            unique_guid: Uuid::from_u128(2),
            first_sector: 2048,
            last_sector: 4095,
            attributes: Attributes::READ_ONLY.with(Attributes::NO_AUTO),
            label: Label::new("bennu_1").unwrap(),
        };
        assert_eq!(Partition::decode(3, &partition.encode()), Some(partition.clone()));
        assert_eq!(partition.byte_len(), 1 << 20);
        assert_eq!(Partition::decode(1, &[0; ENTRY_BYTES]), None);
        assert!(partition.attributes.has(Attributes::NO_AUTO));
        assert!(!partition.attributes.has(Attributes::GROW_FILE_SYSTEM));
    }
}
