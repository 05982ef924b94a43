//! Trees are edited as a file system would be, without ever leaving their root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod judges;

use bennu_erofs::{Content, FileType, Kind, Node, Timestamp, Tree, TreeError};
use judges::metadata;

/// A Debian-like root: `/lib` and `/sbin` are symlinks into `/usr`.
fn merged_usr() -> Tree {
    let mut tree = Tree::new(metadata(0o755));
    tree.insert_directory("usr/lib", metadata(0o755)).unwrap();
    tree.insert_symlink("lib", "usr/lib", metadata(0o777)).unwrap();
    tree.insert_symlink("sbin", "/usr/sbin", metadata(0o777)).unwrap();
    tree.insert_symlink("usr/lib/os-release-link", "../../etc/os-release", metadata(0o777))
        .unwrap();
    tree
}

fn text(tree: &mut Tree, path: &str) -> Result<(), TreeError> {
    tree.insert_file(path, metadata(0o644), Content::inline(*b"text"))
        .map(|_| ())
}

#[test]
fn directory_symlinks_are_followed_inside_the_tree() {
    let mut tree = merged_usr();
    text(&mut tree, "/lib/modules/6.12/a.ko").unwrap();
    assert_eq!(tree.read_file("usr/lib/modules/6.12/a.ko", 4).unwrap(), b"text");
    let made = tree.get("usr/lib/modules").unwrap().unwrap();
    assert_eq!((made.metadata.mode.bits(), made.metadata.uid), (0o755, 0));
    // The target of /sbin is not there yet: it is made where the symlink says.
    text(&mut tree, "sbin/init").unwrap();
    assert_eq!(
        tree.get("usr/sbin/init").unwrap().unwrap().kind.file_type(),
        FileType::Regular
    );
    // A directory is not put in the place of a symlink to one; its metadata goes to the target.
    tree.insert_directory("lib", metadata(0o700)).unwrap();
    assert_eq!(
        tree.get("lib").unwrap().unwrap().kind.file_type(),
        FileType::Symlink
    );
    assert_eq!(tree.get("usr/lib").unwrap().unwrap().metadata.mode.bits(), 0o700);
    text(&mut tree, "etc/os-release").unwrap();
    assert_eq!(tree.read_file("lib/os-release-link", 4).unwrap(), b"text");
    assert_eq!(
        tree.get("lib/os-release-link").unwrap().unwrap().kind.file_type(),
        FileType::Symlink
    );
}

#[test]
fn names_are_listed_and_removed() {
    let mut tree = merged_usr();
    text(&mut tree, "lib/b").unwrap();
    text(&mut tree, "lib/a").unwrap();
    let names: Vec<_> = tree
        .list("lib")
        .unwrap()
        .into_iter()
        .map(|(name, _)| name.to_vec())
        .collect();
    assert_eq!(names, [b"a".to_vec(), b"b".to_vec(), b"os-release-link".to_vec()]);
    let walked: Vec<_> = tree
        .walk()
        .map(|(path, _, _)| String::from_utf8(path).unwrap())
        .collect();
    assert_eq!(
        walked,
        [
            "",
            "lib",
            "sbin",
            "usr",
            "usr/lib",
            "usr/lib/a",
            "usr/lib/b",
            "usr/lib/os-release-link"
        ]
    );
    assert!(tree.remove("lib/a").unwrap());
    assert!(!tree.remove("lib/a").unwrap());
    assert!(!tree.remove("no/such/path").unwrap());
    assert!(tree.remove("usr").unwrap());
    assert_eq!(tree.walk().count(), 3);
    assert!(matches!(tree.remove("/"), Err(TreeError::RemoveRoot)));
    assert!(matches!(tree.list("usr"), Err(TreeError::NotFound { .. })));
}

#[test]
fn hard_links_share_metadata_until_one_is_replaced() {
    let mut tree = Tree::new(metadata(0o755));
    text(&mut tree, "a").unwrap();
    tree.insert_hard_link("dir/b", "a").unwrap();
    assert_eq!(tree.id_of("a").unwrap(), tree.id_of("dir/b").unwrap());
    tree.set_metadata("dir/b", metadata(0o600)).unwrap();
    assert_eq!(tree.get("a").unwrap().unwrap().metadata.mode.bits(), 0o600);
    tree.insert_file("a", metadata(0o644), Content::inline(*b"new"))
        .unwrap();
    assert_eq!(tree.read_file("dir/b", 4).unwrap(), b"text");
    let error = tree.insert_hard_link("c", "dir").unwrap_err();
    assert!(matches!(error, TreeError::HardLinkToDirectory { .. }), "{error}");
    let error = tree.insert_hard_link("c", "missing").unwrap_err();
    assert!(matches!(error, TreeError::NotFound { .. }), "{error}");
}

