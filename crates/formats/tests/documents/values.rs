//! Values of the right shape that make no sense: each refused by the name of its member.

use crate::examples;
use bennu_formats::DecodeError;
use bennu_formats::boot_record::{BootRecord, Failure, MAX_REASON_BYTES, MAX_SLOTS};
use bennu_formats::decode::Document;
use bennu_formats::firmware_record::{FirmwareRecord, MAX_EVENTS, MAX_WHAT_BYTES};
use bennu_formats::first_boot::FirstBoot;
use bennu_formats::health::HealthConfig;
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::manifest::SlotManifest;
use bennu_formats::state_schema::StateSchema;
use bennu_formats::trust::TrustConfig;
use bennu_formats::{Code, ImageVersion};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

/// Decodes `example` with the value at the JSON pointer `at` replaced.
fn with<T: Document + Serialize>(example: &T, at: &str, to: &Value) -> Result<T, DecodeError> {
    let mut value = serde_json::to_value(example).unwrap();
    *value.pointer_mut(at).unwrap() = to.clone();
    T::decode(&serde_json::to_vec(&value).unwrap())
}

#[track_caller]
fn refused<T: Document + Serialize + std::fmt::Debug>(example: &T, at: &str, to: Value, member: &str) {
    let found = with(example, at, &to).err();
    let named = matches!(&found, Some(DecodeError::BadValue { document, member: named, .. })
        if *document == T::NAME && *named == member);
    assert!(named, "{at} = {to}: {found:?}");
}

#[test]
fn a_manifest_with_any_other_kind_of_tree_is_refused() {
    let manifest = examples::manifest();
    for (at, to, member) in [
        ("/verity/format", json!(0), "verity.format"),
        ("/verity/hash", json!("sha512"), "verity.hash"),
        ("/verity/data_block_bytes", json!(512), "verity.data_block_bytes"),
        ("/verity/hash_block_bytes", json!(512), "verity.data_block_bytes"),
        ("/verity/salt", json!(""), "verity.salt"),
        ("/verity/hash_start", json!(0), "verity.hash_start"),
        ("/root/filesystem", json!("ext4"), "root.filesystem"),
        ("/verity/data_blocks", json!(0), "verity.data_blocks"),
        ("/verity/data_blocks", json!(u64::MAX), "verity.data_blocks"),
        ("/verity/data_blocks", json!(999), "root.bytes"),
        ("/root/bytes", json!(1000 * 4096 - 1), "root.bytes"),
        ("/verity/tree_bytes", json!(0), "verity.tree_bytes"),
        ("/verity/tree_bytes", json!(4095), "verity.tree_bytes"),
    ] {
        refused(&manifest, at, to, member);
    }
    assert!(
        with(&manifest, "/verity/tree_bytes", &json!(4096)).is_ok(),
        "positive control"
    );
}

#[test]
fn a_manifest_with_any_other_policy_is_refused() {
    let manifest = examples::manifest();
    for (at, to, member) in [
        (
            "/tpm_policy/policy_ref",
            json!("bennu-state-v2"),
            "tpm_policy.policy_ref",
        ),
        ("/tpm_policy/pcrs", json!([11]), "tpm_policy.pcrs"),
        ("/tpm_policy/pcrs", json!([15, 13, 12, 11]), "tpm_policy.pcrs"),
        ("/tpm_policy/key_name", json!("000b"), "tpm_policy.key_name"),
        ("/tpm_policy/signature", json!(""), "tpm_policy.signature"),
    ] {
        refused(&manifest, at, to, member);
    }
}

#[test]
fn every_member_may_be_critical_and_nothing_else() {
    let mut manifest = examples::manifest();
    let members = serde_json::to_value(&manifest).unwrap();
    manifest.critical = members.as_object().unwrap().keys().cloned().collect();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(
        SlotManifest::decode(&bytes).unwrap(),
        manifest,
        "positive control"
    );
    for unknown in ["floor", "Verity", "verity.salt", "", &"x".repeat(100)] {
        let found = with(&manifest, "/critical", &json!(["schema", unknown])).err();
        let expected = DecodeError::UnknownCritical {
            document: "slot manifest",
            member: unknown.chars().take(64).collect(),
        };
        assert_eq!(found, Some(expected));
    }
}

