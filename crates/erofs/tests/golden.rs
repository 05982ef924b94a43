//! The bytes of an image are pinned: what is built twice must be the same for years.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod judges;

use bennu_erofs::{
    Content, Device, Image, ImageOptions, Kind, Node, Timestamp, Tree, VolumeName, WriteError, write_image,
};
use judges::{image_of, metadata, options};

/// One inode of each form and layout, in the order they are written.
fn tree() -> Tree {
    let mut tree = Tree::new(metadata(0o755));
    let mut owned = metadata(0o4755);
    owned.uid = 100_000;
    owned.mtime = Timestamp {
        seconds: 1,
        nanoseconds: 2,
    };
    owned.xattrs.insert(b"user.k".to_vec(), b"val".to_vec());
    tree.insert_file("big", metadata(0o644), Content::inline(vec![b'B'; 4096 + 3]))
        .unwrap();
    let null = Kind::CharDevice(Device::new(1, 3).unwrap());
    tree.insert(
        "dev",
        Node {
            metadata: metadata(0o666),
            kind: null,
        },
    )
    .unwrap();
    tree.insert_symlink("link", "big", metadata(0o777)).unwrap();
    tree.insert_file("owned", owned, Content::inline(*b"tail"))
        .unwrap();
    tree
}

fn hex(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect()
}

#[test]
fn the_bytes_of_a_small_image_are_pinned() {
    let options = ImageOptions {
        volume_name: VolumeName::new("golden").unwrap(),
        ..options()
    };
    let image = image_of(&tree(), &options);
    assert_eq!(image.len(), 3 * 4096);
    assert!(
        image[..1024]
            .iter()
            .chain(&image[1024 + 96..4096])
            .all(|byte| *byte == 0)
    );
    assert_eq!(hex(&image[1024..1024 + 96]), SUPERBLOCK);
    assert_eq!(hex(&image[4096..4096 + INODES.len() * 32]), INODES);
    assert!(
        image[4096 + INODES.len() * 32..8192]
            .iter()
            .all(|byte| *byte == 0)
    );
    assert!(image[8192..].iter().all(|byte| *byte == b'B'));
}

/// Magic, checksum, features 3, 2^12, root 128; 5 inodes; built at 1700000000; 3 blocks; UUID; name.
const SUPERBLOCK: [&str; 3] = [
    "e2e1f5e062ff523b030000000c008000050000000000000000f1536500000000",
    "0000000003000000000000000000000062656e6e752d65726f66732074657374",
    "676f6c64656e0000000000000000000000000000000000000000000000000000",
];
const INODES: [&str; 12] = [
    // Root: compact, inline; then its entries and their names.
    "04000000ed4102005a00000000000000ffffffff010000000000000000000000",
    "8000000000000000480002008000000000000000490002008400000000000000",
    "4b00010086000000000000004e00030087000000000000005100070089000000",
    "00000000550001002e2e2e6269676465766c696e6b6f776e6564000000000000",
    // `big`: 4099 bytes, block 2; then its last three bytes.
    "04000000a4810100031000000000000002000000020000000000000000000000",
    "4242420000000000000000000000000000000000000000000000000000000000",
    // `dev`: 1:3.
    "00000000b6210100000000000000000003010000030000000000000000000000",
    // `link`, and its target.
    "04000000ffa101000300000000000000ffffffff040000000000000000000000",
    "6269670000000000000000000000000000000000000000000000000000000000",
    // `owned`: extended, its time; then xattrs and content.
    "05000300ed8900000400000000000000ffffffff05000000a086010000000000",
    "0100000000000000020000000100000000000000000000000000000000000000",
    "000000000000000000000000010103006b76616c7461696c0000000000000000",
];

#[test]
fn an_image_over_its_limit_is_refused_before_anything_is_written() {
    let limited = |size_limit_bytes| ImageOptions {
        size_limit_bytes: Some(size_limit_bytes),
        ..options()
    };
    assert!(write_image(&tree(), &mut Vec::new(), &limited(3 * 4096), &mut |_| {}).is_ok());
    let mut out = Vec::new();
    let error = write_image(&tree(), &mut out, &limited(3 * 4096 - 1), &mut |_| {}).unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::ImageTooLarge {
                needed: 12_288,
                limit: 12_287
            }
        ),
        "{error}"
    );
    assert!(out.is_empty());
    assert!(VolumeName::new("fifteen-bytes-o").is_ok());
    assert!(matches!(
        VolumeName::new("sixteen-bytes-ok"),
        Err(WriteError::VolumeName { .. })
    ));
}

#[test]
fn the_superblock_is_checked() {
    use bennu_erofs::ReadError;
    let good = image_of(&tree(), &options());
    let superblock = Image::open(&good).unwrap().superblock().clone();
    assert_eq!(
        (superblock.uuid, superblock.blocks, superblock.inodes),
        (options().uuid, 3, 5)
    );
    assert!(superblock.checksummed);
    let damaged = |at: usize, value: u8, checksum: bool| {
        let mut image = good.clone();
        image[at] = value;
        if !checksum {
            image[1024 + 8] &= !1;
        }
        Image::open(image).map(|_| ()).unwrap_err()
    };
    assert!(matches!(damaged(1024, 0, true), ReadError::Magic { .. }));
    assert!(matches!(damaged(1024 + 50, 0, true), ReadError::Checksum { .. }));
    assert!(matches!(damaged(4095, 1, true), ReadError::Checksum { .. }));
    assert!(matches!(
        damaged(1024 + 12, 9, false),
        ReadError::BlockSize { found: 9 }
    ));
    assert!(matches!(
        damaged(1024 + 80, 4, false),
        ReadError::Features { found: 4 }
    ));
    assert!(matches!(
        Image::open(&good[..1500]).map(|_| ()),
        Err(ReadError::Read { .. })
    ));
}
