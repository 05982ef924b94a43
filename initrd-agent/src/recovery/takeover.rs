//! What is written once a recovery key has opened the volume: each step durable before the next, in the order that
//! `bennu_policy::state::recovery::steps` gives. A power cut in between leaves a machine that asks for the key again.
//!
//! The latch is closed by then. Nothing here needs what it keeps: sealing takes the storage key alone, an index of a
//! TPM without an owner is defined and written once freely. The owner's authorisation is made by the next start.

use super::Case;
use super::asking::Opened;
use crate::error::InitError;
use crate::esp::Mounted;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::secrets;
use crate::state::key::Guard;
use crate::tpm::Measured;
use bennu_formats::paths;
use bennu_policy::state::recovery::{Step, steps};

/// Takes every step.
pub fn run(
    case: &Case,
    opened: &Opened,
    guard: &Guard,
    boot: &Boot<'_>,
    tpm: &mut Measured,
    esp: &Mounted,
    journal: &mut Journal,
) -> Result<(), InitError> {
    for step in steps(&case.tpm) {
        match step {
            Step::Forget => forget(case, esp, journal)?,
            Step::Pin => {
                tpm.client()
                    .begin_guarded(&case.pin_index, &[], &opened.pin.encode())
                    .map_err(InitError::StatePin)?;
                journal.say(&format!(
                    "pinned state volume {}, generation {}",
                    case.header.claimed_uuid(),
                    opened.pin.generation
                ));
            }
            Step::Floor => {
                let height = boot.manifest.get().security_version;
                tpm.client()
                    .begin_floor_at(&case.floor, height)
                    .map_err(InitError::Floor)?;
                journal.say(&format!("no floor in this TPM: begun at {height}"));
            }
            Step::Seal => seal(case, opened, guard, tpm, esp, journal)?,
        }
    }
    Ok(())
}

fn forget(case: &Case, esp: &Mounted, journal: &mut Journal) -> Result<(), InitError> {
    for name in &case.forgotten {
        esp.files().forget_sealed_secret(name)?;
        journal.say(&format!(
            "removed {name}: sealed by another TPM, and opened by nothing any more"
        ));
    }
    Ok(())
}

/// Seals the volume key to this TPM. Before it is written the TPM has to refuse it to this start: that shows that the
/// latch is closed.
fn seal(
    case: &Case,
    opened: &Opened,
    guard: &Guard,
    tpm: &mut Measured,
    esp: &Mounted,
    journal: &mut Journal,
) -> Result<(), InitError> {
    let name = paths::STATE_SECRET;
    let (blob, bytes) = guard.seal(tpm, &opened.key, &case.release.key)?;
    let found = guard.unseal(tpm, &blob, &case.release);
    secrets::refused(found, &format!("an unseal of {name}"))?;
    esp.files().replace_sealed_secret(name, &bytes)?;
    journal.say("sealed the volume key to this TPM, which refuses it to this start");
    Ok(())
}
