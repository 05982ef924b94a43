use super::super::guarded::tests::Map;
use super::*;
use bennu_policy::drift::Weight;

fn empty() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("memory");
    (dir, path)
}

/// In an image without a gate.
fn load(path: &Path) -> Memory {
    Memory::load_from(path, Ok(None), || ActionSet::NONE)
}

#[test]
fn a_memory_that_somebody_removed_is_a_strong_signal_keeps_no_secret_open_and_ends_no_answer() {
    let (_dir, path) = empty();
    let map = Map::empty();
    let guarded = |in_force| Memory::load_from(&path, map.keeper(), move || in_force);
    let mut memory = guarded(ActionSet::NONE);
    assert_eq!(memory.take_loss(), None, "the first start");
    for action in [Action::Deny, Action::StatePurge] {
        memory.count(action).unwrap();
    }
    let mut whole = guarded(ActionSet::ALL);
    assert_eq!(whole.take_loss(), None, "positive control");
    assert_eq!(whole.spent().times(Action::Deny), 1);
    std::fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let mut lost = guarded(ActionSet::NONE.with(Action::Deny));
        let seen = lost.take_loss().unwrap();
        assert_eq!(seen.signal.row().weight, Weight::Strong);
        assert!(
            seen.detail
                .ends_with("expected the one that was written, found none"),
            "{seen:?}"
        );
        assert_eq!((lost.take_trouble(), lost.take_loss()), (None, None));
        let spent = lost.spent();
        for action in [
            Action::StatePurge,
            Action::FlipSlot,
            Action::FailSafe,
            Action::Kill,
        ] {
            assert!(spent.allows(action) && spent.times(action) == 0, "{action:?}");
        }
        assert_eq!(
            lost.in_force(),
            ActionSet::NONE.with(Action::Deny),
            "the gate denies"
        );
        assert!(!spent.allows(Action::Deny), "and goes on doing so");
        for action in [Action::FreezeCgroup, Action::CutNetwork] {
            assert_eq!(Some(spent.times(action) + 1), action.budget(), "{action:?}");
        }
    }
    let mut lost = guarded(ActionSet::NONE);
    lost.count(Action::CutNetwork).unwrap();
    assert!(!lost.spent().allows(Action::CutNetwork), "once, and for good");
    assert_eq!(guarded(ActionSet::NONE).take_loss(), None, "written anew");
}

#[test]
fn a_memory_that_cannot_be_read_is_told_and_keeps_no_secret_open() {
    let (_dir, path) = empty();
    let mut fresh = load(&path);
    assert_eq!(fresh.take_trouble(), None, "control");
    std::fs::write(&path, "{}").unwrap();
    let mut damaged = load(&path);
    assert!(damaged.take_trouble().is_some());
    for action in [Action::StatePurge, Action::FlipSlot, Action::Deny] {
        assert!(damaged.spent().allows(action), "{action:?}");
    }
    assert!(in_force(&path).is_err());
}

#[test]
fn what_holds_and_what_was_spent_is_read_back() {
    let (_dir, path) = empty();
    let mut memory = load(&path);
    for action in [Action::StatePurge, Action::Kill, Action::Kill, Action::CutNetwork] {
        memory.count(action).unwrap();
    }
    memory.will_freeze(&["a".into(), "b".into()]).unwrap();
    let mut memory = load(&path);
    assert_eq!(memory.spent().times(Action::Kill), 2);
    assert!(memory.in_force().has(Action::StatePurge) && !memory.in_force().has(Action::Kill));
    assert_eq!(in_force(&path).unwrap(), ["cut-network", "state-purge"]);
    assert_eq!(memory.take_frozen(), ["a", "b"]);
    memory.does_not_hold(Action::StatePurge).unwrap();
    let mut memory = load(&path);
    assert_eq!(memory.in_force(), ActionSet::NONE.with(Action::CutNetwork));
    assert_eq!(memory.take_frozen(), Vec::<String>::new());
}

#[test]
fn what_was_seen_counts_after_a_restart_and_is_not_answered_again() {
    let (_dir, path) = empty();
    let seen = Known {
        seen: Seen {
            signal: Signal::GateTampering,
            at_ms: 7,
            answered: true,
        },
        first_ms: 5,
        unit: Some("a.service".into()),
        sighting: Sighting {
            program: Some("/x".into()),
            cgroup: Some(9),
            ..Sighting::new(Signal::GateTampering, "words")
        },
    };
    let mut memory = load(&path);
    memory.keep(std::slice::from_ref(&seen)).unwrap();
    let found = load(&path).seen();
    assert_eq!(found.len(), 1);
    memory.count(Action::Kill).unwrap();
    let counts = counts(&path).unwrap();
    assert_eq!(
        (counts.sightings["gate-tampering"], counts.actions["kill"]),
        (1, 1)
    );
    assert_eq!((found[0].seen, found[0].first_ms), (seen.seen, 5));
    assert_eq!((&found[0].sighting, &found[0].unit), (&seen.sighting, &seen.unit));
    memory.contents.seen[0].signal = "of-a-later-version".into();
    assert!(memory.seen().is_empty());
}
