//! What a start opens while PCR 15 is zero: the volume's key, factory reset, floor, state volume, the TPM's
//! authorisations, secrets, in this order.

use crate::error::InitError;
use crate::esp::{Mounted, Start};
use crate::evidence::Evidence;
use crate::floor;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::reset;
use crate::secrets::{self, Besides, Secret};
use crate::slot::Slot;
use crate::state::{self, StateVolume};
use crate::tpm::Measured;
use bennu_formats::handover::FactoryReset;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::trust::{StateRule, TrustConfig};
use bennu_luks::VolumeKey;
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
    esp: &mut Mounted,
    boot: &Boot<'_>,
    hardware: &mut Hardware<'_>,
    evidence: &mut Evidence,
    journal: &mut Journal,
) -> Result<Opened, InitError> {
    let (trust, release) = (boot.trust, boot.release);
    journal.step("tpm: volume key");
    // Why there is none is told where it is missed: a reset that goes on, or the floor, has its say first.
    let mut key = state::key::find(tpm, esp, boot, hardware, journal);
    journal.step("tpm: reset, floor");
    let factory_reset = reset::carry_out(tpm, esp, boot, besides(trust, found(&key)), journal)?;
    if let Some(FactoryReset::Done { .. }) = factory_reset {
        key = Ok(None);
    }
    let height = floor::check(tpm, esp, boot, journal)?;
    // Known to whoever explains a failure of what follows.
    evidence.floor = Some(height);
    reset::hand_over_key_if_owned(tpm, esp, release, besides(trust, found(&key)), journal)?;
    journal.step("state volume");
    if trust.state == StateRule::Encrypted {
        hardware.for_state(journal)?;
    }
    let state = state::open(tpm, esp, boot, key, hardware, journal)?;
    journal.step("tpm: unseal");
    let known = besides(trust, state.as_ref().map(|state| &state.key));
    let floor = floor::settle(tpm, esp, boot, height, known, journal)?;
    reset::hand_over_key(tpm, esp, release, known, journal);
    let secrets = secrets::unseal_or_seal(tpm, esp, trust, release, known, journal)?;
    Ok(Opened {
        floor,
        factory_reset,
        state,
        secrets,
    })
}

fn found(key: &Result<Option<VolumeKey>, InitError>) -> Option<&VolumeKey> {
    key.as_ref().ok().and_then(Option::as_ref)
}

fn besides<'a>(trust: &TrustConfig, volume: Option<&'a VolumeKey>) -> Besides<'a> {
    Besides {
        volume,
        rule: trust.local,
    }
}
