//! First-boot configurations: each refusal by its exact variant and code, next to what is accepted.

use bennu_formats::Code;
use bennu_formats::decode::DecodeError;
use bennu_formats::dsse::{Envelope, MAX_ENVELOPE_BYTES, Signature, key_id, pre_authentication_encoding};
use bennu_formats::first_boot::{MachineUuid, PAYLOAD_TYPE};
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::trust::ReleaseKey;
use bennu_policy::verify::first_boot::{FirstBootRefusal, FirstBootTrust, verify};
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

const CONFIG: &str = r#"{"schema":1,"image_id":"demo","hostname":"kiosk-7"}"#;
const MACHINE: &str = "f04ff38b-846b-4a5b-84ef-be151c9665f5";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn envelope(kind: &str, payload: &str, signer: &SigningKey) -> Envelope {
    let message = pre_authentication_encoding(kind, payload.as_bytes());
    Envelope {
        payload_type: kind.into(),
        payload: payload.into(),
        signatures: vec![Signature {
            keyid: key_id(signer.verifying_key().as_bytes()),
            sig: signer.sign(&message).to_bytes().to_vec(),
        }],
    }
}

fn bytes(envelope: &Envelope) -> Vec<u8> {
    serde_json::to_vec(envelope).unwrap()
}

fn signed(payload: &str) -> Vec<u8> {
    bytes(&envelope(PAYLOAD_TYPE, payload, &key(1)))
}

/// What a machine that trusts key 1 says.
fn machine(found: &[u8], keys: &[u8], classes: &[IdentityClass]) -> Result<String, FirstBootRefusal> {
    let keys: Vec<ReleaseKey> = keys
        .iter()
        .map(|seed| ReleaseKey(key(*seed).verifying_key().to_bytes().to_vec()))
        .collect();
    let uuid: MachineUuid = MACHINE.parse().unwrap();
    let trust = FirstBootTrust {
        keys: &keys,
        image_id: &"demo".parse().unwrap(),
        identity: &IdentityRule {
            classes: classes.to_vec(),
            paths: Vec::new(),
        },
        machine: Some(&uuid),
    };
    verify(found, &trust).map(|config| config.get().hostname.clone().unwrap_or_default())
}

#[track_caller]
fn refused(found: &[u8], code: Code) -> FirstBootRefusal {
    let control = machine(&signed(CONFIG), &[1], &IdentityClass::DEFAULT);
    assert_eq!(control.as_deref(), Ok("kiosk-7"), "positive control");
    let refusal = machine(found, &[1], &IdentityClass::DEFAULT).expect_err("expected a refusal");
    assert_eq!(refusal.code(), code, "{refusal}");
    refusal
}

#[test]
fn a_signature_by_any_of_the_configuration_keys_is_enough() {
    for keys in [&[1][..], &[1, 2], &[2, 1]] {
        assert!(machine(&signed(CONFIG), keys, &IdentityClass::DEFAULT).is_ok());
    }
}

#[test]
fn a_file_that_nobody_or_a_stranger_signed_is_refused() {
    let foreign = envelope(PAYLOAD_TYPE, CONFIG, &key(9));
    let mut claims = foreign.clone();
    claims.signatures[0].keyid = key_id(key(1).verifying_key().as_bytes());
    let mut changed = envelope(PAYLOAD_TYPE, CONFIG, &key(1));
    changed.payload = CONFIG.replace("kiosk-7", "kiosk-8").into();
    for found in [foreign, claims, changed] {
        let refusal = refused(&bytes(&found), Code::FirstBootSignature);
        assert!(
            matches!(refusal, FirstBootRefusal::Signature { trusted: 1, .. }),
            "{refusal}"
        );
    }
    let mut unsigned = envelope(PAYLOAD_TYPE, CONFIG, &key(1));
    unsigned.signatures.clear();
    refused(&bytes(&unsigned), Code::FirstBootFormat);
    refused(CONFIG.as_bytes(), Code::FirstBootFormat);
}

#[test]
fn an_image_without_configuration_keys_accepts_none() {
    let found = machine(&signed(CONFIG), &[], &IdentityClass::DEFAULT).unwrap_err();
    assert_eq!(
        (&found, found.code()),
        (&FirstBootRefusal::NoKeys, Code::FirstBootSignature)
    );
}

#[test]
fn a_signed_document_of_another_kind_is_refused() {
    let slot = envelope("application/vnd.bennu.slot+json", CONFIG, &key(1));
    let refusal = refused(&bytes(&slot), Code::FirstBootFormat);
    assert!(matches!(refusal, FirstBootRefusal::PayloadType(_)), "{refusal}");
}

#[test]
fn a_file_for_another_image_or_machine_is_refused_and_one_for_this_machine_taken() {
    let other = refused(&signed(&CONFIG.replace("demo", "kiosk")), Code::FirstBootOther);
    assert!(matches!(other, FirstBootRefusal::ImageId { .. }), "{other}");
    let bound = |uuid: &str| signed(&CONFIG.replace('}', &format!(r#","machine":"{uuid}"}}"#)));
    let other = refused(&bound(&MACHINE.replace('f', "e")), Code::FirstBootOther);
    assert!(matches!(other, FirstBootRefusal::Machine { .. }), "{other}");
    assert!(machine(&bound(MACHINE), &[1], &IdentityClass::DEFAULT).is_ok());
}

#[test]
fn a_file_that_sets_what_the_image_does_not_keep_is_refused() {
    let found = machine(&signed(CONFIG), &[1], &[IdentityClass::MachineId]).unwrap_err();
    assert_eq!(found, FirstBootRefusal::NotKept(IdentityClass::Hostname));
    assert_eq!(found.code(), Code::FirstBootFormat);
}

#[test]
fn a_file_that_is_too_long_empty_or_malformed_is_refused() {
    let mut long = signed(CONFIG);
    long.resize(MAX_ENVELOPE_BYTES + 1, b' ');
    let refusal = refused(&long, Code::FirstBootFormat);
    assert!(
        matches!(refusal, FirstBootRefusal::Format(DecodeError::TooLong { .. })),
        "{refusal}"
    );
    for found in [&b""[..], b"{}", b"\0\0\0\0"] {
        refused(found, Code::FirstBootFormat);
    }
    for payload in [
        "",
        "{}",
        r#"{"schema":2}"#,
        r#"{"schema":1,"image_id":"demo","colour":"red"}"#,
    ] {
        refused(&signed(payload), Code::FirstBootFormat);
    }
}

proptest! {
    #[test]
    fn no_changed_byte_of_a_signed_file_is_taken_for_another_configuration(at in 0usize..400, to in any::<u8>()) {
        let good = signed(CONFIG);
        let mut changed = good.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte = to;
        }
        if let Ok(hostname) = machine(&changed, &[1], &IdentityClass::DEFAULT) {
            prop_assert_eq!(hostname, "kiosk-7");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(found in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = machine(&found, &[1], &IdentityClass::DEFAULT);
    }
}
