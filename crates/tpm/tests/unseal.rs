//! Sealing and unsealing on a software TPM: what opens a blob, and everything that must not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    Client, Event, EventKind, Measured, PolicyDigest, ResponseCode, SealError, SealPolicy, SealedBlob,
    SessionKind, SrkTrust, Tpm, TpmError, Transport, UnsealError, policy_authorize_digest, signed_digest,
};
use workshop::{POLICY_REF, SECRET, Signer, Swtpm};

fn extend(tpm: &mut impl Tpm, pcr: u8, text: &str) {
    let measured = Measured::Data(text.as_bytes());
    tpm.pcr_extend(&Event {
        pcr,
        measured,
        kind: EventKind::Phase,
        text,
    })
    .unwrap();
}

/// A TPM with a blob that opens: the positive control of all refusals below.
fn sealed() -> (Swtpm, Client<workshop::Unix>, SealedBlob) {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    let secret = tpm.unseal(&blob, &Signer::ours().release()).unwrap();
    assert_eq!(secret.as_slice(), SECRET);
    (swtpm, tpm, blob)
}

/// Transient objects and sessions of both kinds.
fn left_behind<T: Transport>(tpm: &mut Client<T>) -> Vec<u32> {
    [0x8000_0000, 0x0200_0000, 0x0300_0000]
        .iter()
        .flat_map(|&first| tpm.handles(first).unwrap())
        .collect()
}

#[test]
fn a_sealed_secret_survives_a_restart_and_leaves_nothing_in_the_tpm() {
    let (swtpm, mut tpm, blob) = sealed();
    assert_eq!(left_behind(&mut tpm), [0u32; 0]);
    let bytes = blob.encode().unwrap();
    drop(tpm);
    let swtpm = swtpm.restart();
    let mut tpm = swtpm.connect();
    let blob = SealedBlob::decode(&bytes).unwrap();
    assert_eq!(
        tpm.unseal(&blob, &Signer::ours().release()).unwrap().as_slice(),
        SECRET
    );
    assert_eq!(left_behind(&mut tpm), [0u32; 0]);
}

#[test]
fn secrets_of_all_allowed_sizes_round_trip_and_others_are_refused() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let signer = Signer::ours();
    let release = signer.release();
    for size in [1, 32, 64, SealPolicy::SECRET_MAX] {
        let secret = vec![0xA5; size];
        let blob = tpm.seal(&secret, &signer.seal_policy()).unwrap();
        assert_eq!(*tpm.unseal(&blob, &release).unwrap(), secret);
    }
    for size in [0, SealPolicy::SECRET_MAX + 1] {
        let error = tpm.seal(&vec![0xA5; size], &signer.seal_policy()).unwrap_err();
        assert!(matches!(error, SealError::SecretSize { limit: 93, found } if found == size));
    }
    assert_eq!(left_behind(&mut tpm), [0u32; 0]);
}

#[test]
fn a_changed_pcr_is_refused_and_named() {
    let (_swtpm, mut tpm, blob) = sealed();
    extend(&mut tpm, 12, "init=/bin/sh");
    let error = tpm.unseal(&blob, &Signer::ours().release()).unwrap_err();
    let UnsealError::PcrMismatch { differing } = error else {
        panic!("{error}")
    };
    assert_eq!(differing.len(), 1);
    assert_eq!(differing[0].pcr, 12);
    assert_eq!(differing[0].signed.to_string(), "0".repeat(64));
    assert_ne!(differing[0].actual, differing[0].signed);
    assert_eq!(left_behind(&mut tpm), [0u32; 0]);
}

#[test]
fn a_pcr_outside_the_policy_does_not_matter() {
    let (_swtpm, mut tpm, blob) = sealed();
    extend(&mut tpm, 7, "dbx update");
    assert_eq!(
        tpm.unseal(&blob, &Signer::ours().release()).unwrap().as_slice(),
        SECRET
    );
}

