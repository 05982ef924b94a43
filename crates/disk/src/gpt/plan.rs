//! Plans a new table and writes it: protective MBR, backup copy, primary copy.

use std::io::{self, Seek, SeekFrom, Write};

use uuid::Uuid;

use super::entry::{Attributes, Label, Partition};
use super::header::{Header, PRIMARY_ENTRIES_SECTOR, PRIMARY_SECTOR};
use super::open::{TableError, check_partitions};
use super::{ALIGNMENT_BYTES, ENTRIES, ENTRY_BYTES, Table};
use crate::{Durable, SECTOR_BYTES};

const ALIGNMENT_SECTORS: u64 = ALIGNMENT_BYTES / SECTOR_BYTES;
const ENTRIES_SECTORS: u64 = ENTRIES as u64 * ENTRY_BYTES as u64 / SECTOR_BYTES;
const FIRST_USABLE: u64 = PRIMARY_ENTRIES_SECTOR + ENTRIES_SECTORS;

/// Sectors after the last usable one: the backup's entries and header.
const TAIL_SECTORS: u64 = ENTRIES_SECTORS + 1;

/// Where a partition goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Exactly these sectors of 512 bytes, both inclusive. No alignment is asked for.
    Sectors {
        /// First sector.
        first: u64,
        /// Last sector.
        last: u64,
    },
    /// The next 1 MiB boundary after the partition before it in the list; `bytes` is rounded up to whole sectors.
    Next {
        /// Size in bytes.
        bytes: u64,
    },
}

/// A partition to be made. Its number is its place in the list, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSpec {
    /// GUID of the type.
    pub type_guid: Uuid,
    /// GUID of this partition (PARTUUID). Never zero: systemd-boot could not name its disk.
    pub unique_guid: Uuid,
    /// Name.
    pub label: Label,
    /// Where it goes.
    pub place: Place,
    /// Attribute bits.
    pub attributes: Attributes,
}

/// Why a table cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than [`ENTRIES`] partitions.
    #[error("plan partition table: {found} partitions; at most {} are supported", ENTRIES)]
    TooMany {
        /// Partitions asked for.
        found: usize,
    },
    /// The disk's size is not a whole number of sectors.
    #[error("plan partition table: disk of {found} bytes; expected a multiple of 512")]
    DiskSize {
        /// Bytes given.
        found: u64,
    },
    /// The disk ends before the last partition and the backup table.
    #[error("plan partition table: disk of {found} bytes; {needed} are needed")]
    DiskTooSmall {
        /// Bytes given.
        found: u64,
        /// Bytes needed at least.
        needed: u64,
    },
    /// A size of zero, or past 2^64.
    #[error("plan partition table: partition {number} has a size or place that no disk has")]
    Size {
        /// Number of the partition.
        number: u32,
    },
    /// A GUID of zero.
    #[error("plan partition table: partition {number} has a zero GUID; give it one")]
    ZeroGuid {
        /// Number of the partition.
        number: u32,
    },
    /// The partitions contradict each other.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Why a table was not written. The disk is in an unknown state.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The protective MBR.
    #[error("write protective MBR: {0}")]
    Mbr(#[source] io::Error),
    /// The backup copy, or its flush.
    #[error("write backup partition table: {0}")]
    Backup(#[source] io::Error),
    /// The primary copy, or its flush.
    #[error("write primary partition table: {0}")]
    Primary(#[source] io::Error),
}

/// Bytes of the smallest disk that holds these partitions: a multiple of 1 MiB.
pub fn required_disk_bytes(specs: &[PartitionSpec]) -> Result<u64, PlanError> {
    let partitions = place(specs)?;
    let end = partitions
        .iter()
        .map(|partition| partition.last_sector)
        .max()
        .unwrap_or(FIRST_USABLE - 1);
    let number = partitions.len() as u32;
    end.checked_add(1 + TAIL_SECTORS)
        .and_then(|sectors| sectors.checked_mul(SECTOR_BYTES))
        .and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT_BYTES))
        .ok_or(PlanError::Size { number })
}

