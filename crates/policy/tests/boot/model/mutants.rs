//! The checker can fail: each rule taken away breaks the promise that it is there for, and the shipped rules keep
//! it on the same machine.

use super::promises::Promise;
use super::state::{Note, Record, SLOTS, Slot, TRIES};
use super::world::{Fault, Rules, SHIPPED, World};
use super::worlds::{Promised, check, world};
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, Stage};
use bennu_formats::names::UkiFileName;
use bennu_policy::boot::{self, BootAction, FailureFacts, Past, StartDecision, StartFacts};

const SOUND: &[Fault] = &[];
const CORRUPT: &[Fault] = &[Fault::Fails(Code::VerityCorrupt)];
const PANICS: &[Fault] = &[Fault::Panics(Note::Verity)];
const NO_TPM: &[Fault] = &[Fault::Fails(Code::TpmMissing)];
const SICK: &[Fault] = &[Fault::Unhealthy];

/// The broken machine breaks `promise`; the shipped one keeps all that is promised.
pub fn breaks(promise: Promise, rules: Rules, world: &World, promised: Promised) {
    let found = check(&World { rules, ..*world }, promised).map(drop);
    let broken = found.expect_err("a broken machine was found to be sound");
    assert_eq!(broken.promise, promise, "{:#?}", broken.way);
    let control = check(world, promised).map(drop);
    assert!(control.is_ok(), "positive control: {control:#?}");
}

#[test]
fn a_start_that_does_not_ask_for_the_floor_goes_below_it() {
    let rules = Rules {
        is_below: |_| false,
        ..SHIPPED
    };
    for (below_floor, older, newer) in [([true, false], SOUND, CORRUPT), ([false, true], SOUND, SOUND)] {
        let world = World {
            below_floor,
            ..world(older, newer)
        };
        breaks(Promise::NeverBelowTheFloor, rules, &world, Promised::NoStorm);
    }
}

#[test]
fn a_start_that_passes_over_verdicts_starts_a_bad_slot() {
    let on_start = |record: &mut BootRecord, facts: &StartFacts<'_>| {
        record.slot_mut(facts.this).bad = None;
        boot::on_start(record, facts)
    };
    let rules = Rules { on_start, ..SHIPPED };
    breaks(
        Promise::NeverABadSlot,
        rules,
        &world(SOUND, CORRUPT),
        Promised::Healthy,
    );
}

#[test]
fn attempts_that_are_not_counted_make_a_storm() {
    let on_start = |record: &mut BootRecord, facts: &StartFacts<'_>| {
        let decision = boot::on_start(record, facts);
        record.slot_mut(facts.this).attempts = 0;
        decision
    };
    let rules = Rules { on_start, ..SHIPPED };
    breaks(Promise::NoStorm, rules, &world(NO_TPM, NO_TPM), Promised::NoStorm);
}

#[test]
fn restarts_without_a_record_that_nobody_counts_make_a_storm() {
    let rules = Rules {
        on_blind_failure: |_| BootAction::Retry,
        ..SHIPPED
    };
    const BLIND: &[Fault] = &[Fault::BeforeEsp];
    breaks(Promise::NoStorm, rules, &world(BLIND, BLIND), Promised::NoStorm);
}

#[test]
fn a_bootfallback_that_never_stops_makes_a_storm() {
    let rules = Rules {
        loader_is_bounded: false,
        ..SHIPPED
    };
    const REFUSED: &[Fault] = &[Fault::Refused];
    breaks(
        Promise::NoStorm,
        rules,
        &world(REFUSED, REFUSED),
        Promised::NoStorm,
    );
}

#[test]
fn falling_back_without_looking_leads_nowhere() {
    let on_failure = |record: &mut BootRecord, failure: &Failure, facts: &FailureFacts<'_>| {
        boot::on_failure(record, failure, facts);
        BootAction::FallBack
    };
    let rules = Rules {
        on_failure,
        ..SHIPPED
    };
    breaks(
        Promise::FallsBackToASlot,
        rules,
        &world(CORRUPT, CORRUPT),
        Promised::NoStorm,
    );
    let rules = Rules {
        on_unhealthy: |record, this, words, most, entries| {
            let (failure, _) = boot::on_unhealthy(record, this, words, most, entries);
            (failure, BootAction::FallBack)
        },
        ..SHIPPED
    };
    breaks(
        Promise::FallsBackToASlot,
        rules,
        &world(SICK, SICK),
        Promised::NoStorm,
    );
}

