//! Killing what a signal names: every process that executes a file of that name and is not ours.

use crate::kernel_files::proc_path;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::{fs, io};

/// Kills the programs with these paths.
///
/// # Errors
/// The list of processes cannot be read, or one was not killed; in words.
pub fn programs(programs: &[String]) -> Result<String, String> {
    if programs.is_empty() {
        return Ok("no program was named".to_owned());
    }
    let mut killed = 0;
    let mut failed = None;
    for pid in processes(programs)? {
        match kill_process(pid, Signal::KILL) {
            Ok(()) => killed += 1,
            Err(error) => failed = Some(format!("process {}: {error}", pid.as_raw_nonzero())),
        }
    }
    match failed {
        None => Ok(format!("{killed} processes")),
        Some(why) => Err(why),
    }
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
        if programs.iter().any(|program| same(&executed, program)) {
            found.push(pid);
        }
    }
    match hidden {
        Some(why) if found.is_empty() => Err(why),
        Some(_) | None => Ok(found),
    }
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
}
