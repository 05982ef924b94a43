//! What becomes of a slot's start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bennu_esp::FoundRecord;
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Stage};
use bennu_formats::health::{HealthConfig, HealthState, ModulesRule};
use bennu_linux::kmsg::Level;
use bennu_runtime::agent::{Agent, LONGEST_PAUSE, Outcome, VERDICT_TRIES};
use std::time::Duration;
use world::{Modules, World, config, handover};

const BOTH: [&str; 2] = ["demo_1+3-0.efi", "demo_2+2-1.efi"];

fn run(world: &mut World, attempts: u32) -> Outcome {
    Agent::new(&handover(attempts), config(), world.started).run(None, world)
}

fn record(world: &World) -> BootRecord {
    match world.esp().boot_record().unwrap() {
        FoundRecord::Whole(record) => record,
        other => panic!("{other:?}"),
    }
}

fn healthy_from(world: &mut World, a: u64, b: u64) {
    world.holds_from = [("/a".to_owned(), a), ("/b".to_owned(), b)].into();
}

#[test]
fn a_slot_whose_checks_come_to_hold_is_marked_good_with_all_its_tries() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    healthy_from(&mut world, 3, 5);
    assert_eq!(run(&mut world, 1), Outcome::Good);
    assert_eq!(world.entries(), ["demo_2+3-0.efi", "demo_1+3-0.efi"]);
    let slot = record(&world).slot_mut(&"2".parse().unwrap()).clone();
    assert_eq!((slot.attempts, slot.stage, slot.bad), (0, Stage::Healthy, None));
    assert!(world.has_said(Level::Notice, "slot 2 marked good (+3)"));
    assert_eq!(
        world.remembered,
        ["2".parse().unwrap()],
        "what its firmware measured"
    );
    let states: Vec<_> = world
        .published
        .iter()
        .map(|r| (&r.health, r.entry.as_str()))
        .collect();
    let waiting = |path: &str| HealthState::Waiting {
        on: format!("file {path}: expected to exist, found none"),
    };
    assert_eq!(
        states,
        [
            (&waiting("/a"), "demo_2+2-1.efi"),
            (&waiting("/b"), "demo_2+2-1.efi"),
            (&HealthState::Good { at_ms: 12_000 }, "demo_2+3-0.efi"),
        ]
    );
}

#[test]
fn a_slot_that_was_marked_good_in_this_boot_stays_good_whatever_its_checks_say_later() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    healthy_from(&mut world, 0, 0);
    assert_eq!(run(&mut world, 1), Outcome::Good);
    let good = world.published.last().unwrap().clone();
    let before = (world.probes, world.esp_tries_at.len(), world.published.len());
    world.holds_from.clear();
    world.clock += Duration::from_secs(3600);
    let agent = Agent::new(&handover(1), config(), world.started);
    assert_eq!(agent.run(Some(&good), &mut world), Outcome::Good);
    assert_eq!(
        (world.probes, world.esp_tries_at.len(), world.published.len()),
        before
    );
}

#[test]
fn an_esp_that_does_not_take_the_mark_is_tried_again_ever_more_slowly_and_never_ends_the_service() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    healthy_from(&mut world, 0, 0);
    world.esp_away_until = world.started + Duration::from_secs(200);
    assert_eq!(run(&mut world, 1), Outcome::Good);
    let at: Vec<u64> = world.esp_tries_at.iter().map(Duration::as_secs).collect();
    assert_eq!(at, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    assert_eq!(at[9] - at[8], LONGEST_PAUSE.as_secs());
    assert!(world.has_said(
        Level::Warning,
        "slot 2 is healthy and could not be marked good: ESP: cannot mount"
    ));
    let said_waiting = |r: &bennu_formats::health::HealthReport| matches!(&r.health, HealthState::Waiting { on } if on.contains("cannot mount"));
    assert!(world.published.iter().any(said_waiting));
    assert_eq!(world.entries()[0], "demo_2+3-0.efi");
}

