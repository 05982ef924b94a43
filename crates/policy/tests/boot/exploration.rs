//! Every sequence of events on one and two slots, followed until no new state turns up.
//!
//! States are compared without what never decides anything (numbers of starts, words), so the walk ends and
//! covers sequences of any length.

use crate::loader::{Ending, Event, Machine, Seen, TRIES};
use bennu_formats::Code;
use bennu_formats::boot_record::Stage;
use bennu_policy::boot::{BootAction, StartDecision};
use std::collections::BTreeMap;

/// One code of each kind of fault: the slot's, one that may pass, the machine's.
const EVENTS: [Event; 10] = [
    Event::Refused,
    Event::Fails(Code::ManifestSignature),
    Event::Fails(Code::TpmMissing),
    Event::Fails(Code::SecretBlob),
    Event::FailsThenPowerCut(Code::ManifestSignature),
    Event::PowerCut,
    Event::VerityPanic,
    Event::OtherPanic,
    Event::Unhealthy,
    Event::Healthy,
];

/// Everything of a machine that a decision depends on.
type State = (
    Vec<(Option<u32>, Option<SlotState>)>,
    Option<String>,
    Option<bool>,
    Vec<Option<Code>>,
);
type SlotState = (u32, Stage, Option<Code>, Option<Code>);

fn state(machine: &Machine) -> State {
    let slot = |v| {
        let slot = machine.record.slots.get(v)?;
        let code = |f: &Option<bennu_formats::boot_record::Failure>| f.as_ref().map(|f| f.code);
        Some((
            slot.attempts,
            slot.stage,
            code(&slot.bad),
            code(&slot.last_failure),
        ))
    };
    (
        machine
            .entries
            .iter()
            .map(|e| (e.tries_left, slot(&e.version)))
            .collect(),
        machine.record.last.as_ref().map(ToString::to_string),
        machine
            .panic
            .as_ref()
            .map(|p| matches!(p, bennu_policy::boot::PanicNote::Other(_))),
        machine
            .entries
            .iter()
            .map(|e| machine.cause(&e.version))
            .collect(),
    )
}

/// The states reached, and for each the states that the machine restarts into by itself.
struct Graph {
    restarts: Vec<Vec<usize>>,
    starts: u64,
}

fn explore(first: Machine) -> Graph {
    let mut known = BTreeMap::from([(state(&first), 0)]);
    let mut machines = vec![first];
    let mut graph = Graph {
        restarts: Vec::new(),
        starts: 0,
    };
    while let Some(before) = machines.get(graph.restarts.len()).cloned() {
        let mut restarts = Vec::new();
        for event in EVENTS {
            let mut after = before.clone();
            let seen = after.power_on(event);
            graph.starts += 1;
            check_step(&before, event, &seen, &after);
            let next = *known.entry(state(&after)).or_insert_with(|| {
                machines.push(after);
                machines.len() - 1
            });
            if seen.ending == Ending::Restarts {
                restarts.push(next);
            }
        }
        graph.restarts.push(restarts);
    }
    graph
}

fn check_step(before: &Machine, event: Event, seen: &Seen, after: &Machine) {
    let story = || format!("{event:?} made of\n{before:#?}\nthis\n{after:#?}\nseen: {seen:#?}");
    let slot = after.record.slots.get(&seen.slot);
    // Falling back leads to another slot, which is not known to be bad.
    if seen.action == Some(BootAction::FallBack) {
        let next = before.entries.iter().find(|e| e.version != seen.slot);
        assert!(next.is_some_and(|e| e.tries_left != Some(0)), "{}", story());
        let next_bad = next
            .and_then(|e| after.record.slots.get(&e.version))
            .is_some_and(|s| s.bad.is_some());
        assert!(!next_bad, "{}", story());
        if !matches!(event, Event::FailsThenPowerCut(_)) {
            assert_ne!(after.preferred(), seen.slot, "{}", story());
        }
    }
    // A slot that starts had attempts left, was not bad, and says why a newer one was passed over.
    if seen.went() {
        let was = before.record.slots.get(&seen.slot);
        assert!(was.is_none_or(|s| s.bad.is_none()), "{}", story());
        assert!(
            was.is_none_or(|s| s.attempts < before.max_attempts),
            "{}",
            story()
        );
        let newest = before.entries.iter().max_by_key(|e| e.version.clone()).unwrap();
        if newest.version != seen.slot {
            let told = seen
                .fell_back()
                .unwrap_or_else(|| panic!("no reason: {}", story()));
            let was = before.record.slots.get(&newest.version);
            let nothing_known = match was {
                Some(slot) if slot.last_failure.is_some() => slot.last_failure.as_ref().unwrap().code,
                Some(slot) if slot.attempts > 0 => Code::SlotUnhealthy,
                _ => Code::UkiNotStarted,
            };
            let expected = before.cause(&newest.version).unwrap_or(nothing_known);
            assert_eq!(
                (told.failure.code, &told.from_version),
                (expected, &newest.version),
                "{}",
                story()
            );
            assert!(!told.failure.reason.is_empty());
        }
    }
    // What is given up has a reason, and keeps it even if it is forgiven at the end.
    if let Some(StartDecision::GiveUp(failure)) = &seen.decision {
        let kept = slot.and_then(|s| s.bad.as_ref().or(s.last_failure.as_ref()));
        assert_eq!(kept, Some(failure), "{}", story());
        assert_ne!(seen.action, Some(BootAction::Retry), "{}", story());
    }
    if seen.ending == Ending::Runs {
        let slot = slot.unwrap();
        assert_eq!((slot.attempts, slot.stage), (0, Stage::Healthy), "{}", story());
        assert_eq!((&slot.bad, &slot.last_failure), (&None, &None), "{}", story());
    }
}

