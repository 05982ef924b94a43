//! Long-running host programs that never outlive the harness.
//!
//! Each runs in a process group of its own and is killed with it when its guard is dropped. The kernel kills
//! it as well when the thread that started it ends (`PR_SET_PDEATHSIG`, set through `setpriv`, which needs no
//! unsafe code here): a SIGKILLed test run leaves nothing behind. So a guard stays on the thread that made it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::tool::{self, ToolError};

/// Between two looks at a child that is about to end. The kernel offers no wait with a deadline to safe code.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running child, killed with its group on drop.
#[derive(Debug)]
pub(crate) struct Guarded {
    name: &'static str,
    child: Child,
    /// Once known the process id may belong to somebody else: no signal is sent any more.
    status: Option<ExitStatus>,
    stderr_path: PathBuf,
}

impl Guarded {
    /// Starts `name` with `args`; standard error goes to `stderr_path`, the other two streams are piped.
    pub(crate) fn spawn(
        name: &'static str,
        args: &[OsString],
        stderr_path: PathBuf,
    ) -> Result<Self, ToolError> {
        let program = tool::find(name)?;
        let failed = |source| ToolError::Run {
            command: tool::command_line(name, args),
            source,
        };
        let stderr = File::create(&stderr_path).map_err(failed)?;
        let child = Command::new(tool::find("setpriv")?)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name,
            child,
            status: None,
            stderr_path,
        })
    }

    /// Process id, which is the group's id too.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The two piped streams; each can be taken once.
    pub(crate) fn take_pipes(&mut self) -> io::Result<(ChildStdin, ChildStdout)> {
        let taken = || io::Error::other("the child's pipes were taken before");
        Ok((
            self.child.stdin.take().ok_or_else(taken)?,
            self.child.stdout.take().ok_or_else(taken)?,
        ))
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits until it has ended or `deadline` has come; `None` means that it still runs.
    pub(crate) fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = self.status()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Kills the whole group with SIGKILL and reaps the child. Harmless after its end.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status()? {
            return Ok(status);
        }
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// Last 2000 characters of what it wrote to standard error, on one line.
    pub(crate) fn said(&self) -> String {
        let bytes = std::fs::read(&self.stderr_path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim().replace('\n', "; ");
        let skip = text.chars().count().saturating_sub(2000);
        if text.is_empty() {
            "it said nothing".to_owned()
        } else {
            text.chars().skip(skip).collect()
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!(
                "kill {} (process {}): {error}; look for it by hand",
                self.name,
                self.child.id()
            );
        }
    }
}
