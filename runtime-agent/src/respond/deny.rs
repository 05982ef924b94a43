//! `deny`: units that start no more programs. The execution gate's programs refuse them, from marks on control groups
//! that `bennud` alone sets; they hold without it.
//!
//! A unit is marked by the path of its control group, so that it stays denied when it is started anew. Never denied are
//! PID 1 (`init.scope`), `bennud` itself and what sends the alerts; and, where every unit is concerned, those that the
//! image spares.

use super::groups::Groups;
use super::kill;
use crate::watch::Sighting;
use bennu_ebpf::interface::respond::{Denied, Mark};
use bennu_ebpf::respond::Responder;
use bennu_formats::paths;
use bennu_linux::cgroup::{Cgroups, Group};
use bennu_policy::drift::Concerned;
use rustix::process::Pid;
use std::path::Path;

/// PID 1's control group.
pub const MANAGER: &str = "init.scope";
/// That of `bennu-forward`.
pub const ALERTS: &str = "system.slice/bennu-alert.service";
/// That of the one which takes its place after a State Purge.
const PURGED_ALERTS: &str = "system.slice/bennu-purged-alert.service";
/// Never denied, besides `bennud`.
const NEVER: [&str; 3] = [MANAGER, ALERTS, PURGED_ALERTS];

/// The unit that a sighting names: of the process that the gate denied something, or of those that run the program. None
/// where there is none, or several, or one that is never denied, or where one of them cannot be told: then nobody knows who
/// it was, and every unit is concerned.
pub fn unit_of(groups: &Groups, sighting: &Sighting) -> Option<String> {
    let all = groups.all().ok()?;
    let found: Vec<Group> = match (sighting.cgroup, &sighting.program) {
        (Some(id), _) => all.by_id(id).ok()?.into_iter().collect(),
        (None, Some(program)) => {
            let pids = kill::processes(std::slice::from_ref(program)).ok()?;
            let of = |pid: Pid| groups.of_process(pid).transpose();
            pids.into_iter().filter_map(of).collect::<Result<_, _>>().ok()?
        }
        (None, None) => return None,
    };
    let mut units: Vec<Option<String>> = found.iter().map(|group| all.unit_of(group)).collect();
    units.sort();
    units.dedup();
    let own = own_unit(groups, all).ok()?;
    match units.as_slice() {
        [Some(unit)] if unit != &own && !NEVER.contains(&unit.as_str()) => Some(unit.clone()),
        _ => None,
    }
}

/// `bennud`'s.
fn own_unit(groups: &Groups, all: &Cgroups) -> Result<String, String> {
    let own = groups.own()?;
    all.unit_of(&own).ok_or_else(|| "bennud is in no unit".to_owned())
}

/// Denies those that are concerned, besides those that are denied already. Taken anew in each round while it is in force:
/// more may be concerned, and a slice that was made again is another one.
///
/// # Errors
/// In words; what was marked stays marked. Without a mount of our own nothing is marked, for PID 1 would be denied with
/// everybody else.
pub fn deny(groups: &Groups, concerned: &Concerned, spared: &[String]) -> Result<String, String> {
    let all = groups.all()?;
    let mut gate = open()?;
    let mut state = gate.now().map_err(|error| error.to_string())?;
    let mut everything = concerned.everything;
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut mark = |path: &str, mark| {
        // Without the group above it the unit does not run.
        let Some((parent, name)) = all.place(path).map_err(|e| failed(&e))? else {
            return Ok(());
        };
        gate.mark(parent, &name, mark).map_err(|e| failed(&e))
    };
    // First those, for there are as many places as there are.
    let own = own_unit(groups, all);
    let never = NEVER.into_iter().chain(own.as_deref().ok());
    for path in never.chain(spared.iter().map(String::as_str)) {
        mark(path, Mark::Spared)?;
    }
    // More units than there are places for are all of them.
    everything |= concerned
        .units
        .iter()
        .any(|unit| mark(unit, Mark::Denied).is_err());
    let denied = if everything {
        Denied::Everything
    } else {
        Denied::Marked
    };
    state.denied = state.denied.max(denied);
    gate.set(&state).map_err(|e| failed(&e))?;
    let mut words = format!("no more programs in {}", concerned.words());
    if let Err(why) = own {
        words.push_str(&format!("; bennud itself is not spared: {why}"));
    }
    Ok(words)
}

/// Every unit starts programs again.
///
/// # Errors
/// In words.
pub fn undo() -> Result<String, String> {
    let mut gate = open()?;
    let now = gate.now().map_err(|error| error.to_string())?;
    let state = bennu_ebpf::interface::respond::Responses {
        denied: Denied::Nobody,
        ..now
    };
    gate.set(&state)
        .and_then(|()| gate.unmark_all())
        .map_err(|error| error.to_string())?;
    Ok("every unit starts programs".to_owned())
}

/// What carries this out: without a gate nobody does.
pub fn open() -> Result<Responder, String> {
    Responder::open(Path::new(paths::ROOT_GATE_PINS)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::{standing_for, without_a_mount};
    use super::*;
    use bennu_policy::drift::Signal;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_denied_process_names_its_unit_unless_bennud_cannot_tell_itself_from_it() {
        let kept = tempfile::tempdir().unwrap();
        let groups = standing_for(kept.path());
        let web = kept.path().join("groups/system.slice/web.service");
        std::fs::create_dir(&web).unwrap();
        let by = |path: &Path| Sighting {
            cgroup: Some(std::fs::metadata(path).unwrap().ino()),
            ..Sighting::new(Signal::GateTampering, "x")
        };
        let unit = unit_of(&groups, &by(&web));
        assert_eq!(unit.as_deref(), Some("system.slice/web.service"));
        let own = kept.path().join("groups/system.slice/bennud.service");
        assert_eq!(unit_of(&groups, &by(&own)), None);
        std::fs::remove_file(own.join("cgroup.procs")).unwrap();
        assert_eq!(unit_of(&groups, &by(&web)), None);
        assert_eq!(unit_of(&without_a_mount(), &by(&web)), None);
    }

    #[test]
    fn a_sighting_without_a_process_names_no_unit() {
        let kept = tempfile::tempdir().unwrap();
        let groups = standing_for(kept.path());
        let unit_of = |sighting: &Sighting| unit_of(&groups, sighting);
        assert_eq!(unit_of(&Sighting::new(Signal::PcrChanged, "PCR 12")), None);
        let gone = Sighting {
            cgroup: Some(u64::MAX),
            ..Sighting::new(Signal::GateTampering, "x")
        };
        assert_eq!(unit_of(&gone), None);
        let nobody_runs_it = Sighting {
            program: Some("/nonexistent/program-of-nobody".to_owned()),
            ..Sighting::new(Signal::ImaDigestUnknown, "x")
        };
        assert_eq!(unit_of(&nobody_runs_it), None);
    }

    #[test]
    fn without_a_gate_it_is_told_that_nobody_carries_it_out() {
        let kept = tempfile::tempdir().unwrap();
        let refused = deny(&standing_for(kept.path()), &Concerned::default(), &[]).unwrap_err();
        assert!(refused.contains("config"), "{refused}");
        let refused = deny(&without_a_mount(), &Concerned::default(), &[]).unwrap_err();
        assert_eq!(refused, "no mount");
        assert!(undo().is_err());
    }
}
