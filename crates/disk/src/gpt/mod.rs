//! GUID partition tables on disks with 512-byte sectors.
//!
//! The builder plans and writes a table ([`Table::plan`], [`Table::write`]); bennud renames entries when it installs
//! an update ([`change_entry`]); both, and `bennu inspect`, read tables ([`open`]). Source: UEFI 2.10, section 5.
//!
//! A table is stored twice. [`change_entry`] writes and flushes one copy before it touches the other, so that at
//! every moment one of them is whole; [`open`] takes the backup when the primary is torn and says so. A table that is
//! whole but contradicts itself (overlaps, two partitions with one GUID) is refused, never repaired.

mod change;
mod entry;
mod grow;
mod header;
mod open;
mod plan;

pub use change::{ChangeError, EntryChange, change_entry};
pub use entry::{Attributes, Label, LabelError, MAX_LABEL_UNITS, Partition};
pub use grow::{GrowError, grow_last};
pub use header::HeaderError;
pub use open::{Health, OpenError, TableError, open};
pub use plan::{PartitionSpec, Place, PlanError, WriteError, required_disk_bytes};

use uuid::Uuid;

/// Partitions start at multiples of this many bytes (1 MiB), as every current tool does.
pub const ALIGNMENT_BYTES: u64 = 1 << 20;

/// Entries in the tables we write: the least that UEFI 2.10, section 5.3.1, allows (16 KiB).
pub const ENTRIES: u32 = 128;

/// Most entries in tables we read (128 KiB).
pub const MAX_ENTRIES: u32 = 1024;

/// Bytes of one entry. Larger entries are allowed by the specification and seen nowhere.
pub const ENTRY_BYTES: usize = 128;

/// A table whose partitions lie inside the usable area, do not overlap and have different GUIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub(crate) disk_guid: Uuid,
    pub(crate) disk_sectors: u64,
    pub(crate) first_usable: u64,
    pub(crate) last_usable: u64,
    pub(crate) partitions: Vec<Partition>,
}

impl Table {
    /// GUID of the disk.
    pub fn disk_guid(&self) -> Uuid {
        self.disk_guid
    }

    /// Sectors of 512 bytes on the disk.
    pub fn disk_sectors(&self) -> u64 {
        self.disk_sectors
    }

    /// First and last sector that partitions may use.
    pub fn usable_sectors(&self) -> (u64, u64) {
        (self.first_usable, self.last_usable)
    }

    /// The partitions, by number.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with this unique GUID (its PARTUUID); there is at most one.
    pub fn by_unique_guid(&self, guid: Uuid) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.unique_guid == guid)
    }
}
