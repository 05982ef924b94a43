//! Whole images: holes stay holes, partitions stay in their rooms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use bennu_disk::fat::{Content, DosTime, Entry, Plan, VolumeLabel, VolumeSpec, reader::Volume};
use bennu_disk::gpt::{Attributes, Label, PartitionSpec, Place, Table, open, required_disk_bytes};
use bennu_disk::image::{ImageError, SparseImage};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

#[test]
fn zeros_are_not_written_and_the_rest_is_equal() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let mut bytes = vec![0; 10 * MIB as usize + 100];
    bytes[0] = 1;
    bytes[4096 * 3 + 5] = 2;
    bytes[4096 * 4] = 3;
    bytes[3 * MIB as usize - 1] = 4;
    *bytes.last_mut().unwrap() = 5;
    fs::write(&source, &bytes).unwrap();
    let path = dir.path().join("image");
    let mut image = SparseImage::create(&path, 20 * MIB).unwrap();
    let mut seen = Vec::new();
    let written = image
        .copy_file(&source, 2 * MIB, 11 * MIB, &mut |done| seen.push(done))
        .unwrap();
    image.sync().unwrap();
    assert_eq!(written, 4 * 4096 + 100);
    assert_eq!(seen.last(), Some(&(bytes.len() as u64)));
    let mut found = vec![0; bytes.len()];
    image.file_mut().read_exact_at(&mut found, 2 * MIB).unwrap();
    assert!(found == bytes);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 20 * MIB);
    assert!(metadata.blocks() * 512 <= MIB, "{} blocks", metadata.blocks());
}

#[test]
fn a_partition_that_does_not_fit_its_room_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, [1; 4097]).unwrap();
    let mut image = SparseImage::create(&dir.path().join("image"), MIB).unwrap();
    assert_eq!(
        image.copy_file(&source, MIB - 4097, 4097, &mut |_| {}).unwrap(),
        4097
    );
    let refused = image.copy_file(&source, 0, 4096, &mut |_| {}).unwrap_err();
    assert!(
        matches!(
            refused,
            ImageError::NoRoom {
                found: 4097,
                room: 4096,
                ..
            }
        ),
        "{refused:?}"
    );
    let refused = image
        .copy_file(&source, MIB - 4096, 4097, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(refused, ImageError::Outside { room: 4097, .. }),
        "{refused:?}"
    );
    let refused = image.copy_file(&source, u64::MAX, 4097, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, ImageError::Outside { .. }), "{refused:?}");
    let refused = image
        .copy_file(&dir.path().join("none"), 0, 1, &mut |_| {})
        .unwrap_err();
    assert!(matches!(refused, ImageError::ReadSource { .. }), "{refused:?}");
    let refused = SparseImage::create(&dir.path().join("no/image"), 1).unwrap_err();
    assert!(matches!(refused, ImageError::Create { .. }), "{refused:?}");
}

#[test]
fn a_disk_of_table_esp_and_root_is_made_twice_with_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::write(&root, vec![0x5a; 2 * MIB as usize]).unwrap();
    let spec = |number: u128, label: &str, bytes: u64| PartitionSpec {
        type_guid: Uuid::from_u128(number),
        unique_guid: Uuid::from_u128(number + 100),
        label: Label::new(label).unwrap(),
        place: Place::Next { bytes },
        attributes: Attributes::NONE,
    };
    let specs = [spec(1, "esp", 34 * MIB), spec(2, "root", 4 * MIB)];
    let make = |name: &str| {
        let path = dir.path().join(name);
        let bytes = required_disk_bytes(&specs).unwrap();
        let table = Table::plan(bytes, Uuid::from_u128(9), &specs).unwrap();
        let mut image = SparseImage::create(&path, bytes).unwrap();
        let [esp, root_partition] = table.partitions() else {
            panic!()
        };
        let volume = VolumeSpec {
            bytes: esp.byte_len(),
            label: VolumeLabel::new("ESP").unwrap(),
            volume_id: 1,
            time: DosTime::from_unix_clamped(0),
        };
        let entry = Entry {
            path: "EFI/BOOT/BOOTX64.EFI".to_owned(),
            content: Content::Bytes(vec![1; 9999]),
        };
        let plan = Plan::new(volume, vec![entry]).unwrap();
        plan.write(image.file_mut(), esp.byte_offset(), &mut |_| {})
            .unwrap();
        image
            .copy_file(
                &root,
                root_partition.byte_offset(),
                root_partition.byte_len(),
                &mut |_| {},
            )
            .unwrap();
        table.write(image.file_mut()).unwrap();
        path
    };
    let (one, two) = (make("one"), make("two"));
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    let mut file = fs::File::open(&one).unwrap();
    let (table, _) = open(&mut file).unwrap();
    let esp = &table.partitions()[0];
    let mut volume = Volume::open(&mut file, esp.byte_offset(), esp.byte_len()).unwrap();
    assert_eq!(
        volume.read("/EFI/BOOT/BOOTX64.EFI", 10_000).unwrap(),
        vec![1; 9999]
    );
}
