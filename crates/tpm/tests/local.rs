//! Local conditions: a PIN and the state of Secure Boot, on top of the release's policy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use bennu_tpm::{
    AuthRule, Client, Event, EventKind, Hierarchy, LocalAuth, LocalConditions, Lockout, LockoutRule,
    Measured, SealLocal, SealPolicy, SealedBlob, SessionKind, Tpm, Transport, UnsealError,
};
use workshop::{CC_UNSEAL, SECRET, Signer, Swtpm, code_of};

const PIN: &[u8] = b"2580-winter";
const LOCKOUT: &[u8] = b"lockout authorisation of 32 byte";

fn pin(typed: &[u8]) -> LocalAuth {
    LocalAuth::pin(typed).unwrap()
}

fn seal<T: Transport>(
    tpm: &mut Client<T>,
    auth: Option<&LocalAuth>,
    secure_boot: Option<[u8; 32]>,
) -> SealedBlob {
    let policy = SealPolicy {
        local: SealLocal { auth, secure_boot },
        ..Signer::ours().seal_policy()
    };
    let blob = tpm.seal(SECRET, &policy).unwrap();
    // As it comes from the disk.
    SealedBlob::decode(&blob.encode().unwrap()).unwrap()
}

fn extend<T: Transport>(tpm: &mut Client<T>, pcr: u8) {
    let event = Event {
        pcr,
        measured: Measured::Data(b"a new dbx"),
        kind: EventKind::Phase,
        text: "a new dbx",
    };
    tpm.pcr_extend(&event).unwrap();
}

#[test]
fn a_pin_opens_another_one_does_not_and_the_tpm_counts() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = seal(&mut tpm, Some(&pin(PIN)), None);
    assert_eq!(blob.public.lockout, Lockout::Counted);
    let release = Signer::ours().release();
    let opened = tpm.unseal_with(&blob, &release, &pin(PIN)).unwrap();
    assert_eq!(opened.as_slice(), SECRET, "positive control");

    let error = tpm.unseal(&blob, &release).unwrap_err();
    assert!(matches!(error, UnsealError::AuthNeeded), "{error}");
    assert_eq!(
        tpm.properties().unwrap().lockout_counter,
        0,
        "that was not even tried"
    );
    let error = tpm
        .unseal_with(&blob, &release, &pin(b"2580-summer"))
        .unwrap_err();
    assert!(matches!(error, UnsealError::WrongPin), "{error}");
    assert_eq!(tpm.properties().unwrap().lockout_counter, 1);
    assert_eq!(
        tpm.unseal_with(&blob, &release, &pin(PIN)).unwrap().as_slice(),
        SECRET
    );
    for kind in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(tpm.handles(kind).unwrap(), [0_u32; 0], "left behind: {kind:#x}");
    }
}

#[test]
fn too_many_wrong_pins_lock_the_right_one_out_until_the_lockout_authorisation_says_otherwise() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = seal(&mut tpm, Some(&pin(PIN)), None);
    let unguarded = seal(&mut tpm, None, None);
    let key = tpm.persist_storage_key(&[]).unwrap();
    let mut session = tpm.start_session(&key, SessionKind::Hmac).unwrap();
    tpm.change_hierarchy_auth(Hierarchy::Lockout, &mut session, &[], LOCKOUT)
        .unwrap();
    tpm.flush(session.handle()).unwrap();
    let rule = LockoutRule {
        tries: 3,
        forget_one_after_s: 600,
        recovery_s: 600,
    };
    tpm.set_lockout_rule(LOCKOUT, &rule).unwrap();
    let found = tpm.properties().unwrap();
    assert_eq!((found.lockout_tries, found.lockout_interval_s), (3, 600));

    let release = Signer::ours().release();
    for _ in 0..3 {
        let error = tpm.unseal_with(&blob, &release, &pin(b"0000")).unwrap_err();
        assert!(matches!(error, UnsealError::WrongPin), "{error}");
    }
    let error = tpm.unseal_with(&blob, &release, &pin(PIN)).unwrap_err();
    assert!(matches!(error, UnsealError::Lockout), "{error}");
    assert!(tpm.properties().unwrap().in_lockout);
    // What has no PIN is not under the lockout.
    assert_eq!(tpm.unseal(&unguarded, &release).unwrap().as_slice(), SECRET);

    tpm.reset_lockout(LOCKOUT).unwrap();
    assert_eq!(tpm.properties().unwrap().lockout_counter, 0);
    assert_eq!(
        tpm.unseal_with(&blob, &release, &pin(PIN)).unwrap().as_slice(),
        SECRET
    );
}

