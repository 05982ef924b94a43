//! Random trees come back as they were; random damage never makes the reader or the tar decoder panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod judges;

use std::collections::BTreeMap;

use bennu_erofs::{
    Content, Device, FileType, Image, Kind, Metadata, Mode, Node, TarOptions, Timestamp, Tree,
};
use judges::{image_of, options, seen};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let id = prop_oneof![Just(0), Just(65_535), Just(65_536), any::<u32>()];
    let seconds = prop_oneof![Just(judges::BUILD_TIME_S as i64), any::<i64>()];
    let name = prop_oneof![
        Just(b"security.capability".to_vec()),
        Just(b"system.posix_acl_access".to_vec()),
        "user\\.[a-z]{1,9}".prop_map(String::into_bytes),
        "trusted\\.[a-z]{200}".prop_map(String::into_bytes),
    ];
    let value = prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 4000..9000)];
    let xattrs = prop_oneof![2 => Just(BTreeMap::new()), 1 => btree_map(name, value, 0..4)];
    (
        0..0o10000_u32,
        id.clone(),
        id,
        seconds,
        prop_oneof![Just(0), 0..1_000_000_000_u32],
        xattrs,
    )
        .prop_map(|(mode, uid, gid, seconds, nanoseconds, xattrs)| Metadata {
            mode: Mode::new(mode),
            uid,
            gid,
            mtime: Timestamp { seconds, nanoseconds },
            xattrs,
        })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let len = prop_oneof![0..5000_usize, Just(4095), Just(4096), Just(4097), Just(8192)];
    let device =
        (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| Device::new(major, minor).unwrap());
    prop_oneof![
        5 => (len, any::<u8>()).prop_map(|(len, byte)| Kind::Regular(Content::inline(vec![byte; len]))),
        2 => Just(Kind::Directory(bennu_erofs::tree::Directory::default())),
        1 => vec(1..=255_u8, 1..4096).prop_map(Kind::Symlink),
        1 => device.clone().prop_map(Kind::CharDevice),
        1 => device.prop_map(Kind::BlockDevice),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
    ]
}

/// Names around `.` and `..`, long ones, bytes that are no UTF-8.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'-'),
        Just(b'.'),
        Just(b'a'),
        Just(b'b'),
        Just(0xff_u8),
        Just(1)
    ];
    prop_oneof![4 => vec(byte, 1..4), 1 => vec(any::<u8>(), 250..256)].prop_filter("a name", |name| {
        name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
    })
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let path = vec(any_name(), 1..4).prop_map(|names| names.join(&b'/'));
    let entry = (path, any_metadata(), any_kind(), any::<bool>());
    (any_metadata(), vec(entry, 0..60)).prop_map(|(root, entries)| {
        let mut tree = Tree::new(root);
        let mut last = None;
        for (path, metadata, kind, link) in entries {
            // Edits that meet a file on their way are refused; the rest makes the tree.
            let done = match (&last, link) {
                (Some(last), true) => tree.insert_hard_link(&path, last),
                _ => tree.insert(&path, Node { metadata, kind }),
            };
            if done.is_ok() {
                last = Some(path);
            }
        }
        tree
    })
}

