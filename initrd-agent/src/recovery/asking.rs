//! The conversation: on every console at once, until a key opens the volume, nobody answers, or there were too many.

use super::Case;
use crate::error::InitError;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::state;
use crate::talk::Talk;
use bennu_formats::state::StatePin;
use bennu_linux::console_input::{Patience, Typed};
use bennu_luks::{OpenError, RecoveryKey, VolumeKey};
use bennu_policy::state::KeyFact;
use bennu_policy::state::recovery::{self as policy, MOST_KEYS};
use std::time::Duration;

/// A machine with nobody in front of it goes on after two minutes; whoever types has ten for a line.
const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(120),
    line: Duration::from_secs(600),
};

/// What a right key gives.
pub struct Opened {
    /// The volume's key.
    pub key: VolumeKey,
    /// What the TPM is to have pinned.
    pub pin: StatePin,
}

/// Asks. `None`: nobody answered, or no key opened it.
pub fn ask(
    case: &Case,
    hardware: &mut Hardware<'_>,
    error: &InitError,
    journal: &mut Journal,
) -> Result<Option<Opened>, InitError> {
    let mut talk = Talk::begin(hardware, journal);
    explain(case, error, &mut talk);
    for wrong in 1.. {
        talk.prompt("recovery key: ");
        let line = match talk.line(PATIENCE) {
            Ok(Typed::Line(line)) => {
                // Argon2id: half a second on a fast machine, many on a slow one.
                talk.prompt("trying it\r\n");
                Ok(line)
            }
            Ok(Typed::TooLong) => Err("that line is too long for a recovery key".to_owned()),
            Ok(Typed::Declined) => {
                talk.tell("no recovery key: going on without");
                return Ok(None);
            }
            Ok(Typed::Nothing) => {
                talk.prompt("\r\n");
                talk.tell("nobody typed a recovery key: going on without");
                return Ok(None);
            }
            Err(error) => {
                talk.tell(&error.to_string());
                return Ok(None);
            }
        };
        let typed = line.and_then(|line| RecoveryKey::typed(&line).map_err(|e| e.to_string()));
        let why = match typed.map(|key| try_key(case, &key)) {
            Ok(Ok(Some(opened))) => {
                talk.tell("the recovery key opens the state volume");
                return Ok(Some(opened));
            }
            Ok(Ok(None)) => "this key does not open the volume".to_owned(),
            Ok(Err(error)) => return Err(error),
            Err(why) => why,
        };
        talk.tell(&format!("{why} ({wrong} of {MOST_KEYS})"));
        match policy::pause_after(wrong) {
            Some(pause) => std::thread::sleep(pause),
            None => break,
        }
    }
    talk.tell("no key opened the volume: switch the machine off and on to try again");
    Ok(None)
}

/// What happened, what a key does, and what is lost whether one is typed or not.
fn explain(case: &Case, error: &InitError, talk: &mut Talk<'_>) {
    let code = error.code();
    talk.tell(&format!("RECOVERY {code}: {error}"));
    talk.tell(&format!(
        "{}; the recovery key of state volume {} gives it to this machine's TPM",
        code.meaning(),
        case.header.claimed_uuid()
    ));
    if !case.forgotten.is_empty() {
        talk.tell(&format!(
            "sealed by another TPM, opened by nothing any more, and removed with the right key, so that the next start \
             makes new ones: {}",
            case.forgotten.join(", ")
        ));
    }
    talk.tell(&format!(
        "type it: {} letters; capitals, hyphens and blanks do not matter; Ctrl-D goes on without it, and so do {} s \
         without a key",
        RecoveryKey::LETTERS,
        PATIENCE.silence.as_secs()
    ));
}

/// Whether a key opens keyslot 0, and the volume is one that this TPM may have.
fn try_key(case: &Case, typed: &RecoveryKey) -> Result<Option<Opened>, InitError> {
    let key = match case
        .header
        .open_with_recovery(&case.area, typed.as_str().as_bytes())
    {
        Ok(key) => key,
        Err(OpenError::WrongPassphrase { .. }) => return Ok(None),
        Err(other) => return Err(InitError::StateHeader(other.to_string())),
    };
    let fact = KeyFact {
        authenticates: case.header.clone().verify(&key).is_ok(),
        digest: state::digest(&key),
    };
    let uuid = *case.header.claimed_uuid().as_bytes();
    let pin = policy::take(&case.tpm.pin, uuid, case.header.claimed_generation(), fact)
        .map_err(InitError::StateRefused)?;
    Ok(Some(Opened { key, pin }))
}
