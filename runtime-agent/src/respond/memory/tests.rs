use super::super::groups::tests::standing_for;
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
    Memory::at(path)
}

fn doing(actions: ActionSet) -> InSight {
    InSight {
        actions,
        ..InSight::default()
    }
}

#[test]
fn a_memory_that_somebody_removed_is_a_strong_signal_keeps_no_secret_open_and_ends_no_answer() {
    let (_dir, path) = empty();
    let map = Map::empty();
    let guarded = |in_force| Memory::load_from(&path, map.keeper(), move || doing(in_force));
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
fn what_is_frozen_is_in_force_after_a_loss_and_only_then() {
    let (dir, path) = empty();
    let groups = standing_for(dir.path());
    let at = |path: &str| dir.path().join("groups").join(path);
    for path in ["user.slice", "web.slice/deeper"] {
        std::fs::create_dir_all(at(path)).unwrap();
        std::fs::write(at(path).join("cgroup.freeze"), "1\n").unwrap();
    }
    std::fs::write(at("web.slice/cgroup.freeze"), "0\n").unwrap();
    let map = Map::empty();
    let load = |freezes| {
        let sees = || in_sight(ActionSet::NONE, &groups, freezes);
        Memory::load_from(&path, map.keeper(), sees)
    };
    let mut first = load(true);
    assert!(!first.has_frozen(), "nothing was lost: somebody else froze them");
    first.count(Action::Kill).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!load(false).has_frozen(), "an image that freezes nothing");
    let mut lost = load(true);
    assert_eq!(lost.in_force(), ActionSet::NONE.with(Action::FreezeCgroup));
    assert!(!lost.spent().allows(Action::FreezeCgroup), "frozen for good");
    lost.count(Action::Kill).unwrap();
    let mut kept = load(true);
    assert!(kept.in_force().has(Action::FreezeCgroup));
    assert_eq!(kept.take_frozen(), ["user.slice"], "to be let go on one day");
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(at("system.slice/bennud.service/cgroup.procs")).unwrap();
    let mut blind = load(true);
    let told = blind.take_trouble().unwrap();
    assert!(told.starts_with("what is frozen is not known: "), "{told}");
    assert!(blind.take_loss().is_some());
}

#[test]
fn a_wanted_map_that_is_not_there_gives_no_budget_back() {
    let (_dir, path) = empty();
    let guarded = || Memory::load_from(&path, Err("no map".to_owned()), InSight::default);
    let once = |memory: &Memory| {
        let times = memory.spent().times(Action::CutNetwork);
        assert_eq!(Some(times + 1), Action::CutNetwork.budget());
    };
    let mut none = guarded();
    assert!(
        none.take_trouble()
            .unwrap()
            .ends_with("found none; the map: no map")
    );
    assert_eq!(none.take_loss(), None, "as at a first start");
    once(&none);
    none.count(Action::Kill).unwrap();
    let mut some = guarded();
    assert!(some.take_loss().unwrap().detail.ends_with("the map: no map"));
    assert_eq!(some.spent().times(Action::Kill), 0, "it is not used");
    once(&some);
    assert_eq!(load(&path).spent().times(Action::Kill), 1, "no gate is wanted");
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

#[test]
fn what_the_watch_saw_first_is_read_back() {
    let (_dir, path) = empty();
    let mut memory = load(&path);
    let look = |name: &str, value: u32| BTreeMap::from([(name.to_owned(), Value::from(value))]);
    memory.keep_first_looks(BTreeMap::new()).unwrap();
    assert!(!path.exists(), "nothing is to be kept");
    memory.keep_first_looks(look("mounts", 1)).unwrap();
    memory.keep_first_looks(look("ESP", 2)).unwrap();
    let both = [look("mounts", 1), look("ESP", 2)].into_iter().flatten();
    assert_eq!(*load(&path).first_looks(), both.collect());
}
