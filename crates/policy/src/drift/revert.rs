//! When what was done about drift is undone.
//!
//! [`Action::Deny`], [`Action::FreezeCgroup`] and [`Action::CutNetwork`] are undone when no strong signal counts any
//! more: each of them takes a strong one, and weak ones alone call for none of them. The weak signal that stood beside
//! a strong one does not decide: otherwise one that comes and goes would open and close the network.
//!
//! What was done as often as one boot allows stays until the machine restarts, because it could not be done again. So
//! whoever makes signals gets each action at most as often as its budget says, and the last one for good.
//!
//! Nothing else is ever undone, and nothing at all once something is in force that cannot be undone or that waits for a
//! person.

use super::{Action, Facts, Signal, Weight};

/// Why an action goes on, or that it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is not in force.
    NotInForce,
    /// `bennud` does not undo it.
    ForGood,
    /// Something beside it is in force that is not undone.
    Beside(Action),
    /// This strong signal counts.
    Counts(Signal),
    /// It was done as often as one boot allows.
    LastOfBudget,
    /// Nothing calls for it any more.
    Over,
}

/// How `action` stands. The same facts give the same answer.
pub fn hold(action: Action, facts: &Facts<'_>) -> Hold {
    if !facts.in_force.has(action) {
        return Hold::NotInForce;
    }
    if !action.ends_by_itself() {
        return Hold::ForGood;
    }
    let lasting = |other: &Action| facts.in_force.has(*other) && other.lasts() && !other.ends_by_itself();
    if let Some(other) = Action::ALL.into_iter().find(lasting) {
        return Hold::Beside(other);
    }
    let strong = |signal: &Signal| signal.row().weight == Weight::Strong;
    if let Some(signal) = facts.counting().map(|seen| seen.signal).find(strong) {
        return Hold::Counts(signal);
    }
    if !facts.spent.allows(action) {
        return Hold::LastOfBudget;
    }
    Hold::Over
}

/// What is undone now, the last that was done first.
pub fn reverts(facts: &Facts<'_>) -> Vec<Action> {
    let over = |action: &Action| hold(*action, facts) == Hold::Over;
    Action::ALL.into_iter().rev().filter(over).collect()
}
