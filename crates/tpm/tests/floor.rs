//! The anti-rollback floor against a real software TPM.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    Auth, Client, Event, EventKind, Floor, FloorState, GuardedError, HashAlg, Hierarchy, IndexPlace,
    Measured, Name, NvAttributes, NvAuth, NvPublic, ReleasePolicy, ResponseCode, SessionKind, SrkTrust, Tpm,
    TpmError, UnsealError,
};
use workshop::{POLICY_REF, SECRET, Signer, Swtpm, Unix};

const PLACE: IndexPlace = IndexPlace {
    size: 8,
    index: 0x0180_BE00,
    attributes: NvAttributes(NvAttributes::POLICYWRITE.0 | NvAttributes::AUTHREAD.0 | NvAttributes::NO_DA.0),
};

fn floor() -> Floor {
    Floor::new(PLACE, &Signer::ours().public.name(), POLICY_REF)
}

fn release(security_version: u64) -> ReleasePolicy {
    let signer = Signer::ours();
    let mut release = signer.release();
    release.nv = Some(floor().at_most(security_version));
    release.approved_policy = release.computed_policy();
    release.signature = signer.sign(&release.approved_policy, POLICY_REF);
    release
}

fn at(tpm: &mut Client<Unix>, expected: u64) {
    assert_eq!(
        tpm.floor(&floor(), SrkTrust::FirstUse).unwrap(),
        FloorState::At(expected)
    );
}

#[test]
fn it_begins_at_zero_and_rises_with_the_release_that_runs() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    assert_eq!(
        tpm.floor(&floor(), SrkTrust::FirstUse).unwrap(),
        FloorState::Absent
    );
    tpm.begin_floor(&floor()).unwrap();
    at(&mut tpm, 0);
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    assert_eq!(tpm.unseal(&blob, &release(1)).unwrap().as_slice(), SECRET);
    tpm.raise_floor(&floor(), &release(2), 2).unwrap();
    at(&mut tpm, 2);
    drop(tpm);
    let swtpm = swtpm.restart();
    let mut tpm = swtpm.connect();
    at(&mut tpm, 2);
    assert_eq!(tpm.unseal(&blob, &release(2)).unwrap().as_slice(), SECRET);
}

#[test]
fn on_another_tpm_it_begins_where_the_release_is() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.begin_floor_at(&floor(), 2).unwrap();
    at(&mut tpm, 2);
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    assert_eq!(blob.srk_name, tpm.storage_key_name().unwrap());
    assert_eq!(tpm.unseal(&blob, &release(2)).unwrap().as_slice(), SECRET);
    let older = tpm.unseal(&blob, &release(1)).unwrap_err();
    assert!(matches!(older, UnsealError::NvConditionFailed { .. }), "{older}");
}

#[test]
fn it_is_not_read_through_another_storage_key_than_the_pinned_one() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.begin_floor(&floor()).unwrap();
    let own = tpm.storage_key().unwrap();
    tpm.flush(own.handle()).unwrap();
    let read = tpm.floor(&floor(), SrkTrust::Pinned(own.name())).unwrap();
    assert_eq!(read, FloorState::At(0));
    let stranger = Name::of_public_area(b"a stranger's");
    let error = tpm.floor(&floor(), SrkTrust::Pinned(stranger)).unwrap_err();
    assert!(
        matches!(error, GuardedError::SrkDiffers { expected, found } if expected == stranger && found == own.name()),
        "{error}"
    );
}

#[test]
fn a_release_below_it_neither_unseals_nor_lowers_it() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.begin_floor(&floor()).unwrap();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    tpm.raise_floor(&floor(), &release(5), 5).unwrap();
    let refused = |error: &UnsealError| matches!(error, UnsealError::NvConditionFailed { index } if *index == PLACE.index);
    let error = tpm.unseal(&blob, &release(4)).unwrap_err();
    assert!(refused(&error), "{error}");
    let error = tpm.raise_floor(&floor(), &release(4), 0).unwrap_err();
    assert!(
        matches!(&error, GuardedError::Policy(source) if refused(source)),
        "{error}"
    );
    at(&mut tpm, 5);
    assert!(tpm.unseal(&blob, &release(5)).is_ok(), "positive control");
}

