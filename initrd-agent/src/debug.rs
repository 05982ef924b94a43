//! The debug token: a start at which nothing sealed opens, and the running system may let somebody look.
//!
//! Reads: the token on the ESP (anybody's), the debug keys in the signed initrd, the clock. Writes: PCR 12, before
//! anything is opened; `/run/bennu/debug`, on which the image may start a shell of its own. A token that does not
//! count is named in the log and passed over. On failure to measure one that does, the start fails.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::floor;
use crate::journal::Journal;
use crate::opened::Opened;
use crate::tpm::Measured;
use bennu_esp::FoundSecret;
use bennu_formats::debug_token::{UtcDay, machine_identity};
use bennu_formats::handover::DebugStart;
use bennu_formats::trust::TrustConfig;
use bennu_formats::{Sha256Digest, paths};
use bennu_policy::debug_token::{self as policy, DebugFacts};
use bennu_tpm::{AuthRule, FloorState, ReleasePolicy, SealedBlob, SrkTrust, Tpm as _, UnsealError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which machine this is; said at each start, since a token has to name it.
pub fn identity(tpm: &mut Measured, journal: &mut Journal) -> Result<Sha256Digest, InitError> {
    let name = tpm.client().storage_key_name().map_err(InitError::TpmRead)?;
    let machine = machine_identity(name.as_bytes());
    journal.say(&format!("machine {machine}"));
    Ok(machine)
}

/// Looks for a token and, if it counts, makes sure that nothing opens.
pub fn accept(
    tpm: &mut Measured,
    esp: &Mounted,
    trust: &TrustConfig,
    machine: Sha256Digest,
    journal: &mut Journal,
) -> Result<Option<DebugStart>, InitError> {
    let file = match esp.files().debug_token() {
        Ok(None) => return Ok(None),
        Ok(Some(file)) => file,
        Err(error) => {
            journal.warn(&format!("debug token refused: {error}"));
            return Ok(None);
        }
    };
    let Some(today) = today() else {
        journal.warn("debug token refused: the clock shows no day between 1970 and 9999");
        return Ok(None);
    };
    let facts = DebugFacts {
        keys: &trust.debug_keys,
        image_id: &trust.image_id,
        machine,
        today,
    };
    let accepted = match policy::verify(&file, &facts) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            journal.warn(&format!("debug token refused: {refusal}"));
            return Ok(None);
        }
    };
    tpm.measure_debug_token(accepted.digest())?;
    let token = accepted.token();
    journal.warn(&format!(
        "DEBUG START: token for {} by key {} accepted: secrets and state stay sealed; note: {}",
        token.day,
        accepted.signed_by(),
        token.note
    ));
    Ok(Some(DebugStart {
        digest: accepted.digest(),
        signed_by: accepted.signed_by(),
        day: token.day,
        note: token.note.clone(),
    }))
}

/// The day by the machine's clock, which the kernel has set from the RTC.
fn today() -> Option<UtcDay> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    UtcDay::of_seconds(since.as_secs())
}

/// What an ordinary start opens, not opened: shown by the TPM's own refusal. Leaves the mark.
pub fn keep_sealed(
    tpm: &mut Measured,
    esp: &Mounted,
    release: &ReleasePolicy,
    debug: &DebugStart,
    journal: &mut Journal,
) -> Result<Opened, InitError> {
    let mut refused = 0;
    for name in esp.files().sealed_secrets()? {
        let FoundSecret::Sealed(bytes) = esp.files().sealed_secret(&name)? else {
            continue;
        };
        // What does not decode is not opened by anybody.
        let Ok(blob) = SealedBlob::decode(&bytes) else {
            continue;
        };
        // One that takes a PIN is not asked for it: it is refused before that, or not.
        let act = match blob.local.auth {
            AuthRule::None => tpm.client().unseal(&blob, release).map(drop),
            AuthRule::Pin | AuthRule::Derived => tpm.client().would_open(&blob, release),
        };
        match act {
            Ok(()) => return Err(InitError::LatchOpen(format!("an unseal of {name}"))),
            Err(UnsealError::PcrMismatch { .. }) => refused += 1,
            Err(other) => journal.warn(&format!("secret {name}: stays sealed: {other}")),
        }
    }
    journal.say(&format!(
        "debug start: the TPM refused to unseal {refused} secrets"
    ));
    let floor = floor::of(&release.key);
    let floor = tpm.client().floor(&floor, SrkTrust::FirstUse);
    let floor = match floor.map_err(InitError::Floor)? {
        FloorState::At(height) => height,
        FloorState::Absent | FloorState::Unwritten => 0,
    };
    let mark = format!("{} {}\n", debug.digest, debug.day);
    std::fs::write(paths::RUN_DEBUG, mark).map_err(|source| InitError::Write {
        path: paths::RUN_DEBUG.to_owned(),
        source,
    })?;
    Ok(Opened {
        floor,
        factory_reset: None,
        state: None,
        secrets: Vec::new(),
    })
}
