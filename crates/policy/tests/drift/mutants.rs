//! The invariants can fail: each rule taken away breaks the one that it is there for.

use crate::invariants::{Decide, Invariant, broken, broken_by_more};
use crate::worlds::{SOUND, new, sets_of, states};
use bennu_policy::drift::{
    ActionSet, Decision, Facts, OtherSlot, Seen, Severity, Signal, Spent, Weight, decide,
};

/// One of each kind: of the gate both weights, two strong ones of the TPM, one with each action of its own.
const KINDS: [Signal; 8] = [
    Signal::GateDenial,
    Signal::GateTampering,
    Signal::PcrChanged,
    Signal::TpmReset,
    Signal::VerityCorruptInactive,
    Signal::EspChanged,
    Signal::BpfObjectChanged,
    Signal::AgentHung,
];

/// Every invariant that `mutant` breaks somewhere.
fn breaks(mutant: Decide) -> Vec<Invariant> {
    let mut found = Vec::new();
    for set in sets_of(&KINDS, 2) {
        for facts in states(&set) {
            let alone = broken(mutant, &facts);
            let more = KINDS
                .iter()
                .filter_map(|more| broken_by_more(mutant, &facts, *more));
            for invariant in alone.into_iter().chain(more) {
                if !found.contains(&invariant) {
                    found.push(invariant);
                }
            }
        }
    }
    found
}

#[track_caller]
fn breaks_only(mutant: Decide, expected: Invariant) {
    assert_eq!(breaks(mutant), [expected]);
}

#[test]
fn the_shipped_rules_break_nothing() {
    assert_eq!(breaks(decide), []);
}

#[test]
fn a_decision_that_counts_signals_instead_of_sources_destroys_on_one_sources_word() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        let strong = |seen: &&Seen| {
            seen.signal.row().weight == Weight::Strong && seen.counts(facts.now_ms, &facts.windows)
        };
        if facts.signals.iter().filter(strong).count() < 2 {
            return decide(facts);
        }
        let signals = [new(Signal::GateTampering), new(Signal::PcrChanged)];
        let signals = [facts.signals, &signals].concat();
        decide(&Facts {
            signals: &signals,
            ..facts.clone()
        })
    }
    assert!(breaks(mutant).contains(&Invariant::TwoSources));
}

#[test]
fn a_decision_that_forgets_what_was_spent_goes_over_the_budget() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        decide(&Facts {
            spent: Spent::default(),
            ..facts.clone()
        })
    }
    breaks_only(mutant, Invariant::Budget);
}

#[test]
fn a_decision_that_does_not_look_at_one_fact_of_the_other_slot_flips_into_it() {
    fn floor(facts: &Facts<'_>) -> Decision {
        let other = OtherSlot {
            floor: 0,
            ..facts.other
        };
        decide(&Facts {
            other,
            ..facts.clone()
        })
    }
    fn verdict(facts: &Facts<'_>) -> Decision {
        let other = OtherSlot {
            marked_bad: false,
            ..facts.other
        };
        decide(&Facts {
            other,
            ..facts.clone()
        })
    }
    fn verification(facts: &Facts<'_>) -> Decision {
        let other = OtherSlot {
            verifies: true,
            ..facts.other
        };
        decide(&Facts {
            other,
            ..facts.clone()
        })
    }
    fn presence(facts: &Facts<'_>) -> Decision {
        let other = OtherSlot {
            present: true,
            ..SOUND
        };
        decide(&Facts {
            other,
            ..facts.clone()
        })
    }
    fn limit(facts: &Facts<'_>) -> Decision {
        decide(&Facts {
            flips_in_a_row: 0,
            ..facts.clone()
        })
    }
    for mutant in [floor, verdict, verification, presence, limit] {
        breaks_only(mutant, Invariant::SoundTarget);
    }
}

#[test]
fn a_decision_that_knows_no_dry_run_does_what_is_not_enforced() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        decide(&Facts {
            enforced: ActionSet::ALL,
            ..facts.clone()
        })
    }
    breaks_only(mutant, Invariant::DryRun);
}

#[test]
fn a_decision_that_does_not_know_what_holds_does_it_again() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        decide(&Facts {
            in_force: ActionSet::NONE,
            ..facts.clone()
        })
    }
    breaks_only(mutant, Invariant::NotTwice);
}

#[test]
fn a_plan_that_is_turned_round_destroys_before_it_tells() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        let mut decision = decide(facts);
        decision.plan.reverse();
        decision
    }
    breaks_only(mutant, Invariant::Order);
}

#[test]
fn a_decision_that_drops_what_it_withholds_forgets_it() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        Decision {
            withheld: Vec::new(),
            ..decide(facts)
        }
    }
    assert!(breaks(mutant).contains(&Invariant::NothingForgotten));
}

#[test]
fn a_decision_by_the_last_signal_alone_is_lowered_by_a_harmless_one() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        let from = facts.signals.len().saturating_sub(1);
        decide(&Facts {
            signals: &facts.signals[from..],
            ..facts.clone()
        })
    }
    assert!(breaks(mutant).contains(&Invariant::Monotone));
}

#[test]
fn a_decision_that_never_forgets_is_moved_by_what_is_long_past() {
    fn mutant(facts: &Facts<'_>) -> Decision {
        let fresh = |seen: &Seen| Seen {
            at_ms: facts.now_ms,
            ..*seen
        };
        let signals: Vec<Seen> = facts.signals.iter().map(fresh).collect();
        decide(&Facts {
            signals: &signals,
            ..facts.clone()
        })
    }
    assert!(breaks(mutant).contains(&Invariant::Decay));
}

#[test]
fn severities_are_ordered_as_they_are_listed() {
    assert!(Severity::ALL.windows(2).all(|pair| pair[0] < pair[1]));
}
