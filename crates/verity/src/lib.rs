//! dm-verity hash trees: format 1, SHA-256, data and hash blocks of 4096 bytes, salt prepended.
//!
//! The byte layout is the one of the kernel (`Documentation/admin-guide/device-mapper/verity.rst`) and of
//! cryptsetup's on-disk superblock; `veritysetup format` with the same salt and UUID writes the same bytes.
//!
//! Who writes: the builder ([`build()`]) when it makes an image. Who reads: the kernel's dm-verity, through a table
//! made by [`VerityTable`]; bennu-init, which reads that table back and compares it; bennud, which checks a slot
//! it has just written ([`verify_device`]), reads both slots in the background ([`scrub`]) and mends the one that does
//! not run ([`mend`]). The superblock is written for standard tools only: nothing of ours
//! takes a parameter from it at boot.
//!
//! On failure every function returns a typed error that names the block; nothing but [`mend`] repairs.

mod build;
mod fold;
mod layout;
pub mod mend;
mod params;
mod read_at;
pub mod scrub;
pub mod source;
mod superblock;
mod table;
mod table_parse;
mod verify;

pub use build::{BuildError, build};
pub use layout::{HashTreeLayout, LayoutError, Level, MAX_DATA_BLOCKS, max_tree_bytes_for_data};
pub use params::{
    HashArea, MAX_SALT_BYTES, ParamsError, RootHash, RootHashParseError, Salt, VerityParams, partition_uuids,
};
pub use read_at::{ReadAt, Section};
pub use superblock::{ReadSuperblockError, SUPERBLOCK_BYTES, Superblock, SuperblockError, read_superblock};
pub use table::{DeviceNumber, KeyDescription, TableError, TableMismatch, VerityOption, VerityTable, table};
pub use verify::{VerityError, verify_device};

/// Bytes in one data block and in one hash block. The largest size that every 4 KiB-page kernel accepts, and the
/// block size of the file systems we write.
pub const BLOCK_BYTES: usize = 4096;

/// Bytes in one SHA-256 digest.
pub const DIGEST_BYTES: usize = 32;

/// Digests in one hash block (4096 / 32).
pub const DIGESTS_PER_BLOCK: u64 = (BLOCK_BYTES / DIGEST_BYTES) as u64;

/// Bytes in one device-mapper sector, whatever the disk's own sector size is.
pub const DM_SECTOR_BYTES: u64 = 512;
