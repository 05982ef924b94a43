use super::*;
use std::fs;

fn tree(paths: &[&str]) -> (tempfile::TempDir, Cgroups) {
    let directory = tempfile::tempdir().unwrap();
    for path in paths {
        fs::create_dir_all(directory.path().join(path)).unwrap();
    }
    let cgroups = Cgroups::at(directory.path()).unwrap();
    (directory, cgroups)
}

#[test]
fn everything_outside_the_spared_groups_is_taken_and_nothing_of_theirs() {
    let (_kept, cgroups) = tree(&[
        "init.scope",
        "system.slice/bennud.service",
        "system.slice/nginx.service/worker",
        "system.slice/ssh.service",
        "user.slice/user-0.slice",
    ]);
    let spared = [
        cgroups.group("init.scope"),
        cgroups.group("/system.slice/bennud.service"),
    ];
    let groups = cgroups.all_but(&spared).unwrap();
    let expected = [
        "system.slice/nginx.service",
        "system.slice/ssh.service",
        "user.slice",
    ];
    assert_eq!(groups, expected.map(|path| cgroups.group(path)));
    // A group within a spared one is spared with it.
    let spared = [cgroups.group("system.slice"), cgroups.group("init.scope")];
    assert_eq!(cgroups.all_but(&spared).unwrap(), [cgroups.group("user.slice")]);
}

#[test]
fn the_group_of_a_process_is_that_of_version_2() {
    let (_kept, cgroups) = tree(&[]);
    let group = cgroups
        .named_in("1:cpu:/x\n0::/system.slice/bennud.service\n")
        .unwrap();
    assert_eq!(group.path(), Path::new("system.slice/bennud.service"));
    let refused = cgroups.named_in("1:cpu:/x\n");
    assert!(matches!(refused, Err(CgroupError::Membership { .. })));
}

#[test]
fn a_group_holds_this_process_by_its_own_list_only() {
    let (kept, cgroups) = tree(&["a", "b"]);
    let own = std::process::id();
    fs::write(kept.path().join("a/cgroup.procs"), format!("1\n{own}\n")).unwrap();
    fs::write(kept.path().join("b/cgroup.procs"), format!("1\n{own}0\n")).unwrap();
    assert!(cgroups.group("a").holds_this_process().unwrap());
    assert!(!cgroups.group("b").holds_this_process().unwrap());
    let gone = cgroups.group("gone").holds_this_process();
    assert!(matches!(gone, Err(CgroupError::Look { .. })));
}

#[test]
fn nothing_outside_the_hierarchy_is_reached() {
    let (kept, cgroups) = tree(&["inside/a", "a"]);
    let inside = Cgroups::at(&kept.path().join("inside")).unwrap();
    std::os::unix::fs::symlink("../a", kept.path().join("inside/link")).unwrap();
    inside.group("a").begin_freeze().unwrap();
    for path in ["../a", "link"] {
        let refused = inside.group(path).begin_freeze();
        assert!(
            matches!(refused, Err(CgroupError::Act { act: "freeze", .. })),
            "{path}"
        );
    }
    assert!(!cgroups.group("a").is_asked_to_freeze().is_ok_and(|asked| asked));
}

#[test]
fn freezing_waits_for_the_kernels_word_and_killing_for_an_empty_group() {
    let (kept, cgroups) = tree(&["a"]);
    let group = cgroups.group("a");
    let events = kept.path().join("a/cgroup.events");
    fs::write(&events, "populated 1\nfrozen 1\n").unwrap();
    group.freeze(Duration::ZERO).unwrap();
    assert_eq!(
        fs::read_to_string(kept.path().join("a/cgroup.freeze")).unwrap(),
        "1"
    );
    let refused = group.kill(Duration::from_millis(10));
    assert!(matches!(
        refused,
        Err(CgroupError::NotInTime { state: "empty", .. })
    ));
    fs::write(&events, "populated 0\nfrozen 1\n").unwrap();
    group.kill(Duration::ZERO).unwrap();
    // systemd removed it meanwhile.
    cgroups.group("gone").kill(Duration::ZERO).unwrap();
    let refused = group.thaw(Duration::ZERO);
    assert!(matches!(
        refused,
        Err(CgroupError::NotInTime {
            state: "going on",
            ..
        })
    ));
    fs::write(&events, "populated 1\nfrozen 0\n").unwrap();
    group.thaw(Duration::ZERO).unwrap();
    assert_eq!(
        fs::read_to_string(kept.path().join("a/cgroup.freeze")).unwrap(),
        "0"
    );
    cgroups.group("gone").thaw(Duration::ZERO).unwrap();
    let gone = cgroups.group("gone").freeze(Duration::ZERO);
    assert!(matches!(gone, Err(CgroupError::Act { act: "freeze", .. })));
}
