//! Killing what a signal names: every process that executes a file of that name, and the process that the gate saw; none of
//! ours.

use crate::kernel_files::proc_path;
use bennu_linux::bounded;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

/// Most bytes of a process's `stat`.
const STAT_LIMIT: usize = 4096;
/// Clock ticks of procfs in a second (`USER_HZ`: 100 on every architecture that we build for).
const TICK_MS: u64 = 10;
/// How often programs are looked for, which may have started others meanwhile.
const MOST_ROUNDS: usize = 16;

/// Whom signals name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Paths of programs.
    pub programs: Vec<String>,
    /// Processes, and when each was seen, in milliseconds since the machine started: one that began later is another one
    /// with the same number.
    pub processes: Vec<(u32, u64)>,
}

impl Named {
    /// Whether there is nobody to kill.
    pub fn is_nobody(&self) -> bool {
        self.programs.is_empty() && self.processes.is_empty()
    }
}

/// Kills them. One that has ended by itself is none.
///
/// # Errors
/// The list of processes cannot be read, or one was not killed; in words.
pub fn kill(named: &Named) -> Result<String, String> {
    if named.is_nobody() {
        return Ok("nobody was named".to_owned());
    }
    let mut killed = BTreeSet::new();
    let mut failed = None;
    for (number, at_ms) in &named.processes {
        match kill_seen(*number, *at_ms) {
            Ok(true) => drop(killed.insert(*number)),
            Ok(false) => {}
            Err(error) => failed = Some(format!("process {number}: {error}")),
        }
    }
    if !named.programs.is_empty() {
        kill_programs(&named.programs, &mut killed, &mut failed)?;
    }
    match failed {
        None => Ok(format!("{} processes", killed.len())),
        Some(why) => Err(why),
    }
}

/// Until nobody is found who is not killed: who is killed starts no more, who was not yet may have.
fn kill_programs(
    programs: &[String],
    killed: &mut BTreeSet<u32>,
    failed: &mut Option<String>,
) -> Result<(), String> {
    for _ in 0..MOST_ROUNDS {
        let mut alive = false;
        for pid in processes(programs)? {
            let number = pid.as_raw_nonzero().get().unsigned_abs();
            if killed.contains(&number) {
                continue;
            }
            match kill_program(pid, programs) {
                Ok(true) => {
                    alive = true;
                    killed.insert(number);
                }
                Ok(false) => {}
                Err(error) => *failed = Some(format!("process {number}: {error}")),
            }
        }
        if !alive {
            return Ok(());
        }
    }
    Err(format!("more were started in each of {MOST_ROUNDS} rounds"))
}

/// Kills the process with this number if it is the one that was seen; gives whether it was there.
fn kill_seen(number: u32, at_ms: u64) -> io::Result<bool> {
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|pid| !pid.is_init() && *pid != rustix::process::getpid()) else {
        return Ok(false);
    };
    kill_if(pid, || {
        let stat = match bounded::read_text(&proc_path(number.to_string()).join("stat"), STAT_LIMIT) {
            Ok(stat) => stat,
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        let began_ms = began_ms(&stat).ok_or_else(|| io::Error::other("its stat has no start time"))?;
        Ok(began_ms <= at_ms)
    })
}