/// The longest chain of restarts that nothing healthy and no stop interrupts; `None` if there is a circle.
fn longest_chain(graph: &Graph) -> Option<usize> {
    #[derive(Clone, Copy)]
    enum Mark {
        New,
        Open,
        Done(usize),
    }
    let mut marks = vec![Mark::New; graph.restarts.len()];
    for root in 0..marks.len() {
        let mut stack = vec![(root, false)];
        while let Some((node, expanded)) = stack.pop() {
            match (marks[node], expanded) {
                (Mark::Done(_), _) => {}
                (Mark::Open, false) => return None,
                (Mark::New, _) => {
                    marks[node] = Mark::Open;
                    stack.push((node, true));
                    for &next in &graph.restarts[node] {
                        match marks[next] {
                            Mark::New => stack.push((next, false)),
                            Mark::Open => return None,
                            Mark::Done(_) => {}
                        }
                    }
                }
                (Mark::Open, true) => {
                    let below = graph.restarts[node].iter().map(|&next| match marks[next] {
                        Mark::Done(length) => length + 1,
                        Mark::New | Mark::Open => unreachable!("children come first"),
                    });
                    marks[node] = Mark::Done(below.max().unwrap_or(0));
                }
            }
        }
    }
    marks
        .iter()
        .map(|m| if let Mark::Done(length) = m { *length } else { 0 })
        .max()
}

#[test]
fn no_sequence_of_events_makes_a_reboot_storm_or_loses_a_reason() {
    for slots in [&["1", "2"][..], &["2"]] {
        for tries in [Some(TRIES), None] {
            for max_attempts in [1, 2, 3, 4] {
                let graph = explore(Machine::flashed(slots, tries, max_attempts));
                let longest = longest_chain(&graph);
                println!(
                    "{slots:?}, tries {tries:?}, {max_attempts} attempts: {} states, {} starts, at most {longest:?} restarts in a row",
                    graph.restarts.len(),
                    graph.starts
                );
                // Each slot restarts by itself once a try, once an attempt, and once when it is given up.
                let bound = slots.len() * (TRIES + max_attempts + 1) as usize;
                assert!(
                    longest.is_some_and(|l| l <= bound),
                    "{slots:?} {tries:?} {max_attempts}: {longest:?}"
                );
                assert!(graph.restarts.len() > 10, "the walk went nowhere");
            }
        }
    }
}

#[test]
fn a_sound_slot_is_reached_by_itself_whatever_the_other_one_runs_into() {
    let bad_events = EVENTS
        .iter()
        .filter(|e| !matches!(e, Event::Healthy | Event::Fails(Code::SecretBlob)));
    for &event in bad_events {
        for (broken, sound) in [("2", "1"), ("1", "2")] {
            for tries in [Some(TRIES), None] {
                if event == Event::Refused && tries.is_none() {
                    continue; // nothing counts then; the image is never built so
                }
                let mut machine = Machine::flashed(&["1", "2"], tries, 3);
                let mut starts = 0;
                loop {
                    starts += 1;
                    assert!(starts < 12, "{event:?} in {broken}: {machine:#?}");
                    let here = if machine.preferred().as_str() == broken {
                        event
                    } else {
                        Event::Healthy
                    };
                    let seen = machine.power_on(here);
                    if seen.ending == Ending::Runs {
                        assert_eq!(seen.slot.as_str(), sound);
                        break;
                    }
                    assert_ne!(seen.ending, Ending::Stops, "{event:?} in {broken}: {machine:#?}");
                }
            }
        }
    }
}

#[test]
fn the_walk_would_find_a_storm() {
    let circle = Graph {
        restarts: vec![vec![1], vec![2], vec![1]],
        starts: 0,
    };
    assert_eq!(longest_chain(&circle), None);
    let chain = Graph {
        restarts: vec![vec![1, 2], vec![2], vec![]],
        starts: 0,
    };
    assert_eq!(longest_chain(&chain), Some(2));
}
