//! Reads a table that nobody vouches for.
//!
//! At most two headers and two arrays of 128 KiB are read. A copy is good when its header and both checksums are; only
//! then are its entries looked at.

use std::io::{self, Read, Seek, SeekFrom};

use uuid::Uuid;

use super::entry::Partition;
use super::header::{Header, HeaderError, PRIMARY_SECTOR};
use super::{ENTRY_BYTES, Table};
use crate::SECTOR_BYTES;

/// State of the two copies of a table.
#[derive(Debug)]
pub enum Health {
    /// Both copies are good and equal.
    Good,
    /// The primary is torn; the backup was taken. `gpt` on the kernel's command line makes Linux do the same.
    PrimaryTorn(HeaderError),
    /// The backup is torn; the primary was taken.
    BackupTorn(HeaderError),
    /// Both are good and not equal: a change was cut off between the two. The primary was taken, as firmware does.
    CopiesDiffer,
}

/// Why a whole table is refused: it contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A partition ends before it starts or leaves the usable area.
    #[error(
        "check partition {number}: sectors {first} to {last} are not within {usable_first} to {usable_last}"
    )]
    Outside {
        /// Number of the partition.
        number: u32,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// First usable sector.
        usable_first: u64,
        /// Last usable sector.
        usable_last: u64,
    },
    /// Two partitions share sectors.
    #[error("check partitions {first} and {second}: they overlap")]
    Overlap {
        /// Number of one.
        first: u32,
        /// Number of the other.
        second: u32,
    },
    /// Two partitions have one unique GUID, so a slot could not be told by it.
    #[error("check partitions {first} and {second}: both have the unique GUID {guid}")]
    DuplicateGuid {
        /// Number of one.
        first: u32,
        /// Number of the other.
        second: u32,
        /// The GUID.
        guid: Uuid,
    },
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The size of the disk could not be found.
    #[error("read disk size: {0}")]
    Size(#[source] io::Error),
    /// Neither copy is good.
    #[error("open partition table: primary: {primary}; backup: {backup}")]
    BothTorn {
        /// What is wrong with the primary.
        primary: HeaderError,
        /// What is wrong with the backup.
        backup: HeaderError,
    },
    /// The table contradicts itself.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// One good copy, as stored.
pub(crate) struct Copy {
    pub(crate) header: Header,
    pub(crate) entries: Vec<u8>,
}

/// Reads and checks the table of a disk.
pub fn open(disk: &mut (impl Read + Seek)) -> Result<(Table, Health), OpenError> {
    let (table, health, _) = open_copy(disk)?;
    Ok((table, health))
}

/// Like [`open`]; also gives the copy that was taken.
pub(crate) fn open_copy(disk: &mut (impl Read + Seek)) -> Result<(Table, Health, Copy), OpenError> {
    let disk_sectors = disk.seek(SeekFrom::End(0)).map_err(OpenError::Size)? / SECTOR_BYTES;
    let primary = read_copy(disk, PRIMARY_SECTOR, disk_sectors);
    let backup_sector = match &primary {
        Ok(primary) => primary.header.other_sector,
        Err(_) => disk_sectors.saturating_sub(1),
    };
    let backup = read_copy(disk, backup_sector, disk_sectors);
    let (copy, health) = match (primary, backup) {
        (Ok(primary), Ok(backup)) => {
            let equal = primary.entries == backup.entries && primary.header.describes_same(&backup.header);
            (primary, if equal { Health::Good } else { Health::CopiesDiffer })
        }
        (Ok(primary), Err(error)) => (primary, Health::BackupTorn(error)),
        (Err(error), Ok(backup)) => (backup, Health::PrimaryTorn(error)),
        (Err(primary), Err(backup)) => return Err(OpenError::BothTorn { primary, backup }),
    };
    let table = decode_table(&copy, disk_sectors);
    check_partitions(&table)?;
    Ok((table, health, copy))
}

impl Header {
    fn describes_same(&self, other: &Self) -> bool {
        (self.disk_guid, self.first_usable, self.last_usable)
            == (other.disk_guid, other.first_usable, other.last_usable)
    }
}

fn read_copy(disk: &mut (impl Read + Seek), sector: u64, disk_sectors: u64) -> Result<Copy, HeaderError> {
    let failed = |source| HeaderError::Read { sector, source };
    let mut bytes = [0; SECTOR_BYTES as usize];
    read_at(disk, sector, &mut bytes).map_err(failed)?;
    let header = Header::decode(&bytes, sector, disk_sectors)?;
    let mut entries = vec![0; header.entries_bytes()];
    read_at(disk, header.entries_sector, &mut entries).map_err(failed)?;
    let (expected, found) = (crc32fast::hash(&entries), header.entries_crc);
    if expected != found {
        return Err(HeaderError::EntriesChecksum { expected, found });
    }
    Ok(Copy { header, entries })
}

fn read_at(disk: &mut (impl Read + Seek), sector: u64, bytes: &mut [u8]) -> io::Result<()> {
    let at = sector
        .checked_mul(SECTOR_BYTES)
        .ok_or(io::ErrorKind::InvalidInput)?;
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(bytes)
}

pub(crate) fn decode_table(copy: &Copy, disk_sectors: u64) -> Table {
    let partitions = (1..)
        .zip(copy.entries.chunks_exact(ENTRY_BYTES))
        .filter_map(|(number, bytes)| Partition::decode(number, bytes))
        .collect();
    Table {
        disk_guid: copy.header.disk_guid,
        disk_sectors,
        first_usable: copy.header.first_usable,
        last_usable: copy.header.last_usable,
        partitions,
    }
}

/// Checks that the partitions lie inside the usable area, apart, and have different GUIDs.
pub(crate) fn check_partitions(table: &Table) -> Result<(), TableError> {
    for partition in &table.partitions {
        let (first, last) = (partition.first_sector, partition.last_sector);
        if first > last || first < table.first_usable || last > table.last_usable {
            return Err(TableError::Outside {
                number: partition.number,
                first,
                last,
                usable_first: table.first_usable,
                usable_last: table.last_usable,
            });
        }
    }
    let mut by_place: Vec<&Partition> = table.partitions.iter().collect();
    by_place.sort_by_key(|partition| partition.first_sector);
    for pair in by_place.windows(2) {
        if pair[0].last_sector >= pair[1].first_sector {
            return Err(TableError::Overlap {
                first: pair[0].number,
                second: pair[1].number,
            });
        }
    }
    let mut by_guid: Vec<&Partition> = table.partitions.iter().collect();
    by_guid.sort_by_key(|partition| (partition.unique_guid, partition.number));
    for pair in by_guid.windows(2) {
        let guid = pair[0].unique_guid;
        if guid == pair[1].unique_guid {
            return Err(TableError::DuplicateGuid {
                first: pair[0].number,
                second: pair[1].number,
                guid,
            });
        }
    }
    Ok(())
}
