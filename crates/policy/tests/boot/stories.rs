//! The promises about the slot machine (ARCHITECTURE.md) one by one, with the exact reason and a positive control each.

use crate::loader::{Ending, Event, Machine, TRIES, version};
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, MAX_REASON_BYTES, MAX_SLOTS};
use bennu_policy::boot::{
    BootAction, Entry, FailureFacts, PanicNote, Past, StartDecision, StartFacts, on_failure, on_panic,
    on_start,
};
use proptest::prelude::*;

const RETRIED: [Code; 7] = [
    Code::TpmMissing,
    Code::TpmExtend,
    Code::FloorAccess,
    Code::StateAccess,
    Code::SecretSeal,
    Code::FactoryReset,
    Code::BootDisk,
];

fn two_slots() -> Machine {
    Machine::flashed(&["1", "2"], Some(TRIES), 3)
}

/// Both slots were healthy once, the newer one last.
fn long_in_service() -> Machine {
    let mut machine = two_slots();
    for first_broken in [true, false] {
        if first_broken {
            machine.entries[1].tries_left = Some(0);
        }
        assert_eq!(machine.power_on(Event::Healthy).ending, Ending::Runs);
        if first_broken {
            machine.entries[1].tries_left = Some(TRIES);
            machine.record = BootRecord::default();
        }
    }
    assert_eq!(machine.record.last, Some(version("2")));
    machine
}

fn fails(record: &mut BootRecord, code: Code, this: &str, entries: &[Entry]) -> BootAction {
    let facts = FailureFacts {
        this: Some(&version(this)),
        entries: Some(entries),
    };
    on_failure(record, &Failure::new(code, "x"), &facts)
}

#[test]
fn a_healthy_machine_starts_the_newest_slot_again_and_again() {
    let mut machine = two_slots();
    for _ in 0..20 {
        let seen = machine.power_on(Event::Healthy);
        assert_eq!((seen.slot.as_str(), seen.ending), ("2", Ending::Runs));
    }
    assert_eq!(machine.record.starts, 20);
    assert_eq!(machine.record.slots[&version("2")].attempts, 0);
}

#[test]
fn a_slot_marked_good_long_ago_that_fails_today_falls_back_with_the_reason() {
    for (event, code, starts) in [
        (Event::Fails(Code::VerityCorrupt), Code::VerityCorrupt, 1),
        (Event::VerityPanic, Code::VerityCorrupt, 2),
        (Event::OtherPanic, Code::SlotPanic, 3),
        (Event::Unhealthy, Code::SlotUnhealthy, 3),
        (Event::Fails(Code::TpmMissing), Code::TpmMissing, 3),
        (Event::Refused, Code::UkiNotStarted, 3),
        (Event::PowerCut, Code::SlotUnhealthy, 3),
    ] {
        let mut machine = long_in_service();
        for n in 1..=starts {
            let seen = machine.power_on(event);
            assert_eq!(
                (seen.slot.as_str(), seen.ending),
                ("2", Ending::Restarts),
                "{event:?} {n}"
            );
        }
        let seen = machine.power_on(Event::Healthy);
        assert_eq!(
            (seen.slot.as_str(), &seen.ending),
            ("1", &Ending::Runs),
            "{event:?}"
        );
        let told = seen.fell_back().expect("the reason is told");
        assert_eq!(
            (told.failure.code, told.from_version.as_str()),
            (code, "2"),
            "{event:?}"
        );
        assert_eq!(
            machine.record.slots[&version("2")].bad.as_ref(),
            Some(&told.failure)
        );
    }
}

#[test]
fn a_single_slot_that_fails_stops_after_its_attempts_and_never_restarts_for_ever() {
    for code in RETRIED
        .into_iter()
        .chain([Code::SlotUnhealthy, Code::PcrUnexpected, Code::SecretUnseal])
        .chain([Code::ManifestSignature])
    {
        let mut machine = Machine::flashed(&["1"], Some(TRIES), 3);
        let mut restarts = 0;
        while machine.power_on(Event::Fails(code)).ending == Ending::Restarts {
            restarts += 1;
            assert!(restarts <= 3, "{code}");
        }
        let slot = &machine.record.slots[&version("1")];
        let kept = slot.bad.as_ref().or(slot.last_failure.as_ref());
        assert_eq!(kept.map(|f| f.code), Some(code));
        // What is proven stays. What may pass is tried again once somebody has switched the machine off and on.
        let proven = code == Code::ManifestSignature;
        assert_eq!(slot.bad.is_some(), proven, "{code}");
        let expected = if proven { Ending::Stops } else { Ending::Runs };
        assert_eq!(machine.power_on(Event::Healthy).ending, expected, "{code}");
    }
}

