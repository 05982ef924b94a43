//! Archives made for the tests.
#![allow(dead_code, reason = "each test binary uses some of these")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use bennu_erofs::{TarError, TarOptions, Tree};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// cap_net_raw+ep, revision 2 (Linux `struct vfs_cap_data`).
pub const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
pub const ODD_UID: u64 = 3_000_000_017;

pub fn header(entry_type: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_600_000_000);
    header.set_size(size);
    header
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

pub fn file(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, data: &[u8]) {
    archive
        .append_data(
            &mut header(EntryType::Regular, mode, data.len() as u64),
            path,
            data,
        )
        .unwrap();
}

pub fn bare(archive: &mut Builder<Vec<u8>>, entry_type: EntryType, path: &str, device: (u32, u32)) {
    let mut header = header(entry_type, 0o666, 0);
    header.set_device_major(device.0).unwrap();
    header.set_device_minor(device.1).unwrap();
    archive.append_data(&mut header, path, std::io::empty()).unwrap();
}

/// An archive with a bit of everything.
pub fn odd_archive() -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    archive
        .append_data(
            &mut header(EntryType::Directory, 0o1777, 0),
            "./",
            std::io::empty(),
        )
        .unwrap();
    for len in [0, 1, 4095, 4096, 4097, 5000, 100_000] {
        file(&mut archive, &format!("./sizes/{len}"), 0o644, &pattern(len));
    }
    file(&mut archive, "usr/bin/suid", 0o4755, b"suid");
    file(&mut archive, "usr/bin/sgid", 0o2755, b"sgid");
    let mut owned = header(EntryType::Regular, 0o600, 5);
    owned.set_uid(ODD_UID);
    owned.set_gid(70_000);
    archive
        .append_data(&mut owned, "odd-owner", b"owned".as_slice())
        .unwrap();
    archive
        .append_pax_extensions([
            ("SCHILY.xattr.security.capability", CAPABILITY.as_slice()),
            ("LIBARCHIVE.xattr.user.a%20b", b"dmFsdWU".as_slice()),
            ("mtime", b"1500000000.25".as_slice()),
            ("uid", b"3000000017".as_slice()),
        ])
        .unwrap();
    file(&mut archive, "usr/bin/ping", 0o755, &pattern(9000));
    bare(&mut archive, EntryType::Char, "dev/null", (1, 3));
    bare(&mut archive, EntryType::Block, "dev/odd", (259, 70_000));
    bare(&mut archive, EntryType::Fifo, "dev/initctl", (0, 0));
    archive
        .append_link(
            &mut header(EntryType::Link, 0o755, 0),
            "usr/sbin/suid",
            "./usr/bin/suid",
        )
        .unwrap();
    archive
        .append_link(&mut header(EntryType::Symlink, 0o777, 0), "lib", "usr/lib")
        .unwrap();
    file(&mut archive, "usr/lib/real", 0o644, b"real");
    file(&mut archive, "lib/through-link", 0o644, b"through");
    archive
        .append_link(
            &mut header(EntryType::Symlink, 0o777, 0),
            "long-link",
            "x/".repeat(1000),
        )
        .unwrap();
    file(&mut archive, &long_path(), 0o644, b"long");
    for number in 0..5000 {
        file(&mut archive, &format!("many/entry-number-{number}"), 0o644, b"");
    }
    let mut raw = header(EntryType::Regular, 0o644, 3);
    raw.as_old_mut().name[..7].copy_from_slice(b"bin\xff\xfe!\n");
    raw.set_cksum();
    archive.append(&raw, b"raw".as_slice()).unwrap();
    file(&mut archive, "twice", 0o644, b"first");
    file(&mut archive, "twice", 0o640, b"second");
    archive.into_inner().unwrap()
}

pub fn long_path() -> String {
    format!("{}/{}/end", "d".repeat(150), "e".repeat(150))
}

pub fn written(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub fn read(bytes: &[u8]) -> Result<Tree, TarError> {
    let directory = TempDir::new().unwrap();
    Tree::from_tar(&written(directory.path(), "a.tar", bytes), &TarOptions::default())
}
