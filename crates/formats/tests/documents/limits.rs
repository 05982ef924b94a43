//! Lengths, schemas and shapes: what every decoder refuses, whatever the document.

use crate::examples;
use bennu_formats::DecodeError;
use bennu_formats::boot_record::BootRecord;
use bennu_formats::cmdline::{self, CmdlineError, MAX_CMDLINE_BYTES};
use bennu_formats::decode::Document;
use bennu_formats::dsse::{Envelope, MAX_ENVELOPE_BYTES, MAX_SIGNATURES};
use bennu_formats::firmware_record::FirmwareRecord;
use bennu_formats::first_boot::FirstBoot;
use bennu_formats::gate::{GateConfig, GateReport};
use bennu_formats::handover::Handover;
use bennu_formats::health::{HealthConfig, HealthReport};
use bennu_formats::manifest::SlotManifest;
use bennu_formats::profile::ProfileSet;
use bennu_formats::state_schema::StateSchema;
use bennu_formats::trace::TraceReport;
use bennu_formats::trust::TrustConfig;
use bennu_formats::verity_sig::{PARTITION_BYTES, VeritySig};
use bennu_formats::watch::WatchReport;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

/// Calls `$check::<T>(example)` for every [`Document`].
macro_rules! for_every_document {
    ($check:ident) => {
        $check(&examples::manifest());
        $check(&examples::trust());
        $check(&examples::boot_record());
        $check(&examples::handover());
        $check(&examples::gate());
        $check(&examples::gate_report());
        $check(&examples::watch_report());
        $check(&examples::trace_report());
        $check(&examples::profiles());
        $check(&examples::firmware_record());
        $check(&examples::health());
        $check(&examples::state_schema());
        for report in examples::reports() {
            $check(&report);
        }
    };
}

fn value<T: Serialize>(example: &T) -> Value {
    serde_json::to_value(example).unwrap()
}

fn decode<T: Document>(value: &Value) -> Result<T, DecodeError> {
    T::decode(&serde_json::to_vec(value).unwrap())
}

#[test]
fn the_length_limits_are_these() {
    assert_eq!(SlotManifest::MAX_BYTES, 65_536);
    assert_eq!(TrustConfig::MAX_BYTES, 65_536);
    assert_eq!(Handover::MAX_BYTES, 65_536);
    assert_eq!(FirmwareRecord::MAX_BYTES, 65_536);
    assert_eq!(HealthConfig::MAX_BYTES, 65_536);
    assert_eq!((GateConfig::MAX_BYTES, GateReport::MAX_BYTES), (262_144, 32_768));
    assert_eq!(ProfileSet::MAX_BYTES, 524_288);
    assert_eq!(BootRecord::MAX_BYTES, 32_768);
    assert_eq!(FirstBoot::MAX_BYTES, 65_536);
    assert_eq!(StateSchema::MAX_BYTES, 4_096);
    assert_eq!(HealthReport::MAX_BYTES, 16_384);
    assert_eq!(WatchReport::MAX_BYTES, 16_384);
    assert_eq!(TraceReport::MAX_BYTES, 2_097_152);
    assert_eq!((MAX_ENVELOPE_BYTES, PARTITION_BYTES), (98_304, 131_072));
}

#[test]
fn a_document_of_its_longest_length_is_read_and_one_byte_more_is_refused() {
    fn check<T: Document + Serialize>(example: &T) {
        let mut bytes = serde_json::to_vec(example).unwrap();
        bytes.resize(T::MAX_BYTES, b' ');
        assert!(T::decode(&bytes).is_ok(), "positive control: {}", T::NAME);
        bytes.push(b' ');
        let expected = DecodeError::TooLong {
            document: T::NAME,
            limit: T::MAX_BYTES,
            found: T::MAX_BYTES + 1,
        };
        assert_eq!(T::decode(&bytes).err(), Some(expected));
    }
    for_every_document!(check);
}

#[test]
fn an_unknown_schema_is_refused_by_number_before_the_shape_is_looked_at() {
    fn check<T: Document + Serialize>(_: &T) {
        for found in [0, T::SCHEMA + 1, u32::MAX] {
            let expected = DecodeError::UnknownSchema {
                document: T::NAME,
                expected: T::SCHEMA,
                found,
            };
            assert_eq!(decode::<T>(&json!({ "schema": found })).err(), Some(expected));
        }
    }
    for_every_document!(check);
}

#[test]
fn a_schema_that_is_no_number_or_is_missing_or_comes_twice_is_refused() {
    fn check<T: Document + Serialize>(example: &T) {
        let whole = serde_json::to_string(example).unwrap();
        let twice = whole.replacen('{', "{\"schema\":1,", 1);
        for text in [
            "{}",
            r#"{"schema":"1"}"#,
            r#"{"schema":-1}"#,
            r#"{"schema":1.5}"#,
            "[]",
            "",
            "null",
            &twice,
        ] {
            let found = T::decode(text.as_bytes()).err();
            assert!(
                matches!(found, Some(DecodeError::Malformed { document, .. }) if document == T::NAME),
                "{text}: {found:?}"
            );
        }
    }
    for_every_document!(check);
}

#[test]
fn bytes_after_the_document_are_refused() {
    fn check<T: Document + Serialize>(example: &T) {
        let mut bytes = serde_json::to_vec_pretty(example).unwrap();
        bytes.extend(b"\n \t\r\n");
        assert!(T::decode(&bytes).is_ok(), "positive control: {}", T::NAME);
        bytes.push(b'x');
        assert!(matches!(T::decode(&bytes), Err(DecodeError::Malformed { .. })));
    }
    for_every_document!(check);
}

