//! EFI variables in a directory that stands for efivarfs.

#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use bennu_linux::efivars::{
    EfiVarError, EfiVars, GLOBAL, LOADER, LoaderStringError, PERSISTENT, SecureBoot, SetupMode, Variable,
    decode_utf16, encode_utf16,
};
use proptest::prelude::*;

struct Store(tempfile::TempDir, EfiVars);

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vars = EfiVars::at(dir.path());
        Self(dir, vars)
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(file), bytes).unwrap();
    }
}

const PART_UUID: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

#[test]
fn the_bytes_of_a_variable_are_attributes_then_value() {
    let variable = Variable {
        attributes: PERSISTENT,
        value: b"v".to_vec(),
    };
    assert_eq!(variable.encode(), [7, 0, 0, 0, b'v']);
    assert_eq!(Variable::decode(&[7, 0, 0, 0, b'v']), Some(variable));
    assert_eq!(Variable::decode(&[7, 0, 0]), None);
}

#[test]
fn the_loader_s_partition_guid_is_read_in_lower_case() {
    let store = Store::new();
    assert_eq!(store.1.loader_device_part_uuid().unwrap(), None);
    let text = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
    store.put(
        PART_UUID,
        &[&[6, 0, 0, 0], encode_utf16(text).as_slice()].concat(),
    );
    assert_eq!(
        store.1.loader_device_part_uuid().unwrap(),
        Some(text.to_ascii_lowercase())
    );
}

#[test]
fn a_zero_malformed_or_overlong_partition_guid_is_refused() {
    let store = Store::new();
    for bad in [
        "",
        "00000000-0000-0000-0000-000000000000",
        "0fc63daf",
        "0fc63daf-8483-4772-8e79-3d69d8477de4-1",
    ] {
        store.put(PART_UUID, &[&[6, 0, 0, 0], encode_utf16(bad).as_slice()].concat());
        let refused = store.1.loader_device_part_uuid();
        assert!(matches!(refused, Err(EfiVarError::NotAGuid { .. })), "{bad:?}");
    }
    store.put(PART_UUID, &[0; 1029]);
    assert!(matches!(
        store.1.loader_device_part_uuid(),
        Err(EfiVarError::Read { .. })
    ));
    store.put(PART_UUID, &[6, 0]);
    assert!(matches!(
        store.1.loader_device_part_uuid(),
        Err(EfiVarError::NoAttributes { found: 2, .. })
    ));
    store.put(PART_UUID, &[6, 0, 0, 0, 0x41]);
    let odd = store.1.loader_device_part_uuid();
    assert!(matches!(
        odd,
        Err(EfiVarError::Text {
            source: LoaderStringError::Odd { found: 1 },
            ..
        })
    ));
}

#[test]
fn secure_boot_and_setup_mode_are_one_byte_each_and_anything_else_is_refused() {
    let store = Store::new();
    assert_eq!(store.1.secure_boot().unwrap(), SecureBoot::Unsupported);
    assert_eq!(store.1.setup_mode().unwrap(), SetupMode::Unsupported);
    store.put(SECURE_BOOT, &[6, 0, 0, 0, 1]);
    assert_eq!(store.1.secure_boot().unwrap(), SecureBoot::Enforcing);
    store.put(SECURE_BOOT, &[6, 0, 0, 0, 0]);
    assert_eq!(store.1.secure_boot().unwrap(), SecureBoot::Disabled);
    for bad in [&[6, 0, 0, 0][..], &[6, 0, 0, 0, 2], &[6, 0, 0, 0, 1, 1]] {
        store.put(SECURE_BOOT, bad);
        assert!(matches!(store.1.secure_boot(), Err(EfiVarError::Flag { .. })));
    }
}

#[test]
fn a_written_variable_reads_back_and_is_deleted_once() {
    let store = Store::new();
    store
        .1
        .set_loader_string("LoaderEntryOneShot", "bennu_2+3.efi")
        .unwrap();
    assert_eq!(
        store.1.loader_string("LoaderEntryOneShot").unwrap().as_deref(),
        Some("bennu_2+3.efi")
    );
    assert!(store.1.delete(LOADER, "LoaderEntryOneShot").unwrap());
    assert!(!store.1.delete(LOADER, "LoaderEntryOneShot").unwrap());
}

#[test]
fn names_that_could_leave_the_directory_and_values_over_the_limit_are_refused() {
    let store = Store::new();
    for bad in ["", "../x", "a-b", "a\0", &"n".repeat(129)] {
        let refused = store.1.read(GLOBAL, bad, 16);
        assert!(matches!(refused, Err(EfiVarError::BadName { .. })), "{bad:?}");
    }
    let variable = Variable {
        attributes: PERSISTENT,
        value: vec![0; 17],
    };
    let refused = store.1.write(LOADER, "X", &variable, 16);
    assert!(matches!(
        refused,
        Err(EfiVarError::ValueTooLong {
            found: 17,
            limit: 16,
            ..
        })
    ));
    assert!(store.1.write(LOADER, "X", &variable, 17).is_ok());
}

#[test]
fn utf_16_with_unpaired_surrogates_text_after_its_end_or_control_characters_is_refused() {
    assert_eq!(
        decode_utf16(&encode_utf16("\\EFI\\Linux\\ä_😀.efi"), 1024).unwrap(),
        "\\EFI\\Linux\\ä_😀.efi"
    );
    assert_eq!(decode_utf16(b"a\0", 2).unwrap(), "a");
    assert_eq!(decode_utf16(b"a\0\0\0b\0", 64), Err(LoaderStringError::AfterNul));
    assert_eq!(decode_utf16(&[0, 0xd8], 64), Err(LoaderStringError::Surrogate));
    assert_eq!(decode_utf16(b"\x1b\0", 64), Err(LoaderStringError::Control));
    assert_eq!(
        decode_utf16(b"a\0b\0", 2),
        Err(LoaderStringError::TooLong { found: 4, limit: 2 })
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>) {
        let _ = decode_utf16(&bytes, 64);
        if let Some(variable) = Variable::decode(&bytes) {
            prop_assert_eq!(variable.encode(), bytes);
        }
    }

    #[test]
    fn text_without_control_characters_survives_the_round_trip(text in "\\PC{0,40}") {
        prop_assume!(!text.chars().any(char::is_control));
        prop_assert_eq!(decode_utf16(&encode_utf16(&text), 1024).unwrap(), text);
    }
}
