//! A directory on disk becomes a tree that depends on nothing it should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod judges;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use bennu_erofs::{
    DirectoryError, DirectoryOptions, FileType, Image, OwnerPolicy, Timestamp, Tree, XattrPolicy,
};
use judges::{fsck_extracts, fsck_is_clean, image_of, options, seen, stored};
use rustix::fs::XattrFlags;
use tempfile::TempDir;

const NAMES: [&str; 6] = ["b", "a", "sub/z", "sub/-first", "sub/deep/x", "c"];

/// The same files whatever the order they are made in.
fn fill(root: &Path, order: impl Iterator<Item = &'static str>) {
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    for name in order {
        let path = root.join(name);
        fs::write(&path, name.repeat(1500)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o4751)).unwrap();
        rustix::fs::setxattr(&path, "user.name", name.as_bytes(), XattrFlags::CREATE).unwrap();
    }
    fs::hard_link(root.join("a"), root.join("sub/a-again")).unwrap();
    symlink("../a", root.join("sub/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    for name in ["pipe", "sub/link"] {
        set_time(&root.join(name));
    }
    for name in NAMES.iter().chain(&["sub/deep", "sub", "."]) {
        let time = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
        File::open(root.join(name))
            .unwrap()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    }
}

/// As [`File::set_times`], without opening or following.
fn set_time(path: &Path) {
    let time = rustix::fs::Timespec {
        tv_sec: 1_600_000_000,
        tv_nsec: 123_456_789,
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

#[test]
fn the_order_in_which_files_were_made_does_not_show() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    fill(&one, NAMES.into_iter());
    fs::write(directory.path().join("shifts-the-inode-numbers"), "").unwrap();
    fill(&two, NAMES.into_iter().rev());
    // A name outside makes another link, but not another tree.
    fs::hard_link(two.join("b"), directory.path().join("outside")).unwrap();
    let image = |path: &Path| {
        image_of(
            &Tree::from_directory(path, &DirectoryOptions::default()).unwrap(),
            &options(),
        )
    };
    let bytes = image(&one);
    assert!(bytes == image(&two));
    fs::write(two.join("b"), "other").unwrap();
    assert!(bytes != image(&two));
}

#[test]
fn what_is_on_disk_comes_through() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fill(&root, NAMES.into_iter());
    let bytes = image_of(
        &Tree::from_directory(&root, &DirectoryOptions::default()).unwrap(),
        &options(),
    );
    let image = stored(directory.path(), &bytes);
    fsck_is_clean(&image);
    let all = seen(&Image::open(&bytes).unwrap()).unwrap();
    assert_eq!(all.len(), NAMES.len() + 6);
    for (path, seen) in &all {
        let on_disk = root.join(std::str::from_utf8(path).unwrap());
        let stat = fs::symlink_metadata(&on_disk).unwrap();
        assert_eq!(u32::from(seen.mode), stat.mode() & 0o7777);
        assert_eq!(
            (seen.uid, seen.gid, u64::from(seen.nlink)),
            (stat.uid(), stat.gid(), stat.nlink())
        );
        assert_eq!(
            seen.mtime,
            Timestamp {
                seconds: 1_600_000_000,
                nanoseconds: 123_456_789
            }
        );
        if seen.file_type == FileType::Regular {
            assert_eq!(seen.data, fs::read(&on_disk).unwrap());
            assert_eq!(seen.xattrs.keys().collect::<Vec<_>>(), [b"user.name"]);
        }
    }
    assert_eq!(all[b"sub/a-again".as_slice()].first, b"a");
    let out = directory.path().join("out");
    fsck_extracts(&image, &out);
    assert_eq!(
        fs::read(out.join("sub/deep/x")).unwrap(),
        fs::read(root.join("sub/deep/x")).unwrap()
    );
}