#[test]
fn every_member_without_a_default_is_required() {
    fn check<T: Document + Serialize>(example: &T) {
        let whole = value(example);
        for name in whole.as_object().unwrap().keys() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(name);
            let may_lack = [
                "last",
                "fell_back",
                "state_volume",
                "identity",
                "state_readable_from",
                "drift_flips",
                "golden_index",
            ];
            let optional =
                whole[name].is_null() || T::NAME != TrustConfig::NAME && may_lack.contains(&name.as_str());
            assert_eq!(decode::<T>(&less).is_ok(), optional, "{}: {name}", T::NAME);
        }
    }
    for_every_document!(check);
}

#[test]
fn an_unknown_member_is_refused_where_the_initrd_or_the_image_decides_and_passed_over_elsewhere() {
    fn takes<T: Document + Serialize>(example: &T) -> bool {
        let mut more = value(example);
        more["colour"] = "red".into();
        decode::<T>(&more).is_ok()
    }
    assert!(!takes(&examples::trust()));
    assert!(!takes(&examples::health()));
    assert!(!takes(&examples::first_boot()));
    assert!(!takes(&examples::state_schema()));
    assert!(takes(&examples::manifest()));
    assert!(takes(&examples::boot_record()));
    assert!(takes(&examples::handover()));
}

#[test]
fn an_envelope_has_a_length_limit_and_one_to_sixteen_signatures() {
    let envelope = examples::envelope();
    let mut bytes = serde_json::to_vec(&envelope).unwrap();
    bytes.resize(MAX_ENVELOPE_BYTES, b' ');
    assert!(Envelope::decode(&bytes).is_ok(), "positive control");
    bytes.push(b' ');
    assert!(matches!(
        Envelope::decode(&bytes),
        Err(DecodeError::TooLong {
            limit: MAX_ENVELOPE_BYTES,
            ..
        })
    ));
    for count in [0, MAX_SIGNATURES + 1] {
        let mut envelope = envelope.clone();
        envelope.signatures = vec![envelope.signatures[0].clone(); count];
        let in_partition = bennu_formats::verity_sig::BennuMember {
            manifest: envelope.clone(),
        };
        let partition = VeritySig {
            bennu: in_partition,
            ..examples::verity_sig()
        };
        for found in [
            Envelope::decode(&serde_json::to_vec(&envelope).unwrap()).err(),
            VeritySig::decode(&partition.encode().unwrap()).err(),
        ] {
            assert!(
                matches!(
                    found,
                    Some(DecodeError::BadValue {
                        member: "signatures",
                        ..
                    })
                ),
                "{count}: {found:?}"
            );
        }
    }
}

#[test]
fn an_envelope_with_a_member_nobody_signed_is_refused() {
    for path in ["/bennu", "/bennu/manifest"] {
        let mut partition = value(&examples::verity_sig());
        partition.pointer_mut(path).unwrap()["colour"] = "red".into();
        let found = VeritySig::decode(&serde_json::to_vec(&partition).unwrap());
        assert!(
            matches!(found, Err(DecodeError::Malformed { .. })),
            "{path}: {found:?}"
        );
    }
}

#[test]
fn a_partition_that_would_not_fit_is_not_written() {
    let mut partition = examples::verity_sig();
    partition.signature = vec![0; PARTITION_BYTES];
    assert!(matches!(
        partition.encode(),
        Err(DecodeError::TooLong {
            limit: PARTITION_BYTES,
            ..
        })
    ));
}

#[test]
fn a_command_line_longer_than_the_kernels_is_refused() {
    let mut line = format!("roothash={}", examples::ROOT_HASH).into_bytes();
    line.resize(MAX_CMDLINE_BYTES, b' ');
    assert_eq!(
        cmdline::root_hash(&line),
        Ok(examples::ROOT_HASH),
        "positive control"
    );
    line.push(b' ');
    assert_eq!(
        cmdline::root_hash(&line),
        Err(CmdlineError::TooLong(MAX_CMDLINE_BYTES + 1))
    );
}

/// JSON that is near a document: an example with bytes changed, cut or repeated.
fn damaged(example: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0u8..3);
    proptest::collection::vec(change, 1..6).prop_map(move |changes| {
        let mut bytes = example.clone();
        for (at, to, how) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match how {
                0 => bytes[at] = to,
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, to),
            }
        }
        bytes
    })
}

fn decode_all(bytes: &[u8]) {
    let _ = SlotManifest::decode(bytes);
    let _ = TrustConfig::decode(bytes);
    let _ = FirstBoot::decode(bytes);
    let _ = StateSchema::decode(bytes);
    let _ = BootRecord::decode(bytes);
    let _ = Handover::decode(bytes);
    let _ = GateConfig::decode(bytes);
    let _ = GateReport::decode(bytes);
    let _ = WatchReport::decode(bytes);
    let _ = TraceReport::decode(bytes);
    let _ = HealthConfig::decode(bytes);
    let _ = HealthReport::decode(bytes);
    let _ = Envelope::decode(bytes);
    let _ = VeritySig::decode(bytes);
    let _ = cmdline::root_hash(bytes);
}

proptest! {
    #[test]
    fn no_bytes_make_any_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_damage_to_a_document_makes_any_decoder_panic(
        manifest in damaged(serde_json::to_vec(&examples::manifest()).unwrap()),
        trust in damaged(serde_json::to_vec(&examples::trust()).unwrap()),
        record in damaged(examples::boot_record().encode().unwrap()),
        handover in damaged(serde_json::to_vec(&examples::handover()).unwrap()),
        health in damaged(serde_json::to_vec(&examples::health()).unwrap()),
        partition in damaged(examples::verity_sig().encode().unwrap()),
    ) {
        for bytes in [manifest, trust, record, handover, health, partition] {
            decode_all(&bytes);
        }
    }
}
