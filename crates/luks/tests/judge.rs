//! Our headers before cryptsetup, and cryptsetup's before us.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use bennu_luks::template::HEADER_AREA_BYTES;
use bennu_luks::{HeaderError, KdfCostError, Keyslot, OpenError, UnverifiedHeader};
use serde_json::Value;
use workshop::cryptsetup::Device;
use workshop::{
    GENERATION, OTHER_RECOVERY, RECOVERY, area, change_copies, cheap, json, key, predictable, put_down,
    replaced, verified,
};

fn key_digits() -> String {
    hex::encode(key().as_bytes())
}

#[test]
fn cryptsetup_reads_our_header_as_we_wrote_it() {
    let device = Device::new(&area());
    let dumped: Value = serde_json::from_str(&device.says(&["luksDump", "--dump-json-metadata"])).unwrap();
    let written: Value = serde_json::from_str(&json(&area())).unwrap();
    assert_eq!(dumped, written);
    let dump = device.says(&["luksDump"]);
    for line in [
        "Version:       \t2",
        "Epoch:         \t1",
        "Metadata area: \t16384 [bytes]",
        "Keyslots area: \t524288 [bytes]",
        "UUID:          \t2f1c5b0a-1122-4344-8566-778899aabbcc",
        "Label:         \tbennu-state",
        "Subsystem:     \t(no subsystem)",
        "Flags:       \t(no flags)",
        "\toffset: 16777216 [bytes]",
        "\tcipher: aes-xts-plain64",
        "\tsector: 4096 [bytes]",
        "  0: bennu-state",
    ] {
        assert!(
            dump.lines().any(|found| found == line),
            "{line:?} is not in\n{dump}"
        );
    }
}

#[test]
fn cryptsetup_opens_our_volume_with_the_recovery_key_and_with_no_other() {
    let device = Device::new(&area());
    assert_eq!(device.open(RECOVERY), Some(0));
    assert_eq!(device.open(OTHER_RECOVERY), Some(2));
    assert_eq!(device.volume_key(RECOVERY), key_digits());
}

#[test]
fn cryptsetup_falls_back_on_our_second_copy() {
    let mut bytes = area();
    bytes[5000] ^= 1;
    let device = Device::new(&bytes);
    assert_eq!(device.open(RECOVERY), Some(0));
}

#[test]
fn cryptsetup_opens_the_volume_wherever_power_is_cut_in_a_new_generation() {
    let before = area();
    let update = verified(&before).with_generation(8).unwrap();
    for count in 0..=update.writes().len() {
        let bytes = put_down(&before, &update, count);
        let device = Device::new(&bytes);
        assert_eq!(device.open(RECOVERY), Some(0), "after {count} writes");
        // When one copy is older, reading repairs it.
        let dump = device.says(&["luksDump", "--dump-json-metadata"]);
        let generation = if count == 0 { GENERATION } else { 8 };
        let metadata: Value = serde_json::from_str(&dump).unwrap();
        assert_eq!(metadata["tokens"]["0"]["generation"], generation.to_string());
    }
}

#[test]
fn a_changed_recovery_key_opens_with_cryptsetup_and_the_old_one_no_longer_does() {
    let before = area();
    let update = verified(&before)
        .change_recovery(&key(), OTHER_RECOVERY, cheap(), &mut predictable())
        .ok()
        .unwrap();
    let device = Device::new(&put_down(&before, &update, update.writes().len()));
    assert_eq!(device.open(RECOVERY), Some(2));
    assert_eq!(device.volume_key(OTHER_RECOVERY), key_digits());
}

#[test]
fn both_keyslots_open_with_cryptsetup() {
    let before = area();
    let update = verified(&before)
        .set_keyslot(
            Keyslot::Further,
            &key(),
            OTHER_RECOVERY,
            cheap(),
            &mut predictable(),
        )
        .ok()
        .unwrap();
    let device = Device::new(&put_down(&before, &update, update.writes().len()));
    assert_eq!(device.volume_key(RECOVERY), key_digits());
    assert_eq!(device.volume_key(OTHER_RECOVERY), key_digits());
}

#[test]
fn a_header_of_cryptsetup_in_our_form_lacks_only_the_token_and_opens() {
    let device = Device::formatted_by_cryptsetup(key().as_bytes(), RECOVERY, &[]);
    let parsed = UnverifiedHeader::parse(&device.bytes());
    assert_eq!(parsed.err(), Some(HeaderError::NoToken));

    // With the token that our writer makes for the same UUID and key it is a header like ours.
    let metadata: Value = serde_json::from_str(&json(&area())).unwrap();
    let token = device.file("token", metadata["tokens"]["0"].to_string().as_bytes());
    device.says(&["token", "import", "--token-id=0", "--json-file", &token]);
    let bytes = device.bytes();
    let header = UnverifiedHeader::parse(&bytes).unwrap();
    let opened = header.open_with_recovery(&bytes, RECOVERY).ok().unwrap();
    assert_eq!(opened.as_bytes(), key().as_bytes());
    let wrong = header.open_with_recovery(&bytes, OTHER_RECOVERY).err();
    let keyslot = Keyslot::Recovery;
    assert_eq!(wrong, Some(OpenError::WrongPassphrase { keyslot }));
    assert_eq!(header.verify(&opened).ok().unwrap().generation(), GENERATION);
}

