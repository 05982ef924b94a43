//! The drift configuration: its pinned bytes, its limits, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_formats::decode::{DecodeError, Document as _};
use bennu_formats::drift::{DriftConfig, EnforcedAction};
use bennu_formats::trust::ReleaseKey;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn example() -> DriftConfig {
    DriftConfig {
        schema: 1,
        interval_ms: 5000,
        scrub_mib_per_s: 1,
        scrub_processor_permille: 2,
        enforced: EnforcedAction::ALL.to_vec(),
        weak_window_s: 600,
        strong_window_s: 3600,
        spared: vec!["system.slice/ssh.service".into(), "user.slice".into()],
        release_keys: vec![ReleaseKey(vec![7; 32])],
        release_threshold: 1,
    }
}

fn pinned() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/drift-config.json");
    if std::env::var_os("BENNU_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_vec_pretty(&example()).unwrap()).unwrap();
    }
    std::fs::read(path).unwrap()
}

#[test]
fn the_drift_configuration_has_its_pinned_bytes() {
    assert_eq!(DriftConfig::decode(&pinned()).unwrap(), example());
    assert_eq!(pinned(), serde_json::to_vec_pretty(&example()).unwrap());
    assert_eq!(DriftConfig::MAX_BYTES, 16 * 1024);
}

#[test]
fn a_value_beyond_its_bounds_is_refused_by_its_member() {
    for (member, value) in [
        ("interval_ms", json!(199)),
        ("interval_ms", json!(600_001)),
        ("enforced", json!(vec!["kill"; 10])),
        ("weak_window_s", json!(59)),
        ("weak_window_s", json!(86_401)),
        ("strong_window_s", json!(59)),
        ("strong_window_s", json!(86_401)),
        ("strong_window_s", json!(599)),
        ("spared", json!(vec!["a.service"; 17])),
        ("spared", json!(["/a.service"])),
        ("spared", json!(["a//b.service"])),
        ("spared", json!(["../b.service"])),
        ("spared", json!([""])),
        ("spared", json!(["x".repeat(256)])),
        ("scrub_mib_per_s", json!(1025)),
        ("scrub_processor_permille", json!(0)),
        ("scrub_processor_permille", json!(1001)),
        ("release_keys", json!([])),
        ("release_threshold", json!(0)),
        ("release_threshold", json!(2)),
    ] {
        let mut changed: Value = serde_json::from_slice(&pinned()).unwrap();
        assert!(
            DriftConfig::decode(changed.to_string().as_bytes()).is_ok(),
            "control"
        );
        changed[member] = value;
        let refused = DriftConfig::decode(changed.to_string().as_bytes());
        assert!(
            matches!(&refused, Err(DecodeError::BadValue { member: found, .. }) if *found == member),
            "{member}: {refused:?}"
        );
    }
}

#[test]
fn an_action_that_no_image_can_enforce_is_refused() {
    let mut changed: Value = serde_json::from_slice(&pinned()).unwrap();
    changed["enforced"] = json!(["record"]);
    let refused = DriftConfig::decode(changed.to_string().as_bytes());
    assert!(
        matches!(refused, Err(DecodeError::Malformed { .. })),
        "{refused:?}"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = DriftConfig::decode(&bytes);
    }
}
