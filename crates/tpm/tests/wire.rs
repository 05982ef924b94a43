//! Somebody on the bus: listens, changes answers, shows another storage key, extends PCRs in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod workshop;

use std::cell::{Cell, RefCell};

use bennu_tpm::{Exchange, SealError, Tpm, TpmError, Transport, TransportError, UnsealError, WireError};
use proptest::prelude::*;
use workshop::{CC_START_AUTH_SESSION, CC_UNSEAL, SECRET, Signer, Swtpm, code_of, meddled};

const CC_CREATE_PRIMARY: u32 = 0x131;
const CC_CREATE: u32 = 0x153;
const CC_GET_RANDOM: u32 = 0x17B;

/// TPM2_PCR_Extend of PCR 10, SHA-256, as IMA does it, by hand.
fn ima_extend() -> Vec<u8> {
    let mut frame = vec![0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, 10];
    frame.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    frame.extend([0, 0, 0, 1, 0x00, 0x0B]);
    frame.extend([0x77; 32]);
    frame
}

fn seen(exchanges: &[Exchange], needle: &[u8]) -> bool {
    exchanges.iter().any(|exchange| {
        [&exchange.command, &exchange.response]
            .iter()
            .any(|frame| frame.windows(needle.len()).any(|w| w == needle))
    })
}

#[test]
fn a_listener_sees_the_policy_but_no_part_of_the_secret_nor_random_bytes() {
    let swtpm = Swtpm::start();
    let mut tpm = swtpm.record();
    let signer = Signer::ours();
    let blob = tpm.seal(SECRET, &signer.seal_policy()).unwrap();
    let secret = tpm.unseal(&blob, &signer.release()).unwrap();
    assert_eq!(secret.as_slice(), SECRET);
    let random = tpm.random(48).unwrap();
    assert_eq!(random.len(), 48);
    let exchanges = tpm.transport_mut().exchanges();
    for code in [CC_CREATE, CC_UNSEAL, CC_GET_RANDOM] {
        assert!(
            exchanges
                .iter()
                .any(|exchange| code_of(&exchange.command) == code),
            "{code:#x} was recorded"
        );
    }
    // What is not encrypted is seen: the recorder records both ways.
    assert!(seen(exchanges, &blob.public.auth_policy), "policy in a command");
    assert!(
        seen(exchanges, &blob.srk_name.as_bytes()[2..]),
        "storage key's name in a response"
    );
    for part in SECRET.windows(6).chain(random.windows(6)) {
        assert!(!seen(exchanges, part), "{part:02x?} was seen on the bus");
    }
}

#[test]
fn each_changed_byte_of_the_answer_to_unseal_is_noticed() {
    let swtpm = Swtpm::start();
    let signer = Signer::ours();
    let release = signer.release();
    let blob = swtpm.connect().seal(SECRET, &signer.seal_policy()).unwrap();
    let position = Cell::new(0);
    let length = Cell::new(0);
    let mut tpm = meddled(swtpm.transport(), |inner, command| {
        let mut response = inner.transact(command)?;
        if code_of(command) == CC_UNSEAL {
            length.set(response.len());
            if let Some(byte) = response.get_mut(position.get()) {
                *byte ^= 0x10;
            }
        }
        Ok(response)
    });
    position.set(usize::MAX);
    assert_eq!(tpm.unseal(&blob, &release).unwrap().as_slice(), SECRET);
    // Beyond the header (whose changes are errors of layout): sizes, secret, nonce, attributes, HMAC.
    let mut forged = 0;
    for at in (10..length.get()).step_by(5) {
        position.set(at);
        match tpm.unseal(&blob, &release).unwrap_err() {
            UnsealError::Tpm(TpmError::ResponseForged {
                command: "TPM2_Unseal",
            }) => forged += 1,
            UnsealError::Tpm(TpmError::Malformed {
                command: "TPM2_Unseal",
                ..
            }) => {}
            error => panic!("byte {at}: {error}"),
        }
    }
    assert!(forged >= 25, "{forged}");
    position.set(16);
    let error = tpm.unseal(&blob, &release).unwrap_err();
    assert!(
        matches!(
            error,
            UnsealError::Tpm(TpmError::ResponseForged {
                command: "TPM2_Unseal"
            })
        ),
        "{error}"
    );
}