#[test]
fn a_slot_with_attempts_left_is_restarted_for_another_one_and_keeps_its_tries() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    healthy_from(&mut world, 0, 61);
    assert_eq!(run(&mut world, 1), Outcome::Restart);
    assert_eq!(world.clock - world.started, Duration::from_secs(60));
    assert_eq!(world.entries(), ["demo_2+2-1.efi", "demo_1+3-0.efi"]);
    let slot = record(&world).slot_mut(&"2".parse().unwrap()).clone();
    assert_eq!((slot.attempts, slot.bad), (1, None));
    let failure = slot.last_failure.unwrap();
    assert_eq!(failure.code, Code::SlotUnhealthy);
    assert_eq!(world.remembered, [], "only a good start is remembered");
    let words =
        "expected all health checks to hold within 60 s, found: file /b: expected to exist, found none";
    assert_eq!(failure.reason, words);
    assert!(world.has_said(Level::Critical, &format!("FAILED SLOT-UNHEALTHY: {words}")));
    assert!(world.has_said(
        Level::Critical,
        "attempt 1 of 2 failed; restarting for another one"
    ));
    assert_eq!(
        world.published.last().unwrap().health,
        HealthState::Unhealthy { failure }
    );
}

#[test]
fn a_slot_whose_attempts_are_used_up_is_marked_bad_and_the_other_one_is_taken() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(2);
    assert_eq!(run(&mut world, 2), Outcome::Restart);
    assert_eq!(world.entries(), ["demo_2+0-1.efi", "demo_1+3-0.efi"]);
    let slot = record(&world).slot_mut(&"2".parse().unwrap()).clone();
    assert_eq!(slot.bad.unwrap().code, Code::SlotUnhealthy);
    assert!(world.has_said(
        Level::Critical,
        "slot 2 is marked bad; restarting into the other one"
    ));
    assert_eq!(world.published.last().unwrap().entry, "demo_2+0-1.efi");
}

#[test]
fn the_last_slot_stays_up_and_is_taken_back_when_it_becomes_healthy_late() {
    let mut world = World::with_entries(&["demo_1+0-3.efi", "demo_2+2-1.efi"]);
    world.record_attempts(2);
    healthy_from(&mut world, 0, 1000);
    assert_eq!(run(&mut world, 2), Outcome::Good);
    assert!(world.has_said(Level::Critical, "the system stays up as it is"));
    let unhealthy = |entry: &str| {
        let mut reports = world.published.iter();
        reports.any(|r| matches!(r.health, HealthState::Unhealthy { .. }) && r.entry == entry)
    };
    assert!(unhealthy("demo_2+0-1.efi"));
    assert_eq!(world.entries(), ["demo_2+3-0.efi", "demo_1+0-3.efi"]);
    assert_eq!(record(&world).slot_mut(&"2".parse().unwrap()).bad, None);
}

#[test]
fn a_verdict_that_cannot_be_written_does_not_keep_the_machine_from_restarting() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(2);
    world.esp_away_until = Duration::from_secs(1_000_000);
    assert_eq!(run(&mut world, 2), Outcome::Restart);
    assert_eq!(world.esp_tries_at.len(), VERDICT_TRIES as usize);
    assert!(world.has_said(
        Level::Error,
        "the verdict could not be written: ESP: cannot mount"
    ));
    assert!(matches!(
        world.published.last().unwrap().health,
        HealthState::Unhealthy { .. }
    ));
    assert_eq!(world.entries(), ["demo_2+2-1.efi", "demo_1+3-0.efi"]);
}

const COPIES: [&str; 2] = ["bennu/boot-record.json", "bennu/boot-record.2.json"];

#[test]
fn a_record_with_one_damaged_copy_is_gone_on_with() {
    for copy in COPIES {
        let mut world = World::with_entries(&BOTH);
        world.record_attempts(2);
        std::fs::write(world.esp().root().join(copy), "{").unwrap();
        assert_eq!(run(&mut world, 1), Outcome::Restart);
        assert!(
            !world.has_said(Level::Warning, "a new one is begun"),
            "{:?}",
            world.said
        );
        assert_eq!(world.entries()[0], "demo_2+0-1.efi");
        // Both copies are whole again.
        assert_eq!(record(&world).slot_mut(&"2".parse().unwrap()).attempts, 2);
    }
}