impl Table {
    /// The table for a disk of `disk_bytes` (a multiple of 512).
    pub fn plan(disk_bytes: u64, disk_guid: Uuid, specs: &[PartitionSpec]) -> Result<Self, PlanError> {
        if !disk_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(PlanError::DiskSize { found: disk_bytes });
        }
        let disk_sectors = disk_bytes / SECTOR_BYTES;
        let partitions = place(specs)?;
        let end = partitions
            .iter()
            .map(|partition| partition.last_sector)
            .max()
            .unwrap_or(FIRST_USABLE);
        if end.saturating_add(1 + TAIL_SECTORS) > disk_sectors {
            let needed = required_disk_bytes(specs)?;
            return Err(PlanError::DiskTooSmall {
                found: disk_bytes,
                needed,
            });
        }
        let last_usable = disk_sectors - TAIL_SECTORS - 1;
        let table = Self {
            disk_guid,
            disk_sectors,
            first_usable: FIRST_USABLE,
            last_usable,
            partitions,
        };
        check_partitions(&table)?;
        Ok(table)
    }

    /// Writes the whole table to an empty disk: protective MBR and backup copy, flush, primary copy, flush.
    pub fn write(&self, disk: &mut (impl Write + Seek + Durable)) -> Result<(), WriteError> {
        let entries = self.encode_entries();
        let primary = Header {
            sector: PRIMARY_SECTOR,
            other_sector: self.disk_sectors - 1,
            first_usable: self.first_usable,
            last_usable: self.last_usable,
            disk_guid: self.disk_guid,
            entries_sector: PRIMARY_ENTRIES_SECTOR,
            entry_count: (entries.len() / ENTRY_BYTES) as u32,
            entries_crc: crc32fast::hash(&entries),
        };
        write_at(disk, 0, &protective_mbr(self.disk_sectors)).map_err(WriteError::Mbr)?;
        write_copy(disk, &primary.counterpart(), &entries).map_err(WriteError::Backup)?;
        write_copy(disk, &primary, &entries).map_err(WriteError::Primary)
    }

    fn encode_entries(&self) -> Vec<u8> {
        let mut entries = vec![0; ENTRIES as usize * ENTRY_BYTES];
        for partition in &self.partitions {
            let at = (partition.number as usize - 1) * ENTRY_BYTES;
            if let Some(slot) = entries.get_mut(at..at + ENTRY_BYTES) {
                slot.copy_from_slice(&partition.encode());
            }
        }
        entries
    }
}

/// Writes entries, then header, then flushes to the medium.
pub(crate) fn write_copy(
    disk: &mut (impl Write + Seek + Durable),
    header: &Header,
    entries: &[u8],
) -> io::Result<()> {
    write_at(disk, header.entries_sector, entries)?;
    write_at(disk, header.sector, &header.encode())?;
    disk.flush()?;
    disk.sync()
}

fn write_at(disk: &mut (impl Write + Seek), sector: u64, bytes: &[u8]) -> io::Result<()> {
    disk.seek(SeekFrom::Start(sector * SECTOR_BYTES))?;
    disk.write_all(bytes)
}

fn place(specs: &[PartitionSpec]) -> Result<Vec<Partition>, PlanError> {
    if specs.len() > ENTRIES as usize {
        return Err(PlanError::TooMany { found: specs.len() });
    }
    let mut next_free = FIRST_USABLE;
    let mut partitions = Vec::with_capacity(specs.len());
    for (number, spec) in (1..).zip(specs) {
        if spec.unique_guid.is_nil() || spec.type_guid.is_nil() {
            return Err(PlanError::ZeroGuid { number });
        }
        let refused = PlanError::Size { number };
        let (first, last) = sectors(spec.place, next_free).ok_or(refused.clone())?;
        next_free = last.checked_add(1).ok_or(refused)?;
        partitions.push(Partition {
            number,
            type_guid: spec.type_guid,
            unique_guid: spec.unique_guid,
            first_sector: first,
            last_sector: last,
            attributes: spec.attributes,
            label: spec.label,
        });
    }
    Ok(partitions)
}

fn sectors(place: Place, next_free: u64) -> Option<(u64, u64)> {
    match place {
        Place::Sectors { first, last } => (first <= last).then_some((first, last)),
        Place::Next { bytes } => {
            let first = next_free.checked_next_multiple_of(ALIGNMENT_SECTORS)?;
            let last = first.checked_add(bytes.div_ceil(SECTOR_BYTES).checked_sub(1)?)?;
            Some((first, last))
        }
    }
}

/// One record of type 0xEE over the whole disk. Source: UEFI 2.10, section 5.2.3.
pub(crate) fn protective_mbr(disk_sectors: u64) -> [u8; SECTOR_BYTES as usize] {
    let sectors = u32::try_from(disk_sectors - 1).unwrap_or(u32::MAX);
    let mut bytes = [0; SECTOR_BYTES as usize];
    let record = &mut bytes[446..462];
    record[1..4].copy_from_slice(&[0x00, 0x02, 0x00]);
    record[4] = 0xee;
    record[5..8].copy_from_slice(&[0xff, 0xff, 0xff]);
    record[8..12].copy_from_slice(&1u32.to_le_bytes());
    record[12..16].copy_from_slice(&sectors.to_le_bytes());
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}
