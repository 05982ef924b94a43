//! The state volume as devices: bytes of the header, dm-crypt, the file system on it.

use super::schema;
use crate::error::InitError;
use bennu_formats::decode::DecodeError;
use bennu_formats::paths;
use bennu_formats::state::{BLOCK_BYTES, FILE_SYSTEM_BYTES, MAX_TEMPLATE_BYTES, VolumeTemplate};
use bennu_formats::state_schema::StateSchema;
use bennu_linux::block::{BlockDevice, OpenMode};
use bennu_linux::bounded;
use bennu_linux::dm::{Access, DeviceMapper, Name, TableLine, Uuid};
use bennu_linux::ext4;
use bennu_linux::keyring::{self, KeyType, Keyring};
use bennu_linux::mount::{self, MountSpec, Restriction};
use bennu_luks::{DmCryptTable, PendingWrite, VerifiedHeader, VolumeKey};
use bennu_policy::state_schema::{self, Release};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Name of the device.
const NAME: &str = paths::STATE_DEVICE;
/// Description of the key in the kernel's keyring, from where dm-crypt takes it: it never stands in a table.
const KEY: &str = "bennu:state-volume";

/// What is on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A file system of an earlier start.
    Kept,
    /// Noise: the volume was just made.
    Empty,
}

/// Writes in the given order, each flushed before the next.
pub fn write_all(partition: &BlockDevice, writes: &[PendingWrite]) -> Result<(), InitError> {
    let mut file: File = partition.open(OpenMode::ReadWrite)?;
    for write in writes {
        put(&mut file, write.offset, &write.bytes)
            .and_then(|()| file.sync_all())
            .map_err(InitError::StateIo)?;
    }
    Ok(())
}

fn put(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Data only, and no symbolic link on the volume is ever followed by its path there: root of an earlier start may have
/// made any. The overlays above it follow theirs.
pub const STATE_ONLY: &[Restriction] = &[
    Restriction::NoExec,
    Restriction::NoDev,
    Restriction::NoSuid,
    Restriction::NoSymlinks,
];

/// Opens the volume and mounts its file system, if `release` can read it: data only.
pub fn open_and_mount(
    partition: &BlockDevice,
    header: &VerifiedHeader,
    key: &VolumeKey,
    content: Content,
    release: Release,
) -> Result<(PathBuf, StateSchema), InitError> {
    let bytes = crate::slot::length(partition).0;
    let opened = open(partition, header, key, bytes)?;
    let target = Path::new(paths::RUN_STATE);
    mount::make_mount_point(target, 0o700).map_err(InitError::StateMount)?;
    let found = match content {
        Content::Kept => schema::look(&opened, target)?,
        Content::Empty => {
            put_down(&opened)?;
            None
        }
    };
    let schema = state_schema::decide(found, release).map_err(InitError::StateRefused)?;
    mount::mount(&MountSpec {
        source: &opened,
        target,
        file_system: "ext4",
        restrictions: STATE_ONLY,
        options: "",
    })
    .map_err(InitError::StateMount)?;
    // Each time: the partition may have grown, and a start that was cut off may not have got this far.
    let blocks = (bytes - bennu_luks::template::SEGMENT_OFFSET_BYTES) / BLOCK_BYTES as u64;
    ext4::grow(target, blocks).map_err(|e| InitError::StateGrow(e.to_string()))?;
    schema::keep(target, found, schema)?;
    Ok((target.to_owned(), schema))
}

fn open(
    partition: &BlockDevice,
    header: &VerifiedHeader,
    key: &VolumeKey,
    bytes: u64,
) -> Result<PathBuf, InitError> {
    let wrong = |e: &dyn std::fmt::Display| InitError::StateHeader(e.to_string());
    let table = header
        .dm_crypt_table_by_keyring(KEY, &partition.number.to_string(), bytes)
        .map_err(|e| wrong(&e))?;
    let line = TableLine::new(
        table.length_sectors512(),
        DmCryptTable::TARGET,
        table.parameters().as_str(),
    )
    .map_err(InitError::StateDevice)?;
    let name = Name::new(NAME).map_err(InitError::StateDevice)?;
    let uuid = Uuid::new(&format!("CRYPT-LUKS2-{}-{NAME}", header.uuid().simple()))
        .map_err(InitError::StateDevice)?;
    let dm = DeviceMapper::open().map_err(InitError::StateDevice)?;
    let held = keyring::add_key(KeyType::Logon, KEY, key.as_bytes(), Keyring::Process)
        .map_err(InitError::StateKeyring)?;
    let device = dm.activate_exactly(&name, &uuid, &line, Access::ReadWrite);
    // dm-crypt has a copy of its own; nobody else needs this one.
    keyring::unlink(held, Keyring::Process).map_err(InitError::StateKeyring)?;
    Ok(device.map_err(InitError::StateDevice)?.node)
}

/// Puts the empty file system down, zeros included: what is on the device is noise.
fn put_down(device: &Path) -> Result<(), InitError> {
    let bytes = bounded::read(Path::new(paths::INITRD_STATE_TEMPLATE), MAX_TEMPLATE_BYTES)
        .map_err(InitError::StateTemplateRead)?;
    let template = VolumeTemplate::decode(&bytes).map_err(|e: DecodeError| InitError::StateTemplate(e))?;
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).open(device)?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_SYSTEM_BYTES / zeros.len() as u64 {
            file.write_all(&zeros)?;
        }
        for (number, content) in &template.blocks {
            put(&mut file, number * BLOCK_BYTES as u64, content)?;
        }
        file.sync_all()
    };
    write().map_err(InitError::StateIo)
}
