//! What the machine says about its root and its boot disk, for `bennu_policy::gate` to decide.

use super::{NoGate, device_of};
use bennu_disk::gpt;
use bennu_formats::cmdline::{self, MAX_CMDLINE_BYTES};
use bennu_formats::handover::Handover;
use bennu_linux::block::{BlockDevice, DeviceNumber, OpenMode, Sysfs};
use bennu_linux::bounded;
use bennu_linux::dm::{DeviceMapper, Name};
use bennu_policy::gate::{self, Device, Partition, RootFacts};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Directories of the root that programs are made of, where they are directories and no links. Nothing is mounted into
/// them once the gate stands; into others of the first level (/var, /home, /boot …) things are mounted every day.
const TOPS: [&str; 8] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
];

/// Where a file is.
pub struct Place {
    /// Device of its file system.
    pub device: Device,
    /// Its inode.
    pub inode: u64,
}

/// Follows links.
pub fn look_at(path: &str) -> Result<Place, NoGate> {
    let metadata = std::fs::metadata(path).map_err(|source| NoGate::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(Place {
        device: device_of(&metadata),
        inode: metadata.ino(),
    })
}

/// Inode of a program on the root.
///
/// # Errors
/// [`NoGate::File`], [`NoGate::ForeignProgram`].
pub fn on_root(path: &str, root: Device) -> Result<u64, NoGate> {
    let found = look_at(path)?;
    if found.device == root {
        return Ok(found.inode);
    }
    Err(NoGate::ForeignProgram {
        path: path.to_owned(),
        root,
        found: found.device,
    })
}

/// The device whose files execute.
pub fn root(handover: &Handover) -> Result<Device, NoGate> {
    let handed_over = number(&handover.verity_device.number)?;
    let words = bounded::read(Path::new("/proc/cmdline"), MAX_CMDLINE_BYTES)?;
    Ok(gate::root_device(&RootFacts {
        handed_over,
        table_handed_over: &handover.verity_table,
        table_now: &table(handed_over)?,
        root_hash: cmdline::root_hash(&words)?,
        own_executable: look_at("/proc/self/exe")?.device,
    })?)
}

/// The live table of `device`: target and parameters.
fn table(device: Device) -> Result<String, NoGate> {
    let dm = DeviceMapper::open()?;
    let found = dm
        .devices()?
        .into_iter()
        .find(|(_, number)| own(*number) == device);
    let (name, _) = found.ok_or(NoGate::NoDevice(device))?;
    let line = dm.table(&Name::new(&name)?)?;
    Ok(format!("{} {}", line.target(), line.params()))
}

/// What nobody writes on the boot disk, and those of them that bennud mends.
pub fn devices(handover: &Handover) -> Result<(Vec<Device>, Vec<Device>), NoGate> {
    let disk = number(&handover.disk.number)?;
    let running = [number(&handover.root.number)?, number(&handover.verity.number)?];
    let all = Sysfs::default().block_devices()?;
    let whole = all
        .iter()
        .find(|device| own(device.number) == disk)
        .ok_or(NoGate::NoDevice(disk))?;
    let unreadable = |words: String| NoGate::Table {
        disk: whole.name.clone(),
        words,
    };
    let mut file = whole.open(OpenMode::Read)?;
    let (table, _health) = gpt::open(&mut file).map_err(|error| unreadable(error.to_string()))?;
    let kind_of = |device: &BlockDevice| {
        let place = device
            .partition
            .as_ref()
            .filter(|place| place.disk == whole.name)?;
        let entry = table
            .partitions()
            .iter()
            .find(|entry| entry.number == place.number)?;
        Some(Partition {
            kind: entry.type_guid.into_bytes(),
            device: own(device.number),
        })
    };
    let partitions: Vec<Partition> = all.iter().filter_map(kind_of).collect();
    Ok((
        gate::protected_devices(disk, &running, &partitions),
        gate::repairable_devices(disk, &running, &partitions),
    ))
}

/// Inodes of those of [`TOPS`] that the root has.
pub fn top_directories(root: Device) -> Vec<u64> {
    TOPS.iter()
        .filter_map(|path| std::fs::symlink_metadata(path).ok())
        .filter(|metadata| metadata.is_dir() && device_of(metadata) == root)
        .map(|metadata| metadata.ino())
        .collect()
}

fn number(text: &str) -> Result<Device, NoGate> {
    let number = DeviceNumber::parse(text).ok_or_else(|| NoGate::Number(text.to_owned()))?;
    Ok(own(number))
}

fn own(number: DeviceNumber) -> Device {
    Device {
        major: number.major,
        minor: number.minor,
    }
}
