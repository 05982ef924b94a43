//! The boot disk and the slot: found by GUIDs on the disk that systemd-boot was loaded from.

use crate::error::InitError;
use crate::hardware::{Hardware, Storage};
use bennu_disk::gpt;
use bennu_formats::RootHash;
use bennu_formats::units::{Bytes, Sectors512};
use bennu_linux::block::{BlockDevice, BlockError, OpenMode, Sysfs};
use bennu_linux::efivars::EfiVars;
use bennu_linux::time;
use std::time::Duration;
use uuid::Uuid;

/// How long a disk may take to appear: USB bridges need ten seconds and more.
const DISK_WAIT: Duration = Duration::from_secs(30);
/// How long one that is there at once may take, before the other controllers are looked through: an NVMe controller
/// becomes ready within half a second.
const FAST_WAIT: Duration = Duration::from_millis(600);
/// Between two looks at what devices ask for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The partitions that this boot uses.
pub struct Slot {
    /// The whole disk.
    pub disk: BlockDevice,
    /// EFI system partition.
    pub esp: BlockDevice,
    /// Root.
    pub root: BlockDevice,
    /// Hash tree.
    pub verity: BlockDevice,
    /// Manifest.
    pub verity_sig: BlockDevice,
    /// The partition of the state volume, by its label; one at most.
    pub state: Option<BlockDevice>,
}

/// Length of a partition in bytes.
pub fn length(device: &BlockDevice) -> Bytes {
    Sectors512(device.size_sectors512).to_bytes().unwrap_or(Bytes(0))
}

/// The disk that systemd-boot was loaded from, and its ESP.
pub struct BootDisk {
    disk: Disk,
    /// EFI system partition.
    pub esp: BlockDevice,
}

/// Finds the boot disk. No other disk has its ESP's GUID: a verdict is written to this ESP and no other.
pub fn find_disk(hardware: &mut Hardware<'_>) -> Result<BootDisk, InitError> {
    let text = EfiVars::default()
        .loader_device_part_uuid()
        .map_err(InitError::EfiVariable)?;
    let esp_guid: Uuid = text
        .and_then(|t| t.parse().ok())
        .ok_or(InitError::NoLoaderDevice)?;
    let disk = wait_for_disk(esp_guid, hardware)?;
    refuse_duplicates(&disk.device.name, &[esp_guid])?;
    Ok(BootDisk {
        esp: disk.partition(esp_guid, "ESP")?,
        disk,
    })
}

impl BootDisk {
    /// Finds the slot of `root_hash` on it, and on no other disk.
    pub fn slot(self, root_hash: &RootHash) -> Result<Slot, InitError> {
        let Self { disk, esp } = self;
        let root = Uuid::from_bytes(root_hash.data_partition_uuid());
        let verity = Uuid::from_bytes(root_hash.verity_partition_uuid());
        let sig = Uuid::from_bytes(root_hash.verity_sig_partition_uuid());
        let slot = Slot {
            esp,
            root: disk.partition(root, "root")?,
            verity: disk.partition(verity, "root-verity")?,
            verity_sig: disk.partition(sig, "root-verity-sig")?,
            state: state_partition(&disk),
            disk: disk.device,
        };
        refuse_duplicates(&slot.disk.name, &[root, verity, sig])?;
        Ok(slot)
    }
}

/// The one partition labelled `state` on the boot disk. Which volume lies there is for the TPM to say.
fn state_partition(disk: &Disk) -> Option<BlockDevice> {
    let mut labelled = disk.table.partitions().iter().filter(|p| p.label.is("state"));
    let number = match (labelled.next(), labelled.next()) {
        (Some(partition), None) => partition.number,
        _ => return None,
    };
    let numbered = |d: &&BlockDevice| d.partition.as_ref().is_some_and(|p| p.number == number);
    disk.partitions.iter().find(numbered).cloned()
}

