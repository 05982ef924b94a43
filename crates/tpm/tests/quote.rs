//! Quotes by a real software TPM, judged by openssl, tpm2-tools and our own verifier.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use std::path::Path;
use std::process::Command;

use bennu_tpm::{
    Client, Event, EventKind, HashAlg, Hierarchy, Measured, PcrMask, PcrValues, Quote, QuoteError,
    QuoteStatement, SessionKind, Tpm, Transport, verify_quote,
};
use proptest::prelude::*;
use workshop::{Swtpm, run};

fn pcrs() -> PcrMask {
    PcrMask::of(&[7, 11, 15]).unwrap()
}

fn quoted<T: Transport>(tpm: &mut Client<T>, qualifying: &[u8]) -> (Quote, bennu_tpm::AttestationPublic) {
    let key = tpm.attestation_key().unwrap();
    let quote = tpm.quote(&key, pcrs(), qualifying).unwrap();
    tpm.flush(key.handle()).unwrap();
    (quote, key.public)
}

fn extend<T: Transport>(tpm: &mut Client<T>, pcr: u8) {
    let event = Event {
        pcr,
        measured: Measured::Data(b"something"),
        kind: EventKind::Phase,
        text: "something",
    };
    tpm.pcr_extend(&event).unwrap();
}

fn values<T: Transport>(tpm: &mut Client<T>) -> PcrValues {
    tpm.pcr_read(HashAlg::Sha256, pcrs()).unwrap()
}

/// An ECDSA signature in DER (RFC 3279, 2.2.3).
fn der(signature: &[u8; 64]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        let pad: &[u8] = if bytes[0] & 0x80 != 0 { &[0] } else { &[] };
        [&[2, (bytes.len() + pad.len()) as u8], pad, bytes].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

/// A P-256 key as SubjectPublicKeyInfo in DER, turned into PEM by openssl.
fn write_pem(public: &bennu_tpm::AttestationPublic, path: &Path) {
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let der = path.with_extension("der");
    std::fs::write(&der, [head, public.sec1().to_vec()].concat()).unwrap();
    run(Command::new("openssl")
        .args(["pkey", "-pubin", "-inform", "DER", "-in"])
        .arg(&der)
        .arg("-out")
        .arg(path));
}

#[test]
fn a_quote_proves_the_values_of_the_pcrs_and_what_it_was_made_for() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    extend(&mut tpm, 11);
    let (quote, key) = quoted(&mut tpm, b"certificate 1");
    let now = values(&mut tpm);
    let statement = verify_quote(&quote, &key, b"certificate 1", &now).unwrap();
    assert_eq!((statement.pcrs, statement.pcr_digest), (pcrs(), now.combined()));

    assert_eq!(
        verify_quote(&quote, &key, b"certificate 2", &now),
        Err(QuoteError::Qualifying)
    );
    extend(&mut tpm, 15);
    let later = verify_quote(&quote, &key, b"certificate 1", &values(&mut tpm));
    assert!(matches!(later, Err(QuoteError::Pcrs { .. })), "{later:?}");
    let fewer = tpm
        .pcr_read(HashAlg::Sha256, PcrMask::of(&[7, 11]).unwrap())
        .unwrap();
    let fewer = verify_quote(&quote, &key, b"certificate 1", &fewer);
    assert!(matches!(fewer, Err(QuoteError::Pcrs { .. })), "{fewer:?}");
}

#[test]
fn no_changed_bit_of_a_quote_is_accepted_and_no_other_tpms_quote() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let (quote, key) = quoted(&mut tpm, b"x");
    let now = values(&mut tpm);
    assert!(verify_quote(&quote, &key, b"x", &now).is_ok());
    for bit in 0..quote.statement.len() * 8 {
        let mut changed = quote.clone();
        changed.statement[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verify_quote(&changed, &key, b"x", &now),
            Err(QuoteError::Signature),
            "bit {bit}"
        );
    }
    for bit in 0..64 * 8 {
        let mut changed = quote.clone();
        changed.signature[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verify_quote(&changed, &key, b"x", &now),
            Err(QuoteError::Signature),
            "bit {bit}"
        );
    }
    let other = Swtpm::start();
    let (foreign, _) = quoted(&mut other.connect(), b"x");
    assert_eq!(
        verify_quote(&foreign, &key, b"x", &now),
        Err(QuoteError::Signature)
    );
}

#[test]
fn the_key_is_the_same_after_a_restart_and_with_an_owner_and_another_on_another_tpm() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let (_, first) = quoted(&mut tpm, b"");
    let srk = tpm.persist_storage_key(&[]).unwrap();
    let mut session = tpm.start_session(&srk, SessionKind::Hmac).unwrap();
    tpm.change_hierarchy_auth(Hierarchy::Owner, &mut session, &[], b"owner")
        .unwrap();
    tpm.flush(session.handle()).unwrap();
    drop(tpm);
    let swtpm = swtpm.restart();
    let (_, second) = quoted(&mut swtpm.connect(), b"");
    assert_eq!(first, second);
    let (_, foreign) = quoted(&mut Swtpm::start().connect(), b"");
    assert_ne!(first, foreign);
}

#[test]
fn openssl_and_tpm2_tools_accept_the_quote() {
    let swtpm = Swtpm::start_tcp();
    let mut tpm = swtpm.connect_tcp();
    extend(&mut tpm, 11);
    let (quote, key) = quoted(&mut tpm, b"nonce");
    drop(tpm);
    let at = |name: &str| swtpm.path().join(name);
    std::fs::write(at("message"), &quote.statement).unwrap();
    std::fs::write(at("signature.der"), der(&quote.signature)).unwrap();
    write_pem(&key, &at("key.pem"));
    let verified = run(Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(at("key.pem"))
        .arg("-signature")
        .arg(at("signature.der"))
        .arg(at("message")));
    assert_eq!(verified.trim(), "Verified OK");
    // TPMT_SIGNATURE, as tpm2_checkquote reads it.
    let sized = |half: &[u8]| [&[0, 32], half].concat();
    let signature = [
        vec![0, 0x18, 0, 0x0B],
        sized(&quote.signature[..32]),
        sized(&quote.signature[32..]),
    ];
    std::fs::write(at("signature"), signature.concat()).unwrap();
    let nonce = hex::encode(b"nonce");
    swtpm.tool(
        "tpm2_checkquote",
        &[
            "-u",
            "key.pem",
            "-m",
            "message",
            "-s",
            "signature",
            "-q",
            &nonce,
            "-g",
            "sha256",
        ],
    );
}

#[test]
fn a_reset_of_the_tpm_alone_shows_in_the_clock() {
    let swtpm = Swtpm::start();
    let before = swtpm.connect().read_clock().unwrap();
    assert_eq!(
        swtpm.connect().read_clock().unwrap().reset_count,
        before.reset_count
    );
    let swtpm = swtpm.restart();
    let after = swtpm.connect().read_clock().unwrap();
    assert_eq!(after.reset_count, before.reset_count + 1);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = QuoteStatement::decode(&bytes);
        let _ = bennu_tpm::AttestationPublic::decode(&bytes);
    }
}