#[test]
fn falling_back_without_looking_at_the_state_leads_nowhere() {
    let on_failure = |record: &mut BootRecord, failure: &Failure, facts: &FailureFacts<'_>| {
        let readable_from = record.state_readable_from.take();
        let action = boot::on_failure(record, failure, facts);
        record.state_readable_from = readable_from;
        action
    };
    let world = World {
        newer_raises_state: true,
        ..world(SOUND, CORRUPT)
    };
    let rules = Rules {
        on_failure,
        ..SHIPPED
    };
    breaks(Promise::FallsBackToASlot, rules, &world, Promised::NoStorm);
}

#[test]
fn drift_that_does_not_look_or_gives_nothing_up_leads_nowhere_or_back() {
    const DRIFTS: &[Fault] = &[Fault::Drifts];
    let world = world(DRIFTS, DRIFTS);
    let rules = Rules {
        on_drift: |record, this, words, entries| {
            let told = Failure::new(Code::SlotDrifted, words);
            Some(boot::on_drift(record, this, words, entries).unwrap_or(told))
        },
        ..SHIPPED
    };
    breaks(Promise::FallsBackToASlot, rules, &world, Promised::Healthy);
    // The entry's new name alone: the power goes before it is written.
    let rules = Rules {
        on_drift: |record, this, words, entries| {
            let failure = boot::on_drift(record, this, words, entries);
            record.slot_mut(this).bad = None;
            failure
        },
        ..SHIPPED
    };
    breaks(Promise::NoWayBack, rules, &world, Promised::Healthy);
}

#[test]
fn giving_up_at_once_stops_a_machine_that_has_a_slot() {
    let on_failure = |record: &mut BootRecord, failure: &Failure, facts: &FailureFacts<'_>| {
        boot::on_failure(record, failure, facts);
        BootAction::Halt
    };
    let rules = Rules {
        on_failure,
        ..SHIPPED
    };
    breaks(
        Promise::StopsLast,
        rules,
        &world(SOUND, CORRUPT),
        Promised::Healthy,
    );
}

#[test]
fn a_machine_that_forgives_nothing_is_lost_to_power_cuts() {
    let on_failure = |record: &mut BootRecord, failure: &Failure, facts: &FailureFacts<'_>| {
        let mut after = record.clone();
        let action = boot::on_failure(&mut after, failure, facts);
        match (action, facts.this) {
            (BootAction::Halt, Some(this)) => record.slot_mut(this).bad = Some(failure.clone()),
            _ => *record = after,
        }
        action
    };
    let rules = Rules {
        on_failure,
        ..SHIPPED
    };
    breaks(
        Promise::EndsHealthy,
        rules,
        &world(CORRUPT, SOUND),
        Promised::Healthy,
    );
    // Forgiving has to reach the loader's counter, too.
    let rules = Rules {
        entry_after_failure: |record, _, this, entry, tries| {
            boot::entry_after_failure(record, BootAction::FallBack, this, entry, tries)
        },
        ..SHIPPED
    };
    breaks(
        Promise::EndsHealthy,
        rules,
        &world(SOUND, CORRUPT),
        Promised::Healthy,
    );
}

#[test]
fn attempts_that_a_good_mark_keeps_need_somebodys_hand_in_the_end() {
    let rules = Rules {
        on_healthy: |record, this| {
            let attempts = record.slot_mut(this).attempts;
            boot::on_healthy(record, this);
            record.slot_mut(this).attempts = attempts;
        },
        ..SHIPPED
    };
    let world = World {
        cuts: Some(TRIES as u8 - 1),
        ..world(CORRUPT, SOUND)
    };
    breaks(Promise::EndsHealthy, rules, &world, Promised::HealthyByItself);
}