#[test]
fn a_changed_command_is_refused_by_the_tpm() {
    let swtpm = Swtpm::start();
    let signer = Signer::ours();
    let armed = Cell::new(false);
    let mut tpm = meddled(swtpm.transport(), |inner, command| {
        let mut command = command.to_vec();
        if armed.get() && code_of(&command) == CC_CREATE {
            // The policy of the object to be made: who may unseal it.
            let end = command.len() - 1 - 2 - 4 - 2 - 2;
            command[end] ^= 1;
        }
        inner.transact(&command)
    });
    tpm.seal(SECRET, &signer.seal_policy()).unwrap();
    armed.set(true);
    let error = tpm.seal(SECRET, &signer.seal_policy()).unwrap_err();
    assert!(
        matches!(error, SealError::Tpm(TpmError::Refused { command: "TPM2_Create", code })
            if code.base() == bennu_tpm::ResponseCode::AUTH_FAIL || code.base() == bennu_tpm::ResponseCode::BAD_AUTH),
        "{error}"
    );
}

#[test]
fn another_storage_key_is_refused_before_a_session_is_salted_to_it() {
    let ours = Swtpm::start();
    let theirs = Swtpm::start();
    let signer = Signer::ours();
    let blob = ours.connect().seal(SECRET, &signer.seal_policy()).unwrap();
    let mut other = theirs.transport();
    let salted = Cell::new(0);
    let mut tpm = meddled(ours.transport(), |inner, command| {
        if code_of(command) == CC_START_AUTH_SESSION {
            salted.set(salted.get() + 1);
        }
        if code_of(command) == CC_CREATE_PRIMARY {
            other.transact(command)
        } else {
            inner.transact(command)
        }
    });
    let error = tpm.unseal(&blob, &signer.release()).unwrap_err();
    assert!(
        matches!(error, UnsealError::SrkDiffers { recorded, .. } if recorded == blob.srk_name),
        "{error}"
    );
    assert_eq!(salted.get(), 0);
}

#[test]
fn extends_by_others_between_policy_and_unseal_are_outlasted() {
    let swtpm = Swtpm::start();
    let signer = Signer::ours();
    let blob = swtpm.connect().seal(SECRET, &signer.seal_policy()).unwrap();
    let disturbances = Cell::new(0);
    let sessions = Cell::new(0);
    let mut tpm = meddled(swtpm.transport(), |inner, command| {
        if code_of(command) == CC_START_AUTH_SESSION {
            sessions.set(sessions.get() + 1);
        }
        if code_of(command) == CC_UNSEAL && disturbances.get() > 0 {
            disturbances.set(disturbances.get() - 1);
            assert_eq!(
                code_of(&inner.transact(&ima_extend())?),
                0,
                "the disturbance itself works"
            );
        }
        inner.transact(command)
    });
    for (disturbed, expected_sessions) in [(0, 1), (1, 2), (5, 6)] {
        disturbances.set(disturbed);
        sessions.set(0);
        assert_eq!(tpm.unseal(&blob, &signer.release()).unwrap().as_slice(), SECRET);
        assert_eq!(
            sessions.get(),
            expected_sessions,
            "a brand-new session for each attempt"
        );
    }
    disturbances.set(u32::MAX);
    let error = tpm.unseal(&blob, &signer.release()).unwrap_err();
    assert!(
        matches!(error, UnsealError::PcrsKeepChanging { attempts: 12 }),
        "{error}"
    );
    for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(tpm.handles(first).unwrap(), [0u32; 0]);
    }
}