/// Kills a process if it still executes one of these programs; gives whether it did.
fn kill_program(pid: Pid, programs: &[String]) -> io::Result<bool> {
    kill_if(pid, || {
        let executed = proc_path(pid.as_raw_nonzero().to_string()).join("exe");
        match fs::read_link(executed) {
            Ok(executed) => Ok(is_one_of(&executed, programs)),
            Err(error) if gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    })
}

/// Held by a descriptor, so that what is looked at is what is killed.
fn kill_if(pid: Pid, is_meant: impl FnOnce() -> io::Result<bool>) -> io::Result<bool> {
    let held = match pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from) {
        Ok(held) => held,
        Err(error) if gone(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    if !is_meant()? {
        return Ok(false);
    }
    match pidfd_send_signal(&held, Signal::KILL).map_err(io::Error::from) {
        Ok(()) => Ok(true),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// When a process began, in milliseconds since the machine started: member 22 of its `stat` (proc(5)), counted from behind
/// the name, which may hold anything.
fn began_ms(stat: &str) -> Option<u64> {
    let (_, members) = stat.rsplit_once(')')?;
    let ticks: u64 = members.split_whitespace().nth(19)?.parse().ok()?;
    ticks.checked_mul(TICK_MS)
}

/// Processes that execute one of these programs; neither PID 1 nor this one.
///
/// # Errors
/// The list of processes cannot be read, or none was found and what one executes was hidden; in words.
pub fn processes(programs: &[String]) -> Result<Vec<Pid>, String> {
    let own = rustix::process::getpid();
    let entries = fs::read_dir(proc_path("")).map_err(|error| format!("/proc: {error}"))?;
    let (mut found, mut hidden) = (Vec::new(), None);
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid
            .and_then(Pid::from_raw)
            .filter(|pid| *pid != own && !pid.is_init())
        else {
            continue;
        };
        let executed = match fs::read_link(entry.path().join("exe")) {
            Ok(executed) => executed,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                hidden = Some(format!("process {}: {error}", pid.as_raw_nonzero()));
                continue;
            }
            // Ended, or a thread of the kernel.
            Err(_) => continue,
        };
        if is_one_of(&executed, programs) {
            found.push(pid);
        }
    }
    match hidden {
        Some(why) if found.is_empty() => Err(why),
        Some(_) | None => Ok(found),
    }
}

fn is_one_of(executed: &Path, programs: &[String]) -> bool {
    programs.iter().any(|program| same(executed, program))
}

/// A file that was removed since has ` (deleted)` behind its name, and the path in the log is the opener's.
fn same(executed: &Path, program: &str) -> bool {
    let executed = executed.to_string_lossy();
    let executed = executed.strip_suffix(" (deleted)").unwrap_or(&executed);
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    executed == program || (!name(program).is_empty() && name(executed) == name(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_path_or_its_name_also_when_it_was_removed() {
        for executed in ["/run/x/intruder", "/run/x/intruder (deleted)", "/mnt/intruder"] {
            assert!(same(Path::new(executed), "/run/x/intruder"), "{executed}");
        }
        assert!(!same(Path::new("/run/x/intruders"), "/run/x/intruder"));
        assert!(!same(Path::new("/run/x/a"), ""));
    }

    #[test]
    fn the_process_that_was_seen_is_killed_and_a_later_one_with_its_number_is_not() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let now_ms = bennu_linux::time::since_boot_ms();
        assert!(
            !kill_seen(child.id(), now_ms.saturating_sub(60_000)).unwrap(),
            "it began later"
        );
        assert!(child.try_wait().unwrap().is_none());
        assert!(kill_seen(child.id(), now_ms + 1000).unwrap());
        assert!(!child.wait().unwrap().success());
        for nobody in [0, 1, std::process::id(), child.id(), u32::MAX] {
            assert!(!kill_seen(nobody, u64::MAX).unwrap(), "{nobody}");
        }
    }

    #[test]
    fn all_who_execute_a_program_are_killed_and_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bennu-test-kill");
        fs::copy("/bin/sleep", &program).unwrap();
        let start = || std::process::Command::new(&program).arg("600").spawn().unwrap();
        let mut children = [start(), start(), start()];
        let named = Named {
            programs: vec![program.to_str().unwrap().to_owned()],
            processes: vec![(children[0].id(), u64::MAX)],
        };
        assert_eq!(kill(&named).unwrap(), "3 processes");
        for child in &mut children {
            assert!(!child.wait().unwrap().success());
        }
        assert_eq!(kill(&named).unwrap(), "0 processes");
    }

    #[test]
    fn the_start_of_a_process_is_read_behind_its_name() {
        let members = (3..=30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(began_ms(&format!("7 (a) 1 (b) c) {members}")), Some(220));
        for wrong in ["", "7 (sleep", "7 (sleep) 1 2 3"] {
            assert_eq!(began_ms(wrong), None, "{wrong}");
        }
    }
}
