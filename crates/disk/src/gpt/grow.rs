//! Lets the last partition reach the end of a disk that is larger than its table: an image flashed to a medium, a
//! virtual disk made larger.
//!
//! `bennu-init` does this for the state partition. Order: 1. if the primary is torn, restore it from the backup, flush;
//! 2. write the new backup at the disk's end, flush: the old primary still names the old backup; 3. write the primary,
//! flush: if that is torn, the backup at the disk's end, where everybody looks, is the new one; 4. the protective MBR.
//! So at every moment one copy is whole. The old backup lies within the grown partition then, and is overwritten by
//! its content some day.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::header::{Header, PRIMARY_SECTOR};
use super::open::{Copy, Health, OpenError, TableError, check_partitions, decode_table, open_copy};
use super::plan::{protective_mbr, write_copy};
use super::{ALIGNMENT_BYTES, ENTRY_BYTES, Table};
use crate::{Durable, SECTOR_BYTES};

/// Place of the last sector within an entry (UEFI 2.10, section 5.3.3).
const LAST_SECTOR_OFFSET: usize = 40;

/// Why a partition did not grow.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// The table could not be read; nothing was written.
    #[error("grow partition {number}: {source}")]
    Open {
        /// Number of the partition.
        number: u32,
        /// Why.
        source: OpenError,
    },
    /// No such partition, or another one lies behind it; nothing was written.
    #[error("grow partition {number}: expected the last partition on the disk, found another one or none")]
    NotTheLast {
        /// Number of the partition.
        number: u32,
    },
    /// The new table would contradict itself; nothing was written.
    #[error("grow partition {number}: {source}")]
    Table {
        /// Number of the partition.
        number: u32,
        /// How.
        source: TableError,
    },
    /// Writing failed; the copy that was not being written is whole.
    #[error("grow partition {number}: write {what}: {source}")]
    Write {
        /// Number of the partition.
        number: u32,
        /// What was being written.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Grows partition `number`, the last one on the disk, to the disk's end less the backup table, at a multiple of 1 MiB.
/// `None` where there is nothing to gain; nothing is written then.
///
/// # Errors
/// [`GrowError`].
pub fn grow_last(
    disk: &mut (impl Read + Write + Seek + Durable),
    number: u32,
) -> Result<Option<Table>, GrowError> {
    let (old, health, copy) = open_copy(disk).map_err(|source| GrowError::Open { number, source })?;
    let last = old.partitions.iter().max_by_key(|p| p.last_sector);
    let Some(partition) = last.filter(|p| p.number == number) else {
        return Err(GrowError::NotTheLast { number });
    };
    let primary_now = match copy.header.sector {
        PRIMARY_SECTOR => copy.header.clone(),
        _ => copy.header.counterpart(),
    };
    let Some(new) = enlarged(
        &copy,
        &primary_now,
        old.disk_sectors,
        partition.last_sector,
        number,
    ) else {
        return Ok(None);
    };
    let table = decode_table(&new, old.disk_sectors);
    check_partitions(&table).map_err(|source| GrowError::Table { number, source })?;

    let failed = |what| move |source| GrowError::Write { number, what, source };
    if matches!(health, Health::PrimaryTorn(_)) {
        write_copy(disk, &primary_now, &copy.entries).map_err(failed("the torn primary table"))?;
    }
    write_copy(disk, &new.header.counterpart(), &new.entries).map_err(failed("the backup table"))?;
    write_copy(disk, &new.header, &new.entries).map_err(failed("the primary table"))?;
    write_mbr(disk, old.disk_sectors).map_err(failed("the protective MBR"))?;
    Ok(Some(table))
}

/// The primary copy as it will be; `None` where the partition would not grow.
fn enlarged(copy: &Copy, primary: &Header, disk_sectors: u64, last_now: u64, number: u32) -> Option<Copy> {
    let backup_sector = disk_sectors.checked_sub(1)?;
    let last_usable = backup_sector.checked_sub(primary.entries_sectors() + 1)?;
    let alignment = ALIGNMENT_BYTES / SECTOR_BYTES;
    let last = ((last_usable + 1) / alignment * alignment).checked_sub(1)?;
    if last <= last_now || backup_sector <= primary.other_sector {
        return None;
    }
    let mut entries = copy.entries.clone();
    let at = (number as usize - 1) * ENTRY_BYTES + LAST_SECTOR_OFFSET;
    entries.get_mut(at..at + 8)?.copy_from_slice(&last.to_le_bytes());
    let header = Header {
        other_sector: backup_sector,
        last_usable,
        entries_crc: crc32fast::hash(&entries),
        ..primary.clone()
    };
    Some(Copy { header, entries })
}

fn write_mbr(disk: &mut (impl Write + Seek + Durable), disk_sectors: u64) -> io::Result<()> {
    disk.seek(SeekFrom::Start(0))?;
    disk.write_all(&protective_mbr(disk_sectors))?;
    disk.flush()?;
    disk.sync()
}
