//! cryptsetup's verity superblock: 512 bytes at the start of the hash device.
//!
//! The builder writes it so that `veritysetup` and systemd can open our devices. What is read is untrusted: it
//! serves `inspect` and tests, never the boot. Source: cryptsetup `lib/verity/verity.c`, struct `verity_sb`.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `verity\0\0` |
//! | 8 | 4 | superblock version, 1 |
//! | 12 | 4 | hash type, 1 (salt before the block) |
//! | 16 | 16 | UUID, text order |
//! | 32 | 32 | algorithm, NUL-padded |
//! | 64 | 4 | data block size |
//! | 68 | 4 | hash block size |
//! | 72 | 8 | data blocks |
//! | 80 | 2 | salt bytes |
//! | 82 | 6 | zero |
//! | 88 | 256 | salt, NUL-padded |
//! | 344 | 168 | zero |
//!
//! All numbers are little-endian.

use std::io;

use crate::{BLOCK_BYTES, MAX_SALT_BYTES, ParamsError, ReadAt, Salt, VerityParams};

/// Bytes of the superblock; the rest of its 4096-byte block is zero.
pub const SUPERBLOCK_BYTES: usize = 512;

const SIGNATURE: &[u8; 8] = b"verity\0\0";
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;
const ALGORITHM: &[u8; 6] = b"sha256";
const BLOCK_BYTES_FIELD: u32 = BLOCK_BYTES as u32;

/// Why bytes are not a superblock we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// The first eight bytes are not `verity\0\0`.
    #[error("parse verity superblock: no signature; is this a hash device?")]
    Signature,
    /// Not version 1.
    #[error("parse verity superblock: version {found}; only 1 is known")]
    Version {
        /// Version found.
        found: u32,
    },
    /// Not hash type 1.
    #[error("parse verity superblock: hash type {found}; only 1 is supported")]
    HashType {
        /// Type found.
        found: u32,
    },
    /// Not `sha256`.
    #[error("parse verity superblock: algorithm {found:?}; only \"sha256\" is supported")]
    Algorithm {
        /// Algorithm found, as far as it is text.
        found: String,
    },
    /// A block size other than 4096.
    #[error(
        "parse verity superblock: data blocks of {data} and hash blocks of {hash} bytes; both must be 4096"
    )]
    BlockSize {
        /// Bytes in a data block.
        data: u32,
        /// Bytes in a hash block.
        hash: u32,
    },
    /// Padding with something in it.
    #[error("parse verity superblock: byte {offset} must be zero")]
    Padding {
        /// Offset of the first such byte.
        offset: usize,
    },
    /// Salt length or number of data blocks out of range.
    #[error("parse verity superblock: {0}")]
    Params(#[from] ParamsError),
}

/// Codec of the superblock.
pub struct Superblock;

impl Superblock {
    /// The bytes for these parameters.
    pub fn encode(params: &VerityParams) -> [u8; SUPERBLOCK_BYTES] {
        let salt = params.salt().as_bytes();
        let mut bytes = [0; SUPERBLOCK_BYTES];
        bytes[..8].copy_from_slice(SIGNATURE);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&HASH_TYPE.to_le_bytes());
        bytes[16..32].copy_from_slice(params.uuid());
        bytes[32..32 + ALGORITHM.len()].copy_from_slice(ALGORITHM);
        bytes[64..68].copy_from_slice(&BLOCK_BYTES_FIELD.to_le_bytes());
        bytes[68..72].copy_from_slice(&BLOCK_BYTES_FIELD.to_le_bytes());
        bytes[72..80].copy_from_slice(&params.data_blocks().to_le_bytes());
        bytes[80..82].copy_from_slice(&(salt.len() as u16).to_le_bytes());
        bytes[88..88 + salt.len()].copy_from_slice(salt);
        bytes
    }

    /// Parses untrusted bytes. What is accepted encodes to the same bytes again.
    pub fn parse(bytes: &[u8; SUPERBLOCK_BYTES]) -> Result<VerityParams, SuperblockError> {
        if &bytes[..8] != SIGNATURE {
            return Err(SuperblockError::Signature);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(SuperblockError::Version { found: version });
        }
        let hash_type = u32_at(bytes, 12);
        if hash_type != HASH_TYPE {
            return Err(SuperblockError::HashType { found: hash_type });
        }
        check_algorithm(&bytes[32..64])?;
        let (data, hash) = (u32_at(bytes, 64), u32_at(bytes, 68));
        if (data, hash) != (BLOCK_BYTES_FIELD, BLOCK_BYTES_FIELD) {
            return Err(SuperblockError::BlockSize { data, hash });
        }
        let salt_bytes = usize::from(u16::from_le_bytes([bytes[80], bytes[81]]));
        if salt_bytes > MAX_SALT_BYTES {
            return Err(ParamsError::SaltTooLong { found: salt_bytes }.into());
        }
        check_zero(bytes, 82..88)?;
        check_zero(bytes, 88 + salt_bytes..SUPERBLOCK_BYTES)?;
        let salt = Salt::new(&bytes[88..88 + salt_bytes])?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let data_blocks = u64::from(u32_at(bytes, 72)) | u64::from(u32_at(bytes, 76)) << 32;
        Ok(VerityParams::new(data_blocks, salt, uuid)?)
    }
}

