//! Action certificates: signed, chained, refused.

use crate::workshop::signer;
use bennu_formats::decode::Document as _;
use bennu_formats::digest::RootHash;
use bennu_formats::{DecodeError, Sha256Digest};
use bennu_records::certificate::{
    Act, Certificate, CertificateError, Outcome, Quote, SeenSignal, check_chain,
};
use proptest::prelude::*;
use std::path::Path;

fn example() -> Certificate {
    let act = |action: &str, rule: &str, outcome, words: &str, done_up_ms| Act {
        action: action.into(),
        rule: rule.into(),
        outcome,
        words: words.into(),
        done_up_ms,
    };
    let seen = |signal: &str, source: &str, up_ms, detail: &str| SeenSignal {
        signal: signal.into(),
        source: source.into(),
        weight: "strong".into(),
        up_ms,
        detail: detail.into(),
    };
    Certificate {
        schema: 1,
        number: 3,
        previous: Sha256Digest::of(b"certificate 2"),
        machine: Sha256Digest::of(b"machine"),
        boot: "6c2b2f0e-0000-4000-8000-000000000001".into(),
        image_id: "demo".parse().unwrap(),
        version: "2.1".parse().unwrap(),
        root_hash: RootHash([0x5a; 32]),
        rule: "drift.two-strong".into(),
        reason: "drift.two-strong: gate-tampering (gate, strong); pcr-changed (tpm, strong)".into(),
        seen: vec![
            seen(
                "gate-tampering",
                "gate",
                71_000,
                "bpf(BPF_MAP_DELETE_ELEM) by 4711",
            ),
            seen("pcr-changed", "tpm", 71_250, "PCR 11"),
        ],
        acts: vec![
            act("alert", "drift.two-strong", Outcome::Done, "", Some(71_260)),
            act("state-purge", "drift.two-strong", Outcome::Done, "", Some(71_900)),
            act("flip-slot", "drift.two-strong", Outcome::Planned, "", None),
        ],
        first_up_ms: 71_000,
        signed_up_ms: 71_950,
        signed_at_ms: 1_767_225_671_950,
        log_seq: 812,
        log_chain: Sha256Digest::of(b"chain"),
        quote: Some(Quote {
            attest: vec![0xff, 0x54, 0x43, 0x47],
            signature: vec![0, 0x18],
        }),
    }
}

#[test]
fn the_payload_has_its_pinned_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/action-certificate.json");
    let bytes = serde_json::to_vec_pretty(&example()).unwrap();
    if std::env::var_os("BENNU_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(String::from_utf8_lossy(&golden), String::from_utf8_lossy(&bytes));
    assert_eq!(Certificate::decode(&golden).unwrap(), example());
}

#[test]
fn what_is_signed_is_opened_with_the_signers_key_and_no_other() {
    let (mut secret, public) = signer(1);
    let (bytes, digest) = example().sign(&mut secret).unwrap();
    let (found, same) = Certificate::open(&bytes, &public).unwrap();
    assert_eq!((found, same), (example(), digest));
    let refused = Certificate::open(&bytes, &signer(2).1);
    assert!(matches!(refused, Err(CertificateError::Signature { .. })));
    let (unverified, same) = Certificate::open_unverified(&bytes).unwrap();
    assert_eq!((unverified.peek(), same), (&example(), digest));
}

#[test]
fn no_changed_byte_of_an_envelope_opens_as_another_certificate() {
    let (mut secret, public) = signer(1);
    let (bytes, _) = example().sign(&mut secret).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok((found, _)) = Certificate::open(&changed, &public) {
            assert_eq!(found, example(), "byte {at}");
        }
    }
}

#[test]
fn an_envelope_of_another_payload_type_is_refused() {
    let (mut secret, public) = signer(1);
    let (bytes, _) = example().sign(&mut secret).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let other = text.replace("action-certificate", "slot");
    let refused = Certificate::open(other.as_bytes(), &public);
    assert!(matches!(refused, Err(CertificateError::PayloadType)));
}

#[test]
fn each_value_that_makes_no_sense_is_refused_by_its_member() {
    type Change = fn(&mut Certificate);
    let changes: [(&str, Change); 8] = [
        ("seen", |c| c.seen.clear()),
        ("seen", |c| c.seen = vec![c.seen[0].clone(); 65]),
        ("acts", |c| c.acts = vec![c.acts[0].clone(); 65]),
        ("a text", |c| c.reason = "x".repeat(1025)),
        ("previous", |c| c.number = 0),
        ("previous", |c| c.previous = Sha256Digest::ZERO),
        ("signed_up_ms", |c| c.signed_up_ms = c.first_up_ms - 1),
        ("quote", |c| c.quote.as_mut().unwrap().attest = vec![0; 9000]),
    ];
    for (expected, change) in changes {
        let mut certificate = example();
        change(&mut certificate);
        let bytes = serde_json::to_vec(&certificate).unwrap();
        let found = Certificate::decode(&bytes);
        assert!(
            matches!(found, Err(DecodeError::BadValue { member, .. }) if member == expected),
            "{expected}"
        );
        let signed = certificate.sign(&mut signer(1).0);
        assert!(
            matches!(signed, Err(CertificateError::Decode(_))),
            "{expected}: not signed either"
        );
    }
    let mut first = example();
    (first.number, first.previous) = (0, Sha256Digest::ZERO);
    assert!(
        Certificate::decode(&serde_json::to_vec(&first).unwrap()).is_ok(),
        "positive control"
    );
}

#[test]
fn unknown_and_missing_members_are_refused() {
    let whole = serde_json::to_value(example()).unwrap();
    for name in whole.as_object().unwrap().keys() {
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove(name);
        let found = Certificate::decode(&serde_json::to_vec(&less).unwrap());
        // A missing quote is a null one.
        assert_eq!(found.is_ok(), name == "quote", "{name}");
    }
    for place in ["", "/seen/0", "/acts/0", "/quote"] {
        let mut more = whole.clone();
        more.pointer_mut(place).unwrap()["colour"] = "red".into();
        assert!(
            Certificate::decode(&serde_json::to_vec(&more).unwrap()).is_err(),
            "{place}"
        );
    }
}

#[test]
fn a_certificate_that_is_taken_away_changed_or_put_in_leaves_a_hole() {
    let (mut secret, public) = signer(1);
    let mut previous = Sha256Digest::ZERO;
    let mut chain = Vec::new();
    for number in 0..4 {
        let certificate = Certificate {
            number,
            previous,
            ..example()
        };
        let (bytes, digest) = certificate.sign(&mut secret).unwrap();
        previous = digest;
        chain.push(Certificate::open(&bytes, &public).unwrap());
    }
    check_chain(&chain).expect("positive control");
    check_chain(&chain[2..]).expect("older ones may be gone");
    let mut less = chain.clone();
    less.remove(1);
    assert!(matches!(
        check_chain(&less),
        Err(CertificateError::Number {
            expected: 1,
            found: 2
        })
    ));
    let mut other = chain.clone();
    other[1].1 = Sha256Digest::of(b"another");
    assert!(matches!(
        check_chain(&other),
        Err(CertificateError::Chain { number: 2, .. })
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Certificate::decode(&bytes);
        let _ = Certificate::open_unverified(&bytes);
        let _ = Certificate::open(&bytes, &signer(1).1);
    }
}