#[test]
fn a_listener_sees_neither_the_pin_nor_what_the_tpm_has_of_it() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.record();
    let blob = seal(&mut tpm, Some(&pin(PIN)), None);
    let release = Signer::ours().release();
    tpm.unseal_with(&blob, &release, &pin(PIN)).unwrap();
    let wrong: &[u8] = b"2580-summer";
    tpm.unseal_with(&blob, &release, &pin(wrong)).unwrap_err();
    let exchanges = tpm.transport_mut().exchanges();
    let unseals = exchanges.iter().filter(|e| code_of(&e.command) == CC_UNSEAL);
    // The TPM asks for a wrong PIN once more, when it has noted that one was tried.
    assert!(unseals.count() >= 2, "positive control: it was recorded");
    let frames: Vec<&[u8]> = exchanges
        .iter()
        .flat_map(|exchange| [exchange.command.as_slice(), exchange.response.as_slice()])
        .collect();
    let seen = |needle: &[u8]| {
        frames
            .iter()
            .any(|frame| frame.windows(needle.len()).any(|part| part == needle))
    };
    assert!(
        seen(&blob.public.auth_policy),
        "positive control: the policy is seen"
    );
    for typed in [PIN, wrong] {
        let auth_value = bennu_tpm::HashAlg::Sha256.digest(&[b"bennu-pin-v1\0", typed].concat());
        for part in typed.windows(6).chain(auth_value.as_bytes().windows(6)) {
            assert!(!seen(part), "{part:02x?} was seen on the bus");
        }
    }
}

#[test]
fn secure_boot_as_it_was_opens_and_anything_else_is_named() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let release = Signer::ours().release();
    extend(&mut tpm, 7);
    let pcr7 = |tpm: &mut Client<workshop::Unix>| -> [u8; 32] {
        let mask = bennu_tpm::PcrMask::of(&[7]).unwrap();
        let values = tpm.pcr_read(bennu_tpm::HashAlg::Sha256, mask).unwrap();
        values.get(7).unwrap().as_bytes().try_into().unwrap()
    };
    let now = pcr7(&mut tpm);
    let bound = seal(&mut tpm, None, Some(now));
    let both = seal(&mut tpm, Some(&pin(PIN)), Some(now));
    let unbound = seal(&mut tpm, None, None);
    assert_eq!(tpm.unseal(&bound, &release).unwrap().as_slice(), SECRET);
    assert_eq!(
        tpm.unseal_with(&both, &release, &pin(PIN)).unwrap().as_slice(),
        SECRET
    );

    extend(&mut tpm, 7);
    for blob in [&bound, &both] {
        let error = tpm.unseal_with(blob, &release, &pin(PIN)).unwrap_err();
        let changed = pcr7(&mut tpm);
        assert!(
            matches!(&error, UnsealError::SecureBootChanged { sealed, actual }
                if sealed.as_bytes() == now && actual.as_bytes() == changed),
            "{error}"
        );
    }
    assert_eq!(
        tpm.properties().unwrap().lockout_counter,
        0,
        "the PIN was not tried"
    );
    assert_eq!(
        tpm.unseal(&unbound, &release).unwrap().as_slice(),
        SECRET,
        "positive control"
    );
}

