//! A start that waits for a person does not count until they have answered.

use crate::loader::version;
use bennu_formats::boot_record::BootRecord;
use bennu_formats::names::UkiFileName;
use bennu_policy::boot::{
    Entry, StartDecision, StartFacts, entry_while_waiting, on_answered, on_start, on_waiting,
};

fn start(record: &mut BootRecord) -> StartDecision {
    let entries = [Entry {
        version: version("1"),
        tries_left: Some(3),
        tries_done: 0,
    }];
    on_start(
        record,
        &StartFacts {
            this: &version("1"),
            entries: &entries,
            max_attempts: 2,
            old_note_remains: false,
        },
    )
}

#[test]
fn a_machine_switched_off_at_a_prompt_loses_no_slot_however_often() {
    let mut record = BootRecord::default();
    for _ in 0..20 {
        assert!(matches!(start(&mut record), StartDecision::Go(_)));
        on_waiting(&mut record, &version("1"));
    }
    assert!(matches!(start(&mut record), StartDecision::Go(_)));
    assert_eq!(record.slots[&version("1")].attempts, 1);
}

#[test]
fn a_slot_whose_prompt_is_answered_and_that_never_becomes_healthy_is_given_up_as_ever() {
    let mut record = BootRecord::default();
    for _ in 0..2 {
        assert!(matches!(start(&mut record), StartDecision::Go(_)));
        on_waiting(&mut record, &version("1"));
        on_answered(&mut record, &version("1"));
    }
    assert!(matches!(start(&mut record), StartDecision::GiveUp(_)));
}

#[test]
fn the_entry_gets_the_try_back_that_the_loader_took() {
    for (counted, waiting) in [
        ("demo_1+2-1.efi", "demo_1+3-0.efi"),
        ("demo_1+0-3.efi", "demo_1+1-2.efi"),
        // The loader has counted nothing here.
        ("demo_1+3-0.efi", "demo_1+3-0.efi"),
        ("demo_1.efi", "demo_1.efi"),
    ] {
        let entry: UkiFileName = counted.parse().unwrap();
        assert_eq!(entry_while_waiting(&entry).to_string(), waiting);
    }
}
