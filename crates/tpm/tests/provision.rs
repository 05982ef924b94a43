//! Provisioning: persistent storage key, owner authorisation, NV indices, the anti-rollback floor.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    Auth, Hierarchy, NvAttributes, NvAuth, NvCompare, NvCondition, NvPublic, ReleasePolicy, ResponseCode,
    SRK_HANDLE, SessionKind, Tpm, TpmError, UnsealError, policy_authorize_digest,
};
use workshop::{POLICY_REF, SECRET, Signer, Swtpm};

const FLOOR: NvPublic = NvPublic {
    index: 0x0180_BE00,
    attributes: NvAttributes(NvAttributes::OWNERWRITE.0 | NvAttributes::AUTHREAD.0 | NvAttributes::NO_DA.0),
    auth_policy: None,
    size: 8,
};

fn release_with_floor(security_version: u64) -> ReleasePolicy {
    let signer = Signer::ours();
    let mut release = signer.release();
    release.nv = Some(NvCondition {
        nv: FLOOR.written(),
        compare: NvCompare::AtMost,
        operand: security_version.to_be_bytes().to_vec(),
        offset: 0,
    });
    release.approved_policy = release.computed_policy();
    release.signature = signer.sign(&release.approved_policy, POLICY_REF);
    release
}

#[test]
fn the_persistent_key_is_the_transient_one_and_is_used_once_the_owner_has_an_authorisation() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let signer = Signer::ours();
    let blob = tpm.seal(SECRET, &signer.seal_policy()).unwrap();
    let key = tpm.persist_storage_key(&[]).unwrap();
    assert_eq!((key.handle(), key.name()), (SRK_HANDLE, blob.srk_name));
    assert_eq!(
        tpm.persist_storage_key(&[]).unwrap(),
        key,
        "a second call changes nothing"
    );
    assert_eq!(tpm.handles(0x8100_0000).unwrap(), [SRK_HANDLE]);
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    // Trailing zero on purpose: it is no part of the authorisation.
    let owner = [1, 2, 3, 0];
    tpm.change_hierarchy_auth(Hierarchy::Owner, &mut session, &[], &owner)
        .unwrap();
    tpm.change_hierarchy_auth(Hierarchy::Lockout, &mut session, &[], b"lockout")
        .unwrap();
    tpm.flush(session.handle()).unwrap();
    let properties = tpm.properties().unwrap();
    assert!(properties.owner_auth_set && properties.lockout_auth_set);
    drop(tpm);
    let swtpm = swtpm.restart();
    let mut tpm = swtpm.connect();
    assert_eq!(tpm.unseal(&blob, &signer.release()).unwrap().as_slice(), SECRET);

    // The owner's acts now take the authorisation, which a session proves without sending it.
    let key = tpm.storage_key().unwrap();
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    let error = tpm.nv_define(Auth::session(&mut session), &FLOOR).unwrap_err();
    assert_eq!(error.base_code(), Some(ResponseCode::BAD_AUTH), "{error}");
    tpm.nv_define(
        Auth::Session {
            session: &mut session,
            auth_value: &owner,
        },
        &FLOOR,
    )
    .unwrap();
    tpm.change_hierarchy_auth(Hierarchy::Owner, &mut session, &owner, &[])
        .unwrap();
    assert!(!tpm.properties().unwrap().owner_auth_set);
}

#[test]
fn without_a_persistent_key_an_owner_authorisation_locks_the_initrd_out() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    let key = tpm.storage_key().unwrap();
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    tpm.change_hierarchy_auth(Hierarchy::Owner, &mut session, &[], b"owner")
        .unwrap();
    let error = tpm.unseal(&blob, &Signer::ours().release()).unwrap_err();
    assert!(
        matches!(error, UnsealError::Tpm(TpmError::Refused { command: "TPM2_CreatePrimary", code })
            if code.base() == ResponseCode::BAD_AUTH),
        "{error}"
    );
}

