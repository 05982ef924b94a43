//! The PIN: asked for before the latch at each start of a machine that has one, chosen when the volume's key is sealed.
//!
//! Reads: what is typed, at most 256 bytes a line, shown as stars and wiped. The TPM counts what is wrong; here nothing
//! is counted. Nobody answers for hours: the machine waits, since nothing can go on without. On failure, or when the
//! prompt is declined: the start ends with a code, and the recovery key is asked for. Normative text:
//! `docs/spec/pin.md`.

use crate::error::InitError;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::talk::Talk;
use crate::tpm::Measured;
use bennu_formats::paths;
use bennu_linux::console_input::{Patience, Typed};
use bennu_tpm::{LocalAuth, LockoutRule, ReleasePolicy, SealedBlob, UnsealError};
use zeroize::Zeroizing;

/// After so long without a key the prompt is said again, for whoever connects later.
const PATIENCE: Patience = Patience {
    silence: std::time::Duration::from_secs(600),
    line: std::time::Duration::from_secs(600),
};

/// Ten wrong PINs, then one more every two hours: 4,380 a year, of 1,000,000 that six digits give.
pub const LOCKOUT: LockoutRule = LockoutRule {
    tries: 10,
    forget_one_after_s: 7200,
    recovery_s: 86_400,
};

/// Asks until the PIN opens `blob`, the TPM takes no more, or somebody declines.
pub fn open(
    tpm: &mut Measured,
    blob: &SealedBlob,
    release: &ReleasePolicy,
    hardware: &mut Hardware<'_>,
    journal: &mut Journal,
) -> Result<Zeroizing<Vec<u8>>, InitError> {
    refuse_in_lockout(tpm)?;
    let mut talk = Talk::begin(hardware, journal);
    talk.tell("the state volume has a PIN; Ctrl-D if you do not know it");
    loop {
        let pin = match typed(&mut talk, "PIN: ")? {
            Ok(pin) => pin,
            Err(why) => {
                talk.tell(&format!("{why}; the TPM was not asked"));
                continue;
            }
        };
        match tpm.client().unseal_with(blob, release, &pin) {
            Ok(secret) => {
                talk.tell("the PIN opens the key of the state volume");
                return Ok(secret);
            }
            Err(UnsealError::WrongPin) => {
                refuse_in_lockout(tpm)?;
                let words = counted(tpm)?;
                talk.tell(&format!("that is not the PIN: {words}"));
            }
            Err(UnsealError::Lockout) => return Err(locked(tpm)?),
            Err(source) => return Err(unseal_error(source)),
        }
    }
}

/// Asks for a new PIN, twice.
pub fn choose(hardware: &mut Hardware<'_>, journal: &mut Journal) -> Result<LocalAuth, InitError> {
    let mut talk = Talk::begin(hardware, journal);
    talk.tell(&format!(
        "choose a PIN for this machine, {} to {} letters, digits or signs; it is asked for at each start",
        LocalAuth::LENGTH_MIN,
        LocalAuth::LENGTH_MAX
    ));
    loop {
        let first = match typed(&mut talk, "new PIN: ")? {
            Ok(pin) => pin,
            Err(why) => {
                talk.tell(&why);
                continue;
            }
        };
        match typed(&mut talk, "the same again: ")? {
            Ok(second) if second == first => {
                talk.tell("the PIN is chosen");
                return Ok(first);
            }
            Ok(_) | Err(_) => talk.tell("these were two different ones: nothing is chosen yet"),
        }
    }
}

/// A line that can be a PIN; in words why it cannot.
fn typed(talk: &mut Talk<'_>, prompt: &str) -> Result<Result<LocalAuth, String>, InitError> {
    loop {
        talk.prompt(prompt);
        return Ok(match talk.line(PATIENCE)? {
            Typed::Line(line) => LocalAuth::pin(&line).map_err(|error| error.to_string()),
            Typed::TooLong => Err("that line is too long for a PIN".to_owned()),
            Typed::Declined => return Err(InitError::PinDeclined),
            Typed::Nothing if talk.is_deaf() => return Err(InitError::PinDeclined),
            Typed::Nothing => {
                talk.prompt("\r\n");
                continue;
            }
        });
    }
}

fn refuse_in_lockout(tpm: &mut Measured) -> Result<(), InitError> {
    let properties = tpm.client().properties().map_err(InitError::TpmRead)?;
    if properties.in_lockout {
        Err(locked(tpm)?)
    } else {
        Ok(())
    }
}

/// How often and for how long.
fn locked(tpm: &mut Measured) -> Result<InitError, InitError> {
    let properties = tpm.client().properties().map_err(InitError::TpmRead)?;
    Ok(InitError::PinLockout {
        wrong: properties.lockout_counter,
        tries: properties.lockout_tries,
        interval_s: properties.lockout_interval_s,
    })
}

fn counted(tpm: &mut Measured) -> Result<String, InitError> {
    let properties = tpm.client().properties().map_err(InitError::TpmRead)?;
    Ok(format!(
        "the TPM has counted {} wrong ones and takes {} more; it forgets one every {} min while the machine is on",
        properties.lockout_counter,
        properties
            .lockout_tries
            .saturating_sub(properties.lockout_counter),
        properties.lockout_interval_s.div_ceil(60)
    ))
}

fn unseal_error(source: UnsealError) -> InitError {
    InitError::SecretUnseal {
        name: paths::STATE_SECRET.to_owned(),
        source,
    }
}

/// After a right PIN: our rule for wrong ones is set, and those so far are forgotten. A TPM that refuses keeps its own
/// rule, which is said.
pub fn settle(tpm: &mut Measured, lockout: &[u8], journal: &mut Journal) {
    let client = tpm.client();
    let settled = client.properties().and_then(|found| {
        let rule = (found.lockout_tries, found.lockout_interval_s);
        if rule != (LOCKOUT.tries, LOCKOUT.forget_one_after_s) {
            client.set_lockout_rule(lockout, &LOCKOUT)?;
        }
        if found.lockout_counter > 0 {
            client.reset_lockout(lockout)?;
        }
        Ok(found.lockout_counter)
    });
    match settled {
        Ok(0) => {}
        Ok(wrong) => journal.say(&format!(
            "{wrong} wrong PINs were counted since the last right one"
        )),
        Err(error) => journal.warn(&format!("the TPM keeps its own rule for wrong PINs: {error}")),
    }
}
