//! The machines that are explored, and what is promised of each.
//!
//! One slot may meet every kind of fault while the other is sound; or both meet one kind each, in pairs. Each start
//! meets one of its slot's faults or none. The power may go after every step, as often as it likes.

use super::checker::{Broken, Graph};
use super::state::{Note, TRIES};
use super::world::{Attack, Fault, POWER_ONS, SHIPPED, World};
use bennu_formats::Code;
use bennu_policy::boot::BLIND_RESTARTS;
use std::path::Path;

const SOUND: &[Fault] = &[];
/// Every fault after which bennu-init has an ESP to write to.
const ON_RECORD: &[Fault] = &[
    Fault::Fails(Code::VerityCorrupt),
    Fault::Fails(Code::TpmMissing),
    Fault::Fails(Code::SecretBlob),
    Fault::Fails(Code::StateSchema),
    Fault::Panics(Note::Verity),
    Fault::Panics(Note::RootIo),
    Fault::Panics(Note::Other),
    Fault::Silent,
    Fault::Unhealthy,
];
/// One of each kind, for the pairs.
const KINDS: [&[Fault]; 6] = [
    &[Fault::Refused],
    &[Fault::Fails(Code::TpmMissing)],
    &[Fault::Fails(Code::SecretBlob)],
    &[Fault::Panics(Note::Verity)],
    &[Fault::Panics(Note::RootIo)],
    &[Fault::Unhealthy],
];
/// What a slot that drifts is beside.
const BESIDE_DRIFT: [&[Fault]; 5] = [
    &[Fault::Drifts],
    &[Fault::Refused],
    &[Fault::Fails(Code::TpmMissing)],
    &[Fault::Panics(Note::RootIo)],
    &[Fault::Unhealthy],
];
const DRIFTS: &[Fault] = &[Fault::Drifts];
/// The rest, each beside itself.
const ALIKE: [&[Fault]; 5] = [
    &[Fault::DiesEarly],
    &[Fault::BeforeEsp],
    &[Fault::Fails(Code::VerityCorrupt)],
    &[Fault::Panics(Note::Other)],
    &[Fault::Silent],
];
/// The slot's own faults, before and after the ESP: with a sound slot beside them nobody's hand is needed.
const OWN: &[Fault] = &[
    Fault::Refused,
    Fault::DiesEarly,
    Fault::Fails(Code::VerityCorrupt),
    Fault::Fails(Code::TpmMissing),
    Fault::Panics(Note::Verity),
    Fault::Unhealthy,
];
const DIES: &[Fault] = &[Fault::DiesEarly];
const FEW: &[Fault] = &[Fault::Fails(Code::TpmMissing), Fault::Panics(Note::RootIo)];
const NO_TPM: &[Fault] = &[Fault::Fails(Code::TpmMissing)];
const UNREAD: &[Fault] = &[Fault::Panics(Note::RootIo)];
const SICK: &[Fault] = &[Fault::Unhealthy];
const EARLY: &[Fault] = &[Fault::DiesEarly, Fault::BeforeEsp];
/// Power cuts in a row that never cost a sound slot its last try.
const FEW_CUTS: Option<u8> = Some(TRIES as u8 - 1);

/// What is promised of a machine's runs besides that they make no storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promised {
    /// No more.
    NoStorm,
    /// They end healthy.
    Healthy,
    /// They end healthy, and nobody has to switch the machine off and on.
    HealthyByItself,
}

/// The shipped machine with these faults of the older and the newer slot, and power cuts without number.
pub fn world(older: &'static [Fault], newer: &'static [Fault]) -> World {
    World {
        rules: SHIPPED,
        faults: [older, newer],
        below_floor: [false; 2],
        newer_raises_state: false,
        cuts: None,
        esp_fails: false,
        attacks: &[],
        with_count: older.contains(&Fault::DiesEarly) || newer.contains(&Fault::DiesEarly),
    }
}

/// Explores, and checks what is promised. The graph, and the most restarts in a row.
pub fn check(world: &World, promised: Promised) -> Result<(Graph, usize), Box<Broken>> {
    let graph = Graph::explore(world)?;
    graph.no_way_back()?;
    let restarts = graph.no_storm()?;
    if promised != Promised::NoStorm {
        graph.ends_healthy()?;
    }
    if promised == Promised::HealthyByItself {
        graph.needs_no_hand()?;
    }
    Ok((graph, restarts))
}

