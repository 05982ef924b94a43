//! When a start that failed is one that a recovery key cures, and what is then done in which order.
//!
//! Pure functions, called by `bennu-init`. A key is asked for only where the TPM has lost, or never had, what opens
//! the volume. Never for a volume that the TPM knows to be another one, forged, plain or older: there a typed key
//! would be the way around the pin. Normative text: `docs/spec/recovery.md`.

use super::{KeyFact, LAG, PinFact, StateDecision, VolumeFact, with_pin};
use bennu_formats::Code;
use bennu_formats::boot_record::Failure;
use bennu_formats::state::StatePin;
use std::time::Duration;

/// Why the start failed, as far as a recovery key is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The machine keeps something and its TPM has no floor: it was cleared, or is another one.
    FloorMissing,
    /// There is a volume, and the TPM has pinned none.
    OtherTpm,
    /// The sealed key is not on the ESP.
    KeyMissing,
    /// The sealed key is no blob of this TPM.
    KeyUnopenable,
    /// The sealed key is well, and what guards it is not met or not there: no PIN, a locked TPM, another state of Secure
    /// Boot, less than the image demands.
    Guarded,
    /// Anything else.
    Other,
}

/// What the TPM has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmFacts {
    /// The pin.
    pub pin: PinFact,
    /// Whether the floor was begun.
    pub floor: bool,
    /// Whether the owner hierarchy has an authorisation.
    pub owned: bool,
}

impl TpmFacts {
    /// Whether something has to be defined in this TPM: it is not yet, or not wholly, this machine's.
    fn is_new(&self) -> bool {
        !self.floor || self.pin == PinFact::None
    }
}

/// Whether a recovery key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is.
    Ask,
    /// It is not, and it is none of the key's business.
    NotCurable,
    /// It is not, for this reason.
    Refused(&'static str),
}

/// Decides before a key is typed. What the header says of itself is not authenticated yet: [`take`] decides again.
pub fn offer(trouble: Trouble, tpm: &TpmFacts, volume: &VolumeFact) -> Offer {
    match trouble {
        Trouble::Other => return Offer::NotCurable,
        Trouble::FloorMissing
        | Trouble::OtherTpm
        | Trouble::KeyMissing
        | Trouble::KeyUnopenable
        | Trouble::Guarded => {}
    }
    let VolumeFact::Header { uuid, generation, .. } = volume else {
        return Offer::Refused("there is no volume of ours on the state partition that a recovery key opens");
    };
    if let PinFact::Pinned(pin) = &tpm.pin {
        if *uuid != pin.uuid {
            return Offer::Refused("this TPM has pinned another volume: clear it first");
        }
        let newest = pin.generation.saturating_add(LAG);
        if !(pin.generation..=newest).contains(generation) {
            return Offer::Refused(
                "this TPM has pinned another generation of this volume: put the newest copy back",
            );
        }
    }
    if tpm.is_new() && tpm.owned {
        return Offer::Refused("this TPM has an owner and not what this machine needs: clear it first");
    }
    Offer::Ask
}

/// Decides after the key has opened keyslot 0: gives what the TPM is to have pinned. A pin that is there is never
/// replaced; what it says of the volume holds as at every start.
///
/// # Errors
/// The failure that the start ends with.
pub fn take(pin: &PinFact, uuid: [u8; 16], generation: u64, key: KeyFact) -> Result<StatePin, Failure> {
    match pin {
        PinFact::None if key.authenticates => Ok(StatePin {
            uuid,
            generation,
            key_digest: key.digest,
        }),
        PinFact::None => Err(Failure::new(
            Code::StateForged,
            "state volume: expected a header made with the volume key in its keyslot, found another one",
        )),
        PinFact::Pinned(pinned) => {
            let key = Some(key);
            match with_pin(
                pinned,
                &VolumeFact::Header {
                    uuid,
                    generation,
                    key,
                },
            ) {
                StateDecision::Open { .. } => Ok(*pinned),
                StateDecision::Refuse(failure) => Err(failure),
                StateDecision::Provision => Err(Failure::new(
                    Code::StateMissing,
                    "state volume: expected the pinned volume, found none",
                )),
            }
        }
    }
}

/// One step of taking a machine over, durable before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Remove the sealed files that [`is_forgotten`] names.
    Forget,
    /// Pin the volume.
    Pin,
    /// Begin the floor, at the running release's `security_version`.
    Floor,
    /// Seal the volume key to this TPM and write it to the ESP.
    Seal,
}

/// The steps, in order. A power cut after each leaves a machine that asks for the key again or starts:
///
/// - The old `state.volume.sealed` stays until the last step. While it is there a TPM without a floor is an error, so
///   no start begins the floor at 0 in between.
/// - Files of another TPM go first: behind the floor, the next start would meet them as secrets that do not open.
/// - Defining pin and floor needs an empty authorisation of the owner, which an ordinary start ends only behind an open
///   volume.
pub fn steps(tpm: &TpmFacts) -> Vec<Step> {
    let mut steps = vec![Step::Forget];
    if tpm.pin == PinFact::None {
        steps.push(Step::Pin);
    }
    if !tpm.floor {
        steps.push(Step::Floor);
    }
    steps.push(Step::Seal);
    steps
}

/// A sealed file, seen from this TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedFact {
    /// Sealed under this TPM's storage key.
    OfThisTpm,
    /// Sealed under another one.
    OfAnotherTpm,
    /// Not of the form that we seal.
    Malformed,
}

/// Whether a sealed file other than the volume key's is removed: nothing can open it any more. A malformed one on the
/// TPM that always was this machine's may be put right from a backup, so it stays.
pub fn is_forgotten(file: SealedFact, tpm: &TpmFacts) -> bool {
    match file {
        SealedFact::OfThisTpm => false,
        SealedFact::OfAnotherTpm => true,
        SealedFact::Malformed => tpm.is_new(),
    }
}

/// How many keys may be typed at one start.
pub const MOST_KEYS: u32 = 5;

/// How long to wait after the `wrong`-th key that did not open: 2 s, doubled each time; `None` after the last one.
/// The keys have 256 random bits: this stops a cat on the keyboard, not an attacker, who has the disk to try on.
pub fn pause_after(wrong: u32) -> Option<Duration> {
    (wrong < MOST_KEYS).then(|| Duration::from_secs(1 << wrong.clamp(1, MOST_KEYS)))
}
