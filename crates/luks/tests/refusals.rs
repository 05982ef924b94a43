//! Bytes that are no header, copies that are not whole, headers of someone else: each refused by its name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use bennu_luks::template::{BINARY_BYTES, COPY_BYTES, METADATA_BYTES};
use bennu_luks::{HeaderCopy, HeaderError, LooksLike, OtherCopy, UnverifiedHeader, VerifyError, VolumeKey};
use proptest::prelude::*;
use workshop::{area, change_copies, key, mac, other_key, replaced, seal, with_json};

fn refusal(bytes: &[u8]) -> HeaderError {
    assert!(UnverifiedHeader::parse(&area()).is_ok(), "positive control");
    UnverifiedHeader::parse(bytes).expect_err("a refusal")
}

#[test]
fn what_is_no_luks_is_told_apart_by_what_it_looks_like() {
    for (at, magic, looks_like) in [
        (0, &b"\0"[..], LooksLike::Zeros),
        (1080, b"\x53\xef", LooksLike::Ext4),
        (0, b"XFSB", LooksLike::Xfs),
        (1024, b"\xe2\xe1\xf5\xe0", LooksLike::Erofs),
        (0, b"hsqs", LooksLike::Squashfs),
        (512, b"LABELONE", LooksLike::Lvm),
        (510, b"\x55\xaa", LooksLike::BootSector),
        (3, b"x", LooksLike::Unknown),
    ] {
        let mut bytes = vec![0; METADATA_BYTES];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        assert_eq!(refusal(&bytes), HeaderError::NotLuks { looks_like });
    }
}

#[test]
fn too_few_bytes_are_refused_and_both_copies_alone_are_enough() {
    let area = area();
    for found in [0, 1, COPY_BYTES, METADATA_BYTES - 1] {
        let expected = METADATA_BYTES;
        assert_eq!(refusal(&area[..found]), HeaderError::TooShort { expected, found });
    }
    assert!(UnverifiedHeader::parse(&area[..METADATA_BYTES]).is_ok());
}

#[test]
fn each_field_of_the_binary_header_is_refused_for_its_own_reason() {
    let changed = |at: usize, to: &[u8]| {
        refusal(&change_copies(&area(), |copy| {
            copy[at..at + to.len()].copy_from_slice(to);
        }))
    };
    assert_eq!(changed(6, &[0, 3]), HeaderError::Version { found: 3 });
    let (expected, found) = (16_384, 32_768);
    assert_eq!(changed(14, &[0x80]), HeaderError::CopySize { expected, found });
    let (expected, found) = ("bennu-state", "bennu-statf".to_owned());
    assert_eq!(changed(34, b"f"), HeaderError::Label { expected, found });
    let found = "sha512".to_owned();
    assert_eq!(changed(72, b"sha512"), HeaderError::ChecksumAlgorithm { found });
    let found = "2F1C5B0A-1122-4344-8566-778899aabbcc".to_owned();
    assert_eq!(changed(168, &found.as_bytes()[..10]), HeaderError::Uuid { found });
    let found = "x".to_owned();
    assert_eq!(changed(208, b"x"), HeaderError::Subsystem { found });
    let (expected, found) = (0, 1 << 56);
    assert_eq!(changed(256, &[1]), HeaderError::CopyOffset { expected, found });
    for offset in [264, 447, 480, 511, 512, 4095] {
        assert_eq!(changed(offset, &[1]), HeaderError::Padding { offset });
    }
    assert_eq!(
        changed(COPY_BYTES - 1, &[1]),
        HeaderError::JsonPadding { offset: 12_287 }
    );
    // The salt is free.
    let salted = change_copies(&area(), |copy| copy[104..168].fill(9));
    assert!(UnverifiedHeader::parse(&salted).is_ok());
}

#[test]
fn text_that_is_not_one_json_object_is_refused() {
    let found = |text: &str| refusal(&with_json(&area(), text));
    let no_start = HeaderError::Json {
        detail: "no `{` at the start".into(),
    };
    assert_eq!(found(""), no_start);
    assert_eq!(found(" {}"), no_start);
    assert_eq!(found("[]"), no_start);
    assert!(matches!(found("{"), HeaderError::Json { .. }));
    assert!(matches!(found("{}{}"), HeaderError::Json { .. }));
    assert!(matches!(found(&"{\"a\":".repeat(2000)), HeaderError::Json { .. }));
    let path = "segments".to_owned();
    assert_eq!(found("{}"), HeaderError::MissingMember { path });
    let endless = change_copies(&area(), |copy| copy[BINARY_BYTES + 1..].fill(b' '));
    assert!(matches!(refusal(&endless), HeaderError::Json { .. }));
}

