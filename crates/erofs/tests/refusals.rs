//! Archives that are wrong are refused, and a source or target that fails is an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod archives;
mod judges;

use std::io::Write;

use archives::{file, header, pattern, read, written};
use bennu_erofs::{Image, ReadError, TarError, TarOptions, Tree, TreeError};
use judges::{image_of, options};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// One entry with a name written as it is, without the checks of the tar crate.
fn raw_entry(name: &[u8], entry_type: EntryType, change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = header(entry_type, 0o644, 0);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    change(&mut header);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    bytes
}

#[test]
fn entries_that_lead_out_of_the_tree_are_refused() {
    assert!(read(&raw_entry(b"./a/b", EntryType::Regular, |_| ())).is_ok());
    let error = read(&raw_entry(b"/etc/passwd", EntryType::Regular, |_| ())).unwrap_err();
    assert!(
        matches!(error, TarError::AbsolutePath { offset: 0, .. }),
        "{error}"
    );
    for name in [b"..".as_slice(), b"a/../../b", b"a/.."] {
        let error = read(&raw_entry(name, EntryType::Regular, |_| ())).unwrap_err();
        assert!(
            matches!(
                error,
                TarError::Tree {
                    source: TreeError::ParentComponent { .. },
                    ..
                }
            ),
            "{error}"
        );
    }
    let error = read(&raw_entry(b"./", EntryType::Symlink, |_| ())).unwrap_err();
    assert!(matches!(error, TarError::RootNotDirectory { .. }), "{error}");
    // A symlink that points outside is only a symlink; what goes through it stays inside.
    let mut archive = Builder::new(Vec::new());
    archive
        .append_link(&mut header(EntryType::Symlink, 0o777, 0), "out", "../../../etc")
        .unwrap();
    file(&mut archive, "etc/kept", 0o644, b"");
    file(&mut archive, "out/passwd", 0o644, b"inside");
    let tree = read(&archive.into_inner().unwrap()).unwrap();
    assert_eq!(tree.read_file("etc/passwd", 10).unwrap(), b"inside");
}

#[test]
fn archives_that_would_be_kept_wrongly_are_refused() {
    let link = |target: &[u8]| {
        let target = target.to_vec();
        raw_entry(b"name", EntryType::Link, move |header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(&target);
        })
    };
    let error = read(&link(b"missing")).unwrap_err();
    assert!(
        matches!(
            error,
            TarError::Tree {
                source: TreeError::NotFound { .. },
                ..
            }
        ),
        "{error}"
    );
    let error = read(&raw_entry(b"s", EntryType::GNUSparse, |_| ())).unwrap_err();
    assert!(matches!(error, TarError::Unsupported { .. }), "{error}");
    let error = read(&raw_entry(b"v", EntryType::new(b'V'), |_| ())).unwrap_err();
    assert!(matches!(error, TarError::Unsupported { .. }), "{error}");
    let error = read(&raw_entry(b"d", EntryType::Directory, |header| {
        header.set_size(512)
    }))
    .unwrap_err();
    assert!(
        matches!(error, TarError::UnexpectedData { found: 512, .. }),
        "{error}"
    );
    let error = read(&raw_entry(b"f", EntryType::Regular, |header| {
        header.set_size(4096)
    }))
    .unwrap_err();
    assert!(
        matches!(error, TarError::Truncated { expected: 4096, .. }),
        "{error}"
    );
    let error = read(&raw_entry(b"L", EntryType::GNULongName, |header| {
        header.set_size(1 << 40)
    }))
    .unwrap_err();
    assert!(matches!(error, TarError::ExtensionTooLong { .. }), "{error}");
    let error = read(&raw_entry(b"L", EntryType::GNULongName, |_| ())).unwrap_err();
    assert!(matches!(error, TarError::DanglingExtension { .. }), "{error}");
    let error = read(&raw_entry(b"u", EntryType::Regular, |header| {
        header.set_uid(u64::from(u32::MAX))
    }))
    .unwrap_err();
    assert!(
        matches!(error, TarError::HeaderNumber { field: "uid", .. }),
        "{error}"
    );
    let mut damaged = raw_entry(b"f", EntryType::Regular, |_| ());
    damaged[0] ^= 1;
    assert!(matches!(read(&damaged), Err(TarError::HeaderChecksum { .. })));
    assert!(matches!(
        read(&raw_entry(b"f", EntryType::Regular, |_| ())[..512]),
        Err(TarError::Truncated { .. })
    ));
    let error = read(&raw_entry(b"dev", EntryType::Char, |header| {
        header.set_device_major(4096).unwrap();
        header.set_device_minor(0).unwrap();
    }));
    assert!(matches!(
        error,
        Err(TarError::Tree {
            source: TreeError::DeviceNumber { .. },
            ..
        })
    ));
    let pax = |key: &str, value: &[u8]| {
        let mut archive = Builder::new(Vec::new());
        archive.append_pax_extensions([(key, value)]).unwrap();
        file(&mut archive, "f", 0o644, b"");
        read(&archive.into_inner().unwrap())
    };
    assert!(pax("SCHILY.xattr.user.big", &[b'v'; 65_535]).is_ok());
    let error = pax("SCHILY.xattr.user.big", &[b'v'; 65_536]).unwrap_err();
    assert!(
        matches!(
            error,
            TarError::Tree {
                source: TreeError::XattrValue { .. },
                ..
            }
        ),
        "{error}"
    );
    let error = pax("SCHILY.xattr.system.nfs4_acl", b"v").unwrap_err();
    assert!(
        matches!(
            error,
            TarError::Tree {
                source: TreeError::XattrName { .. },
                ..
            }
        ),
        "{error}"
    );
    let error = pax("SCHILY.acl.access", b"user::rw-").unwrap_err();
    assert!(matches!(error, TarError::Unsupported { .. }), "{error}");
}

