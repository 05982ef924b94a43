//! Section names and rows of the section table.

use super::SECTION_HEADER_BYTES;
use crate::bytes;
use std::fmt;

/// A section's name: up to eight bytes, padded with NUL. UKI section names are ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionName(pub [u8; 8]);

impl SectionName {
    /// The name without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(8);
        &self.0[..len]
    }

    /// A name from text of one to eight printable ASCII characters; `None` for anything else.
    pub fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.len() <= 8 && name.bytes().all(|b| b.is_ascii_graphic());
        let mut out = [0; 8];
        out.get_mut(..name.len())
            .filter(|_| fits)?
            .copy_from_slice(name.as_bytes());
        Some(Self(out))
    }
}

impl PartialEq<str> for SectionName {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// One row of the section table. Sizes and offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionHeader {
    /// Name, padded with NUL.
    pub name: SectionName,
    /// Size in memory; for what a UKI carries, the true length of the content.
    pub virtual_size: u32,
    /// Address in memory, from the image's base.
    pub virtual_address: u32,
    /// Size in the file, a multiple of FileAlignment.
    pub raw_size: u32,
    /// Offset in the file.
    pub raw_pointer: u32,
    /// IMAGE_SCN_* flags.
    pub characteristics: u32,
}

impl SectionHeader {
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            name: SectionName(bytes::array(bytes, at)?),
            virtual_size: bytes::u32_le(bytes, at + 8)?,
            virtual_address: bytes::u32_le(bytes, at + 12)?,
            raw_size: bytes::u32_le(bytes, at + 16)?,
            raw_pointer: bytes::u32_le(bytes, at + 20)?,
            characteristics: bytes::u32_le(bytes, at + 36)?,
        })
    }

    /// The forty bytes of the table's row; relocations and line numbers, which images do not have, are zero.
    pub(crate) fn to_bytes(self) -> [u8; SECTION_HEADER_BYTES] {
        let mut out = [0; SECTION_HEADER_BYTES];
        out[..8].copy_from_slice(&self.name.0);
        out[8..12].copy_from_slice(&self.virtual_size.to_le_bytes());
        out[12..16].copy_from_slice(&self.virtual_address.to_le_bytes());
        out[16..20].copy_from_slice(&self.raw_size.to_le_bytes());
        out[20..24].copy_from_slice(&self.raw_pointer.to_le_bytes());
        out[36..40].copy_from_slice(&self.characteristics.to_le_bytes());
        out
    }
}
