//! Every difference of the JSON text from the template is refused by its name; the text without it is accepted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use bennu_luks::{HeaderError, KdfCostError, Keyslot, UnverifiedHeader};
use workshop::{area, json, mac, replaced, with_json};

fn refusal(bytes: &[u8]) -> HeaderError {
    assert!(UnverifiedHeader::parse(&area()).is_ok(), "positive control");
    UnverifiedHeader::parse(bytes).expect_err("a refusal")
}

/// What a header is refused for whose JSON text says `to` where ours says `from`.
fn after(from: &str, to: &str) -> HeaderError {
    refusal(&replaced(&area(), from, to))
}

fn other_value(path: &str, expected: &str, found: &str) -> HeaderError {
    HeaderError::OtherValue {
        path: path.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

fn unknown(path: &str) -> HeaderError {
    HeaderError::UnknownMember { path: path.into() }
}

const SEGMENT: &str = "\"iv_tweak\":\"0\",";

#[test]
fn a_member_that_stands_twice_is_refused_wherever_it_is() {
    let twice = |path: &str| HeaderError::RepeatedMember { path: path.into() };
    assert_eq!(
        after(SEGMENT, "\"iv_tweak\":\"0\",\"iv_tweak\":\"0\","),
        twice("segments.0.iv_tweak")
    );
    assert_eq!(
        after("\"config\":{", "\"config\":{},\"config\":{"),
        twice("config")
    );
}

#[test]
fn traces_of_reencryption_are_refused_before_anything_else() {
    let found = |path: &'static str, found: &str| HeaderError::Reencryption {
        path,
        found: found.into(),
    };
    assert_eq!(
        after(
            "\"config\":{",
            "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},"
        ),
        found("config.requirements", "online-reencrypt-v2")
    );
    assert_eq!(
        after(
            "\"keyslots\":{\"0\"",
            "\"keyslots\":{\"1\":{\"type\":\"reencrypt\"},\"0\""
        ),
        found("keyslots", "reencrypt")
    );
    for flag in [
        "in-reencryption",
        "backup-previous",
        "backup-final",
        "backup-moved-segment",
    ] {
        let flags = format!("\"flags\":[\"{flag}\"],{SEGMENT}");
        assert_eq!(after(SEGMENT, &flags), found("segments", flag));
    }
    let path = "segments.0.flags".to_owned();
    let other = format!("\"flags\":[\"other\"],{SEGMENT}");
    assert_eq!(after(SEGMENT, &other), HeaderError::Flags { path });
}

#[test]
fn each_difference_of_the_segment_has_its_own_name() {
    let cipher = |to: &str| {
        after(
            &format!("{SEGMENT}\"encryption\":\"aes-xts-plain64\""),
            &format!("{SEGMENT}\"encryption\":\"{to}\""),
        )
    };
    let path = || "segments.0.encryption".to_owned();
    for null in ["cipher_null-ecb", "null", "capi:ecb(cipher_null)-plain", "NULL"] {
        let found = null.to_owned();
        assert_eq!(cipher(null), HeaderError::NullCipher { path: path(), found });
    }
    for other in [
        "aes-xts-plain",
        "aes-cbc-essiv:sha256",
        "",
        "xchacha20,aes-adiantum-plain64",
    ] {
        let found = other.to_owned();
        assert_eq!(cipher(other), HeaderError::OtherCipher { path: path(), found });
    }
    let found = "linear".to_owned();
    assert_eq!(
        after("\"type\":\"crypt\"", "\"type\":\"linear\""),
        HeaderError::NotEncrypted { found }
    );
    assert_eq!(
        after("\"segments\":{", "\"segments\":{\"1\":{},"),
        HeaderError::Segments { found: 2 }
    );
    assert_eq!(
        after("\"16777216\"", "\"16777217\""),
        HeaderError::OtherOffset {
            path: "segments.0.offset".into(),
            expected: "16777216",
            found: "16777217".into()
        }
    );
    assert_eq!(
        after("\"dynamic\"", "\"4096\""),
        other_value("segments.0.size", "dynamic", "4096")
    );
    assert_eq!(
        after(SEGMENT, "\"iv_tweak\":\"1\","),
        other_value("segments.0.iv_tweak", "0", "1")
    );
    let (expected, found) = (4096, 512);
    assert_eq!(
        after("\"sector_size\":4096", "\"sector_size\":512"),
        HeaderError::SectorSize { expected, found }
    );
    assert_eq!(
        after(SEGMENT, &format!("{SEGMENT}\"integrity\":{{}},")),
        HeaderError::Integrity
    );
    assert_eq!(
        after(SEGMENT, &format!("{SEGMENT}\"x\":1,")),
        unknown("segments.0.x")
    );
    assert_eq!(
        after("\"sector_size\":4096", "\"sector_size\":\"4096\""),
        HeaderError::Kind {
            path: "segments.0.sector_size".into(),
            expected: "a whole number",
            found: "a string"
        }
    );
}

#[test]
fn each_difference_of_the_configuration_has_its_own_name() {
    let config = |more: &str| after("\"config\":{", &format!("\"config\":{{{more},"));
    assert_eq!(
        config("\"requirements\":{\"mandatory\":[\"opal\"]}"),
        HeaderError::Requirements
    );
    let path = "config.flags".to_owned();
    assert_eq!(
        config("\"flags\":[\"allow-discards\"]"),
        HeaderError::Flags { path }
    );
    assert_eq!(config("\"x\":null"), unknown("config.x"));
    assert_eq!(
        after("\"12288\"", "\"12289\""),
        other_value("config.json_size", "12288", "12289")
    );
    assert_eq!(
        after("\"524288\"", "\"0\""),
        other_value("config.keyslots_size", "524288", "0")
    );
    assert_eq!(after("\"tokens\":{", "\"x\":{},\"tokens\":{"), unknown("x"));
}

#[test]
fn each_difference_of_a_keyslot_has_its_own_name() {
    assert_eq!(
        after("\"luks2\"", "\"luks3\""),
        other_value("keyslots.0.type", "luks2", "luks3")
    );
    assert_eq!(
        after("4000", "2"),
        other_value("keyslots.0.af.stripes", "4000", "2")
    );
    assert_eq!(
        after("\"raw\"", "\"datashift\""),
        other_value("keyslots.0.area.type", "raw", "datashift")
    );
    assert_eq!(
        after("\"258048\"", "\"1\""),
        other_value("keyslots.0.area.size", "258048", "1")
    );
    assert_eq!(
        after("\"32768\"", "\"16777216\""),
        HeaderError::OtherOffset {
            path: "keyslots.0.area.offset".into(),
            expected: "32768 or 290816",
            found: "16777216".into()
        }
    );
    assert_eq!(
        after(
            "\"size\":\"258048\",\"encryption\":\"aes-xts-plain64\"",
            "\"size\":\"258048\",\"encryption\":\"cipher_null-ecb\""
        ),
        HeaderError::NullCipher {
            path: "keyslots.0.area.encryption".into(),
            found: "cipher_null-ecb".into()
        }
    );
    assert_eq!(
        after("\"argon2id\"", "\"pbkdf2\""),
        HeaderError::OtherKdf {
            path: "keyslots.0.kdf.type".into(),
            found: "pbkdf2".into()
        }
    );
    let keyslot = Keyslot::Recovery;
    let cost = KdfCostError::TooCostly {
        member: "memory",
        most: 131_072,
        found: 4_294_967_296,
    };
    assert_eq!(
        after("\"memory\":32", "\"memory\":4294967296"),
        HeaderError::KdfCost { keyslot, cost }
    );
    let cost = KdfCostError::TooCheap {
        member: "time",
        least: 4,
        found: 0,
    };
    assert_eq!(
        after("\"time\":4", "\"time\":0"),
        HeaderError::KdfCost { keyslot, cost }
    );
    assert_eq!(
        after("\"keyslots\":{\"0\"", "\"keyslots\":{\"2\":{},\"0\""),
        unknown("keyslots.2")
    );
    assert_eq!(
        after("\"luks2\"", "\"luks2\",\"priority\":2"),
        unknown("keyslots.0.priority")
    );
}

#[test]
fn two_keyslots_in_one_place_are_refused() {
    let text = json(&area());
    let (start, end) = (
        text.find("{\"type\":\"luks2\"").unwrap(),
        text.find(",\"tokens\"").unwrap(),
    );
    let keyslot = &text[start..end - 1];
    let both = text.replace(
        "\"keyslots\":{\"0\"",
        &format!("\"keyslots\":{{\"1\":{keyslot},\"0\""),
    );
    let refused = refusal(&with_json(&area(), &both));
    assert_eq!(refused, HeaderError::KeyslotsOverlap { offset: 32_768 });
    let apart = both
        .replacen("\"32768\"", "\"290816\"", 1)
        .replace("\"keyslots\":[\"0\"]", "\"keyslots\":[\"1\",\"0\"]");
    let header = UnverifiedHeader::parse(&with_json(&area(), &apart)).unwrap();
    assert!(header.has_keyslot(Keyslot::Further), "positive control");
}

#[test]
fn each_difference_of_digest_and_token_has_its_own_name() {
    assert_eq!(
        after("\"digests\":{", "\"digests\":{\"1\":{},"),
        HeaderError::Digests { found: 2 }
    );
    assert_eq!(
        after("\"keyslots\":[\"0\"]", "\"keyslots\":[]"),
        HeaderError::DigestKeyslots {
            expected: "0".into(),
            found: String::new()
        }
    );
    assert_eq!(
        after("1000", "1001"),
        other_value("digests.0.iterations", "1000", "1001")
    );
    assert_eq!(
        after("\"segments\":[\"0\"]", "\"segments\":[]"),
        other_value("digests.0.segments", "[\"0\"]", "")
    );
    assert_eq!(
        after("\"tokens\":{", "\"tokens\":{\"1\":{},"),
        HeaderError::MoreThanOneToken { found: 2 }
    );
    let found = "systemd-tpm2".to_owned();
    assert_eq!(
        after("\"bennu-state\"", "\"systemd-tpm2\""),
        HeaderError::OtherToken { found }
    );
    for bad in ["07", "+7", "", "-1", "18446744073709551616"] {
        assert_eq!(
            after("\"generation\":\"7\"", &format!("\"generation\":\"{bad}\"")),
            other_value("tokens.0.generation", "a decimal number of 64 bits", bad)
        );
    }
    assert_eq!(
        after("\"mac\":\"", "\"mac\":\"0"),
        other_value(
            "tokens.0.mac",
            "64 hexadecimal digits in lower case",
            &format!("0{}", &mac()[..39])
        )
    );
}