fn check_equal(tree: &Tree, image: &[u8]) {
    let all = seen(&Image::open(image).unwrap()).unwrap();
    let mut first = BTreeMap::new();
    let mut links = BTreeMap::new();
    for (_, id, _) in tree.walk() {
        *links.entry(id).or_insert(0) += 1;
    }
    let mut count = 0;
    for (path, id, node) in tree.walk() {
        let seen = &all[&path];
        let metadata = &node.metadata;
        assert_eq!(
            (seen.mode, seen.uid, seen.gid),
            (metadata.mode.bits(), metadata.uid, metadata.gid)
        );
        assert_eq!((&seen.mtime, &seen.xattrs), (&metadata.mtime, &metadata.xattrs));
        assert_eq!(
            (seen.file_type, &seen.first),
            (
                node.kind.file_type(),
                first.entry(id).or_insert(path.clone()) as &_
            )
        );
        match &node.kind {
            Kind::Regular(_) => assert_eq!(seen.data, tree.read_file(&path, 1 << 20).unwrap()),
            Kind::Symlink(target) => assert_eq!(&seen.data, target),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                assert_eq!(seen.device, Some((device.major(), device.minor())));
            }
            _ => {}
        }
        let expected = match &node.kind {
            Kind::Directory(names) => {
                let is_directory = |id| matches!(tree.node(id).kind, Kind::Directory(_));
                2 + names.iter().filter(|(_, id)| is_directory(*id)).count() as u32
            }
            _ => links[&id],
        };
        assert_eq!(seen.nlink, expected);
        count += 1;
    }
    assert_eq!(all.len(), count);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_comes_back_as_it_was(tree in any_tree(), tail in prop_oneof![Just(0_u16), Just(1024), Just(4095)]) {
        let options = bennu_erofs::ImageOptions { inline_tail_max_bytes: tail, ..options() };
        let image = image_of(&tree, &options);
        check_equal(&tree, &image);
        prop_assert!(image == image_of(&tree.clone(), &options));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn fsck_has_nothing_against_a_random_tree(tree in any_tree(), tail in prop_oneof![Just(0_u16), Just(4095)]) {
        let directory = tempfile::TempDir::new().unwrap();
        let options = bennu_erofs::ImageOptions { inline_tail_max_bytes: tail, ..options() };
        judges::fsck_is_clean(&judges::stored(directory.path(), &image_of(&tree, &options)));
    }
}

/// A small image with everything in it, its checksum switched off so that damage gets through.
fn fragile_image() -> Vec<u8> {
    let mut tree = Tree::new(judges::metadata(0o755));
    let mut rich = judges::metadata(0o644);
    rich.xattrs.insert(b"user.name".to_vec(), b"value".to_vec());
    tree.insert_file("dir/inline", rich.clone(), Content::inline(*b"inline"))
        .unwrap();
    tree.insert_file("dir/plain", rich, Content::inline(vec![7; 9000]))
        .unwrap();
    tree.insert_symlink("dir/link", "inline", judges::metadata(0o777))
        .unwrap();
    for number in 0..300 {
        tree.insert_file(
            format!("many/{number}"),
            judges::metadata(0o644),
            Content::inline([]),
        )
        .unwrap();
    }
    let mut image = image_of(&tree, &options());
    image[1024 + 8] &= !1;
    image
}

fn use_all(image: &[u8]) {
    let Ok(image) = Image::open(image) else { return };
    let _ = seen(&image);
    let _ = image.resolve("dir/link");
    for nid in (0..2000).chain([u64::MAX, u64::MAX / 32]) {
        let Ok(inode) = image.inode(bennu_erofs::reader::Nid(nid)) else {
            continue;
        };
        let _ = image.xattrs(&inode);
        match inode.file_type {
            FileType::Directory => drop(image.read_dir(&inode)),
            FileType::Symlink => drop(image.read_link(&inode)),
            _ => drop(image.read_file(&inode, 1 << 16)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_the_reader_panic(
        damage in vec((prop_oneof![1024..1152_usize, 4096..40_000_usize], any::<u8>()), 1..12),
        cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..40_000_usize],
    ) {
        let mut image = fragile_image();
        use_all(&image);
        for (at, byte) in damage {
            let at = at % image.len();
            image[at] = byte;
        }
        image.truncate(cut);
        use_all(&image);
    }

    #[test]
    fn no_bytes_make_the_tar_decoder_panic(
        blocks in vec((any::<[u8; 4]>(), prop_oneof![Just(b'0'), Just(b'x'), Just(b'L'), Just(b'1'), any::<u8>()], vec(any::<u8>(), 0..600)), 0..5),
    ) {
        let mut archive = Vec::new();
        for (name, kind, data) in blocks {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..4].copy_from_slice(&name);
            header.as_old_mut().linkflag = [kind];
            header.set_size(data.len() as u64);
            header.set_cksum();
            archive.extend(header.as_bytes());
            archive.extend(&data);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive.extend([0; 1024]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), archive).unwrap();
        let _ = Tree::from_tar(file.path(), &TarOptions::default());
    }
}
