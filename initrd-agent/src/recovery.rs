//! A start that failed for want of what a TPM had sealed: the recovery key is asked for on every console, and with
//! the right one the machine is taken over by the TPM that it has now. Then it restarts; this start opens nothing.
//!
//! Reads: the header of the state volume, once; what is typed. Writes, with a right key only: the pin and the floor
//! of a TPM that has none, the sealed files on the ESP. Whether a key is asked for, and in which order what is
//! written, decides `bennu_policy::state::recovery` (docs/spec/recovery.md). On failure, or with nobody there: the
//! start ends as it would have ended.

mod asking;
mod lockout;
mod takeover;

use crate::error::InitError;
use crate::esp::Mounted;
use crate::floor;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::slot::Slot;
use crate::state;
use crate::state::key::Guard;
use crate::tpm::Measured;
use bennu_esp::{EspError, FoundSecret};
use bennu_formats::paths;
use bennu_formats::trust::{StateRule, TrustConfig};
use bennu_linux::reboot::{End, end as end_machine, sync};
use bennu_luks::{Keyslot, UnverifiedHeader};
use bennu_policy::state::VolumeFact;
use bennu_policy::state::recovery::{self as policy, Offer, SealedFact, TpmFacts, Trouble};
use bennu_tpm::{Floor, FloorState, GuardedIndex, Name, ReleasePolicy, SealedBlob, SrkTrust, UnsealError};
use std::time::Duration;

/// How long the last words stay on the screen before the restart.
const READING_TIME: Duration = Duration::from_secs(3);

/// A volume that a recovery key may open, and the TPM that is to have it.
struct Case {
    /// The volume's first bytes, read once.
    area: Vec<u8>,
    header: UnverifiedHeader,
    tpm: TpmFacts,
    release: ReleasePolicy,
    pin_index: GuardedIndex,
    floor: Floor,
    /// Sealed files that nothing opens any more.
    forgotten: Vec<String>,
}

/// Asks for the recovery key where that cures `error`. Gives the error that the start ends with; does not return
/// where the machine was taken over.
pub fn offer(
    boot: &Boot<'_>,
    hardware: &mut Hardware<'_>,
    tpm: &mut Measured,
    esp: &mut Mounted,
    error: InitError,
    journal: &mut Journal,
) -> InitError {
    let trouble = trouble_of(&error);
    if trouble == Trouble::Other || boot.trust.state == StateRule::Volatile {
        return error;
    }
    let case = match look(boot, tpm, esp, trouble) {
        Ok(Ok(case)) => case,
        Ok(Err(why)) => {
            journal.say(&format!("no recovery key is asked for: {why}"));
            return error;
        }
        Err(why) => {
            journal.warn(&format!("no recovery key is asked for: {why}"));
            return error;
        }
    };
    // First of all: whatever is typed, this start opens no secret any more. Only what lifts a lockout is needed yet,
    // and opens with the volume's key alone.
    let locked = matches!(error, InitError::PinLockout { .. });
    if !locked && let Err(worse) = latch(tpm, journal) {
        return worse;
    }
    let taken = match asking::ask(&case, hardware, &error, journal) {
        Ok(Some(opened)) if locked => {
            lockout::lift(&opened.key, boot, tpm, esp, journal);
            latch(tpm, journal).map(|()| opened)
        }
        Ok(Some(opened)) => Ok(opened),
        Ok(None) => return error,
        Err(worse) => Err(worse),
    };
    let taken = taken.and_then(|opened| {
        let guard = Guard::choose(tpm, boot.trust.local, hardware, journal)?;
        takeover::run(&case, &opened, &guard, boot, tpm, esp, journal)
    });
    match taken.and_then(|()| esp.taken_over(boot.trust)) {
        Ok(()) => restart(esp, journal),
        Err(worse) => worse,
    }
}

fn latch(tpm: &mut Measured, journal: &mut Journal) -> Result<(), InitError> {
    tpm.latch_for_recovery()?;
    journal.say("latched for recovery: this start opens no secret");
    Ok(())
}

