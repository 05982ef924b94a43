//! FAT32 volumes with long names: the EFI system partition.
//!
//! The builder writes a whole volume at once ([`Plan`]); firmware, systemd-boot, Linux and [`reader`] read it.
//! Sources: Microsoft, "FAT: General Overview of On-Disk Format" 1.03 (fatgen103); UEFI 2.10, section 13.3.
//!
//! Written volumes are deterministic: sorted directories, files in one piece each, given times and ids. Names are
//! printable ASCII. `fsck.vfat` finds nothing to say about them. The reader takes no byte on trust.

mod boot;
mod geometry;
mod name;
pub mod reader;
mod slots;
mod time;
mod tree;
mod write;

pub use geometry::{GeometryError, MIN_VOLUME_BYTES};
pub use name::{MAX_NAME_CHARS, NameError, VolumeLabel, VolumeLabelError};
pub use time::DosTime;
pub use tree::{Content, Entry, TreeError};
pub use write::{FatError, Plan, VolumeSpec};

/// Bytes of one directory slot.
pub(crate) const SLOT_BYTES: usize = 32;

/// Most bytes in one directory: 65,536 slots (fatgen103).
pub(crate) const MAX_DIRECTORY_BYTES: usize = 65_536 * SLOT_BYTES;

/// Deepest path in components; deeper ones are refused by writer and reader.
pub const MAX_DEPTH: usize = 16;

/// Attribute bits of a directory slot.
pub(crate) mod attribute {
    pub(crate) const READ_ONLY: u8 = 0x01;
    pub(crate) const HIDDEN: u8 = 0x02;
    pub(crate) const SYSTEM: u8 = 0x04;
    pub(crate) const VOLUME_ID: u8 = 0x08;
    pub(crate) const DIRECTORY: u8 = 0x10;
    pub(crate) const ARCHIVE: u8 = 0x20;
    /// A slot with exactly these low six bits holds a part of a long name.
    pub(crate) const LONG_NAME: u8 = READ_ONLY | HIDDEN | SYSTEM | VOLUME_ID;
    pub(crate) const LONG_NAME_MASK: u8 = LONG_NAME | DIRECTORY | ARCHIVE;
}
