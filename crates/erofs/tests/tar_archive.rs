//! A tar archive with everything in it comes through as an image.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod archives;
mod judges;

use archives::{CAPABILITY, ODD_UID, long_path, odd_archive, pattern, read, written};
use bennu_erofs::{FileType, Image, TarError, TarOptions, Timestamp, Tree};
use judges::{Seen, dumped, fsck_extracts, fsck_is_clean, image_of, options, seen, stored};
use tempfile::TempDir;

#[test]
fn everything_in_a_tar_comes_through() {
    let directory = TempDir::new().unwrap();
    let bytes = image_of(&read(&odd_archive()).unwrap(), &options());
    let image = stored(directory.path(), &bytes);
    fsck_is_clean(&image);
    let all = seen(&Image::open(&bytes).unwrap()).unwrap();
    let at = |path: &str| -> &Seen {
        all.get(path.as_bytes())
            .unwrap_or_else(|| panic!("{path} is there"))
    };
    assert_eq!((at("").file_type, at("").mode), (FileType::Directory, 0o1777));
    for len in [0, 1, 4095, 4096, 4097, 5000, 100_000] {
        assert_eq!(at(&format!("sizes/{len}")).data, pattern(len));
    }
    assert_eq!((at("usr/bin/suid").mode, at("usr/bin/suid").nlink), (0o4755, 2));
    assert_eq!(at("usr/sbin/suid").first, b"usr/bin/suid");
    assert_eq!(at("usr/bin/sgid").mode, 0o2755);
    assert_eq!(
        (at("odd-owner").uid, at("odd-owner").gid),
        (ODD_UID as u32, 70_000)
    );
    let ping = at("usr/bin/ping");
    assert_eq!(ping.xattrs[b"security.capability".as_slice()], CAPABILITY);
    assert_eq!(ping.xattrs[b"user.a b".as_slice()], b"value");
    assert_eq!(
        ping.mtime,
        Timestamp {
            seconds: 1_500_000_000,
            nanoseconds: 250_000_000
        }
    );
    assert_eq!((ping.uid, ping.data.len()), (ODD_UID as u32, 9000));
    assert_eq!(
        (at("dev/null").file_type, at("dev/null").device),
        (FileType::CharDevice, Some((1, 3)))
    );
    assert_eq!(
        (at("dev/odd").file_type, at("dev/odd").device),
        (FileType::BlockDevice, Some((259, 70_000)))
    );
    assert_eq!(at("dev/initctl").file_type, FileType::Fifo);
    assert_eq!(at("lib").data, b"usr/lib");
    assert_eq!(at("usr/lib/through-link").data, b"through");
    assert_eq!(at("long-link").data.len(), 2000);
    assert_eq!(at(&long_path()).data, b"long");
    assert_eq!(all.keys().filter(|path| path.starts_with(b"many/")).count(), 5000);
    assert_eq!(all[b"bin\xff\xfe!\n".as_slice()].data, b"raw");
    assert_eq!(
        (at("twice").data.as_slice(), at("twice").mode),
        (b"second".as_slice(), 0o640)
    );
    assert_eq!(at("usr").nlink, 2 + 3);
    for path in [
        "usr/bin/suid",
        "usr/bin/sgid",
        "odd-owner",
        "usr/bin/ping",
        "usr",
        "many",
        "twice",
        "lib",
    ] {
        let seen = at(path);
        let (links, _, uid, gid, mode) = dumped(&image, path);
        // dump.erofs 1.5 leaves setuid, setgid and sticky out.
        let expected = (seen.nlink, seen.uid, seen.gid, u32::from(seen.mode) & 0o777);
        assert_eq!((links, uid, gid, mode & 0o777), expected, "{path}");
    }
}

#[test]
fn what_fsck_extracts_equals_what_the_tar_held() {
    let directory = TempDir::new().unwrap();
    let mut tree = read(&odd_archive()).unwrap();
    // Making device nodes needs privileges.
    assert!(tree.remove("dev").unwrap());
    let bytes = image_of(&tree, &options());
    let out = directory.path().join("out");
    fsck_extracts(&stored(directory.path(), &bytes), &out);
    let mut files = 0;
    for (path, seen) in seen(&Image::open(&bytes).unwrap()).unwrap() {
        use std::os::unix::ffi::OsStrExt;
        let extracted = out.join(std::ffi::OsStr::from_bytes(&path));
        match seen.file_type {
            FileType::Regular => assert_eq!(std::fs::read(&extracted).unwrap(), seen.data),
            FileType::Symlink => {
                assert_eq!(
                    std::fs::read_link(&extracted).unwrap().as_os_str().as_bytes(),
                    seen.data
                );
            }
            _ => assert!(extracted.is_dir()),
        }
        files += 1;
    }
    assert!(files > 5000);
}

#[test]
fn a_zstd_archive_gives_the_same_image_as_the_plain_one() {
    let directory = TempDir::new().unwrap();
    let archive = odd_archive();
    let plain = image_of(&read(&archive).unwrap(), &options());
    let packed = zstd::encode_all(archive.as_slice(), 1).unwrap();
    let path = written(directory.path(), "a.tar.zst", &packed);
    let scratch = directory.path().to_owned();
    let tar_options = TarOptions {
        scratch_directory: scratch,
        ..TarOptions::default()
    };
    let tree = Tree::from_tar(&path, &tar_options).unwrap();
    assert!(plain == image_of(&tree, &options()));
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "the scratch file has no name"
    );

    let limited = TarOptions {
        unpacked_max_bytes: archive.len() as u64 - 1,
        ..tar_options
    };
    let error = Tree::from_tar(&path, &limited).unwrap_err();
    assert!(matches!(error, TarError::UnpackedTooLong { .. }), "{error}");
    let gzip = written(directory.path(), "a.tar.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    let error = Tree::from_tar(&gzip, &limited).unwrap_err();
    assert!(
        matches!(error, TarError::Compression { found: "gzip", .. }),
        "{error}"
    );
}