fn trouble_of(error: &InitError) -> Trouble {
    use bennu_formats::Code;
    match error {
        InitError::FloorMissing { .. } => Trouble::FloorMissing,
        InitError::StateRefused(failure) if failure.code == Code::StateOtherTpm => Trouble::OtherTpm,
        InitError::StateRefused(failure) if failure.code == Code::StateKeyMissing => Trouble::KeyMissing,
        InitError::PinDeclined | InitError::PinLockout { .. } | InitError::StateConditions { .. } => {
            Trouble::Guarded
        }
        InitError::SecretUnseal {
            name,
            source: UnsealError::SecureBootChanged { .. },
        } if name == paths::STATE_SECRET => Trouble::Guarded,
        InitError::SecretBlob { name, .. } if name == paths::STATE_SECRET => Trouble::KeyUnopenable,
        // Not where the TPM refuses for what was measured, or for the release: the key itself is well.
        InitError::SecretUnseal {
            name,
            source:
                UnsealError::SrkDiffers { .. }
                | UnsealError::BlobNotLoadable { .. }
                | UnsealError::PayloadForeign
                | UnsealError::PolicyNotForBlob { .. },
        } if name == paths::STATE_SECRET => Trouble::KeyUnopenable,
        _ => Trouble::Other,
    }
}

/// Collects the facts; in words why no key is asked for.
fn look(
    boot: &Boot<'_>,
    tpm: &mut Measured,
    esp: &Mounted,
    trouble: Trouble,
) -> Result<Result<Case, &'static str>, InitError> {
    let partition = boot.slot.state.as_ref().ok_or(InitError::StateNoPartition)?;
    let area = state::first_bytes(partition, bennu_luks::template::HEADER_AREA_BYTES)?;
    let (volume, header) = state::judge(&area);
    let release = boot.release.clone();
    let pin_index = state::pin_index(&release.key);
    let floor = floor::of(&release.key);
    let floor_state = tpm
        .client()
        .floor(&floor, SrkTrust::FirstUse)
        .map_err(InitError::Floor)?;
    let facts = TpmFacts {
        pin: state::pinned(tpm, &pin_index)?,
        floor: matches!(floor_state, FloorState::At(_)),
        owned: tpm
            .client()
            .properties()
            .map_err(InitError::Owner)?
            .owner_auth_set,
    };
    match policy::offer(trouble, &facts, &volume) {
        Offer::Ask => {}
        Offer::NotCurable => return Ok(Err("a key does not cure this")),
        Offer::Refused(why) => return Ok(Err(why)),
    }
    let Some(header) = header.filter(|header| header.has_keyslot(Keyslot::Recovery)) else {
        return Ok(Err("the volume's header has no keyslot for one"));
    };
    Ok(Ok(Case {
        forgotten: forgotten(tpm, esp, &facts)?,
        area,
        header,
        tpm: facts,
        release,
        pin_index,
        floor,
    }))
}

/// Sealed files that nothing opens any more; not the volume key's, which is replaced.
fn forgotten(tpm: &mut Measured, esp: &Mounted, facts: &TpmFacts) -> Result<Vec<String>, InitError> {
    let own = tpm.client().storage_key_name().map_err(InitError::TpmRead)?;
    let mut forgotten = Vec::new();
    for name in esp.files().sealed_names()? {
        let fact = sealed_fact(esp, &name, &own)?;
        let useless = fact.is_some_and(|fact| policy::is_forgotten(fact, facts));
        if name != paths::STATE_SECRET && useless {
            forgotten.push(name);
        }
    }
    Ok(forgotten)
}

/// Whose a sealed file is; `None` for one that holds nothing.
fn sealed_fact(esp: &Mounted, name: &str, own: &Name) -> Result<Option<SealedFact>, InitError> {
    let bytes = match esp.files().sealed_secret(name) {
        Ok(FoundSecret::Sealed(bytes)) => bytes,
        Ok(FoundSecret::Undone | FoundSecret::None) => return Ok(None),
        Err(EspError::TooLong { .. }) => return Ok(Some(SealedFact::Malformed)),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(match SealedBlob::decode(&bytes) {
        Ok(blob) if blob.srk_name == *own => SealedFact::OfThisTpm,
        Ok(_) => SealedFact::OfAnotherTpm,
        Err(_) => SealedFact::Malformed,
    }))
}

/// Whether the state partition holds a volume of ours: a machine that keeps something, whatever is on its ESP.
pub fn holds_a_volume(slot: &Slot, trust: &TrustConfig) -> Result<bool, InitError> {
    let Some(partition) = slot
        .state
        .as_ref()
        .filter(|_| trust.state == StateRule::Encrypted)
    else {
        return Ok(false);
    };
    let bytes = state::first_bytes(partition, bennu_luks::template::METADATA_BYTES)?;
    Ok(matches!(state::judge(&bytes).0, VolumeFact::Header { .. }))
}

fn restart(esp: &Mounted, journal: &mut Journal) -> InitError {
    journal.say("this TPM has the state volume now; restarting");
    sync();
    if let Err(error) = esp.let_go() {
        journal.warn(&error.to_string());
    }
    std::thread::sleep(READING_TIME);
    let Err(error) = end_machine(End::Reboot);
    InitError::Restart(error)
}
