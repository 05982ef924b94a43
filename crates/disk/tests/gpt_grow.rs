//! The last partition reaches the end of a larger disk, whatever happens on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use std::io::Cursor;

use bennu_disk::gpt::{GrowError, Health, grow_last};
use workshop::MIB;
use workshop::power::survives;
use workshop::table::*;

/// The disk of the other tests, copied to one that is `more` bytes larger.
fn larger(more: u64) -> Vec<u8> {
    let mut bytes = disk();
    bytes.resize(bytes.len() + more as usize, 0);
    bytes
}

#[test]
fn the_last_partition_grows_to_the_last_whole_mebibyte_and_nothing_else_changes() {
    let before = larger(5 * MIB + 512 * 3);
    let mut disk = Cursor::new(before.clone());
    let table = grow_last(&mut disk, 4).unwrap().expect("there is room");
    let after = disk.into_inner();
    let json = judge(&after);
    let sectors = after.len() as u64 / 512;
    assert_eq!(json["lastlba"], sectors - 34);
    let (found, health) = open_bytes(&after).unwrap();
    assert!(matches!(health, Health::Good) && found == table, "{health:?}");
    let (old, new) = (open_bytes(&before).unwrap().0, table);
    assert_eq!(old.partitions()[..3], new.partitions()[..3]);
    let (old, new) = (&old.partitions()[3], &new.partitions()[3]);
    assert_eq!(
        (old.first_sector, old.unique_guid),
        (new.first_sector, new.unique_guid)
    );
    assert_eq!((new.last_sector + 1) % 2048, 0);
    assert!(sectors - 34 - new.last_sector < 2048);
    // What lies in the partitions is not touched.
    let content = 4096 * 512..16385 * 512;
    assert_eq!(before[content.clone()], after[content]);
}

#[test]
fn a_disk_as_large_as_its_table_is_left_alone() {
    for bytes in [disk(), larger(512)] {
        let mut disk = Cursor::new(bytes.clone());
        assert!(grow_last(&mut disk, 4).unwrap().is_none());
        assert!(*disk.get_ref() == bytes);
    }
    let mut grown = Cursor::new(larger(8 * MIB));
    grow_last(&mut grown, 4).unwrap().unwrap();
    assert!(grow_last(&mut grown, 4).unwrap().is_none(), "once is enough");
}

#[test]
fn only_the_last_partition_grows() {
    let mut disk = Cursor::new(larger(8 * MIB));
    let before = disk.get_ref().clone();
    for number in [0, 1, 3, 5] {
        let refused = grow_last(&mut disk, number).unwrap_err();
        assert!(matches!(refused, GrowError::NotTheLast { .. }), "{refused}");
    }
    assert!(before == *disk.get_ref());
}

#[test]
fn a_power_cut_at_any_write_leaves_the_old_or_the_new_table() {
    survives(larger(8 * MIB), |disk| grow_last(disk, 4).unwrap().unwrap());
}