#[test]
fn conditions_are_not_taken_away_by_changing_the_file() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let release = Signer::ours().release();
    let blob = seal(&mut tpm, Some(&pin(PIN)), None);
    let mut bare = blob.clone();
    bare.local = LocalConditions::NONE;
    let error = tpm.unseal(&bare, &release).unwrap_err();
    assert!(matches!(error, UnsealError::PolicyNotForBlob { .. }), "{error}");
    // With the policy of an object without conditions the TPM does not take it for its own.
    let plain = seal(&mut tpm, None, None);
    bare.public = plain.public;
    let error = tpm.unseal(&bare, &release).unwrap_err();
    assert!(matches!(error, UnsealError::BlobNotLoadable { .. }), "{error}");
    let mut uncounted = blob.clone();
    uncounted.public.lockout = Lockout::Exempt;
    let error = tpm.unseal_with(&uncounted, &release, &pin(PIN)).unwrap_err();
    assert!(matches!(error, UnsealError::BlobNotLoadable { .. }), "{error}");
    assert_eq!(blob.local.auth, AuthRule::Pin);
}

#[test]
fn what_follows_from_the_volume_key_opens_uncounted_and_also_while_the_tpm_is_locked_out() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let own = LocalAuth::derived(&[1; 64], "tpm.owner");
    let guarded = seal(&mut tpm, Some(&own), None);
    assert_eq!(guarded.local.auth, AuthRule::Derived);
    assert_eq!(guarded.public.lockout, Lockout::Exempt);
    let release = Signer::ours().release();
    let error = tpm.unseal(&guarded, &release).unwrap_err();
    assert!(matches!(error, UnsealError::AuthNeeded), "{error}");
    let other = LocalAuth::derived(&[2; 64], "tpm.owner");
    let error = tpm.unseal_with(&guarded, &release, &other).unwrap_err();
    assert!(matches!(error, UnsealError::OfAnotherVolume), "{error}");
    assert_eq!(tpm.properties().unwrap().lockout_counter, 0);

    let blob = seal(&mut tpm, Some(&pin(PIN)), None);
    while !tpm.properties().unwrap().in_lockout {
        tpm.unseal_with(&blob, &release, &pin(b"0000")).unwrap_err();
    }
    let error = tpm.unseal_with(&blob, &release, &pin(PIN)).unwrap_err();
    assert!(matches!(error, UnsealError::Lockout), "{error}");
    let opened = tpm.unseal_with(&guarded, &release, &own).unwrap();
    assert_eq!(opened.as_slice(), SECRET);
}

#[test]
fn a_closed_latch_is_seen_without_any_sealed_object() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let release = Signer::ours().release();
    tpm.expect_pcrs(&release).unwrap();
    tpm.would_authorize(&release).unwrap();
    extend(&mut tpm, 15);
    for error in [tpm.expect_pcrs(&release), tpm.would_authorize(&release)].map(Result::unwrap_err) {
        let UnsealError::PcrMismatch { differing } = error else {
            panic!("expected a difference of PCRs, found: {error}");
        };
        assert_eq!(differing.iter().map(|d| d.pcr).collect::<Vec<_>>(), [15]);
    }
    for kind in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(tpm.handles(kind).unwrap(), [0_u32; 0], "left behind: {kind:#x}");
    }
}

#[test]
fn whether_a_pin_would_open_it_is_known_without_one_and_costs_no_try() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.connect();
    let blob = seal(&mut tpm, Some(&pin(PIN)), None);
    let release = Signer::ours().release();
    tpm.would_open(&blob, &release).unwrap();
    extend(&mut tpm, 15);
    let error = tpm.would_open(&blob, &release).unwrap_err();
    assert!(matches!(error, UnsealError::PcrMismatch { .. }), "{error}");
    assert_eq!(tpm.properties().unwrap().lockout_counter, 0);
    for kind in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(tpm.handles(kind).unwrap(), [0_u32; 0], "left behind: {kind:#x}");
    }
}
