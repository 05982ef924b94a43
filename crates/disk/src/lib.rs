//! GPT partition tables, FAT32 volumes and sparse disk images, on plain files and without privileges.
//!
//! The builder writes whole images with it; bennud changes partition entries on a running disk; `bennu inspect`,
//! bennud and the tests read tables and EFI system partitions that nobody vouches for. Output depends on the
//! arguments only: no clock, no random numbers.
//!
//! On failure every function returns a typed error. Reading never panics, whatever the bytes; what is read is
//! untrusted until something else verifies it.

pub mod fat;
pub mod gpt;
pub mod image;
mod window;

pub use window::{Durable, Window};

/// Bytes in one sector. Disks with 4096-byte sectors are not supported.
pub const SECTOR_BYTES: u64 = 512;
