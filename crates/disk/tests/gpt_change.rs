//! Changes of partition entries: exact, refused when wrong, and safe against power cuts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use std::fs::{self, File};
use std::io::Cursor;

use bennu_disk::gpt::{
    Attributes, ChangeError, EntryChange, Health, Partition, Place, Table, TableError, change_entry, open,
};
use proptest::prelude::*;
use uuid::Uuid;
use workshop::power::{Recorder, survives};
use workshop::table::*;

#[test]
fn a_change_renames_one_entry_and_nothing_else() {
    let before = disk();
    let mut after = Cursor::new(before.clone());
    let (table, health) = change_entry(&mut after, 3, &change()).unwrap();
    assert!(matches!(health, Health::Good));
    let after = after.into_inner();
    let json = judge(&after);
    assert_eq!(json["partitions"][2]["name"], "bennu-demo_3");
    assert_eq!(open_bytes(&after).unwrap().0, table);
    let renamed = |mut table: Vec<Partition>| {
        table[2].unique_guid = change().unique_guid;
        table[2].label = change().label;
        table
    };
    let old = open_bytes(&before).unwrap().0;
    assert_eq!(table.partitions(), renamed(old.partitions().to_vec()));
}

#[test]
fn changes_that_cannot_be_made_write_nothing() {
    let mut disk = Cursor::new(disk());
    let before = disk.get_ref().clone();
    let refused = change_entry(&mut disk, 5, &change()).unwrap_err();
    assert!(
        matches!(refused, ChangeError::NoSuchPartition { number: 5 }),
        "{refused:?}"
    );
    let refused = change_entry(&mut disk, 0, &change()).unwrap_err();
    assert!(
        matches!(refused, ChangeError::NoSuchPartition { number: 0 }),
        "{refused:?}"
    );
    let zero = EntryChange {
        unique_guid: Uuid::nil(),
        ..change()
    };
    let refused = change_entry(&mut disk, 3, &zero).unwrap_err();
    assert!(
        matches!(refused, ChangeError::ZeroGuid { number: 3 }),
        "{refused:?}"
    );
    let taken = EntryChange {
        unique_guid: Uuid::from_u128(0xa1),
        ..change()
    };
    let refused = change_entry(&mut disk, 3, &taken).unwrap_err();
    let expected = matches!(
        refused,
        ChangeError::Table {
            number: 3,
            source: TableError::DuplicateGuid {
                first: 1,
                second: 3,
                ..
            }
        }
    );
    assert!(expected, "{refused:?}");
    assert!(before == *disk.get_ref());
}

fn survives_every_power_cut(start: Vec<u8>) {
    survives(start, |disk| change_entry(disk, 3, &change()).unwrap().0);
}

#[test]
fn a_power_cut_at_any_write_leaves_the_old_or_the_new_table() {
    survives_every_power_cut(disk());
}

#[test]
fn a_power_cut_during_a_change_of_a_disk_with_one_torn_copy_loses_nothing() {
    let mut primary_torn = disk();
    primary_torn[512 + 70] ^= 1;
    survives_every_power_cut(primary_torn);
    let mut backup_torn = disk();
    let last = backup_torn.len() - 512;
    backup_torn[last + 70] ^= 1;
    survives_every_power_cut(backup_torn);
}

#[test]
fn a_change_cut_off_between_the_copies_is_seen_and_can_be_repeated() {
    let start = disk();
    let mut recorder = Recorder::new(start.clone());
    change_entry(&mut recorder, 3, &change()).unwrap();
    let mut cut = start;
    for (at, sector) in &recorder.epochs[0] {
        cut[*at..at + sector.len()].copy_from_slice(sector);
    }
    let (found, health) = open_bytes(&cut).unwrap();
    assert!(matches!(health, Health::CopiesDiffer), "{health:?}");
    assert_eq!(
        found,
        open_bytes(&disk()).unwrap().0,
        "the primary counts, as for firmware"
    );
    survives_every_power_cut(cut);
}

#[test]
fn a_change_works_on_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    fs::write(&path, disk()).unwrap();
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    let (table, _) = change_entry(&mut file, 3, &change()).unwrap();
    assert_eq!(open_bytes(&fs::read(&path).unwrap()).unwrap().0, table);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_parser_panic(
        noise in proptest::collection::vec((0usize..67 * 512, any::<u8>()), 1..6),
        sealed in any::<bool>(),
    ) {
        // A disk of one partition and 72 sectors, so that the noise hits something.
        let esp = spec(ESP, 1, "esp", Place::Sectors { first: 34, last: 38 }, Attributes::NONE);
        let mut disk = Cursor::new(vec![0; 72 * 512]);
        Table::plan(72 * 512, DISK_GUID, &[esp]).unwrap().write(&mut disk).unwrap();
        let mut bytes = disk.into_inner();
        for (at, value) in noise {
            bytes[at + 512] = value;
        }
        if sealed {
            reseal(&mut bytes);
        }
        if let Ok((table, _)) = open_bytes(&bytes) {
            for partition in table.partitions() {
                prop_assert!(partition.byte_offset() + partition.byte_len() <= bytes.len() as u64);
            }
            let mut disk = Cursor::new(bytes);
            if change_entry(&mut disk, 1, &change()).is_ok() {
                prop_assert!(matches!(open(&mut disk), Ok((_, Health::Good))));
            }
        }
    }
}
