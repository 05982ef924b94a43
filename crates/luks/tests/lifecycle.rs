//! From the first header through new generations and recovery keys, with power cut at each write; pinned bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use bennu_luks::template::{HEADER_AREA_BYTES, KEYSLOT_AREA_OFFSETS};
use bennu_luks::{
    DmCryptTable, FormatError, FormatParameters, HeaderError, Keyslot, LooksLike, OpenError, PassphraseError,
    RandomFailed, TableError, UnverifiedHeader, UpdateError, VerifiedHeader, VolumeKey, format,
};
use sha2::{Digest as _, Sha256};
use workshop::{
    GENERATION, OTHER_RECOVERY, RECOVERY, UUID, area, change_copies, cheap, json, key, other_key,
    predictable, put_down, verified,
};

const DEVICE: &str = "254:8";
const DEVICE_BYTES: u64 = 1 << 30;

fn opens(area: &[u8], passphrase: &[u8]) -> bool {
    let header = UnverifiedHeader::parse(area).unwrap();
    match header.open_with_recovery(area, passphrase) {
        Ok(opened) => opened.as_bytes() == key().as_bytes(),
        Err(OpenError::WrongPassphrase { keyslot }) => {
            assert_eq!(keyslot, Keyslot::Recovery);
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_bytes_are_pinned() {
    let area = area();
    assert_eq!(area.len(), HEADER_AREA_BYTES);
    // docs/spec/state-header.md, section 7.
    assert_eq!(json(&area), include_str!("golden/metadata.json").trim_end());
    assert_eq!(
        hex::encode(Sha256::digest(&area)),
        include_str!("golden/area.sha256").trim_end()
    );
}

#[test]
fn a_new_header_opens_and_verifies() {
    let area = area();
    assert!(opens(&area, RECOVERY));
    assert!(!opens(&area, OTHER_RECOVERY));
    let header = verified(&area);
    assert_eq!((header.uuid(), header.generation()), (UUID, GENERATION));
    assert!(header.has_keyslot(Keyslot::Recovery));
    assert!(!header.has_keyslot(Keyslot::Further));
}

#[test]
fn there_is_no_header_before_its_keyslot_is_down_wherever_power_is_cut_in_formatting() {
    let parameters = FormatParameters {
        uuid: UUID,
        generation: GENERATION,
        kdf: cheap(),
    };
    let made = format(&parameters, &key(), OTHER_RECOVERY, &mut predictable()).unwrap();
    // Over an older volume.
    let mut bytes = area();
    let parsed = |bytes: &[u8]| UnverifiedHeader::parse(bytes).err();
    for (count, write) in made.writes().iter().enumerate() {
        let start = write.offset as usize;
        bytes[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
        if count < 2 {
            let looks_like = LooksLike::Zeros;
            assert_eq!(parsed(&bytes), Some(HeaderError::NotLuks { looks_like }));
        } else {
            assert!(opens(&bytes, OTHER_RECOVERY), "after {count} writes");
        }
    }
    assert_eq!(bytes, made.as_bytes());
}

#[test]
fn what_cannot_make_or_open_a_keyslot_is_refused_for_its_own_reason() {
    let parameters = FormatParameters {
        uuid: UUID,
        generation: 1,
        kdf: cheap(),
    };
    let made = |passphrase: &[u8]| format(&parameters, &key(), passphrase, &mut predictable()).err();
    assert_eq!(made(&[b'x'; 16]), None, "positive control");
    let short = PassphraseError::TooShort { found: 15 };
    assert_eq!(made(&[b'x'; 15]), Some(FormatError::Passphrase(short)));
    let failed = format(&parameters, &key(), RECOVERY, &mut |_| Err(RandomFailed)).err();
    assert_eq!(failed, Some(FormatError::Random(RandomFailed)));

    let area = area();
    let header = UnverifiedHeader::parse(&area).unwrap();
    let found = HEADER_AREA_BYTES - 1;
    assert_eq!(
        header.open_with_recovery(&area[..found], RECOVERY).err(),
        Some(OpenError::TooShort {
            expected: HEADER_AREA_BYTES,
            found
        })
    );
    let long = PassphraseError::TooLong { found: 513 };
    assert_eq!(
        header.open_with_recovery(&area, &[b'x'; 513]).err(),
        Some(OpenError::Passphrase(long))
    );
    let keyslot = Keyslot::Further;
    assert_eq!(
        header.open_keyslot(keyslot, &area, RECOVERY).err(),
        Some(OpenError::NoKeyslot { keyslot })
    );
}

#[test]
fn a_new_generation_leaves_one_that_verifies_wherever_power_is_cut() {
    let before = area();
    let update = verified(&before).with_generation(9).unwrap();
    let offsets: Vec<u64> = update.writes().iter().map(|write| write.offset).collect();
    assert_eq!(offsets, [16_384, 0], "second copy first");
    for count in 0..=2 {
        let whole = put_down(&before, &update, count);
        let expected = if count == 0 { GENERATION } else { 9 };
        assert_eq!(verified(&whole).generation(), expected);
        // Torn within the next write, at each 4096-byte block.
        for write in update.writes().iter().skip(count).take(1) {
            for torn in [4096, 8192, 12_288] {
                let mut bytes = whole.clone();
                let start = write.offset as usize;
                bytes[start..start + torn].copy_from_slice(&write.bytes[..torn]);
                let found = verified(&bytes).generation();
                assert!(
                    [GENERATION, 9].contains(&found),
                    "{count} writes and {torn} bytes: {found}"
                );
            }
        }
    }
    let after = put_down(&before, &update, 2);
    let again = update.into_header().with_generation(10).unwrap();
    assert_eq!(verified(&put_down(&after, &again, 2)).generation(), 10);
    assert!(opens(&after, RECOVERY));
}

#[test]
fn a_generation_that_does_not_rise_is_refused() {
    let header = verified(&area());
    for wanted in [0, GENERATION] {
        assert_eq!(
            header.with_generation(wanted).err(),
            Some(UpdateError::GenerationNotRising {
                current: GENERATION,
                wanted
            })
        );
    }
    assert!(header.with_generation(u64::MAX).is_ok(), "positive control");
    let last = change_copies(&area(), |copy| copy[16..24].fill(0xff));
    let refused = verified(&last).with_generation(8).err();
    assert_eq!(refused, Some(UpdateError::SequenceUsedUp));
}

#[test]
fn a_new_recovery_key_leaves_one_of_both_that_opens_wherever_power_is_cut() {
    let before = area();
    let update = verified(&before)
        .change_recovery(&key(), OTHER_RECOVERY, cheap(), &mut predictable())
        .ok()
        .unwrap();
    let [first, second] = KEYSLOT_AREA_OFFSETS;
    let offsets: Vec<u64> = update.writes().iter().map(|write| write.offset).collect();
    assert_eq!(offsets, [second, 16_384, 0, first]);
    for count in 0..=4 {
        let bytes = put_down(&before, &update, count);
        assert_eq!(opens(&bytes, RECOVERY), count < 2, "after {count} writes");
        assert_eq!(opens(&bytes, OTHER_RECOVERY), count >= 2, "after {count} writes");
        assert_eq!(verified(&bytes).generation(), GENERATION);
    }
    // Even with the old header back in place, the old recovery key opens nothing.
    let mut bytes = put_down(&before, &update, 4);
    bytes[..32_768].copy_from_slice(&before[..32_768]);
    assert!(!opens(&bytes, RECOVERY));
}

#[test]
fn a_keyslot_is_made_for_the_right_key_and_only_where_there_is_room() {
    let before = area();
    let header = verified(&before);
    let set = |header: &VerifiedHeader, key: &VolumeKey, passphrase: &[u8]| {
        header.set_keyslot(Keyslot::Further, key, passphrase, cheap(), &mut predictable())
    };
    assert_eq!(
        set(&header, &other_key(), OTHER_RECOVERY).err(),
        Some(UpdateError::OtherKey)
    );
    let short = PassphraseError::TooShort { found: 3 };
    assert_eq!(
        set(&header, &key(), b"abc").err(),
        Some(UpdateError::Passphrase(short))
    );
    let update = set(&header, &key(), OTHER_RECOVERY).ok().unwrap();
    let after = put_down(&before, &update, update.writes().len());
    let parsed = UnverifiedHeader::parse(&after).unwrap();
    let opened = parsed
        .open_keyslot(Keyslot::Further, &after, OTHER_RECOVERY)
        .ok()
        .unwrap();
    assert_eq!(opened.as_bytes(), key().as_bytes());
    assert!(opens(&after, RECOVERY));
    let full = verified(&after).change_recovery(&key(), OTHER_RECOVERY, cheap(), &mut predictable());
    let keyslot = Keyslot::Recovery;
    assert_eq!(full.err(), Some(UpdateError::NoFreePlace { keyslot }));
}

#[test]
fn the_table_has_the_pinned_words() {
    let header = verified(&area());
    let table = header.dm_crypt_table(&key(), DEVICE, DEVICE_BYTES).ok().unwrap();
    assert_eq!(DmCryptTable::TARGET, "crypt");
    assert_eq!(table.length_sectors512(), (DEVICE_BYTES - (16 << 20)) / 512);
    let expected = format!(
        "aes-xts-plain64 {} 0 254:8 32768 1 sector_size:4096",
        hex::encode(key().as_bytes())
    );
    assert_eq!(table.parameters().as_str(), expected);
}

#[test]
fn a_table_is_made_for_the_right_key_and_a_sound_device_only() {
    let header = verified(&area());
    let refused = |key: &VolumeKey, device: &str, bytes| header.dm_crypt_table(key, device, bytes).err();
    let least = (16 << 20) + 4096;
    assert_eq!(refused(&key(), DEVICE, least), None, "positive control");
    assert_eq!(refused(&other_key(), DEVICE, least), Some(TableError::OtherKey));
    for found in [0, 16 << 20, least - 1] {
        let small = TableError::DeviceTooSmall { least, found };
        assert_eq!(refused(&key(), DEVICE, found), Some(small));
    }
    let found = least + 512;
    assert_eq!(
        refused(&key(), DEVICE, found),
        Some(TableError::DeviceNotAligned { found })
    );
    for device in [
        "",
        "254",
        "254:",
        ":8",
        "/dev/vda8",
        "254:8 0",
        "25 4:8",
        "254:8:1",
    ] {
        let found = device.to_owned();
        assert_eq!(refused(&key(), device, least), Some(TableError::Device { found }));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_written_reads_back(generation in 1u64.., uuid: u128) {
        let uuid = uuid::Uuid::from_u128(uuid);
        let parameters = FormatParameters { uuid, generation, kdf: cheap() };
        let made = format(&parameters, &key(), RECOVERY, &mut predictable()).unwrap();
        let header = verified(made.as_bytes());
        proptest::prop_assert_eq!((header.uuid(), header.generation()), (uuid, generation));
    }
}