#[test]
fn headers_of_cryptsetup_with_other_parameters_are_refused_each_for_its_reason() {
    let other = |path: &str, expected: &str, found: &str| HeaderError::OtherValue {
        path: path.into(),
        expected: expected.into(),
        found: found.into(),
    };
    let cases: Vec<(&[&str], HeaderError)> = vec![
        (
            &["--sector-size=512"],
            HeaderError::SectorSize {
                expected: 4096,
                found: 512,
            },
        ),
        (
            &["--offset=40960"],
            HeaderError::OtherOffset {
                path: "segments.0.offset".into(),
                expected: "16777216",
                found: "20971520".into(),
            },
        ),
        (
            &["--cipher=aes-xts-plain"],
            HeaderError::OtherCipher {
                path: "segments.0.encryption".into(),
                found: "aes-xts-plain".into(),
            },
        ),
        (&["--key-size=256"], other("keyslots.0.key_size", "64", "32")),
        (
            &["--luks2-metadata-size=32k"],
            HeaderError::CopySize {
                expected: 16_384,
                found: 32_768,
            },
        ),
        (
            &["--luks2-keyslots-size=1m"],
            other("config.keyslots_size", "524288", "1048576"),
        ),
        (
            &["--label=state"],
            HeaderError::Label {
                expected: "bennu-state",
                found: "state".into(),
            },
        ),
        (&["--subsystem=x"], HeaderError::Subsystem { found: "x".into() }),
        (
            &["--hash=sha512"],
            other("keyslots.0.af.hash", "sha256", "sha512"),
        ),
        (
            &["--pbkdf=argon2i"],
            HeaderError::OtherKdf {
                path: "keyslots.0.kdf.type".into(),
                found: "argon2i".into(),
            },
        ),
        (
            &["--pbkdf-force-iterations=17"],
            HeaderError::KdfCost {
                keyslot: Keyslot::Recovery,
                cost: KdfCostError::TooCostly {
                    member: "time",
                    most: 16,
                    found: 17,
                },
            },
        ),
    ];
    for (args, reason) in cases {
        let device = Device::formatted_by_cryptsetup(key().as_bytes(), RECOVERY, args);
        let parsed = UnverifiedHeader::parse(&device.bytes()[..HEADER_AREA_BYTES]);
        assert_eq!(parsed.err(), Some(reason), "{args:?}");
    }
}

#[test]
fn luks1_is_refused_by_its_version() {
    let device = Device::new(&[]);
    let passphrase = device.file("passphrase", RECOVERY);
    device.says(&[
        "luksFormat",
        "--type=luks1",
        "--pbkdf-force-iterations=1000",
        "--key-file",
        &passphrase,
    ]);
    let parsed = UnverifiedHeader::parse(&device.bytes());
    assert_eq!(parsed.err(), Some(HeaderError::Version { found: 1 }));
}

#[test]
fn a_reencryption_that_cryptsetup_began_is_refused() {
    let device = Device::new(&area());
    let passphrase = device.file("passphrase", RECOVERY);
    device.says(&[
        "reencrypt",
        "--init-only",
        "--pbkdf-force-iterations=4",
        "--pbkdf-memory=32",
        "--key-file",
        &passphrase,
    ]);
    assert!(
        device.says(&["luksDump"]).contains("online-reencrypt"),
        "positive control"
    );
    let parsed = UnverifiedHeader::parse(&device.bytes());
    assert_eq!(
        parsed.err(),
        Some(HeaderError::Reencryption {
            path: "config.requirements",
            found: "online-reencrypt-v2".into()
        })
    );
}

#[test]
fn a_null_cipher_that_cryptsetup_takes_for_a_sound_header_is_refused_by_us() {
    let attacked = replaced(
        &area(),
        "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
        "\"iv_tweak\":\"0\",\"encryption\":\"cipher_null-ecb\"",
    );
    let dump = Device::new(&attacked).says(&["luksDump"]);
    assert!(dump.contains("cipher: cipher_null-ecb"), "{dump}");
    let parsed = UnverifiedHeader::parse(&attacked);
    assert_eq!(
        parsed.err(),
        Some(HeaderError::NullCipher {
            path: "segments.0.encryption".into(),
            found: "cipher_null-ecb".into()
        })
    );
}

#[test]
fn what_cryptsetup_adds_to_a_header_of_ours_is_refused() {
    let device = Device::new(&area());
    device.says(&["config", "--priority=prefer", "--key-slot=0"]);
    let parsed = UnverifiedHeader::parse(&device.bytes());
    let path = "keyslots.0.priority".into();
    assert_eq!(parsed.err(), Some(HeaderError::UnknownMember { path }));

    let device = Device::new(&area());
    let token = device.file("token", b"{\"type\":\"other\",\"keyslots\":[]}");
    device.says(&["token", "import", "--json-file", &token]);
    let parsed = UnverifiedHeader::parse(&device.bytes());
    assert_eq!(parsed.err(), Some(HeaderError::MoreThanOneToken { found: 2 }));
}

#[test]
fn cryptsetup_and_we_refuse_a_header_without_a_whole_copy() {
    let damaged = change_copies(&area(), |_| {});
    assert_eq!(damaged, area(), "positive control: sealing again changes nothing");
    let mut damaged = area();
    damaged[4100] ^= 1;
    damaged[16_384 + 4100] ^= 1;
    assert!(!Device::new(&damaged).run(&["luksDump"]).status.success());
    let parsed = UnverifiedHeader::parse(&damaged);
    assert_eq!(parsed.err(), Some(HeaderError::BothCopiesDamaged));
}