fn worlds() -> Vec<(World, Promised)> {
    let cut = |world| World {
        cuts: FEW_CUTS,
        ..world
    };
    let esp = |world| World {
        esp_fails: true,
        ..world
    };
    let seldom = |world| World {
        cuts: Some(1),
        ..world
    };
    let counted = |world| World {
        with_count: true,
        ..world
    };
    let attacked = |attacks, world| World { attacks, ..world };
    let floor = |below_floor, world| World { below_floor, ..world };
    const MILD: &[Attack] = &[Attack::ResetRecord, Attack::ArmEntries];
    const ALL: &[Attack] = &[Attack::ResetRecord, Attack::ArmEntries, Attack::ForgeNote];
    const FILL: &[Attack] = &[Attack::FillStarts];
    let mut worlds = vec![
        (world(SOUND, SOUND), Promised::Healthy),
        (counted(world(SOUND, SOUND)), Promised::Healthy),
        (counted(cut(world(SOUND, SICK))), Promised::HealthyByItself),
        (world(ON_RECORD, SOUND), Promised::Healthy),
        (world(SOUND, ON_RECORD), Promised::Healthy),
        (cut(world(OWN, SOUND)), Promised::HealthyByItself),
        (cut(world(SOUND, OWN)), Promised::HealthyByItself),
        (cut(world(EARLY, SOUND)), Promised::Healthy),
        (cut(world(SOUND, EARLY)), Promised::Healthy),
        (esp(world(NO_TPM, SOUND)), Promised::Healthy),
        (esp(world(SOUND, NO_TPM)), Promised::Healthy),
        (esp(world(SOUND, UNREAD)), Promised::Healthy),
        (esp(world(SOUND, SICK)), Promised::Healthy),
        (esp(world(SICK, SICK)), Promised::NoStorm),
        (attacked(MILD, world(NO_TPM, SOUND)), Promised::Healthy),
        (attacked(FILL, counted(world(NO_TPM, SOUND))), Promised::Healthy),
        (attacked(FILL, seldom(world(SOUND, DIES))), Promised::NoStorm),
        (attacked(MILD, world(SOUND, UNREAD)), Promised::Healthy),
        (
            attacked(ALL, world(SICK, &[Fault::Panics(Note::Verity)])),
            Promised::NoStorm,
        ),
        (floor([true, false], world(SOUND, FEW)), Promised::NoStorm),
        (floor([true, false], world(FEW, SOUND)), Promised::Healthy),
        (floor([false, true], world(SOUND, FEW)), Promised::Healthy),
        (floor([false, true], world(FEW, SOUND)), Promised::NoStorm),
        (floor([true, true], world(SOUND, SOUND)), Promised::NoStorm),
        (
            floor([true, false], attacked(ALL, world(SOUND, FEW))),
            Promised::NoStorm,
        ),
    ];
    let raises = |world| World {
        newer_raises_state: true,
        ..world
    };
    worlds.extend([
        (raises(world(SOUND, SOUND)), Promised::Healthy),
        (raises(world(SOUND, SICK)), Promised::NoStorm),
        (raises(world(SICK, SICK)), Promised::NoStorm),
        (raises(world(FEW, SOUND)), Promised::Healthy),
        (raises(cut(world(SOUND, OWN))), Promised::NoStorm),
        (raises(attacked(MILD, world(SOUND, SICK))), Promised::NoStorm),
        (raises(esp(world(SOUND, SICK))), Promised::NoStorm),
    ]);
    worlds.extend(BESIDE_DRIFT.map(|newer| (world(DRIFTS, newer), Promised::NoStorm)));
    worlds.extend(BESIDE_DRIFT.map(|older| (world(older, DRIFTS), Promised::NoStorm)));
    worlds.extend([
        (world(DRIFTS, SOUND), Promised::Healthy),
        (world(SOUND, DRIFTS), Promised::Healthy),
        (cut(world(DRIFTS, DRIFTS)), Promised::HealthyByItself),
        (esp(world(DRIFTS, DRIFTS)), Promised::NoStorm),
        (raises(world(DRIFTS, DRIFTS)), Promised::NoStorm),
        (attacked(MILD, world(DRIFTS, DRIFTS)), Promised::NoStorm),
    ]);
    worlds.extend(ALIKE.map(|both| (world(both, both), Promised::NoStorm)));
    worlds.extend(KINDS.map(|newer| (seldom(world(DIES, newer)), Promised::NoStorm)));
    worlds.extend(KINDS.map(|older| (seldom(world(older, DIES)), Promised::NoStorm)));
    for older in KINDS {
        worlds.extend(KINDS.map(|newer| (world(older, newer), Promised::NoStorm)));
    }
    worlds
}

/// Restarts in a row, at most: each slot once a try and once when it is given up, and those without a record. A kernel that
/// may die early does so as often as bootfallback counts, and may do so again behind each start that reaches the record.
fn most_restarts(world: &World) -> usize {
    let blind = world
        .faults
        .iter()
        .any(|faults| faults.contains(&Fault::BeforeEsp));
    let dies = world
        .faults
        .iter()
        .any(|faults| faults.contains(&Fault::DiesEarly));
    if dies {
        return (TRIES as usize + 1) * usize::from(POWER_ONS);
    }
    2 * (TRIES as usize + 1) + if blind { usize::from(BLIND_RESTARTS) } else { 0 }
}

#[test]
fn every_promise_holds_in_every_state_whatever_fails_and_wherever_the_power_goes() {
    let (mut states, mut transitions, mut depth, mut longest) = (0, 0, 0, 0);
    for (world, promised) in worlds() {
        let about = format!(
            "{:?}, below the floor {:?}, newer raises the state: {}",
            world.faults, world.below_floor, world.newer_raises_state
        );
        let (graph, restarts) = check(&world, promised)
            .unwrap_or_else(|broken| panic!("{about}: {:?} is broken:\n{:#?}", broken.promise, broken.way));
        assert!(
            restarts <= most_restarts(&world),
            "{about}: {restarts} restarts in a row"
        );
        states += graph.states.len();
        transitions += graph.transitions();
        depth = depth.max(graph.depth);
        longest = longest.max(restarts);
    }
    let line = format!(
        "slot machine: {states} states, {transitions} transitions, depth {depth}, {} machines, at most {longest} restarts in a row",
        worlds().len()
    );
    println!("{line}");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("model");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("slot-machine.txt"), format!("{line}\n")).unwrap();
    assert!(states > 2_000_000, "ARCHITECTURE names this number: {line}");
}
