//! Clearing a provisioned TPM, and showing that nothing sealed before opens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    Floor, FloorState, Hierarchy, IndexPlace, NvAttributes, ResponseCode, SessionKind, SrkTrust, StillAlive,
    Tpm, UnsealError,
};
use workshop::{POLICY_REF, SECRET, Signer, Swtpm};

const LOCKOUT: &[u8] = b"lockout authorisation of 32 byte";

fn floor(signer: &Signer) -> Floor {
    let place = IndexPlace {
        index: 0x0180_BE00,
        attributes: NvAttributes::POLICYWRITE
            .with(NvAttributes::AUTHREAD)
            .with(NvAttributes::NO_DA),
        size: 8,
    };
    Floor::new(place, &signer.public.name(), POLICY_REF)
}

fn provision(tpm: &mut bennu_tpm::Client<workshop::Unix>) {
    let key = tpm.persist_storage_key(&[]).unwrap();
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    for hierarchy in [Hierarchy::Lockout, Hierarchy::Owner] {
        tpm.change_hierarchy_auth(hierarchy, &mut session, &[], LOCKOUT)
            .unwrap();
    }
    tpm.flush(session.handle()).unwrap();
}

#[test]
fn a_cleared_tpm_refuses_what_it_sealed_and_is_begun_anew_at_the_old_floor() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let signer = Signer::ours();
    let floor = floor(signer);
    let blob = tpm.seal(SECRET, &signer.seal_policy()).unwrap();
    tpm.begin_floor_at(&floor, 7).unwrap();
    provision(&mut tpm);
    // Positive control: before, it opens, and that is told from a proof of its death.
    assert_eq!(tpm.unseal(&blob, &signer.release()).unwrap().as_slice(), SECRET);
    let alive = tpm.show_dead(&blob).unwrap_err();
    assert!(matches!(alive, StillAlive::Loads), "{alive}");

    let error = tpm.clear_owner(b"somebody else's guess").unwrap_err();
    // Lockout failures count, whoever guesses: TPM_RC_AUTH_FAIL.
    assert_eq!(error.base_code(), Some(ResponseCode::AUTH_FAIL), "{error}");
    assert_eq!(tpm.floor(&floor, SrkTrust::FirstUse).unwrap(), FloorState::At(7));

    drop(tpm);
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &signer.seal_policy()).unwrap();
    tpm.begin_floor_at(&floor, 7).unwrap();
    provision(&mut tpm);
    tpm.clear_owner(LOCKOUT).unwrap();
    let properties = tpm.properties().unwrap();
    assert!(!properties.owner_auth_set && !properties.lockout_auth_set);
    assert_eq!(tpm.floor(&floor, SrkTrust::FirstUse).unwrap(), FloorState::Absent);
    for kind in [0x8000_0000, 0x0200_0000, 0x0300_0000, 0x8100_0000] {
        assert_eq!(tpm.handles(kind).unwrap(), [0_u32; 0], "left behind: {kind:#x}");
    }
    let dead = tpm.show_dead(&blob).unwrap();
    assert_eq!(dead.code.base(), ResponseCode::INTEGRITY);
    assert_eq!(dead.sealed_under, blob.srk_name);
    assert_ne!(dead.storage_key, blob.srk_name);
    let error = tpm.unseal(&blob, &signer.release()).unwrap_err();
    assert!(matches!(error, UnsealError::SrkDiffers { .. }), "{error}");

    tpm.begin_floor_at(&floor, 7).unwrap();
    provision(&mut tpm);
    assert_eq!(tpm.floor(&floor, SrkTrust::FirstUse).unwrap(), FloorState::At(7));
    let blob = tpm.seal(SECRET, &signer.seal_policy()).unwrap();
    assert_eq!(tpm.unseal(&blob, &signer.release()).unwrap().as_slice(), SECRET);
}

#[test]
fn a_damaged_blob_of_this_tpm_is_no_proof_of_a_cleared_one() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let mut blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    let last = blob.private.len() - 1;
    blob.private[last] ^= 1;
    let alive = tpm.show_dead(&blob).unwrap_err();
    assert!(
        matches!(alive, StillAlive::SameStorageKey(name) if name == blob.srk_name),
        "{alive}"
    );
}
