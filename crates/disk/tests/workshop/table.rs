//! A partition table to play with.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Cursor;

use bennu_disk::gpt::{
    Attributes, EntryChange, Health, Label, OpenError, PartitionSpec, Place, Table, open, required_disk_bytes,
};
use uuid::Uuid;

use super::{MIB, crc32, tool};

pub const DISK_GUID: Uuid = Uuid::from_u128(0x0123_4567_89ab_4cde_8f01_2345_6789_abcd);
pub const ESP: Uuid = Uuid::from_u128(0xc12a_7328_f81f_11d2_ba4b_00a0_c93e_c93b);
pub const ROOT: Uuid = Uuid::from_u128(0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709);

pub fn spec(
    type_guid: Uuid,
    unique: u128,
    label: &str,
    place: Place,
    attributes: Attributes,
) -> PartitionSpec {
    let unique_guid = Uuid::from_u128(unique);
    PartitionSpec {
        type_guid,
        unique_guid,
        label: Label::new(label).unwrap(),
        place,
        attributes,
    }
}

pub fn specs() -> Vec<PartitionSpec> {
    let root = Attributes::READ_ONLY.with(Attributes::NO_AUTO);
    vec![
        spec(ESP, 0xa1, "esp", Place::Next { bytes: 3 * MIB }, Attributes::NONE),
        spec(ROOT, 0xa2, "bennu-demo_2", Place::Next { bytes: MIB + 1 }, root),
        spec(ROOT, 0xa3, "_empty äöü 𝄞", Place::Next { bytes: 512 }, root),
        spec(
            ROOT,
            0xa4,
            "",
            Place::Sectors {
                first: 16384,
                last: 16384,
            },
            Attributes::GROW_FILE_SYSTEM,
        ),
    ]
}

pub fn disk() -> Vec<u8> {
    let bytes = required_disk_bytes(&specs()).unwrap();
    let table = Table::plan(bytes, DISK_GUID, &specs()).unwrap();
    let mut disk = Cursor::new(vec![0; bytes as usize]);
    table.write(&mut disk).unwrap();
    disk.into_inner()
}

pub fn open_bytes(disk: &[u8]) -> Result<(Table, Health), OpenError> {
    open(&mut Cursor::new(disk))
}

/// sgdisk finds no problem, sfdisk reads the same numbers.
pub fn judge(bytes: &[u8]) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    let verdict = tool("sgdisk", &["-v", path]);
    let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert!(
        verdict.status.success() && text.contains("No problems found."),
        "{text}"
    );
    let dump = tool("sfdisk", &["--json", path]);
    assert!(dump.status.success() && dump.stderr.is_empty(), "{dump:?}");
    serde_json::from_slice::<serde_json::Value>(&dump.stdout).unwrap()["partitiontable"].take()
}

/// Makes both checksums of both copies right again.
pub fn reseal(bytes: &mut [u8]) {
    for header in [512, bytes.len() - 512] {
        let entries = u64::from_le_bytes(bytes[header + 72..header + 80].try_into().unwrap());
        let entries = (entries as usize).saturating_mul(512);
        let count = u32::from_le_bytes(bytes[header + 80..header + 84].try_into().unwrap()) as usize;
        if let Some(entries) = bytes.get(entries..entries.saturating_add(count * 128)) {
            let crc = crc32(entries);
            bytes[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
        }
        bytes[header + 16..header + 20].fill(0);
        let crc = crc32(&bytes[header..header + 92]);
        bytes[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
    }
}

pub fn change() -> EntryChange {
    EntryChange {
        unique_guid: Uuid::from_u128(0xb3),
        label: Label::new("bennu-demo_3").unwrap(),
    }
}