#[test]
fn a_header_whose_generation_uuid_or_mac_was_changed_does_not_verify() {
    let verify = |bytes: &[u8], key: &VolumeKey| UnverifiedHeader::parse(bytes).unwrap().verify(key).err();
    assert_eq!(verify(&area(), &key()), None, "positive control");
    assert_eq!(verify(&area(), &other_key()), Some(VerifyError::OtherKey));
    let newer = replaced(&area(), "\"generation\":\"7\"", "\"generation\":\"8\"");
    assert_eq!(verify(&newer, &key()), Some(VerifyError::Mac));
    let other_uuid = change_copies(&area(), |copy| copy[168] = b'3');
    assert_eq!(verify(&other_uuid, &key()), Some(VerifyError::Mac));
    let forged = replaced(&area(), &mac(), &"00".repeat(32));
    assert_eq!(verify(&forged, &key()), Some(VerifyError::Mac));
}

#[test]
fn of_two_copies_the_newer_whole_one_counts_and_equally_new_ones_must_agree() {
    let copies = |bytes: &[u8]| UnverifiedHeader::parse(bytes).unwrap().copies();
    let seqid = |area: &mut [u8], start: usize, to: u8| {
        area[start + 23] = to;
        seal(area, start);
    };
    assert_eq!(copies(&area()), (HeaderCopy::Primary, OtherCopy::Same));
    let mut bytes = area();
    seqid(&mut bytes, COPY_BYTES, 2);
    assert_eq!(copies(&bytes), (HeaderCopy::Secondary, OtherCopy::Older));
    seqid(&mut bytes, 0, 3);
    assert_eq!(copies(&bytes), (HeaderCopy::Primary, OtherCopy::Older));
    for (damaged, taken) in [(0, HeaderCopy::Secondary), (COPY_BYTES, HeaderCopy::Primary)] {
        for at in [0, 7, 14, 72, 100, 5000] {
            let mut bytes = area();
            bytes[damaged + at] ^= 1;
            assert_eq!(copies(&bytes), (taken, OtherCopy::Damaged), "byte {at}");
        }
    }
    let mut bytes = replaced(&area(), "\"generation\":\"7\"", "\"generation\":\"8\"");
    bytes[..COPY_BYTES].copy_from_slice(&area()[..COPY_BYTES]);
    assert_eq!(refusal(&bytes), HeaderError::CopiesDisagree { seqid: 1 });
}

#[test]
fn the_newer_copy_is_not_given_up_for_an_older_one_that_fits_the_template() {
    let attacked = replaced(&area(), "\"dynamic\"", "\"4096\"");
    let mut bytes = area();
    bytes[..COPY_BYTES].copy_from_slice(&attacked[..COPY_BYTES]);
    bytes[23] = 9;
    seal(&mut bytes, 0);
    let (path, expected, found) = ("segments.0.size".into(), "dynamic".into(), "4096".into());
    assert_eq!(
        refusal(&bytes),
        HeaderError::OtherValue {
            path,
            expected,
            found
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_parser_panic(
        noise in proptest::collection::vec((0..800usize, any::<u8>()), 0..6),
        text in proptest::collection::vec((0..1100usize, 32u8..127), 0..6),
    ) {
        let bytes = change_copies(&area(), |copy| {
            for (at, value) in &noise {
                copy[*at] = *value;
            }
            for (at, value) in &text {
                copy[BINARY_BYTES + at] = *value;
            }
        });
        let _ = UnverifiedHeader::parse(&bytes).map(|header| header.verify(&key()).is_ok());
    }

    #[test]
    fn no_json_text_makes_the_parser_panic(text in "\\{[\\[\\]{}\":,0-9a-z. ]{0,200}") {
        prop_assert!(UnverifiedHeader::parse(&with_json(&area(), &text)).is_err());
    }
}