#[test]
fn somebody_elses_persistent_key_is_passed_over() {
    let swtpm = Swtpm::start_tcp();
    swtpm.tool(
        "tpm2_createprimary",
        &["-C", "o", "-G", "rsa2048", "-c", "rsa.ctx"],
    );
    swtpm.tool("tpm2_evictcontrol", &["-C", "o", "-c", "rsa.ctx", "0x81000001"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let mut tpm = swtpm.connect_tcp();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    assert_eq!(
        tpm.unseal(&blob, &Signer::ours().release()).unwrap().as_slice(),
        SECRET
    );
    let key = tpm.storage_key().unwrap();
    assert!(!key.is_persistent());
    tpm.flush(key.handle()).unwrap();
    let error = tpm.persist_storage_key(&[]).unwrap_err();
    assert_eq!(error.base_code(), Some(ResponseCode::NV_DEFINED), "{error}");
}

#[test]
fn an_index_round_trips_in_the_clear_and_through_a_session() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let owner = || NvAuth::Owner(Auth::Password(&[]));
    let index = || NvAuth::Index(Auth::Password(&[]));
    let error = tpm.nv_read_public(FLOOR.index).unwrap_err();
    assert_eq!(error.base_code(), Some(ResponseCode::HANDLE), "{error}");
    tpm.nv_define(Auth::Password(&[]), &FLOOR).unwrap();
    let error = tpm.nv_define(Auth::Password(&[]), &FLOOR).unwrap_err();
    assert_eq!(error.base_code(), Some(ResponseCode::NV_DEFINED), "{error}");
    assert_eq!(tpm.nv_read_public(FLOOR.index).unwrap(), FLOOR);
    let error = tpm.nv_read(&FLOOR, index(), 8).unwrap_err();
    assert_eq!(error.base_code(), Some(ResponseCode::NV_UNINITIALIZED), "{error}");
    tpm.nv_write(&FLOOR, owner(), &7u64.to_be_bytes()).unwrap();
    let written = tpm.nv_read_public(FLOOR.index).unwrap();
    assert_eq!(written, FLOOR.written());
    assert_eq!(*tpm.nv_read(&written, index(), 8).unwrap(), 7u64.to_be_bytes());

    let key = tpm.storage_key().unwrap();
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    let auth = NvAuth::Owner(Auth::session(&mut session));
    tpm.nv_write(&written, auth, &8u64.to_be_bytes()).unwrap();
    let auth = NvAuth::Index(Auth::session(&mut session));
    assert_eq!(*tpm.nv_read(&written, auth, 8).unwrap(), 8u64.to_be_bytes());
    tpm.nv_undefine(Auth::session(&mut session), &written).unwrap();
    assert!(tpm.nv_read_public(FLOOR.index).is_err());
}

#[test]
fn a_release_below_the_floor_does_not_unseal() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    tpm.nv_define(Auth::Password(&[]), &FLOOR).unwrap();
    let set = |tpm: &mut bennu_tpm::Client<workshop::Unix>, floor: u64| {
        let nv = tpm.nv_read_public(FLOOR.index).unwrap();
        tpm.nv_write(&nv, NvAuth::Owner(Auth::Password(&[])), &floor.to_be_bytes())
            .unwrap();
    };
    set(&mut tpm, 5);
    for version in [5, 6, 300] {
        let release = release_with_floor(version);
        assert_eq!(
            tpm.unseal(&blob, &release).unwrap().as_slice(),
            SECRET,
            "version {version}"
        );
    }
    set(&mut tpm, 6);
    let error = tpm.unseal(&blob, &release_with_floor(5)).unwrap_err();
    assert!(
        matches!(error, UnsealError::NvConditionFailed { index } if index == FLOOR.index),
        "{error}"
    );
    assert!(tpm.unseal(&blob, &release_with_floor(6)).is_ok());
}

#[test]
fn a_floor_defined_anew_with_other_attributes_does_not_count() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    let weak = NvPublic {
        attributes: FLOOR.attributes.with(NvAttributes::AUTHWRITE),
        ..FLOOR
    };
    for (nv, opens) in [(FLOOR, true), (weak, false)] {
        tpm.nv_define(Auth::Password(&[]), &nv).unwrap();
        tpm.nv_write(&nv, NvAuth::Owner(Auth::Password(&[])), &1u64.to_be_bytes())
            .unwrap();
        let result = tpm.unseal(&blob, &release_with_floor(5));
        assert_eq!(result.is_ok(), opens);
        if let Err(error) = result {
            // PolicyAuthorize: the policy reached is not the approved one.
            assert!(
                matches!(error, UnsealError::Tpm(TpmError::Refused { command: "TPM2_PolicyAuthorize", code })
                    if code.base() == ResponseCode::VALUE),
                "{error}"
            );
        }
        tpm.nv_undefine(Auth::Password(&[]), &nv.written()).unwrap();
    }
}

#[test]
fn an_index_that_only_the_release_policy_may_write() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let signer = Signer::ours();
    let nv = NvPublic {
        index: 0x0180_BE01,
        attributes: NvAttributes::POLICYWRITE
            .with(NvAttributes::AUTHREAD)
            .with(NvAttributes::NO_DA),
        auth_policy: Some(policy_authorize_digest(&signer.public.name(), POLICY_REF)),
        size: 16,
    };
    tpm.nv_define(Auth::Password(&[]), &nv).unwrap();
    assert!(
        tpm.nv_write(&nv, NvAuth::Owner(Auth::Password(&[])), &[1; 16])
            .is_err()
    );
    assert!(
        tpm.nv_write(&nv, NvAuth::Index(Auth::Password(&[])), &[1; 16])
            .is_err()
    );
    let key = tpm.persist_storage_key(&[]).unwrap();
    let mut session = tpm.release_session(&key, &signer.release()).unwrap();
    tpm.nv_write(&nv, NvAuth::Index(Auth::session(&mut session)), &[2; 16])
        .unwrap();
    tpm.flush(session.handle()).unwrap();
    let written = tpm.nv_read_public(nv.index).unwrap();
    assert_eq!(
        *tpm.nv_read(&written, NvAuth::Index(Auth::Password(&[])), 16)
            .unwrap(),
        [2; 16]
    );
}
