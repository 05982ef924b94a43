//! `freeze-cgroup`: everything stops but PID 1, `bennud` and what sends the alerts; and goes on again.

use super::deny::{ALERTS, MANAGER};
use super::groups::Groups;
use bennu_linux::cgroup::{CgroupError, Group};
use std::time::{Duration, Instant};

/// Longest time for all groups together to stop, or to go on. The kernel is asked for all of them at once.
const ALL_LIMIT: Duration = Duration::from_secs(3);

/// Paths of the groups to freeze: the fewest that hold everything else. Those that somebody else has frozen are left out, so
/// that nobody lets them go on.
///
/// # Errors
/// In words.
pub fn groups(groups: &Groups) -> Result<Vec<String>, String> {
    // One that cannot be asked is frozen as well.
    let free = |group: &Group| Ok(!group.is_asked_to_freeze().unwrap_or(false));
    places(groups, free)
}

/// Those places of [`groups`] that are frozen: what a `bennud` without memory takes for frozen by the one before it. Whoever
/// else froze one of exactly these groups (`systemctl freeze`) cannot be told from it. What is frozen within one, as a
/// container that is paused, is none of these and stays as it is.
///
/// # Errors
/// In words.
pub fn frozen(groups: &Groups) -> Result<Vec<String>, String> {
    places(groups, Group::is_asked_to_freeze)
}

/// Of the fewest groups that hold everything else, the paths of those that are `taken`.
fn places(
    groups: &Groups,
    taken: impl Fn(&Group) -> Result<bool, CgroupError>,
) -> Result<Vec<String>, String> {
    let (all, own) = (groups.all()?, groups.own()?);
    let failed = |error: CgroupError| error.to_string();
    let mut paths = Vec::new();
    for group in all
        .all_but(&[own, all.group(MANAGER), all.group(ALERTS)])
        .map_err(failed)?
    {
        if taken(&group).map_err(failed)? {
            paths.extend(all.path_of(&group));
        }
    }
    Ok(paths)
}

/// Freezes them.
///
/// # Errors
/// In words; those that stopped stay stopped.
pub fn freeze(groups: &Groups, paths: &[String]) -> Result<String, String> {
    let all = groups.all()?;
    let groups: Vec<Group> = paths.iter().map(|path| all.group(path)).collect();
    together(&groups, Group::begin_freeze, Group::await_frozen)
}

/// Lets them go on.
///
/// # Errors
/// In words.
pub fn thaw(groups: &Groups, paths: &[String]) -> Result<String, String> {
    let all = groups.all()?;
    let groups: Vec<Group> = paths.iter().map(|path| all.group(path)).collect();
    together(&groups, |_| Ok(()), Group::thaw)
}

/// Asks for all, then waits for all within one limit.
pub fn together(
    groups: &[Group],
    ask: impl Fn(&Group) -> Result<(), CgroupError>,
    wait: impl Fn(&Group, Duration) -> Result<(), CgroupError>,
) -> Result<String, String> {
    let asked: Vec<Result<&Group, CgroupError>> =
        groups.iter().map(|group| ask(group).map(|()| group)).collect();
    let end = Instant::now() + ALL_LIMIT;
    let failed: Vec<String> = asked
        .into_iter()
        .map(|asked| asked.and_then(|group| wait(group, end.saturating_duration_since(Instant::now()))))
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    match failed.first() {
        None => Ok(format!("{} control groups", groups.len())),
        Some(first) => Err(format!(
            "{} of {} failed, as: {first}",
            failed.len(),
            groups.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::{belongs, standing_for, without_a_mount};
    use super::*;
    use bennu_linux::cgroup::Cgroups;
    use std::fs;

    #[test]
    fn bennud_and_pid_1_go_on_and_nothing_is_frozen_by_guess() {
        let kept = tempfile::tempdir().unwrap();
        let machine = standing_for(kept.path());
        let at = |path: &str| kept.path().join("groups").join(path);
        for path in ["init.scope", "user.slice", "system.slice/web.service/deeper"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        assert_eq!(
            groups(&machine).unwrap(),
            ["system.slice/web.service", "user.slice"]
        );
        for path in ["user.slice", "system.slice/web.service"] {
            fs::write(at(path).join("cgroup.freeze"), "0\n").unwrap();
        }
        // What is frozen within a group is somebody else's.
        fs::write(at("system.slice/web.service/deeper/cgroup.freeze"), "1\n").unwrap();
        assert!(frozen(&machine).unwrap().is_empty());
        fs::write(at("user.slice/cgroup.freeze"), "1\n").unwrap();
        assert_eq!(groups(&machine).unwrap(), ["system.slice/web.service"]);
        assert_eq!(frozen(&machine).unwrap(), ["user.slice"]);
        // Somebody shows another group as ours: everything would stop, bennud with it.
        belongs(kept.path(), "self", "user.slice");
        assert!(groups(&machine).is_err() && frozen(&machine).is_err());
        let nowhere = without_a_mount();
        for refused in [
            freeze(&nowhere, &["a".to_owned()]),
            thaw(&nowhere, &["a".to_owned()]),
        ] {
            assert_eq!(refused, Err("no mount".to_owned()));
        }
    }

    #[test]
    fn one_group_that_does_not_stop_keeps_no_other_from_being_asked() {
        let kept = tempfile::tempdir().unwrap();
        let groups = Cgroups::at(kept.path()).unwrap();
        let names = ["a", "b", "c"];
        for name in names {
            std::fs::create_dir(kept.path().join(name)).unwrap();
            let frozen = if name == "b" { "frozen 0\n" } else { "frozen 1\n" };
            std::fs::write(kept.path().join(name).join("cgroup.events"), frozen).unwrap();
        }
        let all = names.map(|name| groups.group(name));
        let begun = Instant::now();
        let refused = together(&all, Group::begin_freeze, Group::await_frozen).unwrap_err();
        assert!(
            refused.starts_with("1 of 3 failed, as: control group "),
            "{refused}"
        );
        assert!(begun.elapsed() < ALL_LIMIT * 2);
        for name in names {
            let asked = std::fs::read_to_string(kept.path().join(name).join("cgroup.freeze")).unwrap();
            assert_eq!(asked, "1");
        }
        assert!(all[0].is_asked_to_freeze().unwrap());
        let free = [groups.group("a"), groups.group("c")];
        assert_eq!(
            together(&free, Group::begin_freeze, Group::await_frozen).unwrap(),
            "2 control groups"
        );
    }
}