#[test]
fn names_digests_and_enumerations_of_another_shape_are_malformed() {
    let manifest = examples::manifest();
    for (at, to) in [
        ("/image_id", json!("De_mo")),
        ("/version", json!("../1")),
        ("/architecture", json!("riscv64")),
        ("/verity/root_hash", json!("AA".repeat(32))),
        ("/verity/root_hash", json!("aa".repeat(31))),
        ("/verity/salt", json!("xy")),
        ("/tpm_policy/signature", json!("not base64!")),
        ("/security_version", json!(-1)),
        ("/security_version", json!(1e300)),
        ("/critical", json!("verity")),
    ] {
        let found = with(&manifest, at, &to);
        assert!(
            matches!(found, Err(DecodeError::Malformed { .. })),
            "{at} = {to}: {found:?}"
        );
    }
}

#[test]
fn a_trust_configuration_that_trusts_nobody_or_cannot_be_met_is_refused() {
    let trust = examples::trust();
    let key = json!("01".repeat(32));
    for (at, to, member) in [
        ("/release_keys", json!([]), "release_keys"),
        ("/release_keys", json!(vec![key.clone(); 17]), "release_keys"),
        ("/release_keys/1", json!("01".repeat(31)), "release_keys"),
        ("/release_threshold", json!(0), "release_threshold"),
        ("/release_threshold", json!(3), "release_threshold"),
        (
            "/tpm_policy_modulus",
            json!("01".repeat(255)),
            "tpm_policy_modulus",
        ),
        ("/secrets/0/name", json!("../shadow"), "secrets"),
        ("/secrets/0/name", json!(""), "secrets"),
        ("/secrets/0/name", json!("a".repeat(33)), "secrets"),
        ("/secrets/0/bytes", json!(15), "secrets"),
        ("/secrets/0/bytes", json!(65), "secrets"),
        (
            "/secrets",
            json!(vec![json!({"name": "a", "bytes": 16}); 17]),
            "secrets",
        ),
        ("/configuration_keys", json!(["01"]), "configuration_keys"),
        (
            "/configuration_keys",
            json!(vec![key.clone(); 17]),
            "configuration_keys",
        ),
        ("/identity/paths", json!(vec!["/etc/x"; 65]), "identity"),
        ("/max_attempts", json!(0), "max_attempts"),
        ("/max_attempts", json!(10), "max_attempts"),
    ] {
        refused(&trust, at, to, member);
    }
    for (at, to) in [
        ("/release_keys", json!(vec![key; 16])),
        ("/release_threshold", json!(1)),
        ("/secrets", json!([])),
        ("/secrets/0/bytes", json!(64)),
        ("/max_attempts", json!(9)),
        ("/secure_boot", json!("unprotected-without-secure-boot")),
    ] {
        assert!(
            with::<TrustConfig>(&trust, at, &to).is_ok(),
            "positive control: {at} = {to}"
        );
    }
}