/// Why no superblock was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadSuperblockError {
    /// The device could not be read.
    #[error("read verity superblock: {0}")]
    Read(#[source] io::Error),
    /// The bytes are not a superblock.
    #[error(transparent)]
    Parse(#[from] SuperblockError),
}

/// Reads and parses the superblock of a hash device. The result is untrusted.
pub fn read_superblock(hash: &(impl ReadAt + ?Sized)) -> Result<VerityParams, ReadSuperblockError> {
    let mut bytes = [0; SUPERBLOCK_BYTES];
    hash.read_exact_at(&mut bytes, 0)
        .map_err(ReadSuperblockError::Read)?;
    Ok(Superblock::parse(&bytes)?)
}

fn u32_at(bytes: &[u8; SUPERBLOCK_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn check_algorithm(field: &[u8]) -> Result<(), SuperblockError> {
    let (name, padding) = field.split_at(ALGORITHM.len());
    if name == ALGORITHM && padding.iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
    Err(SuperblockError::Algorithm {
        found: String::from_utf8_lossy(text).into_owned(),
    })
}

fn check_zero(
    bytes: &[u8; SUPERBLOCK_BYTES],
    mut range: std::ops::Range<usize>,
) -> Result<(), SuperblockError> {
    match range.find(|&at| bytes[at] != 0) {
        Some(offset) => Err(SuperblockError::Padding { offset }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayoutError;
    use proptest::prelude::*;

    fn params() -> VerityParams {
        let uuid = std::array::from_fn(|i| 0xa0 + i as u8);
        VerityParams::new(16385, Salt::new([1, 2, 3]).unwrap(), uuid).unwrap()
    }

    fn parse_changed(offset: usize, value: u8) -> Result<VerityParams, SuperblockError> {
        let mut bytes = Superblock::encode(&params());
        bytes[offset] = value;
        Superblock::parse(&bytes)
    }

    #[test]
    fn the_bytes_are_pinned() {
        let bytes = Superblock::encode(&params());
        let head = "76657269747900000100000001000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\
                    7368613235360000000000000000000000000000000000000000000000000000\
                    00100000001000000140000000000000030000000000000001020300";
        assert_eq!(hex::encode(&bytes[..92]), head);
        assert!(bytes[92..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(
            Superblock::parse(&Superblock::encode(&params())).unwrap(),
            params()
        );
    }

    #[test]
    fn each_wrong_field_is_refused_for_its_own_reason() {
        assert_eq!(parse_changed(0, b'V'), Err(SuperblockError::Signature));
        assert_eq!(parse_changed(8, 2), Err(SuperblockError::Version { found: 2 }));
        assert_eq!(parse_changed(12, 0), Err(SuperblockError::HashType { found: 0 }));
        let found = "sha25x".to_owned();
        assert_eq!(parse_changed(37, b'x'), Err(SuperblockError::Algorithm { found }));
        let found = "sha256".to_owned();
        assert_eq!(parse_changed(63, 1), Err(SuperblockError::Algorithm { found }));
        assert_eq!(
            parse_changed(65, 2),
            Err(SuperblockError::BlockSize {
                data: 512,
                hash: 4096
            })
        );
        assert_eq!(parse_changed(82, 1), Err(SuperblockError::Padding { offset: 82 }));
        assert_eq!(parse_changed(91, 1), Err(SuperblockError::Padding { offset: 91 }));
        assert_eq!(
            parse_changed(511, 1),
            Err(SuperblockError::Padding { offset: 511 })
        );
        let too_long = ParamsError::SaltTooLong { found: 0x103 };
        assert_eq!(parse_changed(81, 1), Err(SuperblockError::Params(too_long)));
        let too_large = ParamsError::Layout(LayoutError::TooLarge {
            found: 0x0100_0000_0000_4001,
        });
        assert_eq!(parse_changed(79, 1), Err(SuperblockError::Params(too_large)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            noise in proptest::collection::vec((0..SUPERBLOCK_BYTES, any::<u8>()), 0..8)
        ) {
            let mut bytes = Superblock::encode(&params());
            for (at, value) in noise {
                bytes[at] = value;
            }
            if let Ok(parsed) = Superblock::parse(&bytes) {
                prop_assert_eq!(Superblock::encode(&parsed), bytes);
            }
        }
    }
}
