//! The verdict on the ESP, file by file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bennu_esp::EspError;
use bennu_policy::boot::BootAction;
use bennu_runtime::mark::{Slot, mark_good, mark_unhealthy};
use std::time::SystemTime;
use world::{World, handover};

#[test]
fn a_second_mark_writes_nothing() {
    let world = World::with_entries(&["demo_2+2-1.efi"]);
    world.record_attempts(1);
    let slot = Slot::of(&handover(1));
    let first = mark_good(&world.esp(), &slot, 3).unwrap();
    assert_eq!(first.entry.to_string(), "demo_2+3-0.efi");
    let record = world.esp().root().join("bennu/boot-record.json");
    std::fs::File::options()
        .write(true)
        .open(&record)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(mark_good(&world.esp(), &slot, 3).unwrap(), first);
    assert_eq!(
        std::fs::metadata(&record).unwrap().modified().unwrap(),
        SystemTime::UNIX_EPOCH
    );
}

#[test]
fn a_bad_entry_of_a_slot_that_became_healthy_is_armed_again() {
    let world = World::with_entries(&["demo_2+0-3.efi"]);
    world.record_attempts(2);
    let slot = Slot::of(&handover(2));
    mark_unhealthy(&world.esp(), &slot, "words", 2).unwrap();
    assert_eq!(
        mark_good(&world.esp(), &slot, 3).unwrap().entry.to_string(),
        "demo_2+3-0.efi"
    );
}

#[test]
fn an_esp_without_an_entry_of_the_slot_takes_no_mark_and_keeps_its_record() {
    let world = World::with_entries(&["demo_1+3-0.efi", "other_2+3-0.efi"]);
    world.record_attempts(2);
    let before = world.esp().boot_record().unwrap();
    let slot = Slot::of(&handover(2));
    assert!(matches!(
        mark_good(&world.esp(), &slot, 3),
        Err(EspError::NoEntry { .. })
    ));
    assert_eq!(world.esp().boot_record().unwrap(), before);
    let verdict = mark_unhealthy(&world.esp(), &slot, "words", 2).unwrap();
    assert_eq!((verdict.action, verdict.entry), (BootAction::FallBack, None));
    let slot = Slot {
        version: "1".parse().unwrap(),
        ..slot
    };
    assert!(mark_good(&world.esp(), &slot, 3).is_ok());
}

#[test]
fn a_verdict_given_twice_is_the_same_one() {
    let world = World::with_entries(&["demo_1+3-0.efi", "demo_2+1-2.efi"]);
    world.record_attempts(2);
    let slot = Slot::of(&handover(2));
    let first = mark_unhealthy(&world.esp(), &slot, "words", 2).unwrap();
    assert_eq!(
        (first.action, first.entry.as_ref().unwrap().to_string().as_str()),
        (BootAction::FallBack, "demo_2+0-2.efi")
    );
    assert_eq!(mark_unhealthy(&world.esp(), &slot, "words", 2).unwrap(), first);
}
