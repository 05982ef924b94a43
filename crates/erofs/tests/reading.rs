//! Images are read by path, in parts, and out of something larger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod judges;

use std::io::Cursor;

use bennu_erofs::reader::{Nid, Seekable};
use bennu_erofs::{Content, FileType, Image, ReadError, Tree, Window};
use judges::{image_of, metadata, options};

fn tree() -> Tree {
    let mut tree = Tree::new(metadata(0o755));
    let content = Content::inline((0..9000_u32).map(|at| at as u8).collect::<Vec<_>>());
    tree.insert_file("usr/lib/data", metadata(0o644), content)
        .unwrap();
    for (path, target) in [
        ("lib", "usr/lib"),
        ("abs", "/lib/data"),
        ("up", "../../usr/./lib"),
        ("loop", "loop"),
        ("gone", "x/y"),
    ] {
        tree.insert_symlink(path, target, metadata(0o777)).unwrap();
    }
    tree
}

#[test]
fn paths_are_followed_inside_the_image_only() {
    let image = Image::open(image_of(&tree(), &options())).unwrap();
    let data = image.lookup("/usr/lib/data").unwrap().unwrap();
    for path in [
        "usr/lib/data",
        "lib/data",
        "abs",
        "up/data",
        "lib/../../usr/../../abs",
        "usr//lib/./data",
    ] {
        assert_eq!(image.resolve(path).unwrap().as_ref(), Some(&data), "{path}");
    }
    assert_eq!(image.resolve("").unwrap().unwrap().nid, image.root().unwrap().nid);
    assert_eq!(image.lookup("lib").unwrap().unwrap().file_type, FileType::Symlink);
    for path in ["missing", "usr/missing/x", "gone"] {
        assert!(image.resolve(path).unwrap().is_none(), "{path}");
    }
    assert!(matches!(image.resolve("loop"), Err(ReadError::SymlinkLoop)));
    assert!(matches!(
        image.resolve("abs/x"),
        Err(ReadError::WrongType {
            found: FileType::Regular,
            ..
        })
    ));
    assert!(matches!(
        image.lookup("lib/data"),
        Err(ReadError::WrongType {
            found: FileType::Symlink,
            ..
        })
    ));
    assert!(matches!(
        image.lookup("a".repeat(4097)),
        Err(ReadError::PathTooLong { found: 4097 })
    ));
    assert!(matches!(
        image.inode(Nid(u64::MAX)),
        Err(ReadError::PastEnd { .. })
    ));
}

#[test]
fn a_part_of_a_file_is_read_across_blocks_and_tail() {
    let image = Image::open(image_of(&tree(), &options())).unwrap();
    let inode = image.lookup("usr/lib/data").unwrap().unwrap();
    let whole = image.read_file(&inode, 9000).unwrap();
    for (offset, len) in [
        (0, 10),
        (4090, 12),
        (8190, 100),
        (8990, 100),
        (9000, 1),
        (u64::MAX, 1),
    ] {
        let mut part = vec![0; len];
        let got = image.read_at(&inode, offset, &mut part).unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        assert_eq!(
            part[..got],
            whole[start..whole.len().min(start.saturating_add(len))]
        );
    }
    let error = image.read_file(&inode, 8999).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::FileTooLong {
                found: 9000,
                limit: 8999,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_image_is_read_out_of_a_disk() {
    let bytes = image_of(&tree(), &options());
    let mut disk = vec![0xee; 1 << 20];
    disk.extend(&bytes);
    disk.extend([0xee; 4096]);
    let window = |length| Window::new(Seekable::new(Cursor::new(&disk)), 1 << 20, length);
    let image = Image::open(window(bytes.len() as u64)).unwrap();
    assert_eq!(image.resolve("abs").unwrap().unwrap().size, 9000);
    assert!(matches!(Image::open(window(4095)), Err(ReadError::Read { .. })));
}
