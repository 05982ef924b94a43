//! What guards the state volume besides the signed policy: it needs a volume, and a Secure Boot that is enforced.

use super::Checker;
use crate::definition::{DefinitionError, StateSection};
use bennu_formats::trust::{
    LocalRule, PinRule, ScreenResetRule, SecureBootBinding, SecureBootRule, StateRule,
};

/// The rule of `[state]`.
pub(super) fn rule(
    check: &Checker<'_>,
    section: &StateSection,
    state: StateRule,
    boot: SecureBootRule,
) -> Result<LocalRule, DefinitionError> {
    let pin = section.pin.unwrap_or(false);
    let bound = section.bind_secure_boot.unwrap_or(false);
    for (set, key) in [(pin, "state.pin"), (bound, "state.bind_secure_boot")] {
        if set && state == StateRule::Volatile {
            let expected = "true only with state.kind = \"encrypted\"";
            return Err(check.value(key, expected, "volatile".to_owned()));
        }
    }
    if bound && boot != SecureBootRule::Required {
        let expected = "true only with boot.secure_boot = \"required\"";
        return Err(check.value("state.bind_secure_boot", expected, "another".to_owned()));
    }
    Ok(LocalRule {
        pin: if pin { PinRule::Required } else { PinRule::None },
        secure_boot: if bound {
            SecureBootBinding::Bound
        } else {
            SecureBootBinding::Free
        },
        screen_reset: if section.reset_at_the_machine.unwrap_or(true) {
            ScreenResetRule::Offered
        } else {
            ScreenResetRule::Never
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn of(section: StateSection, state: StateRule, boot: SecureBootRule) -> Result<LocalRule, String> {
        let check = Checker {
            path: Path::new("image.toml"),
        };
        rule(&check, &section, state, boot).map_err(|error| error.to_string())
    }

    fn both() -> StateSection {
        StateSection {
            pin: Some(true),
            bind_secure_boot: Some(true),
            ..StateSection::default()
        }
    }

    #[test]
    fn nothing_is_demanded_and_a_reset_offered_unless_the_definition_says_otherwise() {
        let (encrypted, required) = (StateRule::Encrypted, SecureBootRule::Required);
        let found = of(StateSection::default(), encrypted, required).unwrap();
        assert!(!found.guards());
        assert_eq!(found.screen_reset, ScreenResetRule::Offered);
        let never = StateSection {
            reset_at_the_machine: Some(false),
            ..both()
        };
        let found = of(never, encrypted, required).unwrap();
        assert_eq!(found.pin, PinRule::Required);
        assert_eq!(found.secure_boot, SecureBootBinding::Bound);
        assert_eq!(found.screen_reset, ScreenResetRule::Never);
    }

    #[test]
    fn a_pin_needs_a_volume_and_a_binding_an_enforced_secure_boot() {
        let required = SecureBootRule::Required;
        let error = of(both(), StateRule::Volatile, required).unwrap_err();
        assert!(error.contains("state.pin"), "{error}");
        let without = SecureBootRule::UnprotectedWithoutSecureBoot;
        let error = of(both(), StateRule::Encrypted, without).unwrap_err();
        assert!(error.contains("state.bind_secure_boot"), "{error}");
    }
}
