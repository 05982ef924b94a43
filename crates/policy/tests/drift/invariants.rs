//! What holds whatever was seen, said without the function's own words.

use crate::worlds::{NOW_MS, fresh, new, sets, states};
use bennu_policy::drift::{
    Action, BUDGET, Decision, FLIP_LIMIT, Facts, STRONG_MS, Seen, Severity, Signal, WEAK_MS, Weight, decide,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What must hold of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// Nothing that cannot be undone on the word of one source.
    TwoSources,
    /// No action more often than its budget.
    Budget,
    /// No flip to a slot that is missing, bad, below the floor or does not verify, nor beyond the limit.
    SoundTarget,
    /// What is not enforced is not done.
    DryRun,
    /// What holds already is not done again.
    NotTwice,
    /// Told before destroyed, purged before flipped.
    Order,
    /// Everything called for is done, holds already, or is withheld with a reason.
    NothingForgotten,
    /// More evidence lowers no severity and takes no action away.
    Monotone,
    /// What no longer counts changes nothing.
    Decay,
}

pub type Decide = fn(&Facts<'_>) -> Decision;

fn strong_sources(facts: &Facts<'_>) -> usize {
    let in_window = |seen: &&Seen| facts.now_ms.saturating_sub(seen.at_ms) < STRONG_MS;
    let sources: BTreeSet<&str> = facts
        .signals
        .iter()
        .filter(in_window)
        .map(|seen| seen.signal.row())
        .filter(|row| row.weight == Weight::Strong)
        .map(|row| row.source.name())
        .collect();
    sources.len()
}

fn times(decision: &Decision, action: Action) -> u32 {
    decision.plan.iter().filter(|step| step.action == action).count() as u32
}

/// The first invariant that one decision breaks.
pub fn broken(decide: Decide, facts: &Facts<'_>) -> Option<Invariant> {
    let decision = decide(facts);
    let planned = |action| times(&decision, action) > 0;
    let withheld = |action| decision.withheld.iter().any(|w| w.action == action);
    let destroys = planned(Action::StatePurge) || planned(Action::FlipSlot);
    if destroys && strong_sources(facts) < 2 {
        return Some(Invariant::TwoSources);
    }
    let over = |(action, most): (Action, u32)| {
        times(&decision, action) > 0 && facts.spent.times(action) + times(&decision, action) > most
    };
    if BUDGET.into_iter().any(over) {
        return Some(Invariant::Budget);
    }
    let other = &facts.other;
    let sound = other.present && other.verifies && !other.marked_bad && other.security_version >= other.floor;
    if planned(Action::FlipSlot) && (!sound || facts.flips_in_a_row >= FLIP_LIMIT) {
        return Some(Invariant::SoundTarget);
    }
    let tells = [Action::Record, Action::Alert];
    if decision
        .plan
        .iter()
        .any(|step| !facts.enforced.has(step.action) && !tells.contains(&step.action))
    {
        return Some(Invariant::DryRun);
    }
    if decision
        .plan
        .iter()
        .any(|step| facts.in_force.has(step.action) && step.action.lasts())
    {
        return Some(Invariant::NotTwice);
    }
    let order: Vec<Action> = decision.plan.iter().map(|step| step.action).collect();
    let purge = order.iter().position(|a| *a == Action::StatePurge);
    let flip = order.iter().position(|a| *a == Action::FlipSlot);
    let told = order.iter().rposition(|a| tells.contains(a));
    if [purge, flip]
        .into_iter()
        .flatten()
        .any(|at| told.is_none_or(|told| told > at))
        || purge.zip(flip).is_some_and(|(purge, flip)| purge > flip)
    {
        return Some(Invariant::Order);
    }
    let answered = |action: Action| planned(action) || withheld(action) || facts.in_force.has(action);
    let called: &[Action] = match strong_sources(facts) {
        0 => &[],
        1 => &[Action::Deny],
        _ => &[
            Action::Deny,
            Action::FreezeCgroup,
            Action::CutNetwork,
            Action::StatePurge,
            Action::FlipSlot,
        ],
    };
    if called.iter().any(|action| !answered(*action)) || decision.reason.is_empty() {
        return Some(Invariant::NothingForgotten);
    }
    None
}

/// Actions that a decision calls for, done or not. A flip includes the restart of the fail-safe.
fn called_for(decision: &Decision) -> BTreeSet<Action> {
    let mut called: BTreeSet<Action> = decision.plan.iter().map(|step| step.action).collect();
    called.extend(decision.withheld.iter().map(|withheld| withheld.action));
    if called.contains(&Action::FlipSlot) {
        called.insert(Action::FailSafe);
    }
    called
}

/// Whether one signal more, or one that no longer counts, breaks an invariant.
pub fn broken_by_more(decide: Decide, facts: &Facts<'_>, more: Signal) -> Option<Invariant> {
    let less = decide(facts);
    let with = |seen: Seen| [facts.signals, &[seen]].concat();
    let joined = with(new(more));
    let after = decide(&Facts {
        signals: &joined,
        ..facts.clone()
    });
    if after.severity < less.severity || !called_for(&less).is_subset(&called_for(&after)) {
        return Some(Invariant::Monotone);
    }
    let window = match more.row().weight {
        Weight::Weak => WEAK_MS,
        Weight::Strong => STRONG_MS,
    };
    let stale = with(Seen {
        at_ms: NOW_MS - window,
        ..new(more)
    });
    if decide(&Facts {
        signals: &stale,
        ..facts.clone()
    }) != less
    {
        return Some(Invariant::Decay);
    }
    None
}

#[test]
fn every_invariant_holds_for_every_set_of_three_signals_in_every_state() {
    let mut decisions = 0;
    for set in sets(3) {
        for facts in states(&set) {
            assert_eq!(broken(decide, &facts), None, "{facts:#?}");
            decisions += 1;
        }
    }
    assert_eq!(sets(3).len(), 1 + 23 + 253 + 1771);
    println!("drift: {decisions} decisions");
}

#[test]
fn one_signal_more_never_lowers_the_severity_nor_takes_an_action_away() {
    for set in sets(2) {
        for facts in states(&set) {
            for more in Signal::ALL
                .iter()
                .filter(|more| set.iter().all(|seen| seen.signal != **more))
            {
                assert_eq!(broken_by_more(decide, &facts, *more), None, "{more:?} {facts:#?}");
            }
        }
    }
}

fn any_seen() -> impl Strategy<Value = Seen> {
    (0..Signal::ALL.len(), 0..2 * STRONG_MS, any::<bool>()).prop_map(|(signal, age, answered)| Seen {
        signal: Signal::ALL[signal],
        at_ms: NOW_MS - age.min(NOW_MS),
        answered,
    })
}

proptest! {
    #[test]
    fn the_invariants_hold_for_many_signals_of_any_age(
        signals in prop::collection::vec(any_seen(), 0..30), state in any::<prop::sample::Index>(),
        more in 0..Signal::ALL.len(),
    ) {
        let states = states(&signals);
        let facts = &states[state.index(states.len())];
        prop_assert_eq!(broken(decide, facts), None);
        prop_assert_eq!(broken_by_more(decide, facts, Signal::ALL[more]), None);
    }

    #[test]
    fn the_order_in_which_signals_are_given_changes_no_severity_and_no_action(
        signals in prop::collection::vec(any_seen(), 0..12), turn in 0..12usize
    ) {
        let mut turned = signals.clone();
        turned.rotate_left(turn % signals.len().max(1));
        let (one, two) = (decide(&fresh(&signals)), decide(&fresh(&turned)));
        prop_assert_eq!(one.severity, two.severity);
        let actions = |d: &Decision| d.plan.iter().map(|s| s.action).collect::<Vec<_>>();
        prop_assert_eq!(actions(&one), actions(&two));
        prop_assert_eq!(one.reason, two.reason);
    }
}

#[test]
fn nothing_seen_is_calm_and_does_nothing() {
    let decision = decide(&fresh(&[]));
    assert_eq!(decision.severity, Severity::Calm);
    assert!(decision.plan.is_empty() && decision.withheld.is_empty());
}
