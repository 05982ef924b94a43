//! A slot that is given up falls back only to one that can read what the machine keeps, as far as that is known.

use crate::loader::version;
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_policy::boot::{BootAction, Entry, FailureFacts, on_failure, on_state, on_unhealthy};

fn entries() -> [Entry; 2] {
    ["1", "2"].map(|text| Entry {
        version: version(text),
        tries_left: Some(3),
        tries_done: 0,
    })
}

/// Both releases have reached their root; release 2 writes what only `readable_from` and later read.
fn record(readable_from: u32) -> BootRecord {
    let mut record = BootRecord::default();
    on_state(&mut record, &version("1"), 1, 1);
    on_state(&mut record, &version("2"), 2, readable_from);
    record
}

fn fails(record: &mut BootRecord, this: &str, code: Code) -> BootAction {
    let facts = FailureFacts {
        this: Some(&version(this)),
        entries: Some(&entries()),
    };
    on_failure(record, &Failure::new(code, "x"), &facts)
}

#[test]
fn a_bad_slot_does_not_fall_back_to_one_that_cannot_read_the_state() {
    for (readable_from, expected) in [(2, BootAction::Halt), (1, BootAction::FallBack)] {
        let action = fails(&mut record(readable_from), "2", Code::VerityCorrupt);
        assert_eq!(action, expected, "readable from {readable_from}");
        let (_, action) = on_unhealthy(&mut record(readable_from), &version("2"), "x", 0, &entries());
        assert_eq!(action, expected, "readable from {readable_from}");
    }
}

#[test]
fn what_is_not_known_is_tried() {
    let mut unknown = BootRecord::default();
    on_state(&mut unknown, &version("2"), 2, 2);
    assert_eq!(
        fails(&mut unknown, "2", Code::VerityCorrupt),
        BootAction::FallBack
    );
    assert_eq!(
        fails(&mut BootRecord::default(), "2", Code::VerityCorrupt),
        BootAction::FallBack
    );
}

#[test]
fn an_older_slot_that_cannot_read_the_state_falls_back_to_the_newer_one_or_stops_and_is_forgiven() {
    let mut before = record(2);
    assert_eq!(fails(&mut before, "1", Code::StateSchema), BootAction::FallBack);
    assert!(before.slots[&version("1")].bad.is_some());
    // Both at their end: nothing was proven against the older one, and the machine may be reset by then.
    let mut both = record(2);
    let corrupt = Failure::new(Code::VerityCorrupt, "x");
    both.slot_mut(&version("2")).bad = Some(corrupt.clone());
    assert_eq!(fails(&mut both, "1", Code::StateSchema), BootAction::Halt);
    assert_eq!(both.slots[&version("1")].bad, None);
    assert_eq!(both.slots[&version("2")].bad, Some(corrupt));
}
