//! The rungs of the ladder and its edges: a block that cannot be read, the floor, a note that is found twice, no
//! record to write to.

use crate::loader::{Ending, Event, Machine, TRIES, version};
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_policy::boot::{
    BLIND_RESTARTS, BootAction, FailureFacts, Floor, PanicNote, Past, StartDecision, StartFacts, on_failure,
    on_failure_without_record, on_panic, on_start,
};

fn two_slots() -> Machine {
    Machine::flashed(&["1", "2"], Some(TRIES), 3)
}

/// Slot 2 was healthy and then met a block that it could not read.
fn unread_block(machine: &mut Machine) {
    let seen = machine.power_on(Event::Healthy);
    assert_eq!((seen.slot.as_str(), seen.ending), ("2", Ending::Runs));
    machine.panic = Some(PanicNote::RootIo("dm-verity device has I/O error".into()));
}

#[test]
fn a_block_that_cannot_be_read_restarts_the_slot_once_with_the_reason() {
    let mut machine = two_slots();
    unread_block(&mut machine);
    let seen = machine.power_on(Event::Healthy);
    assert_eq!((seen.slot.as_str(), seen.ending), ("2", Ending::Runs));
    let Some(StartDecision::Go(Past {
        last_failure: Some(told),
        ..
    })) = seen.decision
    else {
        panic!("the reason is told: {:?}", seen.decision);
    };
    assert_eq!(told.code, Code::RootIo);
    assert_eq!(told.reason, "the kernel said: dm-verity device has I/O error");
}

#[test]
fn the_second_block_that_cannot_be_read_leads_to_the_other_slot_though_the_slot_was_healthy_between() {
    let mut machine = two_slots();
    unread_block(&mut machine);
    unread_block(&mut machine);
    let seen = machine.power_on(Event::Healthy);
    assert!(
        matches!(&seen.decision, Some(StartDecision::GiveUp(f)) if f.code == Code::RootIo),
        "{seen:?}"
    );
    assert_eq!(seen.action, Some(BootAction::FallBack));
    let seen = machine.power_on(Event::Healthy);
    assert_eq!((seen.slot.as_str(), &seen.ending), ("1", &Ending::Runs));
    assert_eq!(seen.fell_back().map(|f| f.failure.code), Some(Code::RootIo));
}

#[test]
fn a_slot_below_the_floor_is_given_up_and_one_at_the_floor_goes_on() {
    for (security_version, ends) in [(6, true), (7, false), (8, false)] {
        let numbers = Floor {
            security_version,
            floor: 7,
        };
        assert_eq!(numbers.is_above(), ends, "{security_version}");
    }
    let (this, entries) = (version("2"), two_slots().entries);
    let mut record = BootRecord::default();
    let facts = FailureFacts {
        this: Some(&this),
        entries: Some(&entries),
    };
    let failure = Failure::new(Code::BelowFloor, "x");
    assert_eq!(on_failure(&mut record, &failure, &facts), BootAction::FallBack);
    assert_eq!(record.slots[&this].bad, Some(failure));
}

#[test]
fn a_note_that_a_crash_leaves_behind_counts_once() {
    let mut record = BootRecord::default();
    let (this, entries) = (version("1"), two_slots().entries);
    record.last = Some(version("2"));
    let panic = PanicNote::VerityCorruption("data block 7 is corrupted".into());
    let facts = |old_note_remains| StartFacts {
        this: &this,
        entries: &entries,
        max_attempts: 3,
        old_note_remains,
    };
    // The note is on the record, the power goes, the note is still there.
    on_panic(&mut record, &panic);
    on_panic(&mut record, &panic);
    assert!(matches!(
        on_start(&mut record, &facts(true)),
        StartDecision::Go(_)
    ));
    // It cannot be removed, and is found at the next start too.
    on_panic(&mut record, &panic);
    assert_eq!(record.slots[&this].bad, None);
    assert_eq!(
        record.slots[&version("2")].bad.as_ref().map(|f| f.code),
        Some(Code::VerityCorrupt)
    );
    // Positive control: one that is gone does not protect the slot from a new one.
    assert!(matches!(
        on_start(&mut record, &facts(false)),
        StartDecision::Go(_)
    ));
    on_panic(&mut record, &panic);
    assert_eq!(
        record.slots[&this].bad.as_ref().map(|f| f.code),
        Some(Code::VerityCorrupt)
    );
}

#[test]
fn restarts_without_a_record_end() {
    for restarts in 0..=u8::MAX {
        let expected = if restarts <= BLIND_RESTARTS {
            BootAction::Retry
        } else {
            BootAction::Halt
        };
        for code in [Code::BootDisk, Code::SlotMissing, Code::Esp, Code::Cmdline] {
            assert_eq!(
                on_failure_without_record(code, restarts),
                expected,
                "{code} {restarts}"
            );
        }
    }
    assert_eq!(BLIND_RESTARTS, 7);
}

#[test]
fn a_machine_at_fault_stops_without_a_record_at_once() {
    for code in [Code::DuplicatePartition, Code::SecureBootOff] {
        assert_eq!(on_failure_without_record(code, 1), BootAction::Halt, "{code}");
    }
}
