//! Disk and ESP edits, judged by sgdisk, fsck.vfat and plain reads of the image.

#![allow(
    clippy::unwrap_used,
    reason = "clippy does not take helpers outside #[test] for tests"
)]

use std::process::Command;

use bennu_harness::disk::{Disk, DiskError};
use bennu_harness::esp::{EspEntry, EspError};
use bennu_harness::partitions::PartitionRef;
use bennu_harness::tool::{self, ToolError};

const SCRIPT: &str = "label: gpt
size=40MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp
size=4MiB, name=demo_1
size=4MiB, name=_empty
size=4MiB, name=_empty
";

fn disk() -> (tempfile::TempDir, Disk) {
    let folder = tempfile::tempdir().unwrap();
    // A name that ends in a digit makes sfdisk put a `p` before partition numbers.
    let disk = Disk::create(folder.path().join("disk0"), 64 << 20).unwrap();
    disk.write_table(SCRIPT).unwrap();
    disk.esp().unwrap().format().unwrap();
    (folder, disk)
}

#[test]
fn partitions_are_found_by_number_label_and_guid() {
    let (_folder, disk) = disk();
    let all = disk.partitions().unwrap();
    assert_eq!(
        all.iter().map(|entry| entry.number).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let demo = disk.partition("demo_1").unwrap();
    assert_eq!((demo.number, demo.start, demo.bytes), (2, 41 << 20, 4 << 20));
    assert_eq!(disk.partition(2).unwrap(), demo);
    assert_eq!(
        disk.partition(PartitionRef::Uuid(demo.uuid.to_lowercase()))
            .unwrap(),
        demo
    );
}

#[test]
fn a_label_that_two_or_no_partitions_have_is_refused() {
    let (_folder, disk) = disk();
    assert!(matches!(
        disk.partition("_empty"),
        Err(DiskError::NotOne { found: 2, .. })
    ));
    assert!(matches!(
        disk.partition("absent"),
        Err(DiskError::NotOne { found: 0, .. })
    ));
    let error = disk.partition(9).unwrap_err();
    assert_eq!(
        error.to_string(),
        "find the partition with number 9: expected one, found 0"
    );
}

#[test]
fn bytes_are_changed_inside_their_partition_only() {
    let (_folder, disk) = disk();
    disk.write("demo_1", 4096, b"abc").unwrap();
    assert_eq!(disk.flip_byte("demo_1", 4097).unwrap(), (b'b', !b'b'));
    assert_eq!(disk.read(2, 4096, 3).unwrap(), [b'a', !b'b', b'c']);
    let image = std::fs::read(disk.path()).unwrap();
    assert_eq!(image[(41 << 20) + 4097], !b'b');
    let end = 4 << 20;
    disk.write(2, end - 1, b"z").unwrap();
    for refused in [
        disk.write(2, end - 1, b"zz"),
        disk.write(2, u64::MAX, b"z"),
        disk.flip_byte(2, end).map(drop),
    ] {
        assert!(
            matches!(
                refused,
                Err(DiskError::OutOfRange {
                    number: 2,
                    bytes: 4_194_304,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    assert!(matches!(
        disk.read(2, 0, 65 << 20),
        Err(DiskError::TooMuch { .. })
    ));
}

#[test]
fn swapped_entries_keep_content_label_and_guid_and_the_table_stays_sound() {
    let (_folder, disk) = disk();
    let (demo, empty) = (disk.partition(2).unwrap(), disk.partition(3).unwrap());
    disk.swap_entries(2, 3).unwrap();
    let (new_demo, new_empty) = (disk.partition("demo_1").unwrap(), disk.partition(2).unwrap());
    assert_eq!(new_demo.number, 3);
    assert_eq!((new_demo.start, &new_demo.uuid), (demo.start, &demo.uuid));
    assert_eq!((new_empty.start, &new_empty.uuid), (empty.start, &empty.uuid));
    disk.set_label(2, "demo_2").unwrap();
    disk.set_uuid(2, &demo.uuid).unwrap();
    assert_eq!(disk.partition("demo_2").unwrap().uuid, demo.uuid);
    assert!(matches!(
        disk.partition(PartitionRef::Uuid(demo.uuid)),
        Err(DiskError::NotOne { found: 2, .. })
    ));
    let verdict = Command::new(tool::find("sgdisk").unwrap())
        .arg("-v")
        .arg(disk.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verdict.stdout);
    assert!(said.contains("No problems found"), "{said}");
}

#[test]
fn files_on_the_esp_are_put_listed_renamed_read_and_deleted() {
    let (folder, disk) = disk();
    let esp = disk.esp().unwrap();
    esp.make_folder("/EFI").unwrap();
    esp.make_folder("/EFI/Linux").unwrap();
    let content: Vec<u8> = (0..=255).cycle().take(70_001).collect();
    esp.put("/EFI/Linux/demo_1+3.efi", &content).unwrap();
    esp.put("/EFI/Linux/demo_1+3.efi", &content[1..]).unwrap();
    assert_eq!(esp.get("/EFI/Linux/demo_1+3.efi").unwrap(), &content[1..]);
    esp.rename("/EFI/Linux/demo_1+3.efi", "demo_1+2-1.efi").unwrap();
    let entry = |name: &str, is_folder| EspEntry {
        name: name.to_owned(),
        is_folder,
    };
    assert_eq!(esp.list("/EFI/Linux").unwrap(), [entry("demo_1+2-1.efi", false)]);
    assert_eq!(esp.list("/").unwrap(), [entry("EFI", true)]);
    assert!(matches!(
        esp.get("/EFI/Linux/demo_1+3.efi"),
        Err(EspError::Tool(ToolError::Failed { .. }))
    ));
    esp.put("/EFI/Linux/other.efi", b"other").unwrap();
    assert!(
        esp.rename("/EFI/Linux/other.efi", "demo_1+2-1.efi").is_err(),
        "the name is taken"
    );
    esp.delete("/EFI/Linux/demo_1+2-1.efi").unwrap();
    assert_eq!(esp.list("/EFI/Linux").unwrap(), [entry("other.efi", false)]);
    let image = std::fs::read(disk.path()).unwrap();
    let alone = folder.path().join("esp");
    std::fs::write(&alone, &image[1 << 20..41 << 20]).unwrap();
    let verdict = Command::new(tool::find("fsck.vfat").unwrap())
        .arg("-n")
        .arg(&alone)
        .output()
        .unwrap();
    assert!(
        verdict.status.success(),
        "{}",
        String::from_utf8_lossy(&verdict.stdout)
    );
}

#[test]
fn esp_paths_that_mtools_would_expand_are_refused() {
    let (_folder, disk) = disk();
    let esp = disk.esp().unwrap();
    for path in ["EFI", "/EFI/*.efi", "/a?", "/[a]", "/::x", "\\EFI"] {
        assert!(matches!(esp.get(path), Err(EspError::Path { .. })), "{path}");
    }
    esp.put("/plain.txt", b"x").unwrap();
    assert_eq!(esp.get("/plain.txt").unwrap(), b"x", "positive control");
}

#[test]
fn a_disk_without_gpt_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::create(folder.path().join("disk.raw"), 8 << 20).unwrap();
    assert!(matches!(
        disk.partitions(),
        Err(DiskError::Tool(ToolError::Failed { .. }))
    ));
    disk.write_table("label: dos\nsize=1MiB\n").unwrap();
    assert!(matches!(disk.partitions(), Err(DiskError::NotGpt { found }) if found == "dos"));
}
