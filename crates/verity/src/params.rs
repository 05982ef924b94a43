//! What defines one verity device: salt, size, UUID, where the tree starts; and its root hash.
//!
//! The builder makes these; at boot they come from the signed slot manifest and nowhere else.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::{BLOCK_BYTES, DIGEST_BYTES, HashTreeLayout, LayoutError};

/// Longest salt in bytes: the superblock's field, and the kernel's own limit.
pub const MAX_SALT_BYTES: usize = 256;

/// Why parameters were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Longer than [`MAX_SALT_BYTES`].
    #[error("take salt: {found} bytes; at most {} are allowed", MAX_SALT_BYTES)]
    SaltTooLong {
        /// Bytes given.
        found: usize,
    },
    /// The number of data blocks has no layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Bytes hashed before each block; 0 to 256 of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// Takes at most [`MAX_SALT_BYTES`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, ParamsError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_SALT_BYTES {
            return Err(ParamsError::SaltTooLong { found: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The state of SHA-256 after the salt; cloned for each block.
    pub(crate) fn hasher(&self) -> Sha256 {
        Sha256::new_with_prefix(&self.0)
    }
}

/// As dm-verity tables want it: lower-case hex, `-` for no salt.
impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("-")
        } else {
            f.write_str(&hex::encode(&self.0))
        }
    }
}

/// What lies at the start of the hash device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashArea {
    /// One block with cryptsetup's superblock, then the tree (`hash_start_block` 1).
    SuperblockThenTree,
    /// The tree alone (`hash_start_block` 0, `veritysetup --no-superblock`).
    TreeOnly,
}

impl HashArea {
    /// Block of the hash device at which the tree starts.
    pub fn hash_start_block(self) -> u64 {
        match self {
            Self::SuperblockThenTree => 1,
            Self::TreeOnly => 0,
        }
    }
}

/// Parameters of one verity device, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityParams {
    layout: HashTreeLayout,
    salt: Salt,
    uuid: [u8; 16],
    hash_area: HashArea,
}

impl VerityParams {
    /// A device of `data_blocks` blocks of 4096 bytes with a superblock. `uuid` is in text order (RFC 9562).
    pub fn new(data_blocks: u64, salt: Salt, uuid: [u8; 16]) -> Result<Self, ParamsError> {
        let layout = HashTreeLayout::new(data_blocks)?;
        Ok(Self {
            layout,
            salt,
            uuid,
            hash_area: HashArea::SuperblockThenTree,
        })
    }

    /// The same with another start of the hash device.
    pub fn with_hash_area(self, hash_area: HashArea) -> Self {
        Self { hash_area, ..self }
    }

    /// Data blocks of 4096 bytes.
    pub fn data_blocks(&self) -> u64 {
        self.layout.data_blocks()
    }

    /// Data bytes the tree protects.
    pub fn data_bytes(&self) -> u64 {
        self.data_blocks() * BLOCK_BYTES as u64
    }

    /// Places of the tree's levels.
    pub fn layout(&self) -> &HashTreeLayout {
        &self.layout
    }

    /// The salt.
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// UUID for the superblock, in text order.
    pub fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// What lies before the tree.
    pub fn hash_area(&self) -> HashArea {
        self.hash_area
    }

    /// Byte of the hash device at which block `index` of `level` lies.
    pub(crate) fn hash_block_offset(&self, level: usize, index: u64) -> u64 {
        let block = self.hash_area.hash_start_block() + self.layout.levels()[level].first_block + index;
        block * BLOCK_BYTES as u64
    }
}

/// The digest that stands for all data: the top of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootHash(pub [u8; DIGEST_BYTES]);

/// Why text is not a root hash.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RootHashParseError {
    /// Not 64 characters.
    #[error("parse root hash: expected 64 hex digits, found {found} bytes of text")]
    Length {
        /// Bytes of text.
        found: usize,
    },
    /// Something else than 0-9, a-f, A-F.
    #[error("parse root hash: not hex: {0}")]
    NotHex(hex::FromHexError),
}

impl FromStr for RootHash {
    type Err = RootHashParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 2 * DIGEST_BYTES {
            return Err(RootHashParseError::Length { found: text.len() });
        }
        let mut digest = [0; DIGEST_BYTES];
        hex::decode_to_slice(text, &mut digest).map_err(RootHashParseError::NotHex)?;
        Ok(Self(digest))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// The PARTUUIDs that a root hash names, in text order: the data partition's (first 128 bits) and the hash
/// partition's (last 128 bits). Source: UAPI Group, Discoverable Partitions Specification.
pub fn partition_uuids(root_hash: &RootHash) -> ([u8; 16], [u8; 16]) {
    let (mut data, mut verity) = ([0; 16], [0; 16]);
    data.copy_from_slice(&root_hash.0[..16]);
    verity.copy_from_slice(&root_hash.0[16..]);
    (data, verity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_hash_reads_back_as_it_prints() {
        let hash = RootHash(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(hash.to_string().parse::<RootHash>().unwrap(), hash);
        assert_eq!(hash.to_string().to_uppercase().parse::<RootHash>().unwrap(), hash);
    }

    #[test]
    fn text_that_is_no_root_hash_is_refused() {
        let good = "00".repeat(32);
        assert!(good.parse::<RootHash>().is_ok());
        assert_eq!(
            good[1..].parse::<RootHash>(),
            Err(RootHashParseError::Length { found: 63 })
        );
        let bad = format!("{}g", &good[1..]);
        assert!(matches!(
            bad.parse::<RootHash>(),
            Err(RootHashParseError::NotHex(_))
        ));
        assert_eq!(
            "é".repeat(64).parse::<RootHash>(),
            Err(RootHashParseError::Length { found: 128 })
        );
        assert!(matches!(
            "é".repeat(32).parse::<RootHash>(),
            Err(RootHashParseError::NotHex(_))
        ));
    }

    #[test]
    fn a_root_hash_names_both_partitions() {
        let hash = RootHash(std::array::from_fn(|i| i as u8));
        let (data, verity) = partition_uuids(&hash);
        assert_eq!(data, std::array::from_fn(|i| i as u8));
        assert_eq!(verity, std::array::from_fn(|i| i as u8 + 16));
    }

    #[test]
    fn a_salt_longer_than_the_superblock_field_is_refused() {
        assert!(Salt::new([0; 256]).is_ok());
        assert_eq!(Salt::new([0; 257]), Err(ParamsError::SaltTooLong { found: 257 }));
        assert_eq!(Salt::default().to_string(), "-");
    }
}