#[test]
fn a_damaged_record_is_begun_anew_with_the_attempts_that_bennu_init_counted() {
    for damage in [Some("{"), None] {
        let mut world = World::with_entries(&BOTH);
        if let Some(damage) = damage {
            world.record_attempts(2);
            for copy in COPIES {
                std::fs::write(world.esp().root().join(copy), damage).unwrap();
            }
        }
        assert_eq!(run(&mut world, 2), Outcome::Restart);
        assert!(
            world.has_said(Level::Warning, "a new one is begun"),
            "{:?}",
            world.said
        );
        assert_eq!(world.entries()[0], "demo_2+0-1.efi");
        assert_eq!(record(&world).slot_mut(&"2".parse().unwrap()).attempts, 2);
    }
}

#[test]
fn the_deadline_counts_from_the_first_start_of_the_agent() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    world.clock += Duration::from_secs(50);
    assert_eq!(run(&mut world, 1), Outcome::Restart);
    assert_eq!(world.clock - world.started, Duration::from_secs(60));
}

#[test]
fn an_image_without_checks_is_good_as_soon_as_the_agent_runs() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    let config = bennu_formats::health::HealthConfig {
        checks: Vec::new(),
        ..config()
    };
    assert_eq!(
        Agent::new(&handover(1), config, world.started).run(None, &mut world),
        Outcome::Good
    );
    assert_eq!(world.clock, world.started);
}

fn locks_modules(world: &mut World) -> Outcome {
    let config = HealthConfig {
        modules_after_start: ModulesRule::Locked,
        ..config()
    };
    Agent::new(&handover(1), config, world.started).run(None, world)
}

#[test]
fn modules_are_locked_when_the_slot_is_good_and_only_where_the_image_wants_it() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    healthy_from(&mut world, 3, 5);
    assert_eq!(locks_modules(&mut world), Outcome::Good);
    assert_eq!(world.modules, Modules::Locked);

    let mut other = World::with_entries(&BOTH);
    other.record_attempts(1);
    healthy_from(&mut other, 3, 5);
    assert_eq!(run(&mut other, 1), Outcome::Good);
    assert_eq!(other.modules, Modules::Loadable);
}

#[test]
fn a_slot_that_never_became_healthy_keeps_its_modules() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    healthy_from(&mut world, 900, 900);
    assert_eq!(locks_modules(&mut world), Outcome::Restart);
    assert_eq!(world.modules, Modules::Loadable);
}

#[test]
fn a_kernel_that_does_not_lock_its_modules_is_told_of_and_the_slot_stays_good() {
    let mut world = World::with_entries(&BOTH);
    world.record_attempts(1);
    world.modules = Modules::Unlockable;
    healthy_from(&mut world, 3, 5);
    assert_eq!(locks_modules(&mut world), Outcome::Good);
    let said = "kernel.modules_disabled: permission denied; modules can still be loaded";
    assert!(world.has_said(Level::Error, said));
}

#[test]
fn a_slot_without_the_gate_that_its_image_demands_always_restarts() {
    let alone = ["demo_1+0-3.efi", "demo_2+2-1.efi"];
    for (entries, attempts, words, bad) in [
        (
            BOTH,
            1,
            "attempt 1 of 2 failed; restarting for another one",
            false,
        ),
        (
            BOTH,
            2,
            "slot 2 is marked bad; restarting into the other one",
            true,
        ),
        (
            alone,
            2,
            "no other one may start; restarting into the recovery screen",
            true,
        ),
    ] {
        let mut world = World::with_entries(&entries);
        world.record_attempts(attempts);
        let agent = Agent::new(&handover(attempts), config(), world.started);
        // Whatever the checks say.
        healthy_from(&mut world, 0, 0);
        assert_eq!(agent.run_without_gate("no hook", &mut world), Outcome::Restart);
        assert!(world.has_said(Level::Critical, words), "{words}");
        let slot = record(&world).slots.into_values().next_back().unwrap();
        let failure = slot.last_failure.unwrap();
        assert_eq!(failure.code, Code::SlotUnhealthy);
        assert!(failure.reason.starts_with("GATE: ") && failure.reason.ends_with(": no hook"));
        assert_eq!(slot.bad.is_some(), bad, "{words}");
    }
}