#[test]
fn after_the_latch_nothing_opens_any_more() {
    let (_swtpm, mut tpm, blob) = sealed();
    extend(&mut tpm, 15, "none");
    let error = tpm.unseal(&blob, &Signer::ours().release()).unwrap_err();
    assert!(
        matches!(error, UnsealError::PcrMismatch { ref differing } if differing[0].pcr == 15),
        "{error}"
    );
}

#[test]
fn a_new_release_of_the_same_signer_opens_the_same_blob() {
    let (_swtpm, mut tpm, blob) = sealed();
    extend(&mut tpm, 11, "enter-initrd");
    let pcrs = workshop::zero_pcrs().mask();
    let values = tpm.pcr_read(bennu_tpm::HashAlg::Sha256, pcrs).unwrap();
    let release = Signer::ours().release_for(values);
    assert_eq!(tpm.unseal(&blob, &release).unwrap().as_slice(), SECRET);
}

#[test]
fn another_signer_is_refused_before_the_tpm_is_asked() {
    let (_swtpm, mut tpm, blob) = sealed();
    let error = tpm.unseal(&blob, &Signer::stranger().release()).unwrap_err();
    let stranger = policy_authorize_digest(&Signer::stranger().public.name(), POLICY_REF);
    assert!(
        matches!(error, UnsealError::PolicyNotForBlob { blob: own, release }
            if own == PolicyDigest(blob.public.auth_policy) && release == PolicyDigest(stranger)),
        "{error}"
    );
}

#[test]
fn a_signature_by_another_key_is_refused_by_the_tpm() {
    let (_swtpm, mut tpm, blob) = sealed();
    let mut release = Signer::ours().release();
    release.signature = Signer::stranger().sign(&release.approved_policy, POLICY_REF);
    let error = tpm.unseal(&blob, &release).unwrap_err();
    assert!(matches!(error, UnsealError::SignatureRefused), "{error}");
    assert_eq!(left_behind(&mut tpm), [0u32; 0]);
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let (_swtpm, mut tpm, blob) = sealed();
    // As the .pcrsig of systemd: same key, empty policyRef.
    let mut release = Signer::ours().release();
    release.signature = Signer::ours().sign(&release.approved_policy, b"");
    let error = tpm.unseal(&blob, &release).unwrap_err();
    assert!(matches!(error, UnsealError::SignatureRefused), "{error}");
    release.policy_ref = Vec::new();
    let error = tpm.unseal(&blob, &release).unwrap_err();
    assert!(matches!(error, UnsealError::PolicyNotForBlob { .. }), "{error}");
}

#[test]
fn the_tpm_itself_refuses_another_signer_and_another_purpose() {
    let (_swtpm, mut tpm, blob) = sealed();
    let attempts = [
        (Signer::ours(), POLICY_REF, true),
        (Signer::stranger(), POLICY_REF, false),
        (Signer::ours(), &b"another purpose"[..], false),
    ];
    for (signer, policy_ref, opens) in attempts {
        // The same steps as unseal, without the checks made beforehand.
        let release = signer.release();
        let srk = tpm.storage_key().unwrap();
        let key = tpm.load_policy_key(&signer.public).unwrap();
        let digest = signed_digest(&release.approved_policy, policy_ref);
        let signature = signer.sign(&release.approved_policy, policy_ref);
        let ticket = tpm.verify_signature(&key, &digest, &signature).unwrap();
        tpm.flush(key.handle).unwrap();
        let mut session = tpm.start_session(&srk, SessionKind::Policy).unwrap();
        let (alg, mask) = (release.pcrs.alg(), release.pcrs.mask());
        tpm.policy_pcr(&session, alg, mask, &release.pcrs.combined())
            .unwrap();
        tpm.policy_authorize(&session, &release.approved_policy, policy_ref, &key.name, &ticket)
            .unwrap();
        let object = tpm.load(&srk, &blob.public, &blob.private).unwrap();
        let result = tpm.unseal_object(&object, &mut session, None);
        match result {
            Ok(_) => assert!(opens),
            Err(error) => {
                assert!(!opens, "{error}");
                assert_eq!(error.base_code(), Some(ResponseCode::POLICY_FAIL));
            }
        }
        for handle in [session.handle(), object.handle, srk.handle()] {
            tpm.flush(handle).unwrap();
        }
    }
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let (_swtpm, mut tpm, blob) = sealed();
    let mut release = Signer::ours().release();
    release.pcrs = release.pcrs.with(11, &[1; 32]).unwrap();
    let error = tpm.unseal(&blob, &release).unwrap_err();
    assert!(matches!(error, UnsealError::PolicyInconsistent { .. }), "{error}");
}