#[test]
fn the_latch_closes_it_to_writes() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.begin_floor(&floor()).unwrap();
    let latch = Event {
        pcr: 15,
        measured: Measured::Data(b"latch"),
        kind: EventKind::Manifest,
        text: "latch",
    };
    tpm.raise_floor(&floor(), &release(1), 1).unwrap();
    tpm.pcr_extend(&latch).unwrap();
    let error = tpm.raise_floor(&floor(), &release(2), 2).unwrap_err();
    assert!(
        matches!(&error, GuardedError::Policy(UnsealError::PcrMismatch { .. })),
        "{error}"
    );
    at(&mut tpm, 1);
}

#[test]
fn nobody_else_writes_it_and_the_first_write_is_the_only_free_one() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.begin_floor(&floor()).unwrap();
    let nv = tpm.nv_read_public(PLACE.index).unwrap();
    for auth in [
        NvAuth::Owner(Auth::Password(&[])),
        NvAuth::Index(Auth::Password(&[])),
    ] {
        let error = tpm.nv_write(&nv, auth, &[0; 8]).unwrap_err();
        assert!(matches!(error, TpmError::Refused { .. }), "{error}");
    }
    // A second free write: begin_floor takes the defined index and finds it written.
    let error = tpm.begin_floor(&floor()).unwrap_err();
    assert!(
        matches!(&error, GuardedError::Tpm(TpmError::Refused { command: "TPM2_NV_Write", code })
            if code.base() == ResponseCode::POLICY_FAIL),
        "{error}"
    );
}

#[test]
fn a_cut_between_definition_and_first_write_is_made_good() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    tpm.begin_floor(&floor()).unwrap();
    let written = tpm.nv_read_public(PLACE.index).unwrap();
    tpm.nv_undefine(Auth::Password(&[]), &written).unwrap();
    let fresh = NvPublic {
        attributes: PLACE.attributes,
        ..written
    };
    tpm.nv_define(Auth::Password(&[]), &fresh).unwrap();
    assert_eq!(
        tpm.floor(&floor(), SrkTrust::FirstUse).unwrap(),
        FloorState::Unwritten
    );
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    assert!(
        tpm.unseal(&blob, &release(1)).is_err(),
        "an unwritten floor opens nothing"
    );
    tpm.begin_floor(&floor()).unwrap();
    at(&mut tpm, 0);
    assert!(tpm.unseal(&blob, &release(1)).is_ok());
}

#[test]
fn an_index_defined_anew_with_other_attributes_is_foreign_and_opens_nothing() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = tpm.seal(SECRET, &Signer::ours().seal_policy()).unwrap();
    tpm.begin_floor(&floor()).unwrap();
    let written = tpm.nv_read_public(PLACE.index).unwrap();
    tpm.nv_undefine(Auth::Password(&[]), &written).unwrap();
    let weak = NvPublic {
        attributes: PLACE.attributes.with(NvAttributes::AUTHWRITE),
        ..written
    };
    tpm.nv_define(Auth::Password(&[]), &weak).unwrap();
    tpm.nv_write(&weak, NvAuth::Index(Auth::Password(&[])), &[0; 8])
        .unwrap();
    let error = tpm.floor(&floor(), SrkTrust::FirstUse).unwrap_err();
    assert!(matches!(error, GuardedError::Foreign { .. }), "{error}");
    assert!(tpm.unseal(&blob, &release(9)).is_err());
}

#[test]
fn a_tpm_with_an_owner_is_told_apart() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let key = tpm.persist_storage_key(&[]).unwrap();
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    tpm.change_hierarchy_auth(Hierarchy::Owner, &mut session, &[], b"somebody")
        .unwrap();
    tpm.flush(session.handle()).unwrap();
    let error = tpm.begin_floor(&floor()).unwrap_err();
    assert!(matches!(error, GuardedError::Owned { .. }), "{error}");
    assert_eq!(
        tpm.pcr_read(HashAlg::Sha256, bennu_tpm::PcrMask::NONE)
            .unwrap()
            .iter()
            .count(),
        0
    );
}

#[test]
fn its_name_is_the_one_of_the_specification() {
    let key = bennu_tpm::policy_key_name(&[0xFF; 256]).unwrap();
    let floor = Floor::new(PLACE, &key, POLICY_REF);
    // The same vector stands in docs/spec/floor.md and in the builder's test.
    assert_eq!(
        floor.name().to_string(),
        "000b2bb5bd1e554eed0fd15786119d04d5c77e4ba0d0d3c167f9ab92c824aa5ae921"
    );
}