#[test]
fn a_slot_given_up_for_a_fault_that_may_pass_is_not_tried_again() {
    for code in RETRIED {
        let mut machine = Machine::flashed(&["1", "2"], None, 2);
        for _ in 0..2 {
            let seen = machine.power_on(Event::Fails(code));
            assert_eq!(
                seen.action,
                Some(BootAction::Retry),
                "positive control: {code} is tried again"
            );
        }
        let seen = machine.power_on(Event::Healthy);
        assert!(
            matches!(&seen.decision, Some(StartDecision::GiveUp(f)) if f.code == code),
            "{seen:?}"
        );
        assert_eq!(seen.action, Some(BootAction::FallBack), "{code}");
    }
}

#[test]
fn falling_back_needs_a_slot_that_may_start() {
    let other = |tries_left| Entry {
        version: version("1"),
        tries_left,
        tries_done: 0,
    };
    let this = Entry {
        version: version("2"),
        tries_left: Some(2),
        tries_done: 1,
    };
    let mut bad_one = BootRecord::default();
    bad_one.slot_mut(&version("1")).bad = Some(Failure::new(Code::VerityCorrupt, "x"));
    for (record, entries, expected) in [
        (
            BootRecord::default(),
            vec![other(Some(1)), this.clone()],
            BootAction::FallBack,
        ),
        (
            BootRecord::default(),
            vec![other(None), this.clone()],
            BootAction::FallBack,
        ),
        (
            BootRecord::default(),
            vec![other(Some(0)), this.clone()],
            BootAction::Halt,
        ),
        (BootRecord::default(), vec![this.clone()], BootAction::Halt),
        (bad_one, vec![other(Some(3)), this.clone()], BootAction::Halt),
    ] {
        let mut after = record.clone();
        assert_eq!(
            fails(&mut after, Code::ManifestSignature, "2", &entries),
            expected,
            "{entries:?}"
        );
        let kept = after.slots[&version("2")].bad.as_ref().map(|f| f.code);
        assert_eq!(
            kept,
            Some(Code::ManifestSignature),
            "the reason is kept either way"
        );
    }
}

#[test]
fn every_code_leads_to_its_action_and_only_the_slots_own_faults_make_it_bad() {
    let entries = two_slots().entries;
    for &code in Code::ALL {
        let mut record = BootRecord::default();
        let action = fails(&mut record, code, "2", &entries);
        let slot = &record.slots[&version("2")];
        assert_eq!(slot.last_failure.as_ref().map(|f| f.code), Some(code));
        assert_eq!(slot.bad.is_some(), action == BootAction::FallBack, "{code}");
        assert_eq!(RETRIED.contains(&code), action == BootAction::Retry, "{code}");
    }
    let halts = [
        Code::SecureBootOff,
        Code::DuplicatePartition,
        Code::LatchOpen,
        Code::SecretBlob,
        Code::FloorMissing,
        Code::FloorForeign,
        Code::TpmOwned,
        Code::TpmBank,
    ];
    for code in halts {
        assert_eq!(
            fails(&mut BootRecord::default(), code, "2", &entries),
            BootAction::Halt,
            "{code}"
        );
    }
    for code in [
        Code::ManifestRootHash,
        Code::VerityCorrupt,
        Code::VeritySignature,
        Code::ImaPolicy,
        Code::SecretUnseal,
        Code::BelowFloor,
        Code::Internal,
    ] {
        assert_eq!(
            fails(&mut BootRecord::default(), code, "2", &entries),
            BootAction::FallBack,
            "{code}"
        );
    }
}

#[test]
fn without_a_place_for_the_verdict_the_machine_stops() {
    let entries = two_slots().entries;
    let this = version("2");
    for (this, entries) in [
        (None, None),
        (Some(&this), None),
        (None, Some(entries.as_slice())),
    ] {
        let mut record = BootRecord::default();
        let failure = Failure::new(Code::ManifestSignature, "x");
        let action = on_failure(&mut record, &failure, &FailureFacts { this, entries });
        assert_eq!(action, BootAction::Halt);
        assert_eq!(record, BootRecord::default());
    }
}