#[test]
fn a_panic_that_is_counted_twice_costs_an_innocent_slot() {
    // The power goes after the record was written and before the note was removed.
    let rules = Rules {
        on_panic: |record, panic| {
            let last = record.last.clone();
            boot::on_panic(record, panic);
            record.last = last;
        },
        ..SHIPPED
    };
    const UNREAD: &[Fault] = &[Fault::Panics(Note::RootIo)];
    breaks(
        Promise::OwnFaults,
        rules,
        &world(SOUND, UNREAD),
        Promised::Healthy,
    );
    // The note cannot be removed.
    let rules = Rules {
        on_start: |record, facts| {
            let facts = StartFacts {
                old_note_remains: false,
                ..facts.clone()
            };
            boot::on_start(record, &facts)
        },
        ..SHIPPED
    };
    let world = World {
        esp_fails: true,
        ..world(SOUND, PANICS)
    };
    breaks(Promise::OwnFaults, rules, &world, Promised::Healthy);
}

#[test]
fn a_reason_that_is_not_written_down_or_not_told_is_lost() {
    let forgets = Rules {
        on_panic: |_, _| {},
        ..SHIPPED
    };
    let removes_first = Rules {
        record_before_note: false,
        ..SHIPPED
    };
    let silent = Rules {
        on_start: |record, facts| match boot::on_start(record, facts) {
            StartDecision::Go(_) => StartDecision::Go(Past::default()),
            given_up => given_up,
        },
        ..SHIPPED
    };
    for rules in [forgets, removes_first, silent] {
        breaks(
            Promise::ReasonKept,
            rules,
            &world(SOUND, PANICS),
            Promised::Healthy,
        );
    }
}

#[test]
fn a_good_mark_that_removes_the_counter_is_noticed() {
    let armed = |name: &UkiFileName, _| UkiFileName {
        counter: None,
        ..name.clone()
    };
    let rules = Rules { armed, ..SHIPPED };
    breaks(
        Promise::CounterStays,
        rules,
        &world(SOUND, SOUND),
        Promised::Healthy,
    );
}

#[test]
fn what_the_model_leaves_out_decides_nothing() {
    let dressed = |record: &Record| {
        let mut record = record.shipped();
        record.starts = 77;
        for slot in record.slots.values_mut() {
            slot.stage = Stage::Pivoted;
            for failure in slot.bad.iter_mut().chain(&mut slot.last_failure) {
                failure.reason = "other words".into();
            }
        }
        record
    };
    let (graph, _) = check(&world(NO_TPM, PANICS), Promised::NoStorm).unwrap();
    for state in &graph.states {
        for (slot, note) in SLOTS.into_iter().zip([Note::RootIo, Note::Verity]) {
            let results = [state.record.shipped(), dressed(&state.record)]
                .map(|mut record| decide(state.entries(), &mut record, slot, note));
            assert_eq!(results[0], results[1], "{state:?}");
        }
    }
}

type Decided = (Option<Code>, BootAction, BootAction, [Record; 3]);

fn decide(entries: [boot::Entry; 2], record: &mut BootRecord, slot: Slot, note: Note) -> Decided {
    let this = slot.version();
    boot::on_panic(record, &note.shipped());
    let first = Record::of(record);
    let facts = StartFacts {
        this: &this,
        entries: &entries,
        max_attempts: TRIES,
        old_note_remains: false,
    };
    let given_up = match boot::on_start(record, &facts) {
        StartDecision::GiveUp(failure) => Some(failure.code),
        StartDecision::Go(_) => None,
    };
    let second = Record::of(record);
    let mut other = record.clone();
    let (_, unhealthy) = boot::on_unhealthy(&mut other, &this, "words", TRIES, &entries);
    let facts = FailureFacts {
        this: Some(&this),
        entries: Some(&entries),
    };
    let failure = Failure::new(given_up.unwrap_or(Code::TpmMissing), "words");
    let action = boot::on_failure(record, &failure, &facts);
    (given_up, unhealthy, action, [first, second, Record::of(record)])
}
