//! Whether the state volume may be opened, has to be made, or is not the one this machine knows.
//!
//! A pure function of three things that somebody with the disk can and cannot change: the header on the disk (can),
//! the sealed key on the ESP (can replace, not forge), the pin in the TPM (cannot). A volume that is not the pinned
//! one is never opened, and never formatted over either: what lies there may be somebody's data.

pub mod recovery;

use bennu_formats::Code;
use bennu_formats::boot_record::Failure;
use bennu_formats::state::StatePin;

/// How far the header may be ahead of the pin: it is written first, and the power may be cut in between.
pub const LAG: u64 = 1;
/// Generation of a volume that was formatted and never used.
pub const FIRST_GENERATION: u64 = 1;

/// What the TPM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinFact {
    /// Never written on this TPM.
    None,
    /// The volume of this machine.
    Pinned(StatePin),
}

/// What lies on the state partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeFact {
    /// Zeros where a header would be.
    Blank,
    /// No header of ours; what it looks like.
    NotOurs(String),
    /// A LUKS2 header that is not of our template, with the difference.
    Deviates(String),
    /// A header of our template.
    Header {
        /// UUID it claims.
        uuid: [u8; 16],
        /// Generation it claims.
        generation: u64,
        /// What the unsealed volume key says of it; `None` without a key.
        key: Option<KeyFact>,
    },
}

/// The unsealed volume key and the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFact {
    /// Whether the key authenticates UUID and generation.
    pub authenticates: bool,
    /// Digest of the key, as a pin has it.
    pub digest: [u8; 32],
}

/// What to do with the state volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateDecision {
    /// Nothing was ever kept: make a key, format.
    Provision,
    /// Open it; the generation to write to header and pin, in that order.
    Open {
        /// Next generation. The header has it already where the power was cut between the two writes.
        generation: u64,
    },
    /// It is not opened.
    Refuse(Failure),
}

/// Decides. `volume` has no `key` only where no sealed key was found.
pub fn decide(pin: &PinFact, volume: &VolumeFact) -> StateDecision {
    match pin {
        PinFact::None => without_pin(volume),
        PinFact::Pinned(pin) => with_pin(pin, volume),
    }
}

fn refuse(code: Code, words: &str) -> StateDecision {
    StateDecision::Refuse(Failure::new(code, &format!("state volume: {words}")))
}

fn without_pin(volume: &VolumeFact) -> StateDecision {
    match volume {
        VolumeFact::Blank => StateDecision::Provision,
        // Formatted under a key of this TPM, and cut off before the pin was written: nothing was kept in it.
        VolumeFact::Header {
            generation: FIRST_GENERATION,
            key: Some(KeyFact {
                authenticates: true, ..
            }),
            ..
        } => StateDecision::Provision,
        VolumeFact::Header { .. } => refuse(
            Code::StateOtherTpm,
            "expected an empty partition on a TPM that has pinned none, found the volume of another TPM",
        ),
        VolumeFact::NotOurs(looks) => refuse(
            Code::StatePlain,
            &format!("expected an empty partition or a volume of ours, found {looks}"),
        ),
        VolumeFact::Deviates(how) => refuse(Code::StateHeader, how),
    }
}

