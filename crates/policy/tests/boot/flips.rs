//! How many slots were given up for drift in a row, which the drift ladder asks for.

use crate::loader::{Event, Machine, version};
use bennu_formats::boot_record::Failure;
use bennu_policy::boot::on_drift;

/// The running system of `slot` drifted, and its entry was renamed.
fn drifts(machine: &mut Machine, slot: &str) -> Option<Failure> {
    let slot = version(slot);
    let failure = on_drift(&mut machine.record, &slot, "words", &machine.entries)?;
    let entry = machine.entries.iter_mut().find(|entry| entry.version == slot);
    entry.unwrap().tries_left = Some(0);
    Some(failure)
}

/// A newer release takes the place of the slot that drifted.
fn install(machine: &mut Machine, old: &str, new: &str) {
    let place = machine
        .entries
        .iter_mut()
        .find(|entry| entry.version == version(old));
    let place = place.unwrap();
    (place.version, place.tries_left, place.tries_done) = (version(new), Some(3), 0);
}

#[test]
fn flips_are_counted_until_a_slot_starts_again_after_a_start_that_was_good_to_its_end() {
    let mut machine = Machine::flashed(&["1", "2"], Some(3), 3);
    let flips = |machine: &Machine| machine.record.drift_flips;
    // Slot 1 was good long ago: that it starts after the flip ends nothing.
    install(&mut machine, "2", "0");
    machine.power_on(Event::Healthy);
    install(&mut machine, "0", "2");
    machine.power_on(Event::Healthy);
    assert!(drifts(&mut machine, "2").is_some());
    assert_eq!(flips(&machine), 1);
    assert!(drifts(&mut machine, "2").is_some(), "tried again: one flip");
    assert_eq!(flips(&machine), 1);

    assert_eq!(machine.power_on(Event::Healthy).slot, version("1"));
    assert_eq!(flips(&machine), 1, "a good mark alone ends nothing");
    install(&mut machine, "2", "3");
    assert_eq!(machine.power_on(Event::Healthy).slot, version("3"));
    assert_eq!(flips(&machine), 1, "another slot started in between");
    assert!(drifts(&mut machine, "3").is_some());
    assert_eq!(flips(&machine), 2);

    machine.power_on(Event::OtherPanic);
    machine.power_on(Event::Healthy);
    assert_eq!(flips(&machine), 2);
    assert_eq!(drifts(&mut machine, "1"), None);
    assert_eq!(flips(&machine), 2, "no flip where there is no other slot");
    machine.power_on(Event::Healthy);
    assert_eq!(flips(&machine), 0);
}
