//! Partition tables against `sgdisk`, `sfdisk` and crate `gpt`, and against hostile bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use std::io::Cursor;

use bennu_disk::gpt::{HeaderError, Health, OpenError, PartitionSpec, Place, PlanError, Table, TableError};
use uuid::Uuid;
use workshop::table::*;
use workshop::{MIB, crc32};

#[test]
fn sgdisk_and_sfdisk_read_the_table_that_was_planned() {
    let table = judge(&disk());
    assert_eq!(table["label"], "gpt");
    assert_eq!(table["id"], DISK_GUID.to_string().to_uppercase());
    assert_eq!(table["sectorsize"], 512);
    let partitions = table["partitions"].as_array().unwrap();
    let starts: Vec<u64> = partitions
        .iter()
        .map(|part| part["start"].as_u64().unwrap())
        .collect();
    assert_eq!(starts, [2048, 8192, 12288, 16384]);
    let sizes: Vec<u64> = partitions
        .iter()
        .map(|part| part["size"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [6144, 2049, 1, 1]);
    for (part, spec) in partitions.iter().zip(specs()) {
        assert_eq!(part["type"], spec.type_guid.to_string().to_uppercase());
        assert_eq!(part["uuid"], spec.unique_guid.to_string().to_uppercase());
        let name = part["name"].as_str().unwrap_or_default();
        assert!(spec.label.is(name), "{name:?}");
    }
    assert_eq!(partitions[1]["attrs"], "GUID:60,63");
    assert_eq!(partitions[3]["attrs"], "GUID:59");
}

#[test]
fn another_implementation_reads_the_same_table() {
    let disk = gpt::GptConfig::new()
        .only_valid_headers(true)
        .open_from_device(Cursor::new(disk()))
        .unwrap();
    assert_eq!(disk.guid(), &DISK_GUID);
    let (ours, _) = open_bytes(&self::disk()).unwrap();
    assert_eq!(disk.partitions().len(), 4);
    for partition in ours.partitions() {
        let theirs = &disk.partitions()[&partition.number];
        assert_eq!(theirs.part_type_guid.guid, partition.type_guid);
        assert_eq!(theirs.part_guid, partition.unique_guid);
        assert_eq!(
            (theirs.first_lba, theirs.last_lba),
            (partition.first_sector, partition.last_sector)
        );
        assert_eq!(
            (theirs.flags, &theirs.name),
            (partition.attributes.0, &partition.label.to_string())
        );
    }
}

#[test]
fn what_was_written_reads_back() {
    let bytes = disk();
    let (table, health) = open_bytes(&bytes).unwrap();
    assert!(matches!(health, Health::Good), "{health:?}");
    assert_eq!(
        table,
        Table::plan(bytes.len() as u64, DISK_GUID, &specs()).unwrap()
    );
    let root = table.by_unique_guid(Uuid::from_u128(0xa2)).unwrap();
    assert_eq!(
        (root.number, root.byte_offset(), root.byte_len()),
        (2, 4 * MIB, MIB + 512)
    );
    assert_eq!(table.by_unique_guid(Uuid::from_u128(0xff)), None);
}

#[test]
fn the_bytes_of_a_table_are_pinned() {
    let bytes = disk();
    assert_eq!(bytes.len() as u64, 9 * MIB);
    let head = crc32(&bytes[..34 * 512]);
    let tail = crc32(&bytes[bytes.len() - 33 * 512..]);
    assert_eq!((head, tail), (75_113_463, 2_891_039_401));
}

#[test]
fn plans_that_contradict_themselves_are_refused_for_their_own_reason() {
    let plan = |change: &dyn Fn(&mut Vec<PartitionSpec>)| {
        let mut specs = specs();
        change(&mut specs);
        Table::plan(9 * MIB, DISK_GUID, &specs)
    };
    assert!(plan(&|_| {}).is_ok());
    let guid = Uuid::from_u128(0xa1);
    let duplicate = PlanError::Table(TableError::DuplicateGuid {
        first: 1,
        second: 3,
        guid,
    });
    assert_eq!(plan(&|specs| specs[2].unique_guid = guid), Err(duplicate));
    let overlap = PlanError::Table(TableError::Overlap { first: 1, second: 4 });
    let place = Place::Sectors {
        first: 8191,
        last: 8191,
    };
    assert_eq!(plan(&|specs| specs[3].place = place), Err(overlap));
    let place = Place::Sectors { first: 33, last: 40 };
    let refused = plan(&|specs| specs[3].place = place);
    assert!(matches!(
        refused,
        Err(PlanError::Table(TableError::Outside {
            number: 4,
            first: 33,
            ..
        }))
    ));
    assert_eq!(
        plan(&|specs| specs[1].unique_guid = Uuid::nil()),
        Err(PlanError::ZeroGuid { number: 2 })
    );
    assert_eq!(
        plan(&|specs| specs[1].type_guid = Uuid::nil()),
        Err(PlanError::ZeroGuid { number: 2 })
    );
    assert_eq!(
        plan(&|specs| specs[0].place = Place::Next { bytes: 0 }),
        Err(PlanError::Size { number: 1 })
    );
    let huge = Place::Sectors {
        first: u64::MAX,
        last: u64::MAX,
    };
    assert_eq!(
        plan(&|specs| specs[3].place = huge),
        Err(PlanError::Size { number: 4 })
    );
    let large = Place::Next { bytes: 20 * MIB };
    let refused = plan(&|specs| specs[3].place = large);
    assert_eq!(
        refused,
        Err(PlanError::DiskTooSmall {
            found: 9 * MIB,
            needed: 28 * MIB
        })
    );
    assert_eq!(
        Table::plan(9 * MIB + 1, DISK_GUID, &[]),
        Err(PlanError::DiskSize { found: 9 * MIB + 1 })
    );
    let many = vec![specs()[0].clone(); 129];
    assert_eq!(
        Table::plan(9 * MIB, DISK_GUID, &many),
        Err(PlanError::TooMany { found: 129 })
    );
    assert!(Table::plan(MIB, DISK_GUID, &[]).is_ok());
}

#[test]
fn a_torn_copy_is_named_and_the_other_one_taken() {
    let good = disk();
    let (table, _) = open_bytes(&good).unwrap();
    let last = good.len() - 512;
    let torn = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let (found, health) = open_bytes(&bytes).unwrap();
        assert_eq!(found, table);
        health
    };
    let health = torn(512);
    assert!(
        matches!(health, Health::PrimaryTorn(HeaderError::Signature { sector: 1 })),
        "{health:?}"
    );
    let health = torn(512 + 9);
    assert!(
        matches!(health, Health::PrimaryTorn(HeaderError::Revision { .. })),
        "{health:?}"
    );
    let health = torn(512 + 15);
    assert!(
        matches!(
            health,
            Health::PrimaryTorn(HeaderError::HeaderSize { found: 0x0100_005c })
        ),
        "{health:?}"
    );
    let health = torn(512 + 60);
    assert!(
        matches!(health, Health::PrimaryTorn(HeaderError::HeaderChecksum { .. })),
        "{health:?}"
    );
    let health = torn(1024 + 500);
    assert!(
        matches!(health, Health::PrimaryTorn(HeaderError::EntriesChecksum { .. })),
        "{health:?}"
    );
    let health = torn(last + 60);
    assert!(
        matches!(health, Health::BackupTorn(HeaderError::HeaderChecksum { .. })),
        "{health:?}"
    );
    let health = torn(last - 1);
    assert!(
        matches!(health, Health::BackupTorn(HeaderError::EntriesChecksum { .. })),
        "{health:?}"
    );

    let mut both = good.clone();
    both[512] ^= 1;
    both[last] ^= 1;
    let refused = open_bytes(&both).unwrap_err();
    assert!(matches!(refused, OpenError::BothTorn { .. }), "{refused:?}");
    assert!(matches!(open_bytes(&[]), Err(OpenError::BothTorn { .. })));
}