#[test]
fn a_first_boot_configuration_that_reaches_further_than_it_may_is_refused_by_the_member() {
    let good = examples::first_boot();
    let network = json!({"name": "a.network", "content": ""});
    let keys = json!({"user": "a", "keys": ["k"]});
    for (at, to, member) in [
        ("/hostname", json!("a b"), "hostname"),
        ("/hostname", json!("a\n127.0.0.1 x"), "hostname"),
        ("/machine_id", json!("uninitialized"), "machine_id"),
        ("/machine_id", json!("00".repeat(16)), "machine_id"),
        ("/time_zone", json!("../../etc/shadow"), "time_zone"),
        ("/network/0/name", json!("../system/evil.network"), "network.name"),
        ("/network/0/name", json!("evil.service"), "network.name"),
        ("/network/0/content", json!("x".repeat(16_385)), "network.content"),
        ("/network/0/content", json!("a\u{0}b"), "network.content"),
        ("/network", json!(vec![network.clone(); 17]), "network"),
        ("/network", json!(vec![network; 2]), "network.name"),
        (
            "/authorized_keys/0/user",
            json!("../root"),
            "authorized_keys.user",
        ),
        ("/authorized_keys/0/keys", json!(["a\nb"]), "authorized_keys.keys"),
        (
            "/authorized_keys/0/keys",
            json!(vec!["k"; 17]),
            "authorized_keys.keys",
        ),
        (
            "/authorized_keys",
            json!(vec![keys.clone(); 9]),
            "authorized_keys",
        ),
        ("/authorized_keys", json!(vec![keys; 2]), "authorized_keys.user"),
    ] {
        refused(&good, at, to, member);
    }
    for (at, to) in [
        ("/hostname", json!(null)),
        ("/network/0/content", json!("x".repeat(16_384))),
        ("/machine", json!("F04FF38B-846B-4A5B-84EF-BE151C9665F5")),
    ] {
        assert!(
            with::<FirstBoot>(&good, at, &to).is_ok(),
            "positive control: {at}"
        );
    }
    for (at, to) in [("/machine", json!("f04ff38b")), ("/image_id", json!("../x"))] {
        let found = with::<FirstBoot>(&good, at, &to);
        assert!(
            matches!(found, Err(DecodeError::Malformed { .. })),
            "{at}: {found:?}"
        );
    }
}

#[test]
fn a_first_boot_configuration_names_what_an_image_would_not_keep() {
    let config = examples::first_boot();
    let mut rule = IdentityRule {
        classes: IdentityClass::DEFAULT.to_vec(),
        paths: Vec::new(),
    };
    assert_eq!(config.not_kept_by(&rule), Some(IdentityClass::SshAuthorizedKeys));
    rule.classes.push(IdentityClass::SshAuthorizedKeys);
    assert_eq!(config.not_kept_by(&rule), None);
    rule.classes.retain(|class| *class != IdentityClass::Network);
    assert_eq!(config.not_kept_by(&rule), Some(IdentityClass::Network));
}

#[test]
fn a_state_schema_that_nobody_can_read_is_refused() {
    refused(
        &examples::state_schema(),
        "/readable_from",
        json!(4),
        "readable_from",
    );
    let control = with::<StateSchema>(&examples::state_schema(), "/readable_from", &json!(3));
    assert!(control.is_ok(), "positive control");
}

#[test]
fn a_health_configuration_without_a_bound_is_refused() {
    let health = examples::health();
    let check = json!({"kind": "file-exists", "path": "/x"});
    for (at, to, member) in [
        ("/checks", json!(vec![check.clone(); 65]), "checks"),
        ("/deadline_s", json!(0), "deadline_s"),
        ("/deadline_s", json!(86_401), "deadline_s"),
        ("/tries", json!(0), "tries"),
        ("/tries", json!(10), "tries"),
        ("/max_attempts", json!(0), "max_attempts"),
        ("/max_attempts", json!(10), "max_attempts"),
    ] {
        refused(&health, at, to, member);
    }
    assert!(
        with(&health, "/checks", &json!(vec![check; 64])).is_ok(),
        "positive control"
    );
    let unknown = with::<HealthConfig>(&health, "/checks/0", &json!({"kind": "shell", "line": "true"}));
    assert!(
        matches!(unknown, Err(DecodeError::Malformed { .. })),
        "{unknown:?}"
    );
}