#[test]
fn a_blob_of_another_tpm_is_refused() {
    let (_other, other_tpm, blob) = sealed();
    drop(other_tpm);
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let error = tpm.unseal(&blob, &Signer::ours().release()).unwrap_err();
    let found = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap().srk_name;
    assert!(
        matches!(error, UnsealError::SrkDiffers { recorded, found: here } if recorded == blob.srk_name && here == found),
        "{error}"
    );
    // Even with the right Name written into it.
    let forged = SealedBlob {
        srk_name: found,
        ..blob
    };
    let error = tpm.unseal(&forged, &Signer::ours().release()).unwrap_err();
    assert!(
        matches!(error, UnsealError::BlobNotLoadable { code } if code.base() == ResponseCode::INTEGRITY),
        "{error}"
    );
    assert_eq!(left_behind(&mut tpm), [0u32; 0]);
}

#[test]
fn each_changed_byte_of_the_private_part_is_refused() {
    let (_swtpm, mut tpm, blob) = sealed();
    let release = Signer::ours().release();
    for at in (0..blob.private.len()).step_by(37) {
        let mut changed = blob.clone();
        changed.private[at] ^= 1;
        let error = tpm.unseal(&changed, &release).unwrap_err();
        assert!(
            matches!(error, UnsealError::BlobNotLoadable { .. }),
            "byte {at}: {error}"
        );
    }
}

#[test]
fn a_planted_object_of_the_same_tpm_and_policy_is_refused() {
    let (_swtpm, mut tpm, blob) = sealed();
    let srk = tpm.storage_key().unwrap();
    let mut session = tpm.start_session(&srk, SessionKind::Hmac).unwrap();
    let planted = b"an attacker's key, sealed under our public policy";
    let (public, private) = tpm
        .create_sealed(&srk, &mut session, planted, &blob.public.auth_policy, None)
        .unwrap();
    tpm.flush(session.handle()).unwrap();
    tpm.flush(srk.handle()).unwrap();
    let blob = SealedBlob {
        srk_name: blob.srk_name,
        local: blob.local,
        public,
        private,
    };
    let error = tpm.unseal(&blob, &Signer::ours().release()).unwrap_err();
    assert!(matches!(error, UnsealError::PayloadForeign), "{error}");
}

#[test]
fn a_pinned_storage_key_must_be_there_when_sealing_anew() {
    let (_swtpm, mut tpm, blob) = sealed();
    let mut policy = Signer::ours().seal_policy();
    policy.srk = SrkTrust::Pinned(blob.srk_name);
    assert_eq!(tpm.seal(SECRET, &policy).unwrap().srk_name, blob.srk_name);
    let stranger = bennu_tpm::Name::of_public_area(b"another");
    policy.srk = SrkTrust::Pinned(stranger);
    let error = tpm.seal(SECRET, &policy).unwrap_err();
    assert!(
        matches!(error, SealError::SrkDiffers { expected, found } if expected == stranger && found == blob.srk_name),
        "{error}"
    );
}

#[test]
fn a_tpm_without_the_sha256_bank_is_told_apart_from_changed_pcrs() {
    let swtpm = Swtpm::with_banks("sha1");
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    let error = tpm.unseal(&blob, &Signer::ours().release()).unwrap_err();
    assert!(
        matches!(
            error,
            UnsealError::Tpm(TpmError::PcrNotAllocated {
                pcr: 11,
                alg: bennu_tpm::HashAlg::Sha256
            })
        ),
        "{error}"
    );
}