#[test]
fn owners_and_xattrs_can_be_left_behind() {
    let directory = TempDir::new().unwrap();
    fill(directory.path(), NAMES.into_iter());
    let stripped = DirectoryOptions {
        owners: OwnerPolicy::AllRoot,
        xattrs: XattrPolicy::OmitAll,
    };
    let tree = Tree::from_directory(directory.path(), &stripped).unwrap();
    for (_, _, node) in tree.walk() {
        assert_eq!(
            (node.metadata.uid, node.metadata.gid, node.metadata.xattrs.len()),
            (0, 0, 0)
        );
    }
    let error = Tree::from_directory(&directory.path().join("a"), &stripped).unwrap_err();
    assert!(matches!(error, DirectoryError::NotADirectory { .. }), "{error}");
    let error = Tree::from_directory(&directory.path().join("missing"), &stripped).unwrap_err();
    assert!(matches!(error, DirectoryError::Stat { .. }), "{error}");
}

#[test]
fn a_file_that_changed_since_is_an_error() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("f"), "before").unwrap();
    let tree = Tree::from_directory(directory.path(), &DirectoryOptions::default()).unwrap();
    let write = || bennu_erofs::write_image(&tree, &mut Vec::new(), &options(), &mut |_| {});
    assert!(write().is_ok());
    fs::write(directory.path().join("f"), "longer than before").unwrap();
    let error = write().unwrap_err();
    assert!(
        matches!(
            error,
            bennu_erofs::WriteError::Content(bennu_erofs::ContentError::Changed {
                expected: 6,
                found: 18,
                ..
            })
        ),
        "{error}"
    );
    fs::remove_file(directory.path().join("f")).unwrap();
    symlink("/etc/passwd", directory.path().join("f")).unwrap();
    let error = write().unwrap_err();
    assert!(
        matches!(
            error,
            bennu_erofs::WriteError::Content(bennu_erofs::ContentError::Open { .. })
        ),
        "{error}"
    );
}

#[test]
fn an_image_of_mkfs_reads_as_ours_does() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fill(&root, NAMES.into_iter());
    // Enough equal xattrs that mkfs.erofs shares them.
    for number in 0..8 {
        let path = root.join(format!("shared-{number}"));
        fs::write(&path, "").unwrap();
        rustix::fs::setxattr(&path, "user.shared", b"one value for all", XattrFlags::CREATE).unwrap();
    }
    let image = directory.path().join("mkfs.erofs");
    judges::mkfs(&root, &image);
    let mut tree = Tree::from_directory(&root, &DirectoryOptions::default()).unwrap();
    for (path, _, node) in tree.clone().walk() {
        let mtime = Timestamp::from_seconds(1_700_000_000);
        tree.set_metadata(
            path,
            bennu_erofs::Metadata {
                mtime,
                ..node.metadata.clone()
            },
        )
        .unwrap();
    }
    let ours = seen(&Image::open(&image_of(&tree, &options())).unwrap()).unwrap();
    let theirs = judges::seen_in_file(&image);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, seen) in &ours {
        assert_eq!(seen, &theirs[path], "{}", path.escape_ascii());
    }
    assert_eq!(
        theirs[b"shared-3".as_slice()].xattrs[b"user.shared".as_slice()],
        b"one value for all"
    );
}

#[test]
fn the_judge_rejects_a_damaged_image() {
    let directory = TempDir::new().unwrap();
    let mut bytes = image_of(&Tree::new(judges::metadata(0o755)), &options());
    fsck_is_clean(&stored(directory.path(), &bytes));
    // The name offset of the root's first entry, right behind its inode.
    bytes[4096 + 32 + 8] ^= 4;
    let path = stored(directory.path(), &bytes);
    assert!(std::panic::catch_unwind(|| fsck_is_clean(&path)).is_err());
    let image = Image::open(&bytes).unwrap();
    let error = image.read_dir(&image.root().unwrap()).unwrap_err();
    assert!(
        matches!(
            error,
            bennu_erofs::ReadError::DirectoryEntry {
                block: 0,
                entry: 0,
                ..
            }
        ),
        "{error}"
    );
}