#[test]
fn a_busy_tpm_is_asked_again_with_the_same_bytes_and_not_for_ever() {
    let swtpm = Swtpm::start();
    let signer = Signer::ours();
    let blob = swtpm.connect().seal(SECRET, &signer.seal_policy()).unwrap();
    let busy = Cell::new(0u32);
    let sent = RefCell::new(Vec::new());
    let mut tpm = meddled(swtpm.transport(), |inner, command| {
        if code_of(command) == CC_UNSEAL {
            sent.borrow_mut().push(command.to_vec());
            if busy.get() > 0 {
                busy.set(busy.get() - 1);
                let code = [0x22, 0x08, 0x0A][busy.get() as usize % 3];
                return Ok(vec![0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, code]);
            }
        }
        inner.transact(command)
    });
    busy.set(4);
    assert_eq!(tpm.unseal(&blob, &signer.release()).unwrap().as_slice(), SECRET);
    let first = sent.take();
    assert_eq!(first.len(), 5);
    assert!(first.iter().all(|frame| *frame == first[0]));
    busy.set(u32::MAX);
    let error = tpm.unseal(&blob, &signer.release()).unwrap_err();
    assert!(
        matches!(
            error,
            UnsealError::Tpm(TpmError::Busy {
                command: "TPM2_Unseal",
                attempts: 12,
                ..
            })
        ),
        "{error}"
    );
    assert_eq!(sent.take().len(), 12);
}

#[test]
fn lockout_and_a_lost_tpm_have_names_of_their_own() {
    let swtpm = Swtpm::start();
    let signer = Signer::ours();
    let blob = swtpm.connect().seal(SECRET, &signer.seal_policy()).unwrap();
    let gone = Cell::new(false);
    let mut tpm = meddled(swtpm.transport(), |inner, command| match code_of(command) {
        CC_UNSEAL if gone.get() => Err(TransportError::Read {
            source: std::io::Error::from(std::io::ErrorKind::TimedOut),
        }),
        CC_UNSEAL => Ok(vec![0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x21]),
        _ => inner.transact(command),
    });
    assert!(matches!(
        tpm.unseal(&blob, &signer.release()),
        Err(UnsealError::Lockout)
    ));
    gone.set(true);
    assert!(matches!(
        tpm.unseal(&blob, &signer.release()),
        Err(UnsealError::Transport(TransportError::Read { .. }))
    ));
    drop(tpm);
    assert_eq!(
        swtpm
            .connect()
            .unseal(&blob, &signer.release())
            .unwrap()
            .as_slice(),
        SECRET
    );
}

/// A TPM that answers every command with these bytes behind a proper header.
struct Parrot(Vec<u8>);

impl Transport for Parrot {
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let size = u32::try_from(self.0.len() + 10).unwrap();
        let tag = &command[..2];
        Ok([tag, &size.to_be_bytes(), &[0; 4], &self.0].concat())
    }
}

#[test]
fn a_response_whose_size_lies_is_malformed() {
    let mut tpm = meddled(Parrot(Vec::new()), |_, _| {
        Ok(vec![0x80, 0x01, 0, 0, 0, 99, 0, 0, 0, 0])
    });
    let error = tpm.pcr_banks().unwrap_err();
    assert!(
        matches!(
            error,
            TpmError::Malformed {
                source: WireError::Unexpected {
                    field: "response size",
                    expected: 10,
                    found: 99
                },
                ..
            }
        ),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_answer_makes_the_client_panic(answer in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut tpm = bennu_tpm::Client::new(Parrot(answer.clone()));
        let _ = tpm.pcr_banks();
        let _ = tpm.properties();
        let _ = tpm.handles(0x8000_0000);
        let _ = tpm.nv_read_public(0x0180_0000);
        let _ = tpm.storage_key();
        let _ = tpm.load_policy_key(&bennu_tpm::RsaPublic::new(&[0xFF; 256]).unwrap());
        let _ = tpm.pcr_read(bennu_tpm::HashAlg::Sha256, bennu_tpm::PcrMask::of(&[0, 7, 11]).unwrap());
        let _ = tpm.pcr_extend_digests(1, &[bennu_tpm::HashAlg::Sha256.digest(&answer)]);
    }

    #[test]
    fn no_frame_makes_the_client_panic(frame in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut tpm = meddled(Parrot(Vec::new()), |_, _| Ok(frame.clone()));
        prop_assert!(tpm.pcr_banks().is_err());
    }
}
