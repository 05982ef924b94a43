//! Every signal in every kind of company, as literals.

use crate::worlds::{NOW_MS, SOUND, all_spent, fresh, new};
use bennu_policy::drift::Severity::{Contained, Lost, Noted, Serious, Suspicious};
use bennu_policy::drift::{
    Action, ActionSet, Because, Decision, FLIP_LIMIT, Facts, OtherSlot, STRONG_MS, Seen, Severity, Signal,
    Source, WEAK_MS, Weight, decide,
};

/// Signal; source; its own actions besides the record; severity alone, with a weak and with a strong signal of
/// another source.
type Line = (Signal, Source, &'static [Action], [Severity; 3]);

const WEAK: [Severity; 3] = [Noted, Suspicious, Contained];
const STRONG: [Severity; 3] = [Serious, Contained, Lost];
const TELL: &[Action] = &[Action::Alert];
const KILL: &[Action] = &[Action::Alert, Action::Kill];
const SAFE: &[Action] = &[Action::Alert, Action::FailSafe];

const TABLE: [Line; 23] = [
    (Signal::GateDenial, Source::Gate, TELL, WEAK),
    (Signal::GateTampering, Source::Gate, KILL, STRONG),
    (Signal::ImaDigestUnknown, Source::Ima, KILL, STRONG),
    (Signal::ImaViolation, Source::Ima, &[], WEAK),
    (Signal::ImaLogMismatch, Source::Tpm, TELL, STRONG),
    (Signal::PcrChanged, Source::Tpm, TELL, STRONG),
    (Signal::TpmReset, Source::Tpm, TELL, STRONG),
    (Signal::TpmRestarted, Source::Tpm, TELL, WEAK),
    (Signal::TpmSilent, Source::Tpm, TELL, WEAK),
    (Signal::VerityCorruptActive, Source::Disk, SAFE, STRONG),
    (Signal::ActiveUnreadable, Source::Disk, TELL, WEAK),
    (
        Signal::VerityCorruptInactive,
        Source::Disk,
        &[Action::Alert, Action::RepairInactiveSlot],
        WEAK,
    ),
    (Signal::EspChanged, Source::Disk, &[], WEAK),
    (Signal::GptChanged, Source::Disk, TELL, WEAK),
    (Signal::EfiVariableChanged, Source::Firmware, &[], WEAK),
    (Signal::ModuleUnknown, Source::Kernel, TELL, STRONG),
    (Signal::MountChanged, Source::Kernel, &[], WEAK),
    (Signal::BpfObjectChanged, Source::Kernel, SAFE, STRONG),
    (Signal::ClockJumped, Source::Clock, &[], WEAK),
    (Signal::EventsLost, Source::Stream, TELL, WEAK),
    (Signal::AgentHung, Source::Agent, SAFE, WEAK),
    (Signal::AgentKilled, Source::Agent, TELL, WEAK),
    (Signal::LogBroken, Source::Records, TELL, STRONG),
];

fn planned(decision: &Decision) -> Vec<Action> {
    let mut actions: Vec<Action> = decision.plan.iter().map(|step| step.action).collect();
    actions.dedup();
    actions
}

fn of(signals: &[Seen]) -> Decision {
    decide(&fresh(signals))
}

#[test]
fn the_table_has_every_signal_once() {
    assert_eq!(TABLE.map(|line| line.0), *Signal::ALL);
    for (signal, source, actions, severities) in TABLE {
        let row = signal.row();
        assert_eq!(row.source, source, "{signal:?}");
        assert_eq!(row.actions[1..], *actions, "{signal:?}");
        assert_eq!(row.weight == Weight::Strong, severities == STRONG, "{signal:?}");
    }
}

#[test]
fn each_signal_alone_has_its_severity_and_does_its_own_actions() {
    for (signal, _, actions, [alone, ..]) in TABLE {
        let decision = of(&[new(signal)]);
        assert_eq!(decision.severity, alone, "{signal:?}");
        let mut expected = [&[Action::Record][..], actions].concat();
        if alone == Serious {
            expected.push(Action::Deny);
        }
        expected.sort();
        assert_eq!(planned(&decision), expected, "{signal:?}");
        assert_eq!(decision.withheld, [], "{signal:?}");
    }
}

#[test]
fn each_signal_with_each_other_has_the_severity_of_the_table() {
    for (one, source, _, [alone, with_weak, with_strong]) in TABLE {
        for (other, other_source, _, [other_alone, ..]) in TABLE {
            let decision = of(&[new(one), new(other)]);
            let expected = match (source == other_source, other_alone) {
                // One source's word, however often: the stronger of its two.
                (true, _) => alone.max(other_alone),
                (false, Noted) => with_weak,
                (false, _) => with_strong,
            };
            assert_eq!(decision.severity, expected, "{one:?} {other:?}");
            let destroys = planned(&decision).iter().any(|action| action.cannot_be_undone());
            assert_eq!(destroys, expected == Lost, "{one:?} {other:?}");
        }
    }
}

#[test]
fn two_strong_sources_do_everything_in_the_order_in_which_it_must_be_done() {
    let decision = of(&[new(Signal::PcrChanged), new(Signal::GateTampering)]);
    assert_eq!(decision.severity, Lost);
    use Action::{Alert, CutNetwork, Deny, FlipSlot, FreezeCgroup, Kill, Record, StatePurge};
    assert_eq!(
        planned(&decision),
        [
            Record,
            Alert,
            Deny,
            Kill,
            FreezeCgroup,
            CutNetwork,
            StatePurge,
            FlipSlot
        ]
    );
    assert_eq!(
        decision.reason,
        "drift.two-strong: gate-tampering (gate, strong); pcr-changed (tpm, strong)"
    );
}

#[test]
fn weak_signals_of_many_sources_and_many_strong_ones_of_one_source_destroy_nothing() {
    let weak: Vec<Seen> = Signal::ALL
        .iter()
        .filter(|s| s.row().weight == Weight::Weak)
        .map(|s| new(*s))
        .collect();
    assert_eq!(of(&weak).severity, Suspicious);
    let tpm = [Signal::ImaLogMismatch, Signal::PcrChanged, Signal::TpmReset].map(new);
    assert_eq!(of(&tpm).severity, Serious);
    let with_weak: Vec<Seen> = weak.into_iter().chain(tpm).collect();
    assert_eq!(of(&with_weak).severity, Contained);
}

#[test]
fn a_flip_that_may_not_be_is_withheld_by_its_reason_and_a_person_is_called() {
    let signals = [new(Signal::PcrChanged), new(Signal::GateTampering)];
    let other = |other| Facts {
        other,
        ..fresh(&signals)
    };
    for (facts, because) in [
        (
            other(OtherSlot {
                present: false,
                ..SOUND
            }),
            Because::NoOtherSlot,
        ),
        (
            other(OtherSlot {
                marked_bad: true,
                ..SOUND
            }),
            Because::OtherMarkedBad,
        ),
        (
            other(OtherSlot {
                security_version: 6,
                ..SOUND
            }),
            Because::OtherBelowFloor,
        ),
        (
            other(OtherSlot {
                verifies: false,
                ..SOUND
            }),
            Because::OtherDoesNotVerify,
        ),
        (
            Facts {
                flips_in_a_row: FLIP_LIMIT,
                ..fresh(&signals)
            },
            Because::FlipLimit,
        ),
    ] {
        let decision = decide(&facts);
        let found: Vec<_> = decision.withheld.iter().map(|w| (w.action, w.because)).collect();
        assert_eq!(found, [(Action::FlipSlot, because)]);
        let planned = planned(&decision);
        assert!(
            planned.ends_with(&[Action::StatePurge, Action::Recovery]),
            "{planned:?}"
        );
        assert!(decision.reason.contains(because.words()), "{}", decision.reason);
    }
    assert!(
        planned(&decide(&fresh(&signals))).ends_with(&[Action::FlipSlot]),
        "positive control"
    );
}

#[test]
fn a_dry_run_tells_what_it_would_do_and_does_nothing_else() {
    let signals = [new(Signal::PcrChanged), new(Signal::GateTampering)];
    let facts = Facts {
        enforced: ActionSet::NONE,
        ..fresh(&signals)
    };
    let decision = decide(&facts);
    assert_eq!(decision.severity, Lost);
    assert_eq!(planned(&decision), [Action::Record, Action::Alert]);
    let withheld: Vec<Action> = decision.withheld.iter().map(|w| w.action).collect();
    use Action::{CutNetwork, Deny, FlipSlot, FreezeCgroup, Kill, StatePurge};
    assert_eq!(
        withheld,
        [Deny, Kill, FreezeCgroup, CutNetwork, StatePurge, FlipSlot]
    );
    assert!(decision.withheld.iter().all(|w| w.because == Because::DryRun));
}

#[test]
fn what_was_done_as_often_as_allowed_is_not_done_again() {
    let signals = [new(Signal::PcrChanged), new(Signal::GateTampering)];
    let facts = Facts {
        spent: all_spent(),
        ..fresh(&signals)
    };
    let decision = decide(&facts);
    assert_eq!(planned(&decision), [Action::Record, Action::Alert]);
    assert!(
        decision
            .withheld
            .iter()
            .all(|w| w.because == Because::BudgetSpent)
    );
}

#[test]
fn what_several_signals_call_for_is_done_once_about_all_of_them() {
    let signals: Vec<Seen> = (0..100).map(|_| new(Signal::GateTampering)).collect();
    let decision = of(&signals);
    let kills = decision.plan.iter().filter(|step| step.action == Action::Kill);
    assert_eq!(kills.count(), 1);
    assert!(decision.withheld.is_empty(), "{:?}", decision.withheld);
}

#[test]
fn signals_stop_counting_at_the_end_of_their_window_and_not_before() {
    for signal in Signal::ALL {
        let window = match signal.row().weight {
            Weight::Weak => WEAK_MS,
            Weight::Strong => STRONG_MS,
        };
        let aged = |age| Seen {
            at_ms: NOW_MS - age,
            ..new(*signal)
        };
        assert_ne!(of(&[aged(window - 1)]).severity, Severity::Calm, "{signal:?}");
        let decision = of(&[aged(window)]);
        assert_eq!(
            (decision.severity, decision.plan.len()),
            (Severity::Calm, 0),
            "{signal:?}"
        );
        // A clock that is wrong hides nothing.
        let future = Seen {
            at_ms: u64::MAX,
            ..new(*signal)
        };
        assert_ne!(of(&[future]).severity, Severity::Calm, "{signal:?}");
    }
}

#[test]
fn an_answered_signal_still_counts_and_is_not_answered_again() {
    let old = Seen {
        answered: true,
        ..new(Signal::PcrChanged)
    };
    let in_force = ActionSet::NONE.with(Action::Deny);
    let again = decide(&Facts {
        in_force,
        ..fresh(&[old])
    });
    assert_eq!((again.severity, again.plan), (Serious, vec![]));
    let signals = [old, new(Signal::GateTampering)];
    let joined = decide(&Facts {
        in_force,
        ..fresh(&signals)
    });
    assert_eq!(joined.severity, Lost);
    let records = joined
        .plan
        .iter()
        .filter(|step| step.action == Action::Record)
        .count();
    assert_eq!(records, 1, "of the new one only");
    assert_eq!(joined.plan[0].why.rule(), "signal.gate-tampering");
}
