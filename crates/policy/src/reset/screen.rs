//! Whether a factory reset may be asked for at the recovery screen, by whoever is in front of the machine.
//!
//! They assert that they are there; what they can do there otherwise is to clear the TPM in the firmware's setup and to
//! write the disk anew. The floor is kept: by the wish as ever, or, on a TPM that has lost it, at the release that runs.

use bennu_formats::Code;

/// What is known when a start has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreenResetFacts {
    /// Why it failed.
    pub code: Code,
    /// The TPM has a lockout authorisation.
    pub owned: bool,
    /// This start took the key of wishes out of the TPM.
    pub has_key: bool,
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenReset {
    /// By a wish, as the running system does.
    ByWish,
    /// The TPM has no owner: by the floor in the firmware's variable, which makes the next start go on with a reset.
    ByFloor,
    /// A reset does not cure this.
    NotCurable,
    /// It would, and cannot be asked for here.
    Refused(&'static str),
}

/// Decides.
pub fn at_the_screen(facts: &ScreenResetFacts) -> ScreenReset {
    match facts.code {
        Code::StateMissing
        | Code::StatePlain
        | Code::StateHeader
        | Code::StateSwapped
        | Code::StateForged
        | Code::StateRolledBack
        | Code::StateKeyMissing
        | Code::StateOtherTpm
        | Code::StateSchema
        | Code::StatePin
        | Code::TpmLockout
        | Code::StateSecureBoot
        | Code::StateConditions
        | Code::FloorMissing => {}
        _ => return ScreenReset::NotCurable,
    }
    match (facts.owned, facts.has_key) {
        (true, true) => ScreenReset::ByWish,
        (false, _) => ScreenReset::ByFloor,
        (true, false) => ScreenReset::Refused(
            "what clears this TPM did not open: clear it in the firmware's setup, and start again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reset::{ResetDecision, ResetFacts, Wish, decide};

    fn facts(code: Code, owned: bool, has_key: bool) -> ScreenResetFacts {
        ScreenResetFacts { code, owned, has_key }
    }

    #[test]
    fn it_is_asked_for_as_the_next_start_takes_it() {
        let found = at_the_screen(&facts(Code::StateMissing, true, true));
        assert_eq!(found, ScreenReset::ByWish);
        let found = at_the_screen(&facts(Code::FloorMissing, false, false));
        assert_eq!(found, ScreenReset::ByFloor);
        // What is written in that case is what the next start goes on with.
        let next = ResetFacts {
            wish: Wish::None,
            kept_floor: Some(7),
            owned: false,
            floor: None,
        };
        assert_eq!(decide(&next), ResetDecision::Finish { floor: 7 });
    }

    #[test]
    fn an_owned_tpm_without_its_key_and_what_a_reset_does_not_cure_are_not_offered_one() {
        for code in [Code::StatePin, Code::StateMissing] {
            let found = at_the_screen(&facts(code, true, false));
            assert!(matches!(found, ScreenReset::Refused(_)), "{code}");
        }
        for code in [
            Code::VerityCorrupt,
            Code::SecureBootOff,
            Code::BelowFloor,
            Code::LatchOpen,
            Code::PcrUnexpected,
            Code::NoSlot,
        ] {
            let found = at_the_screen(&facts(code, true, true));
            assert_eq!(found, ScreenReset::NotCurable, "{code}");
        }
    }
}