#[test]
fn the_kernels_words_about_a_panic_reach_the_next_boot() {
    let mut machine = two_slots();
    machine.power_on(Event::VerityPanic);
    let seen = machine.power_on(Event::Healthy);
    assert_eq!(seen.action, Some(BootAction::FallBack));
    let seen = machine.power_on(Event::Healthy);
    let reason = &seen.fell_back().unwrap().failure.reason;
    assert_eq!(reason, "the kernel said: data block 7 is corrupted");
}

#[test]
fn a_panic_without_a_start_before_it_belongs_to_nobody() {
    let mut record = BootRecord::default();
    let entries = two_slots().entries;
    let panic = PanicNote::VerityCorruption("left by another system".into());
    let this = version("2");
    let facts = StartFacts {
        this: &this,
        entries: &entries,
        max_attempts: 3,
        old_note_remains: false,
    };
    on_panic(&mut record, &panic);
    assert_eq!(on_start(&mut record, &facts), StartDecision::Go(Past::default()));
    assert!(record.slots[&this].last_failure.is_none());
}

#[test]
fn an_older_slot_taken_by_choice_is_no_fall_back() {
    let mut record = BootRecord::default();
    let entries = two_slots().entries;
    let this = version("1");
    let facts = StartFacts {
        this: &this,
        entries: &entries,
        max_attempts: 3,
        old_note_remains: false,
    };
    assert_eq!(on_start(&mut record, &facts), StartDecision::Go(Past::default()));
}

fn any_record() -> impl Strategy<Value = BootRecord> {
    let failure = proptest::option::of(
        (0..Code::ALL.len(), "\\PC{0,20}").prop_map(|(n, words)| Failure::new(Code::ALL[n], &words)),
    );
    let slot = ("[0-9]{1,2}", any::<u32>(), failure.clone(), failure);
    (
        any::<u64>(),
        proptest::collection::vec(slot, 0..MAX_SLOTS + 4),
        "[0-9]",
    )
        .prop_map(|(starts, slots, last)| {
            let mut record = BootRecord {
                starts,
                last: Some(version(&last)),
                ..BootRecord::default()
            };
            for (v, attempts, bad, last_failure) in slots {
                let slot = record.slot_mut(&version(&v));
                (slot.attempts, slot.bad, slot.last_failure) = (attempts, bad, last_failure);
            }
            record
        })
}

proptest! {
    #[test]
    fn no_record_that_the_disk_may_hold_makes_a_decision_panic_or_a_bad_slot_start(
        record in any_record(),
        entries in proptest::collection::vec(("[0-9]{1,2}", proptest::option::of(0u32..999), any::<u32>()), 0..12),
        this in "[0-9]{1,2}",
        max_attempts in 0u32..20,
        code in 0..Code::ALL.len(),
        words in "\\PC{0,600}",
    ) {
        let this = version(&this);
        let entries: Vec<Entry> = entries.into_iter()
            .map(|(v, tries_left, tries_done)| Entry { version: version(&v), tries_left, tries_done })
            .collect();
        let was_bad = record.slots.get(&this).is_some_and(|s| s.bad.is_some());
        let mut after = record;
        let panic = PanicNote::Other(words.clone());
        on_panic(&mut after, &panic);
        let facts = StartFacts { this: &this, entries: &entries, max_attempts, old_note_remains: false };
        let decision = on_start(&mut after, &facts);
        if let StartDecision::Go(_) = decision {
            prop_assert!(after.slots[&this].attempts <= max_attempts.max(1));
        }
        // A record holds few slots: with more bad entries than that, an old verdict may be forgotten.
        if entries.len() < MAX_SLOTS - 2 && after.slots.len() < MAX_SLOTS {
            prop_assert!(!was_bad || matches!(decision, StartDecision::GiveUp(_)));
        }
        let failure = Failure::new(Code::ALL[code], &words);
        prop_assert!(failure.reason.len() <= MAX_REASON_BYTES);
        let facts = FailureFacts { this: Some(&this), entries: Some(&entries) };
        if on_failure(&mut after, &failure, &facts) == BootAction::FallBack {
            prop_assert!(entries.iter().any(|e| e.version != this && e.tries_left != Some(0)));
        }
        prop_assert!(after.slots.len() <= MAX_SLOTS);
    }
}