/// Writes the same field into both headers and reseals.
fn with_field(at: usize, value: &[u8]) -> Result<(Table, Health), OpenError> {
    let mut bytes = disk();
    for header in [512, bytes.len() - 512] {
        bytes[header + at..header + at + value.len()].copy_from_slice(value);
    }
    reseal(&mut bytes);
    open_bytes(&bytes)
}

#[test]
fn sealed_headers_with_wrong_fields_are_refused_for_their_own_reason() {
    assert!(matches!(
        with_field(80, &128u32.to_le_bytes()),
        Ok((_, Health::Good))
    ));
    let primary = |at, value: &[u8]| match with_field(at, value) {
        Err(OpenError::BothTorn { primary, .. }) => primary,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        primary(80, &u32::MAX.to_le_bytes()),
        HeaderError::EntryCount { found: u32::MAX }
    ));
    assert!(matches!(
        primary(80, &0u32.to_le_bytes()),
        HeaderError::EntryCount { found: 0 }
    ));
    assert!(matches!(
        primary(84, &256u32.to_le_bytes()),
        HeaderError::EntrySize { found: 256 }
    ));
    assert!(matches!(
        primary(24, &7u64.to_le_bytes()),
        HeaderError::Place { sector: 1, found: 7 }
    ));
    assert!(matches!(
        primary(40, &33u64.to_le_bytes()),
        HeaderError::Geometry { first: 33, .. }
    ));
    assert!(matches!(
        primary(48, &u64::MAX.to_le_bytes()),
        HeaderError::Geometry { last: u64::MAX, .. }
    ));
    assert!(matches!(
        primary(72, &u64::MAX.to_le_bytes()),
        HeaderError::Geometry {
            entries: u64::MAX,
            ..
        }
    ));
}

#[test]
fn whole_tables_that_contradict_themselves_are_refused() {
    let changed = |entry: usize, at: usize, value: &[u8]| {
        let mut bytes = disk();
        for entries in [1024, bytes.len() - 33 * 512] {
            let start = entries + (entry - 1) * 128 + at;
            bytes[start..start + value.len()].copy_from_slice(value);
        }
        reseal(&mut bytes);
        match open_bytes(&bytes) {
            Err(OpenError::Table(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let guid = Uuid::from_u128(0xa1);
    let refused = changed(3, 16, &guid.to_bytes_le());
    assert_eq!(
        refused,
        TableError::DuplicateGuid {
            first: 1,
            second: 3,
            guid
        }
    );
    assert_eq!(
        changed(2, 32, &8191u64.to_le_bytes()),
        TableError::Overlap { first: 1, second: 2 }
    );
    assert!(matches!(
        changed(2, 32, &u64::MAX.to_le_bytes()),
        TableError::Outside { number: 2, .. }
    ));
    assert!(matches!(
        changed(4, 40, &u64::MAX.to_le_bytes()),
        TableError::Outside { number: 4, .. }
    ));
}
