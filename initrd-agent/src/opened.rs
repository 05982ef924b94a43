//! What a start opens while PCR 15 is zero: factory reset, floor, state volume, secrets, in this order.

use crate::error::InitError;
use crate::esp::{Mounted, Start};
use crate::evidence::Evidence;
use crate::floor;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::reset;
use crate::secrets::{self, Secret};
use crate::slot::Slot;
use crate::state::{self, StateVolume};
use crate::tpm::Measured;
use bennu_formats::handover::FactoryReset;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::trust::{StateRule, TrustConfig};
use bennu_policy::verify::Verified;
use bennu_tpm::ReleasePolicy;

/// What was opened.
pub struct Opened {
    /// The anti-rollback floor.
    pub floor: u64,
    /// A factory reset that was asked for before this start.
    pub factory_reset: Option<FactoryReset>,
    /// State volume.
    pub state: Option<StateVolume>,
    /// Secrets.
    pub secrets: Vec<Secret>,
}

/// What a start is opened for.
pub struct Boot<'a> {
    /// Partitions.
    pub slot: &'a Slot,
    /// Configuration.
    pub trust: &'a TrustConfig,
    /// Manifest.
    pub manifest: &'a Verified<SlotManifest>,
    /// What the release demands of the machine.
    pub release: &'a ReleasePolicy,
    /// This start.
    pub start: &'a Start,
}

/// Opens everything.
pub fn open(
    tpm: &mut Measured,
    esp: &Mounted,
    boot: &Boot<'_>,
    hardware: &mut Hardware<'_>,
    evidence: &mut Evidence,
    journal: &mut Journal,
) -> Result<Opened, InitError> {
    let Boot {
        slot,
        trust,
        manifest,
        release,
        ..
    } = boot;
    let factory_reset = reset::carry_out(tpm, esp, slot, trust, release, journal)?;
    let floor = floor::hold(tpm, esp, boot, journal)?;
    // Known to whoever explains a failure of what follows.
    evidence.floor = Some(floor);
    reset::hand_over_key(tpm, esp, release, journal);
    journal.step("state volume");
    if trust.state == StateRule::Encrypted {
        hardware.for_state(journal)?;
    }
    let state = state::open(tpm, esp, slot, trust, release, manifest, journal)?;
    journal.step("tpm: unseal");
    let secrets = secrets::unseal_or_seal(tpm, esp, trust, release, journal)?;
    Ok(Opened {
        floor,
        factory_reset,
        state,
        secrets,
    })
}
