//! A program of the verified root, run without a shell, with a time limit, and with the end of what it said.
//!
//! The program gets a process group of its own, an environment of three variables, and nothing on its standard
//! input. When the limit is reached its whole group is killed. What it writes is read only to be shown: the
//! last [`OUTPUT_BYTES`] bytes, control characters replaced.

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::io::{self, PipeReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// systemd's command line tool; as root it speaks to PID 1 directly and needs no D-Bus daemon.
pub const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// Bytes of output that are kept.
pub const OUTPUT_BYTES: usize = 200;
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(10);
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command does not count as successful.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No words.
    #[error("command: expected a program, found an empty list")]
    Empty,
    /// Not an absolute path: there is no search.
    #[error("command {program}: expected an absolute path; build the image with one")]
    Relative {
        /// Program.
        program: String,
    },
    /// It did not start.
    #[error("command {program}: cannot be started: {source}")]
    Start {
        /// Program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not tell its state.
    #[error("command {program}: cannot be waited for: {source}")]
    Wait {
        /// Program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("command {program}: expected an end within {limit_ms} ms, found none; it said `{output}`")]
    TimeLimit {
        /// Program.
        program: String,
        /// Limit.
        limit_ms: u128,
        /// End of its output.
        output: String,
    },
    /// It ended with another status.
    #[error(
        "command {program}: expected exit status 0, found {}; it said `{output}`",
        words(status)
    )]
    Status {
        /// Program.
        program: String,
        /// Status.
        status: ExitStatus,
        /// End of its output.
        output: String,
    },
}

fn words(status: &ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "neither status nor signal".to_owned(),
    }
}

/// Runs `argv` and gives the end of what it said.
///
/// # Errors
/// See [`CommandError`].
pub fn run<S: AsRef<OsStr>>(argv: &[S], limit: Duration) -> Result<String, CommandError> {
    let (program, arguments) = argv.split_first().ok_or(CommandError::Empty)?;
    let program = program.as_ref();
    let name = program.to_string_lossy().into_owned();
    if !name.starts_with('/') {
        return Err(CommandError::Relative { program: name });
    }
    let (mut child, reader) = match start(program, arguments) {
        Ok(started) => started,
        Err(source) => {
            return Err(CommandError::Start {
                program: name,
                source,
            });
        }
    };
    let mut output = Output {
        reader,
        tail: Vec::new(),
    };
    let started = Instant::now();
    loop {
        output.drain();
        match child.try_wait() {
            Ok(Some(status)) => {
                output.drain();
                let output = output.text();
                return if status.success() {
                    Ok(output)
                } else {
                    Err(CommandError::Status {
                        program: name,
                        status,
                        output,
                    })
                };
            }
            Ok(None) if started.elapsed() < limit => std::thread::sleep(POLL),
            Ok(None) => {
                kill(&mut child).map_err(|source| CommandError::Wait {
                    program: name.clone(),
                    source,
                })?;
                let limit_ms = limit.as_millis();
                return Err(CommandError::TimeLimit {
                    program: name,
                    limit_ms,
                    output: output.text(),
                });
            }
            Err(source) => {
                return Err(CommandError::Wait {
                    program: name,
                    source,
                });
            }
        }
    }
}

fn start<S: AsRef<OsStr>>(program: &OsStr, arguments: &[S]) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C")
        .env("SYSTEMD_COLORS", "0")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((child, reader))
}

/// Kills the group while its leader is not reaped yet, so that the number is still its own.
fn kill(child: &mut Child) -> io::Result<()> {
    let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    match leader.map(|leader| kill_process_group(leader, Signal::KILL)) {
        Some(Ok(())) => {}
        Some(Err(_)) | None => child.kill()?,
    }
    child.wait().map(drop)
}

struct Output {
    reader: PipeReader,
    tail: Vec<u8>,
}

impl Output {
    /// Takes what is there. Bounded, so that a program that never stops talking meets its time limit.
    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..64 {
            match self.reader.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    self.tail.extend_from_slice(&buffer[..length]);
                    let excess = self.tail.len().saturating_sub(OUTPUT_BYTES);
                    self.tail.drain(..excess);
                }
            }
        }
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        text.trim().chars().map(clean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_command_gives_the_end_of_what_it_said() {
        assert_eq!(run(&["/bin/echo", "$HOME", "a b"], LIMIT).unwrap(), "$HOME a b");
        let long = run(&["/usr/bin/seq", "100000"], LIMIT).unwrap();
        assert!(long.ends_with("99999 100000") && long.len() <= OUTPUT_BYTES);
    }

    #[test]
    fn a_command_sees_three_variables_and_no_notification_socket() {
        let seen = run(&["/usr/bin/env"], LIMIT).unwrap();
        let mut names: Vec<&str> = seen
            .split(' ')
            .filter_map(|pair| Some(pair.split_once('=')?.0))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["LANG", "PATH", "SYSTEMD_COLORS"]);
    }

    #[test]
    fn a_command_that_fails_is_told_with_status_and_words() {
        let error = run(&["/bin/ls", "/nowhere"], LIMIT).unwrap_err();
        assert!(matches!(&error, CommandError::Status { output, .. } if output.contains("/nowhere")));
        assert!(
            error.to_string().contains("expected exit status 0, found 2"),
            "{error}"
        );
        assert!(matches!(
            run(&["/nowhere"], LIMIT),
            Err(CommandError::Start { .. })
        ));
        assert!(matches!(
            run(&["true"], LIMIT),
            Err(CommandError::Relative { .. })
        ));
        assert!(matches!(run::<&str>(&[], LIMIT), Err(CommandError::Empty)));
    }

    #[test]
    fn a_command_over_its_time_limit_is_killed_with_its_children() {
        let started = Instant::now();
        // A script of the test, not a shell of the agent: it leaves a child that holds the pipe open.
        let script = "sleep 7653 & echo $!; wait";
        let error = run(&["/bin/sh", "-c", script], Duration::from_millis(300)).unwrap_err();
        let CommandError::TimeLimit { output, .. } = error else {
            panic!("{error}")
        };
        assert!(started.elapsed() < LIMIT);
        let child = Path::new("/proc").join(&output);
        let gone = |p: &Path| {
            let state = std::fs::read_to_string(p.join("stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let waited = Instant::now();
        while !gone(&child) {
            assert!(waited.elapsed() < LIMIT, "{output} still runs");
            std::thread::sleep(POLL);
        }
    }

    use std::path::Path;

    #[test]
    fn a_command_that_never_stops_talking_meets_its_limit() {
        let error = run(&["/usr/bin/yes"], Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, CommandError::TimeLimit { .. }));
    }
}
