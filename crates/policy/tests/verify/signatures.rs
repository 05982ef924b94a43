//! Who signed: keys, thresholds, key ids.

use crate::slot::{Slot, key, manifest, public};
use crate::{refused, signatures_refused};
use bennu_formats::Code;
use bennu_formats::digest::Sha256Digest;
use bennu_formats::dsse::{Signature, key_id};
use bennu_formats::trust::ReleaseKey;
use bennu_policy::verify::SlotRefusal;
use ed25519_dalek::Verifier as _;

#[test]
fn a_sound_slot_is_verified_and_says_by_whom() {
    let slot = Slot::sound();
    let verified = slot.verify().unwrap();
    assert_eq!(verified.get(), &manifest());
    assert_eq!(verified.get().version, slot.version());
    let mut by: Vec<Sha256Digest> = [1, 2]
        .map(|n| key_id(&key(n).verifying_key().to_bytes()))
        .to_vec();
    by.sort();
    assert_eq!(verified.signed_by(), by);
    assert_eq!(
        verified.signed_bytes_sha256(),
        Sha256Digest::of(&slot.envelope.payload)
    );
}

#[test]
fn an_unknown_release_key_is_refused_by_name() {
    let slot = Slot::sound().signed_by(&[&key(9)]);
    let refusal = refused(&slot, Code::ManifestSignature);
    let claimed = key_id(&key(9).verifying_key().to_bytes()).to_string()[..16].to_owned();
    assert_eq!(
        refusal,
        SlotRefusal::Signatures {
            threshold: 1,
            trusted: 2,
            good: 0,
            claimed
        }
    );
}

#[test]
fn two_of_two_needs_both_keys() {
    assert!(Slot::sound().threshold(2).verify().is_ok());
    for one in [1, 2] {
        let slot = Slot::sound().threshold(2).signed_by(&[&key(one)]);
        signatures_refused(&slot, 1);
        assert!(slot.threshold(1).verify().is_ok(), "positive control");
    }
    signatures_refused(&Slot::sound().threshold(2).signed_by(&[&key(1), &key(9)]), 1);
}

#[test]
fn the_same_signature_twice_counts_once() {
    signatures_refused(&Slot::sound().threshold(2).signed_by(&[&key(1), &key(1)]), 1);
    let mut slot = Slot::sound().threshold(2).signed_by(&[&key(1), &key(1)]);
    slot.envelope.signatures[1].keyid = key_id(&key(2).verifying_key().to_bytes());
    signatures_refused(&slot, 1);
}

#[test]
fn a_key_that_is_trusted_twice_counts_once() {
    let mut slot = Slot::sound().threshold(2);
    slot.trusted = vec![public(&key(1)), public(&key(1))];
    signatures_refused(&slot, 1);
}

#[test]
fn what_a_key_id_claims_changes_nothing() {
    let mut slot = Slot::sound();
    for signature in &mut slot.envelope.signatures {
        signature.keyid = Sha256Digest([0; 32]);
    }
    assert_eq!(slot.verify().unwrap().signed_by().len(), 2);
    let mut liar = Slot::sound().signed_by(&[&key(9)]);
    liar.envelope.signatures[0].keyid = key_id(&key(1).verifying_key().to_bytes());
    signatures_refused(&liar, 0);
}

#[test]
fn good_signatures_are_found_among_bad_ones() {
    let mut slot = Slot::sound().signed_by(&[&key(9), &key(1)]);
    slot.envelope.signatures.push(Signature {
        keyid: Sha256Digest::ZERO,
        sig: vec![1, 2, 3],
    });
    assert_eq!(slot.verify().unwrap().signed_by().len(), 1);
}

#[test]
fn a_threshold_of_zero_still_needs_a_signature() {
    signatures_refused(&Slot::sound().threshold(0).signed_by(&[&key(9)]), 0);
    assert!(Slot::sound().threshold(0).verify().is_ok(), "positive control");
}

#[test]
fn no_trusted_keys_mean_no_trust() {
    let mut slot = Slot::sound();
    slot.trusted.clear();
    signatures_refused(&slot, 0);
}

#[test]
fn a_trusted_key_that_is_no_key_is_named() {
    let no_point = (0..=255u8)
        .map(|n| ReleaseKey(vec![n; 32]))
        .find(|k| ed25519_dalek::VerifyingKey::from_bytes(k.0.as_slice().try_into().unwrap()).is_err())
        .unwrap();
    for wrong in [no_point, ReleaseKey(vec![1; 31]), ReleaseKey(Vec::new())] {
        let mut slot = Slot::sound();
        slot.trusted[1] = wrong;
        assert_eq!(refused(&slot, Code::Trust), SlotRefusal::TrustedKey(1));
    }
}

#[test]
fn a_key_of_small_order_vouches_for_nothing() {
    // The neutral element: with a lenient verifier the zero signature fits any message.
    let mut neutral = vec![0; 32];
    neutral[0] = 1;
    let lenient = ed25519_dalek::VerifyingKey::from_bytes(neutral.as_slice().try_into().unwrap()).unwrap();
    let mut sig = neutral.clone();
    sig.extend([0; 32]);
    let message = Slot::sound().envelope.pre_authentication_encoding();
    let forged = ed25519_dalek::Signature::from_slice(&sig).unwrap();
    assert!(lenient.verify(&message, &forged).is_ok(), "positive control");
    let mut slot = Slot::sound();
    slot.trusted = vec![ReleaseKey(neutral)];
    slot.envelope.signatures = vec![Signature {
        keyid: Sha256Digest::ZERO,
        sig,
    }];
    signatures_refused(&slot, 0);
}