#[test]
fn a_firmware_record_whose_words_steer_a_console_or_that_is_too_long_is_refused() {
    let record = examples::firmware_record();
    assert!(
        with(&record, "/events/0/what", &json!("x".repeat(MAX_WHAT_BYTES))).is_ok(),
        "positive control"
    );
    for (at, to, member) in [
        ("/events/0/what", json!("a\u{1b}[2J"), "events.what"),
        ("/events/0/what", json!("\u{e9}"), "events.what"),
        (
            "/events/0/what",
            json!("x".repeat(MAX_WHAT_BYTES + 1)),
            "events.what",
        ),
        ("/events/0/pcr", json!(8), "events.pcr"),
        ("/events/0/digest", json!("00"), "events.digest"),
        ("/events/0/digest", json!("0123456789ABCDEF"), "events.digest"),
        ("/pcrs", json!({"8": "00".repeat(32)}), "pcrs"),
    ] {
        refused(&record, at, to, member);
    }
    let mut long = record;
    long.events = vec![long.events[0].clone(); MAX_EVENTS];
    assert_eq!(
        FirmwareRecord::decode(&long.encode().unwrap()).unwrap(),
        long,
        "positive control"
    );
    long.events.push(long.events[0].clone());
    let found = FirmwareRecord::decode(&long.encode().unwrap()).err();
    assert!(
        matches!(found, Some(DecodeError::BadValue { member: "events", .. })),
        "{found:?}"
    );
}

#[test]
fn the_longest_firmware_record_that_is_written_fits_its_limit() {
    let mut record = examples::firmware_record();
    record.events[0].what = "\\".repeat(MAX_WHAT_BYTES / 2) + &"x".repeat(MAX_WHAT_BYTES / 2);
    record.events = vec![record.events[0].clone(); MAX_EVENTS];
    assert!(record.encode().unwrap().len() <= FirmwareRecord::MAX_BYTES);
}

#[test]
fn a_manifest_that_names_its_sections_otherwise_is_refused() {
    let manifest = examples::manifest();
    let none = with(&manifest, "/pcrs/sections", &json!({})).unwrap();
    assert!(
        none.pcrs.sections.is_empty(),
        "releases of an older bennu name none"
    );
    let digest = "00".repeat(32);
    for name in ["", "x", ".too-long", ".a b", ".\u{1b}[m", ".\u{e9}"] {
        refused(
            &manifest,
            "/pcrs/sections",
            json!({name: digest}),
            "pcrs.sections",
        );
    }
    let many: serde_json::Map<String, Value> = (0..17).map(|n| (format!(".s{n}"), json!(digest))).collect();
    refused(&manifest, "/pcrs/sections", many.into(), "pcrs.sections");
}

#[test]
fn a_boot_record_of_more_slots_than_are_kept_is_refused_and_the_writer_forgets_the_oldest() {
    let mut record = BootRecord::default();
    for n in 1..=MAX_SLOTS + 1 {
        let version: ImageVersion = n.to_string().parse().unwrap();
        record.slot_mut(&version).attempts = 1;
    }
    assert_eq!(record.slots.len(), MAX_SLOTS);
    assert!(!record.slots.contains_key(&examples::version("1")));
    assert_eq!(
        BootRecord::decode(&record.encode().unwrap()).unwrap(),
        record,
        "positive control"
    );
    let one_more = record.slots.values().next().unwrap().clone();
    record.slots.insert(examples::version("99"), one_more);
    let found = BootRecord::decode(&record.encode().unwrap()).err();
    assert!(
        matches!(found, Some(DecodeError::BadValue { member: "slots", .. })),
        "{found:?}"
    );
}

#[test]
fn the_words_of_a_failure_are_cut_and_carry_no_control_characters() {
    let failure = Failure::new(Code::Internal, &format!("a\x1b[2J\r\nb{}", "é".repeat(1000)));
    assert!(failure.reason.starts_with("a [2J  bé"));
    assert_eq!(failure.reason.len(), MAX_REASON_BYTES);
}

proptest! {
    #[test]
    fn a_record_that_we_filled_with_plain_words_is_read_again(
        words in proptest::collection::vec("[ -~]{0,600}", MAX_SLOTS),
    ) {
        let mut record = examples::boot_record();
        for (n, words) in words.iter().enumerate() {
            let slot = record.slot_mut(&examples::version(&(n + 100).to_string()));
            slot.bad = Some(Failure::new(Code::SlotPanic, words));
            slot.last_failure = slot.bad.clone();
        }
        prop_assert_eq!(BootRecord::decode(&record.encode().unwrap()).unwrap(), record);
    }
}
