//! Block devices in a made-up sysfs, and the host's own as far as anybody may look.

#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use bennu_linux::block::{BlockError, DeviceNumber, Sysfs, ensure_node};
use proptest::prelude::*;

fn add(root: &Path, place: &str, attributes: &[(&str, &str)]) {
    let directory = root.join("devices").join(place);
    std::fs::create_dir_all(&directory).unwrap();
    for (name, text) in attributes {
        std::fs::write(directory.join(name), format!("{text}\n")).unwrap();
    }
    let class = root.join("class/block");
    std::fs::create_dir_all(&class).unwrap();
    let name = Path::new(place).file_name().unwrap();
    symlink(Path::new("../../devices").join(place), class.join(name)).unwrap();
}

fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let disk = "pci0000:00/0000:00:01.0/virtio0/block/vda";
    add(
        dir.path(),
        disk,
        &[("dev", "254:0"), ("size", "4096"), ("ro", "0")],
    );
    for (name, minor) in [("vda10", 10), ("vda2", 2)] {
        let number = minor.to_string();
        let attributes = [
            ("dev", &*format!("254:{minor}")),
            ("size", "64"),
            ("ro", "1"),
            ("start", "2048"),
            ("partition", &*number),
        ];
        add(dir.path(), &format!("{disk}/{name}"), &attributes);
    }
    add(
        dir.path(),
        "virtual/block/dm-0",
        &[("dev", "252:0"), ("size", "64"), ("ro", "1")],
    );
    add(
        dir.path(),
        "pci0000:00/0000:00:02.0/block/sr0",
        &[("dev", "11:0"), ("size", "0"), ("ro", "0")],
    );
    dir
}

#[test]
fn disks_have_hardware_and_a_medium_and_partitions_are_sorted_by_number() {
    let dir = machine();
    let sysfs = Sysfs::at(dir.path());
    let disks = sysfs.disks().unwrap();
    assert_eq!(disks.len(), 1);
    assert_eq!(
        (disks[0].name.as_str(), disks[0].number.to_string().as_str()),
        ("vda", "254:0")
    );
    let partitions = sysfs.partitions_of("vda").unwrap();
    let numbers: Vec<_> = partitions
        .iter()
        .map(|p| p.partition.as_ref().unwrap().number)
        .collect();
    assert_eq!(numbers, [2, 10]);
    assert_eq!(partitions[0].partition.as_ref().unwrap().disk, "vda");
    assert!(partitions[0].read_only && partitions[0].size_sectors512 == 64);
    assert!(sysfs.block_device("dm-0").unwrap().is_virtual);
}

#[test]
fn a_device_that_vanishes_while_listing_is_left_out_and_a_malformed_one_is_an_error() {
    let dir = machine();
    let sysfs = Sysfs::at(dir.path());
    symlink("../../devices/gone", dir.path().join("class/block/sdz")).unwrap();
    assert_eq!(sysfs.block_devices().unwrap().len(), 5);
    assert!(matches!(
        sysfs.block_device("sdz"),
        Err(BlockError::Resolve { .. })
    ));
    add(
        dir.path(),
        "pci0000:00/block/sdy",
        &[("dev", "8:0"), ("size", "many"), ("ro", "0")],
    );
    let refused = sysfs.block_devices();
    assert!(matches!(
        refused,
        Err(BlockError::Malformed {
            attribute: "size",
            ..
        })
    ));
}

#[test]
fn names_that_could_leave_the_directory_are_refused() {
    let dir = machine();
    for bad in ["", "..", "a/b", "vda\0", &"v".repeat(65)] {
        assert!(
            matches!(
                Sysfs::at(dir.path()).block_device(bad),
                Err(BlockError::BadName { .. })
            ),
            "{bad:?}"
        );
    }
}

#[test]
fn waiting_ends_when_a_device_is_chosen_and_at_the_deadline_otherwise() {
    let dir = machine();
    let sysfs = Sysfs::at(dir.path());
    let find = |name: &'static str| {
        sysfs.wait_for(Duration::from_millis(40), |devices| {
            Ok::<_, BlockError>(devices.iter().find(|d| d.name == name).map(|d| d.number))
        })
    };
    assert_eq!(find("vda2").unwrap(), DeviceNumber { major: 254, minor: 2 });
    assert!(matches!(find("vdb"), Err(BlockError::Deadline { waited_ms }) if waited_ms >= 40));
}

#[test]
fn a_node_that_is_not_the_device_asked_for_is_refused() {
    let refused = ensure_node("null", DeviceNumber { major: 1, minor: 3 });
    assert!(matches!(refused, Err(BlockError::WrongNode { .. })));
}

#[test]
fn the_host_s_own_sysfs_can_be_listed() {
    let devices = Sysfs::default().block_devices().unwrap();
    assert!(devices.iter().all(|d| !d.name.is_empty()));
}

#[test]
fn device_numbers_are_read_in_their_canonical_form_only() {
    assert_eq!(
        DeviceNumber::parse("254:1048575"),
        Some(DeviceNumber {
            major: 254,
            minor: 1_048_575
        })
    );
    for bad in [
        "",
        "8",
        "8:",
        ":1",
        "8:1:2",
        "+8:1",
        "08:1",
        "8:1048576",
        "4096:0",
        " 8:1",
        "8:99999999999",
    ] {
        assert_eq!(DeviceNumber::parse(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn every_device_number_survives_the_round_trip_and_no_text_panics(major in 0u32..4096, minor in 0u32..1_048_576, text in ".*") {
        let number = DeviceNumber { major, minor };
        prop_assert_eq!(DeviceNumber::parse(&number.to_string()), Some(number));
        let _ = DeviceNumber::parse(&text);
    }
}