/// Every partition of `disk` with its entry in the table.
pub fn partitions_of(disk: &BlockDevice) -> Result<Vec<(gpt::Partition, BlockDevice)>, InitError> {
    let devices = Sysfs::default().block_devices().map_err(InitError::Block)?;
    let found = tables(&devices)
        .into_iter()
        .find(|d| d.device.number == disk.number);
    let Some(Disk {
        table, partitions, ..
    }) = found
    else {
        return Ok(Vec::new());
    };
    let entry = |device: &BlockDevice| {
        let number = device.partition.as_ref()?.number;
        table.partitions().iter().find(|p| p.number == number).cloned()
    };
    Ok(partitions
        .into_iter()
        .filter_map(|device| Some((entry(&device)?, device)))
        .collect())
}

/// A disk with a readable GPT.
struct Disk {
    device: BlockDevice,
    table: gpt::Table,
    partitions: Vec<BlockDevice>,
}

impl Disk {
    fn partition(&self, guid: Uuid, what: &'static str) -> Result<BlockDevice, InitError> {
        let number = self.table.by_unique_guid(guid).map(|p| p.number);
        let numbered = |d: &&BlockDevice| d.partition.as_ref().is_some_and(|p| Some(p.number) == number);
        let found = number.and_then(|_| self.partitions.iter().find(numbered));
        found.cloned().ok_or_else(|| InitError::SlotMissing {
            guid,
            what,
            disk: self.device.name.clone(),
        })
    }
}

fn wait_for_disk(esp_guid: Uuid, hardware: &mut Hardware<'_>) -> Result<Disk, InitError> {
    let start = time::monotonic();
    let mut looked = start;
    let found = Sysfs::default().wait_for(DISK_WAIT, |devices| -> Result<Option<Disk>, InitError> {
        for disk in tables(devices) {
            if disk.table.by_unique_guid(esp_guid).is_some() && !disk.partitions.is_empty() {
                return Ok(Some(disk));
            }
        }
        let now = time::monotonic();
        let fast_is_over = !hardware.may_bring_a_disk() || now.saturating_sub(start) >= FAST_WAIT;
        if hardware.storage() == Storage::Fast && fast_is_over {
            hardware.all_storage()?;
        } else if now.saturating_sub(looked) >= LOOK_INTERVAL {
            looked = now;
            hardware.look()?;
        }
        Ok(None)
    });
    match found {
        Err(InitError::Block(BlockError::Deadline { .. })) => {
            Err(InitError::NoBootDisk(esp_guid, DISK_WAIT.as_secs()))
        }
        other => other,
    }
}

/// The disks among `devices` that have a GPT. A disk without one, or one that cannot be read, is not the boot
/// disk; if it should have been, the wait for the boot disk says so.
fn tables(devices: &[BlockDevice]) -> Vec<Disk> {
    let disks = devices
        .iter()
        .filter(|d| d.partition.is_none() && !d.is_virtual && d.size_sectors512 > 0);
    disks
        .filter_map(|device| {
            let mut file = device.open(OpenMode::Read).ok()?;
            let (table, _health) = gpt::open(&mut file).ok()?;
            let of_disk = |d: &&BlockDevice| d.partition.as_ref().is_some_and(|p| p.disk == device.name);
            let partitions = devices.iter().filter(of_disk).cloned().collect();
            Some(Disk {
                device: device.clone(),
                table,
                partitions,
            })
        })
        .collect()
}

/// A second disk with one of our GUIDs may be a clone made to be confused with ours.
fn refuse_duplicates(ours: &str, guids: &[Uuid]) -> Result<(), InitError> {
    let devices = Sysfs::default().block_devices().map_err(InitError::Block)?;
    for disk in tables(&devices).iter().filter(|d| d.device.name != ours) {
        for guid in guids {
            if disk.table.by_unique_guid(*guid).is_some() {
                return Err(InitError::DuplicatePartition {
                    guid: *guid,
                    first: ours.to_owned(),
                    second: disk.device.name.clone(),
                });
            }
        }
    }
    Ok(())
}
