//! What lies on a disk: partition table, FAT, EROFS, hash tree; and the archive that a root is made from.

use crate::sparse::Sparse;
use bennu_disk::fat::reader::Volume;
use bennu_erofs::reader::Seekable;
use bennu_erofs::{FileType, Image, ReadError, TarOptions, Tree};
use bennu_verity::{SUPERBLOCK_BYTES, Superblock, VerityTable};
use std::io::{Seek as _, SeekFrom, Write as _};

/// Most bytes read of one file of an image.
const MAX_FILE: u32 = 1 << 20;

/// A GUID partition table on a [`Sparse`] disk, as it is and with its checksums made good: a mutation
/// would otherwise end at the first of them.
pub fn gpt(bytes: &[u8]) -> bool {
    let mut disk = Sparse::decode(bytes);
    let plain = open_gpt(&mut disk);
    let last = disk.length() / 512;
    for header in [1, last.saturating_sub(1)] {
        reseal_gpt(&mut disk, header * 512);
    }
    open_gpt(&mut disk) || plain
}

fn open_gpt(disk: &mut Sparse) -> bool {
    let Ok((table, _)) = bennu_disk::gpt::open(disk) else {
        return false;
    };
    let sectors = table.disk_sectors();
    for partition in table.partitions() {
        assert!(
            partition.byte_offset() + partition.byte_len() <= sectors * 512,
            "a partition beyond the disk was accepted"
        );
    }
    true
}

/// Sets both checksums of the header at `at` (UEFI 2.10, 5.3.2).
fn reseal_gpt(disk: &mut Sparse, at: u64) {
    let mut header = disk.peek(at, 92);
    if header.len() < 92 {
        return;
    }
    let number = |header: &[u8], at: usize, bytes: usize| {
        header[at..at + bytes]
            .iter()
            .rev()
            .fold(0u64, |sum, b| sum << 8 | u64::from(*b))
    };
    let entries_bytes = (number(&header, 80, 4) * number(&header, 84, 4)).min(1 << 20) as usize;
    let entries = disk.peek(number(&header, 72, 8).saturating_mul(512), entries_bytes);
    header[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.poke(at, &header);
}

/// A FAT32 volume on a [`Sparse`] disk: everything in it is listed and read.
pub fn fat_reader(bytes: &[u8]) -> bool {
    let disk = Sparse::decode(bytes);
    let length = disk.length();
    let Ok(mut volume) = Volume::open(disk, 0, length) else {
        return false;
    };
    let mut whole = true;
    let mut paths = vec![String::new()];
    // A volume may hold more names than anyone wants to wait for.
    for _ in 0..64 {
        let Some(path) = paths.pop() else { break };
        match volume.list(&path) {
            Ok(entries) => paths.extend(entries.into_iter().map(|entry| format!("{path}/{}", entry.name))),
            Err(_) => whole &= volume.read(&path, MAX_FILE).is_ok(),
        }
    }
    whole
}

/// An EROFS image on a [`Sparse`] disk, as it is and without the superblock's checksum.
pub fn erofs_reader(bytes: &[u8]) -> bool {
    /// Offset of `feature_compat`, whose bit 0 says that there is a checksum (`erofs_fs.h`).
    const FEATURE_COMPAT: u64 = 1024 + 8;
    let mut disk = Sparse::decode(bytes);
    let plain = read_erofs(disk.clone());
    let mut compat = disk.peek(FEATURE_COMPAT, 1);
    if let Some(first) = compat.first_mut() {
        *first &= !1;
    }
    disk.poke(FEATURE_COMPAT, &compat);
    read_erofs(disk) || plain
}

fn read_erofs(mut disk: Sparse) -> bool {
    if disk.seek(SeekFrom::Start(0)).is_err() {
        return false;
    }
    let Ok(image) = Image::open(Seekable::new(disk)) else {
        return false;
    };
    image
        .walk(|_, inode| {
            image.xattrs(inode)?;
            match inode.file_type {
                FileType::Regular => match image.read_file(inode, u64::from(MAX_FILE)) {
                    Ok(bytes) => drop(bytes),
                    Err(error) => return Err(error),
                },
                FileType::Symlink => drop(image.read_link(inode)?),
                _ => {}
            }
            Ok::<(), ReadError>(())
        })
        .is_ok()
}

/// A tar archive, plain or compressed.
pub fn erofs_tar(bytes: &[u8]) -> bool {
    let Ok(mut archive) = tempfile::NamedTempFile::new() else {
        return false;
    };
    if archive.write_all(bytes).is_err() {
        return false;
    }
    let options = TarOptions {
        unpacked_max_bytes: 4 << 20,
        entries_max: 4096,
        ..TarOptions::default()
    };
    let Ok(tree) = Tree::from_tar(archive.path(), &options) else {
        return false;
    };
    tree.walk().count() > 0
}

/// The hash tree's superblock; shorter inputs are filled up with zeros.
pub fn verity_superblock(bytes: &[u8]) -> bool {
    let mut block = [0; SUPERBLOCK_BYTES];
    let count = bytes.len().min(SUPERBLOCK_BYTES);
    block[..count].copy_from_slice(&bytes[..count]);
    let Ok(params) = Superblock::parse(&block) else {
        return false;
    };
    assert_eq!(
        Superblock::parse(&Superblock::encode(&params)),
        Ok(params),
        "the superblock changed on its way"
    );
    true
}

/// A device-mapper table line as the kernel gives it back.
pub fn verity_table(bytes: &[u8]) -> bool {
    let Some(table) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|line| VerityTable::parse(line).ok())
    else {
        return false;
    };
    let again = VerityTable::parse(&format!("0 {} verity {}", table.sectors(), table.params()));
    assert_eq!(again, Ok(table), "the table changed on its way");
    true
}