#[test]
fn edits_that_cannot_be_are_refused() {
    let mut tree = merged_usr();
    text(&mut tree, "file").unwrap();
    let refusal = |tree: &mut Tree, path: &str| text(tree, path).unwrap_err();
    assert!(matches!(
        refusal(&mut tree, "file/below"),
        TreeError::NotADirectory { .. }
    ));
    assert!(matches!(
        refusal(&mut tree, "usr"),
        TreeError::DirectoryInTheWay { .. }
    ));
    assert!(matches!(
        refusal(&mut tree, "/"),
        TreeError::DirectoryInTheWay { .. }
    ));
    assert!(matches!(
        refusal(&mut tree, "../file"),
        TreeError::ParentComponent { .. }
    ));
    assert!(matches!(refusal(&mut tree, "a\0b"), TreeError::ZeroByte { .. }));
    assert!(matches!(
        refusal(&mut tree, &"a".repeat(256)),
        TreeError::NameTooLong { found: 256, .. }
    ));
    assert!(matches!(
        refusal(&mut tree, &"a/".repeat(2049)),
        TreeError::PathTooLong { found: 4098 }
    ));
    text(&mut tree, &"a".repeat(255)).unwrap();
    tree.insert_symlink("loop", "loop", metadata(0o777)).unwrap();
    assert!(matches!(
        refusal(&mut tree, "loop/x"),
        TreeError::SymlinkLoop { .. }
    ));
    tree.insert_symlink("nowhere", "missing/../x", metadata(0o777))
        .unwrap();
    assert!(matches!(
        refusal(&mut tree, "nowhere/x"),
        TreeError::DanglingParent { .. }
    ));
    for target in [String::new(), "t".repeat(4096)] {
        let error = tree.insert_symlink("s", target, metadata(0o777)).unwrap_err();
        assert!(matches!(error, TreeError::SymlinkTarget { .. }), "{error}");
    }
    tree.insert_symlink("s", "t".repeat(4095), metadata(0o777))
        .unwrap();
    let error = tree.read_file("file", 3).unwrap_err();
    assert!(
        matches!(
            error,
            TreeError::FileTooLong {
                found: 4,
                limit: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(
        tree.read_file("usr", 3),
        Err(TreeError::NotARegularFile { .. })
    ));
    let mut late = metadata(0o644);
    late.mtime.nanoseconds = 1_000_000_000;
    assert!(matches!(
        tree.set_metadata("file", late),
        Err(TreeError::Nanoseconds { .. })
    ));
    let mut heavy = metadata(0o644);
    for number in 0..5 {
        heavy
            .xattrs
            .insert(format!("user.{number}").into_bytes(), vec![0; 60_000]);
    }
    assert!(matches!(
        tree.set_metadata("file", heavy),
        Err(TreeError::XattrTotal { .. })
    ));
}

#[test]
fn symlinks_cannot_make_a_path_longer_than_the_limit() {
    let mut tree = Tree::new(metadata(0o755));
    let deep = "d/".repeat(2000);
    tree.insert_directory(&deep, metadata(0o755)).unwrap();
    tree.insert_symlink("short", deep.trim_end_matches('/'), metadata(0o777))
        .unwrap();
    text(&mut tree, "short/fits").unwrap();
    let error = text(&mut tree, &format!("short/{}x", "e/".repeat(60))).unwrap_err();
    assert!(matches!(error, TreeError::PathTooLong { .. }), "{error}");
}

#[test]
fn later_mtimes_are_clamped_and_earlier_ones_stay() {
    let mut tree = Tree::new(metadata(0o755));
    for (name, seconds) in [("early", 5), ("late", 15)] {
        let kind = Kind::Fifo;
        let metadata = bennu_erofs::Metadata::root_owned(
            0o600,
            Timestamp {
                seconds,
                nanoseconds: 7,
            },
        );
        tree.insert(name, Node { metadata, kind }).unwrap();
    }
    tree.clamp_mtimes(Timestamp::from_seconds(10));
    let mtime = |name: &str| tree.get(name).unwrap().unwrap().metadata.mtime;
    assert_eq!(
        mtime("early"),
        Timestamp {
            seconds: 5,
            nanoseconds: 7
        }
    );
    assert_eq!(mtime("late"), Timestamp::from_seconds(10));
}
