//! What the image has carried out: its words, as the decision means them.

use bennu_formats::drift::{DriftConfig, EnforcedAction};
use bennu_policy::drift::{Action, ActionSet};

/// As a set.
pub(super) fn set(config: Option<&DriftConfig>) -> ActionSet {
    let actions = config.into_iter().flat_map(|config| &config.enforced);
    actions.fold(ActionSet::NONE, |set, action| set.with(meaning(*action)))
}

fn meaning(action: EnforcedAction) -> Action {
    match action {
        EnforcedAction::Deny => Action::Deny,
        EnforcedAction::Kill => Action::Kill,
        EnforcedAction::FreezeCgroup => Action::FreezeCgroup,
        EnforcedAction::CutNetwork => Action::CutNetwork,
        EnforcedAction::RepairInactiveSlot => Action::RepairInactiveSlot,
        EnforcedAction::StatePurge => Action::StatePurge,
        EnforcedAction::FlipSlot => Action::FlipSlot,
        EnforcedAction::FailSafe => Action::FailSafe,
        EnforcedAction::Recovery => Action::Recovery,
    }
}

/// For people; empty where nothing is.
pub(super) fn words(config: Option<&DriftConfig>) -> String {
    let actions = config.into_iter().flat_map(|config| &config.enforced);
    let names: Vec<&str> = actions.map(|action| meaning(*action).name()).collect();
    names.join(", ")
}
