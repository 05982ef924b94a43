//! When what was done is undone, in full: each action in each kind of state, and that nothing is opened and closed
//! without end.

use crate::worlds::{NOW_MS, all_spent, fresh, new, sets, states};
use bennu_policy::drift::{
    Action, ActionSet, BUDGET, Concerned, Facts, Hold, STRONG_MS, Seen, Signal, Spent, WEAK_MS, Weight,
    Windows, concerned, decide, hold, reverts,
};
use proptest::prelude::*;

const ENDING: [Action; 3] = [Action::Deny, Action::FreezeCgroup, Action::CutNetwork];
/// In force and never undone by the program: what waits for a person or for a restart.
const LASTING: [Action; 4] = [
    Action::StatePurge,
    Action::FlipSlot,
    Action::FailSafe,
    Action::Recovery,
];

fn aged(signal: Signal, age_ms: u64) -> Seen {
    Seen {
        at_ms: NOW_MS - age_ms,
        answered: true,
        ..new(signal)
    }
}

fn with(actions: &[Action]) -> ActionSet {
    actions.iter().copied().fold(ActionSet::NONE, ActionSet::with)
}

fn holding<'a>(signals: &'a [Seen], in_force: &[Action]) -> Facts<'a> {
    Facts {
        in_force: with(in_force),
        ..fresh(signals)
    }
}

#[test]
fn three_actions_end_by_themselves_and_no_other() {
    for action in Action::ALL {
        assert_eq!(action.ends_by_itself(), ENDING.contains(&action), "{action:?}");
        assert!(
            !(action.ends_by_itself() && action.cannot_be_undone()),
            "{action:?}"
        );
        // What ends has a budget: without one it could be done and undone for ever.
        assert!(
            !action.ends_by_itself() || action.budget().is_some(),
            "{action:?}"
        );
    }
}

#[test]
fn each_action_alone_with_no_signal_ends_or_stays() {
    for action in Action::ALL {
        assert_eq!(hold(action, &holding(&[], &[])), Hold::NotInForce, "{action:?}");
        let expected = if ENDING.contains(&action) {
            Hold::Over
        } else {
            Hold::ForGood
        };
        assert_eq!(hold(action, &holding(&[], &[action])), expected, "{action:?}");
    }
}

#[test]
fn each_signal_holds_to_the_end_of_its_window_if_it_is_strong_and_not_at_all_if_it_is_weak() {
    for signal in Signal::ALL {
        for action in ENDING {
            let at = |age_ms| hold(action, &holding(&[aged(*signal, age_ms)], &[action]));
            let expected = match signal.row().weight {
                Weight::Strong => Hold::Counts(*signal),
                Weight::Weak => Hold::Over,
            };
            assert_eq!(at(0), expected, "{signal:?} {action:?}");
            assert_eq!(at(WEAK_MS), expected, "{signal:?} {action:?}");
            assert_eq!(at(STRONG_MS - 1), expected, "{signal:?} {action:?}");
            assert_eq!(at(STRONG_MS), Hold::Over, "{signal:?} {action:?}");
            // A clock that is wrong opens nothing.
            let future = Seen {
                at_ms: u64::MAX,
                ..new(*signal)
            };
            assert_eq!(
                hold(action, &holding(&[future], &[action])),
                expected,
                "{signal:?}"
            );
        }
    }
}

#[test]
fn the_windows_are_those_that_the_image_gives() {
    let signals = [aged(Signal::PcrChanged, 120_000)];
    let facts = |strong_ms| Facts {
        windows: Windows {
            weak_ms: 60_000,
            strong_ms,
        },
        ..holding(&signals, &[Action::Deny])
    };
    assert_eq!(reverts(&facts(120_000)), [Action::Deny]);
    assert_eq!(reverts(&facts(120_001)), []);
}

#[test]
fn what_was_done_as_often_as_allowed_stays() {
    for action in ENDING {
        let most = action.budget().unwrap();
        for times in 0..=most + 1 {
            let mut spent = Spent::default();
            (0..times).for_each(|_| spent.count(action));
            let facts = Facts {
                spent,
                ..holding(&[], &[action])
            };
            let expected = if times < most {
                Hold::Over
            } else {
                Hold::LastOfBudget
            };
            assert_eq!(hold(action, &facts), expected, "{action:?} {times}");
        }
    }
}

#[test]
fn nothing_is_undone_beside_what_is_never_undone() {
    for lasting in LASTING {
        for action in ENDING {
            let facts = holding(&[], &[action, lasting]);
            assert_eq!(
                hold(action, &facts),
                Hold::Beside(lasting),
                "{action:?} {lasting:?}"
            );
        }
        assert_eq!(
            reverts(&holding(&[], &[lasting, Action::Deny, Action::CutNetwork])),
            []
        );
    }
}

#[test]
fn the_last_that_was_done_is_undone_first() {
    assert_eq!(
        reverts(&holding(&[], &ENDING)),
        [Action::CutNetwork, Action::FreezeCgroup, Action::Deny]
    );
    assert_eq!(
        reverts(&Facts {
            spent: all_spent(),
            ..holding(&[], &ENDING)
        }),
        []
    );
}

/// Over every set of two signals, in every kind of state and with everything in force in turn.
#[test]
fn nothing_irrevocable_is_undone_and_nothing_that_is_called_for() {
    for set in sets(2) {
        for base in states(&set) {
            for in_force in [
                with(&ENDING),
                with(&[Action::Deny]),
                with(&[Action::Deny, Action::StatePurge]),
                ActionSet::ALL,
            ] {
                let facts = Facts {
                    in_force,
                    ..base.clone()
                };
                let undone = reverts(&facts);
                let strong = set.iter().any(|seen| seen.signal.row().weight == Weight::Strong);
                assert!(!strong || undone.is_empty(), "{undone:?} {facts:#?}");
                let called = decide(&Facts {
                    in_force: ActionSet::NONE,
                    ..facts.clone()
                });
                for action in &undone {
                    assert!(in_force.has(*action) && ENDING.contains(action), "{action:?}");
                    let planned = called.plan.iter().any(|step| step.action == *action);
                    let withheld = called.withheld.iter().any(|held| held.action == *action);
                    assert!(!planned && !withheld, "{action:?} {facts:#?}");
                }
            }
        }
    }
}

