//! A running system that drifted: its slot is given up only for one that may start, and for good until somebody comes.

use crate::loader::version;
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_policy::boot::{
    BootAction, Entry, FailureFacts, StartDecision, StartFacts, on_drift, on_failure, on_healthy, on_start,
    on_state,
};

fn entry(text: &str, tries_left: u32) -> Entry {
    Entry {
        version: version(text),
        tries_left: Some(tries_left),
        tries_done: 3 - tries_left,
    }
}

fn start(record: &mut BootRecord, this: &str, entries: &[Entry]) -> StartDecision {
    let facts = StartFacts {
        this: &version(this),
        entries,
        max_attempts: 3,
        old_note_remains: false,
    };
    on_start(record, &facts)
}

/// What may be known of the other slot, and whether slot 2 is left for it.
#[test]
fn a_slot_is_given_up_for_drift_only_where_another_one_may_start() {
    let bad = |record: &mut BootRecord| {
        record.slot_mut(&version("1")).bad = Some(Failure::new(Code::VerityCorrupt, "x"));
    };
    let unread = |record: &mut BootRecord| {
        on_state(record, &version("1"), 1, 1);
        on_state(record, &version("2"), 2, 2);
    };
    let failed_once = |record: &mut BootRecord| {
        record.slot_mut(&version("1")).last_failure = Some(Failure::new(Code::TpmMissing, "x"));
    };
    let nothing = |_: &mut BootRecord| {};
    type Known = fn(&mut BootRecord);
    let both = vec![entry("2", 3), entry("1", 3)];
    let table: [(&str, Vec<Entry>, Known, bool); 7] = [
        ("never started", both.clone(), nothing, true),
        ("failed once", both.clone(), failed_once, true),
        ("one try left", vec![entry("2", 3), entry("1", 1)], nothing, true),
        (
            "no tries left",
            vec![entry("2", 3), entry("1", 0)],
            nothing,
            false,
        ),
        ("bad", both.clone(), bad, false),
        ("does not read the state", both, unread, false),
        ("not there", vec![entry("2", 3)], nothing, false),
    ];
    for (about, entries, known, given_up) in table {
        let mut record = BootRecord::default();
        known(&mut record);
        let before = record.clone();
        let failure = on_drift(&mut record, &version("2"), "words", &entries);
        if given_up {
            let expected = Failure::new(Code::SlotDrifted, "words");
            let slot = &record.slots[&version("2")];
            assert_eq!(failure.as_ref(), Some(&expected), "{about}");
            assert_eq!(slot.bad.as_ref(), Some(&expected), "{about}");
            assert_eq!(slot.last_failure.as_ref(), Some(&expected), "{about}");
            assert_eq!(
                before.slots.get(&version("1")),
                record.slots.get(&version("1")),
                "{about}"
            );
        } else {
            assert_eq!((failure, &record), (None, &before), "{about}");
        }
    }
}

#[test]
fn drift_in_one_slot_and_then_in_the_other_stays_there_and_a_person_gets_the_first_one_back() {
    let mut record = BootRecord::default();
    let fresh = [entry("2", 3), entry("1", 3)];
    assert!(matches!(start(&mut record, "2", &fresh), StartDecision::Go(_)));
    on_healthy(&mut record, &version("2"));
    assert!(on_drift(&mut record, &version("2"), "first", &fresh).is_some());

    // Slot 1 says why it runs, becomes healthy, and drifts too: there is nowhere to go.
    let flipped = [entry("2", 0), entry("1", 3)];
    let StartDecision::Go(past) = start(&mut record, "1", &flipped) else {
        panic!("slot 1 is sound: {record:?}");
    };
    let told = past.fell_back.unwrap().failure;
    assert_eq!((told.code, told.reason.as_str()), (Code::SlotDrifted, "first"));
    on_healthy(&mut record, &version("1"));
    let before = record.clone();
    assert_eq!(on_drift(&mut record, &version("1"), "second", &flipped), None);
    assert_eq!(record, before);

    // The power went before slot 2's entry had its new name: it gives itself up.
    let cut = [entry("2", 3), entry("1", 3)];
    let mut again = record.clone();
    let StartDecision::GiveUp(failure) = start(&mut again, "2", &cut) else {
        panic!("slot 2 was given up: {again:?}");
    };
    assert_eq!(failure.code, Code::SlotDrifted);

    // Slot 1 fails: the recovery screen, behind which slot 2 may start again; its bytes were never at fault.
    let facts = FailureFacts {
        this: Some(&version("1")),
        entries: Some(&flipped),
    };
    let corrupt = Failure::new(Code::VerityCorrupt, "x");
    assert_eq!(on_failure(&mut record, &corrupt, &facts), BootAction::Halt);
    let StartDecision::Go(past) = start(&mut record, "2", &fresh) else {
        panic!("slot 2 is forgiven: {record:?}");
    };
    assert_eq!(past.last_failure.map(|f| f.code), Some(Code::SlotDrifted));
}
