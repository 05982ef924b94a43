//! The state partition reaches to the disk's end: an image is flashed to media of any size, and virtual disks grow.
//!
//! Written: the partition table, in an order that survives a power cut (`bennu_disk::gpt::grow_last`). A table that
//! cannot be changed is no reason not to start: the volume stays as large as it is, and that is said.

use crate::journal::Journal;
use bennu_disk::gpt;
use bennu_linux::block::{BlockDevice, BlockError, OpenMode};

/// Why it did not grow.
#[derive(Debug, thiserror::Error)]
enum NotGrown {
    #[error("{0}")]
    Block(#[from] BlockError),
    #[error("{0}")]
    Table(#[from] gpt::GrowError),
}

/// Gives the partition as it is afterwards.
pub fn grow(disk: &BlockDevice, partition: &BlockDevice, journal: &mut Journal) -> BlockDevice {
    match try_to_grow(disk, partition) {
        Ok(None) => partition.clone(),
        Ok(Some(grown)) => {
            let mib = grown.size_sectors512 / 2048;
            journal.say(&format!("state partition grown to {mib} MiB, the disk's end"));
            grown
        }
        Err(error) => {
            journal.warn(&format!("the state partition stays as large as it is: {error}"));
            partition.clone()
        }
    }
}

fn try_to_grow(disk: &BlockDevice, partition: &BlockDevice) -> Result<Option<BlockDevice>, NotGrown> {
    let Some(number) = partition.partition.as_ref().map(|p| p.number) else {
        return Ok(None);
    };
    let mut file = disk.open(OpenMode::ReadWrite)?;
    let Some(table) = gpt::grow_last(&mut file, number)? else {
        return Ok(None);
    };
    let entry = table.partitions().iter().find(|p| p.number == number);
    match entry.map(|p| p.byte_len() / 512) {
        Some(sectors) => Ok(Some(partition.resized(sectors)?)),
        None => Ok(None),
    }
}