/// A machine that carries every decision out at once: gives how often each action began and ended.
fn live(arrivals: &[(u64, Signal)], until_ms: u64, step_ms: u64) -> Vec<(Action, u32, u32)> {
    let (mut signals, mut spent, mut in_force) = (Vec::<Seen>::new(), Spent::default(), ActionSet::NONE);
    let mut ends = Spent::default();
    let enforced = with(&ENDING);
    let mut now_ms = 0;
    while now_ms <= until_ms {
        for (_, signal) in arrivals
            .iter()
            .filter(|(at, _)| *at >= now_ms && *at < now_ms + step_ms)
        {
            signals.push(Seen {
                at_ms: now_ms,
                answered: false,
                signal: *signal,
            });
        }
        let facts = Facts {
            now_ms,
            enforced,
            spent,
            in_force,
            ..fresh(&signals)
        };
        let (undone, plan) = (reverts(&facts), decide(&facts).plan);
        for action in undone {
            in_force = in_force.without(action);
            ends.count(action);
        }
        for step in plan.iter().filter(|step| ENDING.contains(&step.action)) {
            assert!(!in_force.has(step.action), "{:?} twice", step.action);
            in_force = in_force.with(step.action);
            spent.count(step.action);
        }
        signals.iter_mut().for_each(|seen| seen.answered = true);
        now_ms += step_ms;
    }
    ENDING
        .map(|action| (action, spent.times(action), ends.times(action)))
        .to_vec()
}

#[test]
fn an_action_ends_an_hour_after_its_last_strong_signal() {
    let minute = 60_000;
    let signals = [(0, Signal::GateTampering), (minute, Signal::ClockJumped)];
    let at = |until| live(&signals, until, minute);
    assert_eq!(at(59 * minute), ENDING.map(|action| (action, 1, 0)));
    assert_eq!(at(60 * minute), ENDING.map(|action| (action, 1, 1)));
}

#[test]
fn whoever_makes_signals_for_ever_gets_the_network_cut_at_last_for_good() {
    let hour = STRONG_MS;
    let signals: Vec<(u64, Signal)> = (0..100)
        .flat_map(|n| {
            [
                (2 * n * hour, Signal::GateTampering),
                (2 * n * hour, Signal::ClockJumped),
            ]
        })
        .collect();
    let found = live(&signals, 210 * hour, hour / 2);
    for (action, begins, ends) in found {
        let most = action.budget().unwrap();
        assert_eq!((begins, ends), (most, most - 1), "{action:?}");
    }
}

proptest! {
    #[test]
    fn an_action_begins_at_most_as_often_as_its_budget_and_ends_less_often(
        arrivals in prop::collection::vec((0..200 * STRONG_MS, 0..Signal::ALL.len()), 0..300)
    ) {
        let arrivals: Vec<(u64, Signal)> =
            arrivals.into_iter().map(|(at, signal)| (at, Signal::ALL[signal])).collect();
        for (action, begins, ends) in live(&arrivals, 200 * STRONG_MS, STRONG_MS / 7) {
            let most = BUDGET.iter().find(|(of, _)| *of == action).unwrap().1;
            prop_assert!(begins <= most && ends < most && ends <= begins);
        }
    }
}

#[test]
fn a_strong_signal_concerns_its_unit_or_everything_and_a_weak_one_nobody() {
    let windows = Windows::default();
    for signal in Signal::ALL {
        let of = |unit, age_ms| concerned([(aged(*signal, age_ms), unit)], NOW_MS, &windows);
        let nobody = Concerned::default();
        match signal.row().weight {
            Weight::Weak => {
                assert_eq!(of(Some("a.service"), 0), nobody, "{signal:?}");
                assert_eq!(of(None, 0), nobody, "{signal:?}");
            }
            Weight::Strong => {
                let found = of(Some("a.service"), STRONG_MS - 1);
                assert!(!found.everything && found.words() == "a.service", "{signal:?}");
                assert!(of(None, STRONG_MS - 1).everything, "{signal:?}");
            }
        }
        assert_eq!(of(None, STRONG_MS), nobody, "{signal:?}");
    }
}

#[test]
fn every_unit_that_a_strong_signal_names_is_concerned_once() {
    let seen = |signal, unit| (new(signal), unit);
    let found = concerned(
        [
            seen(Signal::GateTampering, Some("b.service")),
            seen(Signal::GateTampering, Some("a.service")),
            seen(Signal::ImaDigestUnknown, Some("a.service")),
            seen(Signal::GateDenial, Some("c.service")),
        ],
        NOW_MS,
        &Windows::default(),
    );
    assert_eq!(found.words(), "a.service, b.service");
    assert!(!found.is_nobody() && Concerned::default().is_nobody());
    let all = concerned([seen(Signal::PcrChanged, None)], NOW_MS, &Windows::default());
    assert_eq!(all.words(), "every unit but those that are spared");
}

#[test]
fn names_are_read_back() {
    for action in Action::ALL {
        assert_eq!(Action::of_name(action.name()), Some(action));
    }
    for signal in Signal::ALL {
        assert_eq!(Signal::of_name(signal.row().name), Some(*signal));
    }
    assert_eq!((Action::of_name("x"), Signal::of_name("")), (None, None));
}
