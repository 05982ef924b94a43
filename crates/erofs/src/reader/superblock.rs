//! The superblock, checked.

use super::{Nid, ReadAt, ReadError};
use crate::crc32c::crc32c_raw;
use crate::ondisk::{
    BLOCK_BITS, BLOCK_SIZE, COMPAT_CHECKSUM, INCOMPAT_ZERO_PADDING, MAGIC, RawSuperblock, SUPERBLOCK_LEN,
    SUPERBLOCK_OFFSET,
};

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Identity of the file system, as its bytes are stored.
    pub uuid: [u8; 16],
    /// Name without the zeros behind it.
    pub volume_name: Vec<u8>,
    /// Seconds since 1970; mtime of inodes that have none of their own.
    pub build_time_s: u64,
    /// Nanoseconds of the same.
    pub build_time_ns: u32,
    /// Blocks of 4096 bytes.
    pub blocks: u32,
    /// Inodes, as recorded.
    pub inodes: u64,
    /// Number of the root directory.
    pub root: Nid,
    /// Whether there is a checksum (which was right, then).
    pub checksummed: bool,
    /// First block of the metadata area, from which inode numbers count.
    pub(super) meta_block: u32,
    /// First block of shared xattrs.
    pub(super) xattr_block: u32,
}

impl Superblock {
    /// Length of the image in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.blocks) * BLOCK_SIZE
    }

    pub(super) fn read(source: &impl ReadAt) -> Result<Self, ReadError> {
        let mut block = vec![0; (BLOCK_SIZE - SUPERBLOCK_OFFSET) as usize];
        let length = block.len() as u64;
        source
            .read_exact_at(&mut block, SUPERBLOCK_OFFSET)
            .map_err(|source| ReadError::Read {
                offset: SUPERBLOCK_OFFSET,
                length,
                source,
            })?;
        let mut raw = [0; SUPERBLOCK_LEN];
        raw.copy_from_slice(&block[..SUPERBLOCK_LEN]);
        let raw = RawSuperblock::decode(&raw);
        if raw.magic != MAGIC {
            return Err(ReadError::Magic { found: raw.magic });
        }
        if raw.block_bits != BLOCK_BITS || raw.dir_block_bits != 0 {
            return Err(ReadError::BlockSize {
                found: raw.block_bits.saturating_add(raw.dir_block_bits),
            });
        }
        let checksummed = raw.feature_compat & COMPAT_CHECKSUM != 0;
        if checksummed {
            block[4..8].fill(0);
            let found = crc32c_raw(&block);
            if found != raw.checksum {
                return Err(ReadError::Checksum {
                    expected: raw.checksum,
                    found,
                });
            }
        }
        let unknown = raw.feature_incompat & !INCOMPAT_ZERO_PADDING;
        if unknown != 0 {
            return Err(ReadError::Features { found: unknown });
        }
        let name_len = raw
            .volume_name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(raw.volume_name.len());
        Ok(Self {
            uuid: raw.uuid,
            volume_name: raw.volume_name[..name_len].to_vec(),
            build_time_s: raw.build_time_s,
            build_time_ns: raw.build_time_ns,
            blocks: raw.blocks,
            inodes: raw.inodes,
            root: Nid(raw.root_nid.into()),
            checksummed,
            meta_block: raw.meta_block,
            xattr_block: raw.xattr_block,
        })
    }
}
