//! `deny`: units that start no more programs. The execution gate's programs refuse them, from marks on control groups
//! that `bennud` alone sets; they hold without it.
//!
//! A unit is marked by the path of its control group, so that it stays denied when it is started anew. Never denied are
//! PID 1 (`init.scope`), `bennud` itself and what sends the alerts; and, where every unit is concerned, those that the
//! image spares.

use super::kill;
use crate::watch::Sighting;
use bennu_ebpf::interface::respond::{Denied, Mark};
use bennu_ebpf::respond::Responder;
use bennu_formats::paths;
use bennu_linux::cgroup::{Cgroups, Group};
use bennu_policy::drift::Concerned;
use std::path::Path;

/// PID 1's control group.
pub const MANAGER: &str = "init.scope";
/// That of `bennu-forward`.
pub const ALERTS: &str = "system.slice/bennu-alert.service";

/// The unit that a sighting names: of the process that the gate denied something, or of those that run the program. None
/// where there is none, or several, or one that is never denied: then nobody knows who it was.
pub fn unit_of(sighting: &Sighting) -> Option<String> {
    let groups = Cgroups::default();
    let found: Vec<Group> = match (sighting.cgroup, &sighting.program) {
        (Some(id), _) => groups.by_id(id).ok()?.into_iter().collect(),
        (None, Some(program)) => {
            let pids = kill::processes(std::slice::from_ref(program)).ok()?;
            let of = |pid: rustix::process::Pid| {
                let pid = u32::try_from(pid.as_raw_nonzero().get()).ok()?;
                groups.of_process(pid).ok()?
            };
            pids.into_iter().filter_map(of).collect()
        }
        (None, None) => return None,
    };
    let mut units: Vec<Option<String>> = found.iter().map(|group| groups.unit_of(group)).collect();
    units.sort();
    units.dedup();
    match units.as_slice() {
        [Some(unit)] if !never(&groups).contains(unit) => Some(unit.clone()),
        _ => None,
    }
}

/// Units that are never denied.
fn never(groups: &Cgroups) -> Vec<String> {
    let own = groups.own().ok().and_then(|group| groups.unit_of(&group));
    [MANAGER.to_owned(), ALERTS.to_owned()]
        .into_iter()
        .chain(own)
        .collect()
}

/// Denies those that are concerned, besides those that are denied already. Taken anew in each round while it is in force:
/// more may be concerned, and a slice that was made again is another one.
///
/// # Errors
/// In words; what was marked stays marked.
pub fn deny(concerned: &Concerned, spared: &[String]) -> Result<String, String> {
    let groups = Cgroups::default();
    let mut gate = open()?;
    let mut state = gate.now().map_err(|error| error.to_string())?;
    let mut everything = concerned.everything;
    let mut mark = |path: &String, mark| {
        // Without the group above it the unit does not run.
        let Some((parent, name)) = groups.place(path) else {
            return Ok(());
        };
        gate.mark(parent, &name, mark)
    };
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    // First those, for there are as many places as there are.
    for path in never(&groups).iter().chain(spared) {
        mark(path, Mark::Spared).map_err(|e| failed(&e))?;
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
    Ok(format!("no more programs in {}", concerned.words()))
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
    use super::*;
    use bennu_policy::drift::Signal;

    #[test]
    fn a_sighting_without_a_process_names_no_unit() {
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
        let refused = deny(&Concerned::default(), &[]).unwrap_err();
        assert!(refused.contains("config"), "{refused}");
        assert!(undo().is_err());
    }
}
