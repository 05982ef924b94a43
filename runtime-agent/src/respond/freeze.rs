//! `freeze-cgroup`: everything stops but PID 1, `bennud` and what sends the alerts; and goes on again.

use super::deny::{ALERTS, MANAGER};
use bennu_linux::cgroup::{CgroupError, Cgroups, Group};
use std::time::{Duration, Instant};

/// Longest time for all groups together to stop, or to go on. The kernel is asked for all of them at once.
const ALL_LIMIT: Duration = Duration::from_secs(3);

/// Paths of the groups to freeze: the fewest that hold everything else. Those that somebody else has frozen are left out, so
/// that nobody lets them go on.
///
/// # Errors
/// In words.
pub fn groups() -> Result<Vec<String>, String> {
    let groups = Cgroups::default();
    let list = || -> Result<Vec<Group>, CgroupError> {
        let spared = [groups.own()?, groups.group(MANAGER), groups.group(ALERTS)];
        groups.all_but(&spared)
    };
    let found = list().map_err(|error| error.to_string())?;
    let free = found.iter().filter(|group| !group.is_asked_to_freeze());
    Ok(free.filter_map(|group| groups.path_of(group)).collect())
}

/// Freezes them.
///
/// # Errors
/// In words; those that stopped stay stopped.
pub fn freeze(paths: &[String]) -> Result<String, String> {
    let groups = Cgroups::default();
    let groups: Vec<Group> = paths.iter().map(|path| groups.group(path)).collect();
    together(&groups, Group::begin_freeze, Group::await_frozen)
}

/// Lets them go on.
///
/// # Errors
/// In words.
pub fn thaw(paths: &[String]) -> Result<String, String> {
    let groups = Cgroups::default();
    let groups: Vec<Group> = paths.iter().map(|path| groups.group(path)).collect();
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
    use super::*;

    #[test]
    fn one_group_that_does_not_stop_keeps_no_other_from_being_asked() {
        let kept = tempfile::tempdir().unwrap();
        let groups = Cgroups::at(kept.path());
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
        assert!(all[0].is_asked_to_freeze());
        let free = [groups.group("a"), groups.group("c")];
        assert_eq!(
            together(&free, Group::begin_freeze, Group::await_frozen).unwrap(),
            "2 control groups"
        );
    }
}
