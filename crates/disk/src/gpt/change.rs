//! Changes GUID and label of one entry on a disk in use.
//!
//! bennud does this at every step of an update. Order: 1. if the primary is torn, restore it from the backup, flush;
//! 2. write the backup copy, flush; 3. write the primary copy, flush. So at every moment one copy is whole, and a
//! power cut leaves either the old or the new table. All other bytes of the table stay as they are.

use std::io::{self, Read, Seek, Write};

use uuid::Uuid;

use super::entry::{Label, rename};
use super::header::{Header, PRIMARY_SECTOR};
use super::open::{Copy, Health, OpenError, TableError, check_partitions, decode_table, open_copy};
use super::plan::write_copy;
use super::{ENTRY_BYTES, Table};
use crate::Durable;

/// What an entry becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryChange {
    /// New unique GUID; not zero, and no other partition's.
    pub unique_guid: Uuid,
    /// New label.
    pub label: Label,
}

/// Why an entry was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The table could not be read; nothing was written.
    #[error("change partition {number}: {source}")]
    Open {
        /// Number of the partition.
        number: u32,
        /// Why.
        source: OpenError,
    },
    /// No such partition; nothing was written.
    #[error("change partition {number}: the table has no such partition")]
    NoSuchPartition {
        /// Number of the partition.
        number: u32,
    },
    /// The new GUID is zero; nothing was written.
    #[error("change partition {number}: the new GUID is zero; give it one")]
    ZeroGuid {
        /// Number of the partition.
        number: u32,
    },
    /// The new table would contradict itself; nothing was written.
    #[error("change partition {number}: {source}")]
    Table {
        /// Number of the partition.
        number: u32,
        /// How.
        source: TableError,
    },
    /// The torn primary could not be restored. The backup holds the old table.
    #[error("change partition {number}: restore primary table: {source}")]
    RestorePrimary {
        /// Number of the partition.
        number: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The backup could not be written. The primary holds the old table.
    #[error("change partition {number}: write backup table: {source}")]
    WriteBackup {
        /// Number of the partition.
        number: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The primary could not be written. The backup holds the new table.
    #[error("change partition {number}: write primary table: {source}")]
    WritePrimary {
        /// Number of the partition.
        number: u32,
        /// What the system said.
        source: io::Error,
    },
}

/// Gives partition `number` another GUID and label, in an order that survives a power cut at any write. Returns the
/// new table and the state in which the old one was found; afterwards both copies are good.
pub fn change_entry(
    disk: &mut (impl Read + Write + Seek + Durable),
    number: u32,
    change: &EntryChange,
) -> Result<(Table, Health), ChangeError> {
    let (old, health, copy) = open_copy(disk).map_err(|source| ChangeError::Open { number, source })?;
    if !old.partitions.iter().any(|partition| partition.number == number) {
        return Err(ChangeError::NoSuchPartition { number });
    }
    if change.unique_guid.is_nil() {
        return Err(ChangeError::ZeroGuid { number });
    }
    let mut entries = copy.entries.clone();
    let at = (number as usize - 1) * ENTRY_BYTES;
    let slot = entries
        .get_mut(at..at + ENTRY_BYTES)
        .ok_or(ChangeError::NoSuchPartition { number })?;
    rename(slot, change.unique_guid, change.label);
    let (old_primary, old_backup) = both_headers(&copy.header);
    let entries_crc = crc32fast::hash(&entries);
    let primary = Header {
        entries_crc,
        ..old_primary.clone()
    };
    let backup = Header {
        entries_crc,
        ..old_backup
    };
    let new = decode_table(
        &Copy {
            header: primary.clone(),
            entries: entries.clone(),
        },
        old.disk_sectors,
    );
    check_partitions(&new).map_err(|source| ChangeError::Table { number, source })?;

    if matches!(health, Health::PrimaryTorn(_)) {
        write_copy(disk, &old_primary, &copy.entries)
            .map_err(|source| ChangeError::RestorePrimary { number, source })?;
    }
    write_copy(disk, &backup, &entries).map_err(|source| ChangeError::WriteBackup { number, source })?;
    write_copy(disk, &primary, &entries).map_err(|source| ChangeError::WritePrimary { number, source })?;
    Ok((new, health))
}

fn both_headers(taken: &Header) -> (Header, Header) {
    let counterpart = taken.counterpart();
    if taken.sector == PRIMARY_SECTOR {
        (taken.clone(), counterpart)
    } else {
        (counterpart, taken.clone())
    }
}
