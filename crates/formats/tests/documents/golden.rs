//! Pinned bytes under `tests/golden/`. A change here is a change of a format: it carries the page under
//! `docs/spec/`, a new schema number where old readers would go wrong, and the changelog.
//! `BENNU_BLESS=1 cargo test -p bennu-formats` writes the files.

use crate::examples;
use bennu_formats::boot_record::BootRecord;
use bennu_formats::decode::Document;
use bennu_formats::dsse::{Envelope, MAX_SIGNATURES};
use bennu_formats::verity_sig::{PAD_BYTES, VeritySig};
use serde::Serialize;
use std::fmt::Debug;
use std::path::Path;

/// The pinned bytes, after writing them when that is asked for.
fn pinned(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("BENNU_BLESS").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap()
}

#[track_caller]
fn is_pinned<T: Document + Serialize + PartialEq + Debug>(name: &str, example: &T) {
    let bytes = serde_json::to_vec_pretty(example).unwrap();
    let golden = pinned(name, &bytes);
    assert_eq!(
        String::from_utf8_lossy(&golden),
        String::from_utf8_lossy(&bytes),
        "{name}"
    );
    assert_eq!(&T::decode(&golden).unwrap(), example, "{name}");
}

#[test]
fn the_slot_manifest_has_its_pinned_bytes() {
    is_pinned("slot-manifest.json", &examples::manifest());
}

#[test]
fn the_trust_configuration_has_its_pinned_bytes() {
    is_pinned("trust.json", &examples::trust());
}

#[test]
fn the_first_boot_configuration_and_the_state_schema_have_their_pinned_bytes() {
    is_pinned("first-boot.json", &examples::first_boot());
    is_pinned("state-schema.json", &examples::state_schema());
}

#[test]
fn the_hand_over_record_has_its_pinned_bytes() {
    is_pinned("boot.json", &examples::handover());
}

#[test]
fn the_gate_configuration_report_and_profiles_have_their_pinned_bytes() {
    is_pinned("gate-config.json", &examples::gate());
    is_pinned("gate-report.json", &examples::gate_report());
    is_pinned("watch-report.json", &examples::watch_report());
    is_pinned("trace-report.json", &examples::trace_report());
    is_pinned("profiles.json", &examples::profiles());
}

#[test]
fn the_firmware_record_has_its_pinned_bytes() {
    is_pinned("firmware-record.json", &examples::firmware_record());
}

#[test]
fn the_health_configuration_has_its_pinned_bytes() {
    is_pinned("health-config.json", &examples::health());
}

#[test]
fn the_health_report_has_its_pinned_bytes_in_each_state() {
    let names = ["waiting", "good", "unhealthy"];
    for (name, report) in names.iter().zip(examples::reports()) {
        is_pinned(&format!("health-{name}.json"), &report);
    }
}

#[test]
fn the_boot_record_has_its_pinned_bytes_and_orders_versions_as_versions() {
    let record = examples::boot_record();
    let bytes = record.encode().unwrap();
    let golden = pinned("boot-record.json", &bytes);
    assert_eq!(String::from_utf8_lossy(&golden), String::from_utf8_lossy(&bytes));
    assert_eq!(BootRecord::decode(&golden).unwrap(), record);
    let order: Vec<String> = record.slots.keys().map(ToString::to_string).collect();
    assert_eq!(order, ["2", "10"]);
}

#[test]
fn a_boot_record_without_the_later_member_is_still_read() {
    let old =
        br#"{"schema":1,"starts":1,"slots":{"2":{"attempts":1,"stage":"pivoted","bad":null}},"last":"2"}"#;
    let record = BootRecord::decode(old).unwrap();
    assert_eq!(record.slots[&examples::version("2")].last_failure, None);
    assert_eq!(record.drift_flips, 0);
}

#[test]
fn the_verity_sig_partition_has_its_pinned_bytes_and_nul_padding() {
    let example = examples::verity_sig();
    let bytes = example.encode().unwrap();
    assert_eq!(bytes.len() % PAD_BYTES, 0);
    let json_bytes = bytes.iter().position(|b| *b == 0).unwrap();
    let golden = pinned("verity-sig.json", &bytes[..json_bytes]);
    assert_eq!(
        String::from_utf8_lossy(&golden),
        String::from_utf8_lossy(&bytes[..json_bytes])
    );
    assert!(bytes[json_bytes..].iter().all(|b| *b == 0));
    assert_eq!(VeritySig::decode(&bytes).unwrap(), example);
    assert_eq!(
        VeritySig::decode(&golden).unwrap(),
        example,
        "padding is not required"
    );
}

#[test]
fn systemd_finds_its_own_members_in_the_partition() {
    // UAPI.2: rootHash in hex, signature in base64, certificateFingerprint in hex.
    let json: serde_json::Value =
        serde_json::from_slice(&serde_json::to_vec(&examples::verity_sig()).unwrap()).unwrap();
    assert_eq!(json["rootHash"], examples::ROOT_HASH.to_string());
    assert_eq!(json["signature"], "MIIBAA==");
    assert_eq!(json["certificateFingerprint"].as_str().map(str::len), Some(64));
}

#[test]
fn an_envelope_survives_a_round_trip_with_up_to_sixteen_signatures() {
    let mut envelope = examples::envelope();
    envelope.signatures = vec![envelope.signatures[0].clone(); MAX_SIGNATURES];
    let bytes = serde_json::to_vec(&envelope).unwrap();
    assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
}