#[test]
fn an_archive_with_more_entries_than_allowed_is_refused() {
    let directory = TempDir::new().unwrap();
    let mut archive = Builder::new(Vec::new());
    file(&mut archive, "a", 0o644, b"");
    file(&mut archive, "b", 0o644, b"");
    let path = written(directory.path(), "a.tar", &archive.into_inner().unwrap());
    let limited = |entries_max| TarOptions {
        entries_max,
        ..TarOptions::default()
    };
    assert!(Tree::from_tar(&path, &limited(2)).is_ok());
    assert!(matches!(
        Tree::from_tar(&path, &limited(1)),
        Err(TarError::TooManyEntries { limit: 1 })
    ));
}

#[test]
fn an_archive_that_shrank_since_is_an_error_and_not_a_short_file() {
    let directory = TempDir::new().unwrap();
    let mut archive = Builder::new(Vec::new());
    file(&mut archive, "a", 0o644, &pattern(10_000));
    let path = written(directory.path(), "a.tar", &archive.into_inner().unwrap());
    let tree = Tree::from_tar(&path, &TarOptions::default()).unwrap();
    assert_eq!(image_of(&tree, &options()).len(), 5 * 4096);
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(4096)
        .unwrap();
    let error = bennu_erofs::write_image(&tree, &mut Vec::new(), &options(), &mut |_| {}).unwrap_err();
    let changed = bennu_erofs::ContentError::Changed {
        path,
        expected: 512 + 10_000,
        found: 4096,
    };
    assert_eq!(
        error.to_string(),
        bennu_erofs::WriteError::Content(changed).to_string()
    );
}

#[test]
fn a_writer_that_fails_ends_the_writing_with_its_error() {
    struct Full(u64);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0 -= 1;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut tree = Tree::new(judges::metadata(0o755));
    for number in 0..8 {
        let content = bennu_erofs::Content::inline(pattern(2 << 20));
        tree.insert_file(format!("{number}"), judges::metadata(0o644), content)
            .unwrap();
    }
    let error = bennu_erofs::write_image(&tree, &mut Full(1), &options(), &mut |_| {}).unwrap_err();
    assert!(
        matches!(
            error,
            bennu_erofs::WriteError::Output {
                offset: 1_048_576,
                ..
            }
        ),
        "{error}"
    );
    let _: ReadError = Image::open(&Vec::new()).unwrap_err();
}