fn with_pin(pin: &StatePin, volume: &VolumeFact) -> StateDecision {
    let (uuid, generation, key) = match volume {
        VolumeFact::Blank => {
            return refuse(
                Code::StateMissing,
                "expected the volume that the TPM has pinned, found an empty partition",
            );
        }
        VolumeFact::NotOurs(looks) => {
            return refuse(
                Code::StatePlain,
                &format!("expected the volume that the TPM has pinned, found {looks}"),
            );
        }
        VolumeFact::Deviates(how) => return refuse(Code::StateHeader, how),
        VolumeFact::Header {
            uuid,
            generation,
            key,
        } => (uuid, *generation, key),
    };
    if *uuid != pin.uuid {
        return refuse(
            Code::StateSwapped,
            &format!(
                "expected {}, found {}",
                bennu_formats::digest::uuid_text(&pin.uuid),
                bennu_formats::digest::uuid_text(uuid)
            ),
        );
    }
    match key {
        Some(key) if key.authenticates && key.digest == pin.key_digest => {}
        Some(_) => {
            return refuse(
                Code::StateForged,
                "expected the volume key that the TPM has pinned, and a header made with it, found another one",
            );
        }
        None => {
            return refuse(
                Code::StateKeyMissing,
                "expected its sealed key on the ESP, found none",
            );
        }
    }
    let newest = pin.generation.saturating_add(LAG);
    if !(pin.generation..=newest).contains(&generation) {
        let older = if generation < pin.generation {
            "the volume is an older copy"
        } else {
            "the TPM's state is older than the volume: an older copy of it was put back, or the volume was opened elsewhere \
             since"
        };
        return refuse(
            Code::StateRolledBack,
            &format!(
                "expected generation {} or {newest}, found {generation}: {older}",
                pin.generation
            ),
        );
    }
    // One above the pin, never above the header: two cuts in a row between the two writes would leave it two ahead.
    match pin.generation.checked_add(1) {
        Some(generation) => StateDecision::Open { generation },
        None => refuse(Code::StateRolledBack, "its generations are used up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [7; 16];
    const DIGEST: [u8; 32] = [9; 32];

    fn pinned(generation: u64) -> PinFact {
        PinFact::Pinned(StatePin {
            uuid: UUID,
            generation,
            key_digest: DIGEST,
        })
    }

    fn header(generation: u64, authenticates: Option<bool>) -> VolumeFact {
        VolumeFact::Header {
            uuid: UUID,
            generation,
            key: authenticates.map(|authenticates| KeyFact {
                authenticates,
                digest: DIGEST,
            }),
        }
    }

    fn code(pin: &PinFact, volume: &VolumeFact) -> Result<StateDecision, Code> {
        match decide(pin, volume) {
            StateDecision::Refuse(failure) => Err(failure.code),
            other => Ok(other),
        }
    }

    #[test]
    fn the_pinned_volume_opens_and_its_generation_rises() {
        for generation in [5, 6] {
            let decision = code(&pinned(5), &header(generation, Some(true)));
            assert_eq!(decision, Ok(StateDecision::Open { generation: 6 }));
        }
    }

    #[test]
    fn an_older_volume_and_one_from_the_future_are_refused() {
        for generation in [0, 4, 7, u64::MAX] {
            let decision = code(&pinned(5), &header(generation, Some(true)));
            assert_eq!(decision, Err(Code::StateRolledBack), "{generation}");
        }
        assert_eq!(
            code(&pinned(u64::MAX), &header(u64::MAX, Some(true))),
            Err(Code::StateRolledBack)
        );
    }

    #[test]
    fn the_older_side_is_named() {
        let words = |pin: u64, volume: u64| match decide(&pinned(pin), &header(volume, Some(true))) {
            StateDecision::Refuse(failure) => failure.reason,
            other => panic!("expected a refusal, found {other:?}"),
        };
        let volume = "expected generation 3 or 4, found 2: the volume is an older copy";
        assert!(words(3, 2).contains(volume), "{}", words(3, 2));
        let tpm = "expected generation 1 or 2, found 3: the TPM's state is older than the volume: ";
        assert!(words(1, 3).contains(tpm), "{}", words(1, 3));
        let neither = words(u64::MAX, u64::MAX);
        assert!(neither.ends_with("used up"), "{neither}");
    }

    #[test]
    fn each_wrong_volume_has_its_own_name_and_none_is_formatted_over() {
        let swapped = VolumeFact::Header {
            uuid: [8; 16],
            generation: 5,
            key: None,
        };
        // Whoever can use the TPM can seal a key of their own in our form, and make a header with it.
        let planted = VolumeFact::Header {
            uuid: UUID,
            generation: 5,
            key: Some(KeyFact {
                authenticates: true,
                digest: [8; 32],
            }),
        };
        for (volume, expected) in [
            (swapped, Code::StateSwapped),
            (planted, Code::StateForged),
            (header(5, Some(false)), Code::StateForged),
            (header(5, None), Code::StateKeyMissing),
            (VolumeFact::Blank, Code::StateMissing),
            (VolumeFact::NotOurs("ext4".into()), Code::StatePlain),
            (VolumeFact::Deviates("cipher_null".into()), Code::StateHeader),
        ] {
            assert_eq!(code(&pinned(5), &volume), Err(expected));
        }
    }

    #[test]
    fn without_a_pin_only_an_empty_partition_or_an_unfinished_volume_of_this_tpm_is_formatted() {
        for volume in [VolumeFact::Blank, header(1, Some(true))] {
            assert_eq!(code(&PinFact::None, &volume), Ok(StateDecision::Provision));
        }
        for (volume, expected) in [
            (header(1, Some(false)), Code::StateOtherTpm),
            (header(1, None), Code::StateOtherTpm),
            (header(2, Some(true)), Code::StateOtherTpm),
            (VolumeFact::NotOurs("ext4".into()), Code::StatePlain),
            (VolumeFact::Deviates("reencryption".into()), Code::StateHeader),
        ] {
            assert_eq!(code(&PinFact::None, &volume), Err(expected));
        }
    }
}
