//! Partition tables, FAT volumes, EROFS images, hash-tree parameters, archives.

use crate::Seed;
use bennu_disk::SECTOR_BYTES;
use bennu_disk::fat::{self, DosTime, MIN_VOLUME_BYTES, VolumeLabel, VolumeSpec};
use bennu_disk::gpt::{Attributes, Label, PartitionSpec, Place, Table, required_disk_bytes};
use bennu_erofs::{Content, ImageOptions, Metadata, Timestamp, Tree, write_image};
use bennu_fuzz_replay::sparse::Sparse;
use bennu_verity::{DeviceNumber, RootHash, Salt, Superblock, VerityOption, VerityParams, table};
use std::io::Write as _;
use uuid::Uuid;

const EPOCH_S: u64 = 1_750_000_000;

pub fn seeds() -> anyhow::Result<Vec<Seed>> {
    let params = VerityParams::new(1000, Salt::new([7; 32])?, [9; 16])?;
    let unsalted = VerityParams::new(1, Salt::new([])?, [0; 16])?;
    let line = |params: &VerityParams, options: &[VerityOption]| {
        let device = |minor| DeviceNumber { major: 254, minor };
        table(params, device(2), device(3), RootHash([0x5a; 32]), options)
    };
    let panics = [VerityOption::PanicOnCorruption, VerityOption::PanicOnError];
    let archive = archive()?;
    Ok(vec![
        ("gpt", "two-slots", gpt()?),
        ("fat_reader", "esp", esp()?),
        ("erofs_reader", "small-root", erofs()?),
        ("erofs_tar", "zstd", packed(&archive)?),
        ("erofs_tar", "plain", archive),
        (
            "verity_superblock",
            "salted",
            Superblock::encode(&params).to_vec(),
        ),
        (
            "verity_superblock",
            "unsalted",
            Superblock::encode(&unsalted).to_vec(),
        ),
        ("verity_table", "salted", line(&params, &panics)?.into_bytes()),
        ("verity_table", "unsalted", line(&unsalted, &[])?.into_bytes()),
    ])
}

fn gpt() -> anyhow::Result<Vec<u8>> {
    let spec = |n: u128, label: &str, bytes| {
        Ok::<_, anyhow::Error>(PartitionSpec {
            type_guid: Uuid::from_u128(0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709 + n),
            unique_guid: Uuid::from_u128(n + 1),
            label: Label::new(label)?,
            place: Place::Next { bytes },
            attributes: Attributes::READ_ONLY.with(Attributes::NO_AUTO),
        })
    };
    let specs = [
        spec(0, "esp", 3 << 20)?,
        spec(1, "demo_1", 1 << 20)?,
        spec(2, "_empty", 512)?,
    ];
    let bytes = required_disk_bytes(&specs)?;
    let mut disk = Sparse::of_sectors(u32::try_from(bytes / SECTOR_BYTES)?);
    Table::plan(bytes, Uuid::from_u128(0xd15c), &specs)?.write(&mut disk)?;
    Ok(disk.encode())
}

fn esp() -> anyhow::Result<Vec<u8>> {
    let file = |path: &str, bytes: usize| fat::Entry {
        path: path.into(),
        content: fat::Content::Bytes(vec![b'x'; bytes]),
    };
    let entries = vec![
        file("EFI/BOOT/BOOTX64.EFI", 700),
        file("EFI/Linux/demo_2.1+3-0.efi", 1500),
        file("loader/loader.conf", 12),
        file("bennu/boot-record.json", 0),
    ];
    let spec = VolumeSpec {
        bytes: MIN_VOLUME_BYTES,
        label: VolumeLabel::new("ESP")?,
        volume_id: 0x1234_5678,
        time: DosTime::from_unix_clamped(EPOCH_S),
    };
    let mut disk = Sparse::of_sectors(u32::try_from(MIN_VOLUME_BYTES / SECTOR_BYTES)?);
    fat::Plan::new(spec, entries)?.write(&mut disk, 0, &mut |_| {})?;
    Ok(disk.encode())
}

fn erofs() -> anyhow::Result<Vec<u8>> {
    let time = Timestamp {
        seconds: EPOCH_S as i64,
        nanoseconds: 0,
    };
    let mut labelled = Metadata::root_owned(0o755, time);
    labelled.xattrs.insert(b"user.note".to_vec(), b"a value".to_vec());
    labelled
        .xattrs
        .insert(b"security.capability".to_vec(), vec![1; 20]);
    let plain = Metadata::root_owned(0o644, time);
    let mut tree = Tree::new(Metadata::root_owned(0o755, time));
    tree.insert_directory("etc", labelled.clone())?;
    tree.insert_file("etc/hostname", plain.clone(), Content::inline(*b"demo\n"))?;
    tree.insert_file("etc/long", labelled, Content::inline(vec![b'l'; 5000]))?;
    tree.insert_symlink("bin", b"usr/bin".to_vec(), Metadata::root_owned(0o777, time))?;
    tree.insert_directory("usr/bin", Metadata::root_owned(0o755, time))?;
    tree.insert_file("usr/bin/init", plain, Content::inline(vec![b'i'; 4096]))?;
    let mut image = Vec::new();
    write_image(
        &tree,
        &mut image,
        &ImageOptions::new([3; 16], EPOCH_S),
        &mut |_| {},
    )?;
    let mut disk = Sparse::of_sectors(u32::try_from(image.len() / SECTOR_BYTES as usize)?);
    disk.write_all(&image)?;
    Ok(disk.encode())
}

fn archive() -> anyhow::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |kind, mode, size| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(EPOCH_S);
        header.set_uid(1000);
        header.set_gid(0);
        header
    };
    use tar::EntryType as T;
    builder.append_data(&mut header(T::Directory, 0o755, 0), "./etc", &[][..])?;
    builder.append_pax_extensions([
        ("SCHILY.xattr.user.note", &b"a value"[..]),
        ("mtime", b"1750000000.5"),
    ])?;
    builder.append_data(
        &mut header(T::Regular, 0o4755, 5),
        "./etc/hostname",
        &b"demo\n"[..],
    )?;
    builder.append_link(&mut header(T::Symlink, 0o777, 0), "./bin", "usr/bin")?;
    builder.append_link(&mut header(T::Link, 0o644, 0), "./etc/name", "./etc/hostname")?;
    let long = format!("./{}/file", "d".repeat(120));
    let mut gnu = tar::Header::new_gnu();
    gnu.set_mode(0o600);
    gnu.set_size(1);
    gnu.set_mtime(EPOCH_S);
    gnu.set_uid(0);
    gnu.set_gid(0);
    builder.append_data(&mut gnu, long, &b"x"[..])?;
    let mut device = header(T::Char, 0o600, 0);
    device.set_device_major(1)?;
    device.set_device_minor(3)?;
    builder.append_data(&mut device, "./null", &[][..])?;
    Ok(builder.into_inner()?)
}

/// A zstd frame of one raw block (RFC 8878, 3.1.1): what any compressor may write.
fn packed(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    // Frame header: four bytes of content size, single segment, no checksum, no dictionary.
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    out.extend(u32::try_from(bytes.len())?.to_le_bytes());
    let block = u32::try_from(bytes.len())? << 3 | 1;
    out.extend(&block.to_le_bytes()[..3]);
    out.extend(bytes);
    Ok(out)
}
