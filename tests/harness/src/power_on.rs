//! One power-on of a machine, from its first instruction to its end.
//!
//! The guest is started paused, the control socket answers, then the clock starts and the guest runs. When the
//! handle is dropped QEMU and swtpm are killed and reaped; nothing stays behind. The handle stays on the
//! thread that made it, for the kernel kills both programs when that thread ends.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::console::{Console, Cursor, Wait};
use crate::ending::reason_of;
pub use crate::ending::{Ending, ShutdownReason};
use crate::machine::Machine;
use crate::marker::Marker;
use crate::process::Guarded;
use crate::qmp::Qmp;
use crate::rigs::Rigs;
use crate::serial::{SerialError, SerialLine, as_ms};
use crate::tool::command_line;
use crate::trouble::MachineTrouble;

/// QEMU needs some 100 ms on a quiet host to open its control socket.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// From the closed console to the end of QEMU's process.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A running machine.
#[derive(Debug)]
pub struct PowerOn<'m> {
    // Fields drop in this order: QEMU first, then what it talks to, then the sockets.
    qemu: Guarded,
    pub(crate) rigs: Rigs,
    _sockets: tempfile::TempDir,
    pub(crate) qmp: Qmp,
    stdin: ChildStdin,
    console: Arc<Console>,
    reader: Option<JoinHandle<()>>,
    cursor: Cursor,
    ending: Option<Ending>,
    number_in_journal: usize,
    folder: PathBuf,
    machine: &'m mut Machine,
}

impl<'m> PowerOn<'m> {
    pub(crate) fn start(machine: &'m mut Machine) -> anyhow::Result<Self> {
        machine.power_ons += 1;
        let name = format!("power-on-{}", machine.power_ons);
        let folder = machine.folder.join(&name);
        fs::create_dir(&folder).with_context(|| format!("make folder {}", folder.display()))?;
        let sockets = tempfile::Builder::new()
            .prefix("bennu-vm-")
            .tempdir()
            .context("make the sockets' folder")?;
        let rigs = Rigs::start(machine, sockets.path(), &folder)?;
        let args = machine.arguments(sockets.path());
        let command_file = folder.join("command.txt");
        fs::write(&command_file, command_line("qemu-system-x86_64", &args) + "\n")
            .context("write command.txt")?;
        let mut qemu = Guarded::spawn("qemu-system-x86_64", &args, folder.join("qemu.stderr"))?;
        let (stdin, stdout) = qemu.take_pipes().context("take qemu's pipes")?;
        let (console, reader) = Console::start(stdout, &folder).context("keep the serial log")?;
        let qmp = connect(&mut qemu, &sockets.path().join("qmp"), &command_file)?;
        let label = format!("{}{name}", machine.label);
        let number_in_journal = machine
            .journal
            .begin(label, machine.accelerator, Arc::clone(&console));
        let mut power_on = Self {
            qemu,
            rigs,
            _sockets: sockets,
            qmp,
            stdin,
            console,
            reader: Some(reader),
            cursor: Cursor::default(),
            ending: None,
            number_in_journal,
            folder,
            machine,
        };
        power_on.console.start_clock();
        if let Err(error) = power_on.qmp.execute("cont") {
            let found = format!("{error}: {}", power_on.qemu.said());
            return Err(MachineTrouble::QemuDidNotStart {
                found,
                command_file: command_file.display().to_string(),
            }
            .into());
        }
        Ok(power_on)
    }

    /// Waits for the first complete line after the last match that holds the marker.
    ///
    /// # Errors
    /// [`SerialError::Deadline`], or at once [`SerialError::Ended`] when the machine ends.
    pub fn wait_for(
        &mut self,
        marker: impl Into<Marker>,
        within: Duration,
    ) -> Result<SerialLine, SerialError> {
        self.wait(&Wait {
            wanted: &[marker.into()],
            within,
            ..Wait::default()
        })
        .map(|(_, line)| line)
    }

    /// As [`Self::wait_for`], and fails at once if a forbidden marker comes first.
    ///
    /// # Errors
    /// [`SerialError::Forbidden`] besides.
    pub fn wait_for_without(
        &mut self,
        marker: impl Into<Marker>,
        forbidden: &[Marker],
        within: Duration,
    ) -> Result<SerialLine, SerialError> {
        self.wait(&Wait {
            wanted: &[marker.into()],
            forbidden,
            within,
            ..Wait::default()
        })
        .map(|(_, line)| line)
    }

    /// Waits for the first of several markers; returns its place in `markers` and its line.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_any(
        &mut self,
        markers: &[Marker],
        within: Duration,
    ) -> Result<(usize, SerialLine), SerialError> {
        self.wait(&Wait {
            wanted: markers,
            within,
            ..Wait::default()
        })
    }

    /// Waits for a marker in a line that need not have ended, as a prompt.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_prompt(
        &mut self,
        marker: impl Into<Marker>,
        within: Duration,
    ) -> Result<SerialLine, SerialError> {
        let wanted = [marker.into()];
        self.wait(&Wait {
            wanted: &wanted,
            prompts: true,
            within,
            ..Wait::default()
        })
        .map(|(_, line)| line)
    }

    /// Checks that no complete line of this power-on so far holds the marker. Wait for a later line, or for the
    /// machine's end, first: what has not been printed yet cannot be found.
    ///
    /// # Errors
    /// [`SerialError::Forbidden`] with the line.
    pub fn expect_none(&self, marker: impl Into<Marker>) -> Result<(), SerialError> {
        let marker = marker.into();
        match self.console.find(|line| marker.find_end(line, 0).is_some()) {
            Some(line) => Err(SerialError::Forbidden {
                marker: marker.to_string(),
                line,
            }),
            None => Ok(()),
        }
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<SerialLine> {
        self.console.lines()
    }

    /// Types `text` on the serial console.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.stdin
            .write_all(text.as_bytes())
            .context("type on the serial console")
    }

    /// Time since power-on.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.console.elapsed()
    }

    /// Folder of this power-on's logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Process ids of QEMU and, if there is one, of swtpm.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        std::iter::once(self.qemu.pid())
            .chain(self.rigs.swtpm_pid())
            .collect()
    }

    /// Ends QEMU orderly without asking the guest: all writes that the guest saw completed are kept.
    ///
    /// # Errors
    /// [`crate::qmp::QmpError`], or QEMU does not go.
    pub fn quit(mut self) -> anyhow::Result<Ending> {
        self.qmp.execute("quit")?;
        Ok(self.wait_exit(GONE_WITHIN)?)
    }

    /// Cuts the power: SIGKILL. Disk, variables and TPM stay as they are at this instant.
    ///
    /// # Errors
    /// The process cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.qemu.kill().context("kill qemu")?;
        self.settle();
        Ok(())
    }

    /// Waits until the machine has ended by itself.
    ///
    /// # Errors
    /// [`SerialError::Deadline`] if it still runs.
    pub fn wait_exit(&mut self, within: Duration) -> Result<Ending, SerialError> {
        if let Some(ending) = &self.ending {
            return Ok(ending.clone());
        }
        if !self.console.wait_closed(Instant::now() + within) {
            let last = self
                .console
                .tail(1)
                .pop()
                .map_or_else(|| "none".to_owned(), |line| format!("{:?}", line.text));
            let marker = "of the machine's end".to_owned();
            let lines = self.console.lines().len();
            return Err(SerialError::Deadline {
                marker,
                within_ms: as_ms(within),
                lines,
                last,
            });
        }
        self.settle();
        self.ending
            .clone()
            .ok_or_else(|| SerialError::Log("qemu closed its console and did not end".to_owned()))
    }

    fn wait(&mut self, wait: &Wait<'_>) -> Result<(usize, SerialLine), SerialError> {
        let mut cursor = self.cursor;
        let result = self.console.wait(&mut cursor, wait);
        self.cursor = cursor;
        result.map_err(|error| match error {
            SerialError::Ended {
                marker, lines, last, ..
            } => {
                self.settle();
                SerialError::Ended {
                    marker,
                    how: self.how(),
                    lines,
                    last,
                }
            }
            other => other,
        })
    }

    /// After QEMU's end: reaps it and ends what it talked to, reads the last events, ends the reader thread.
    fn settle(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let ms = as_ms(self.console.elapsed());
        let gone = self.qemu.wait_until(Instant::now() + GONE_WITHIN);
        let status = match gone {
            Ok(Some(status)) => Ok(status),
            Ok(None) => self.qemu.kill(),
            Err(error) => Err(error),
        };
        self.rigs.finish();
        if let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            eprintln!("the serial reader of {} panicked", self.folder.display());
        }
        match status {
            Ok(status) => {
                self.ending = Some(Ending {
                    status,
                    reason: reason_of(self.qmp.drain()),
                    ms,
                })
            }
            Err(error) => eprintln!("end qemu: {error}"),
        }
        self.machine.journal.end(self.number_in_journal, &self.how());
    }

    fn how(&self) -> String {
        match &self.ending {
            Some(Ending {
                reason: Some(reason),
                status,
                ..
            }) => format!("{reason:?}, {status}"),
            Some(Ending {
                reason: None, status, ..
            }) => format!("{status}, {}", self.qemu.said()),
            None => "unknown".to_owned(),
        }
    }
}

impl Drop for PowerOn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.qemu.kill() {
            eprintln!("kill qemu: {error}");
        }
        self.settle();
    }
}

/// Connects to the control socket as soon as QEMU has made it.
fn connect(qemu: &mut Guarded, socket: &Path, command_file: &Path) -> anyhow::Result<Qmp> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let error = match Qmp::connect(socket) {
            Ok(qmp) => return Ok(qmp),
            Err(error) => error,
        };
        let status = qemu
            .wait_until(Instant::now() + Duration::from_millis(5))
            .context("watch qemu")?;
        let found = match status {
            Some(status) => format!("it ended with {status}: {}", qemu.said()),
            None if Instant::now() >= deadline => format!("{error}: {}", qemu.said()),
            None => continue,
        };
        let command_file = command_file.display().to_string();
        return Err(MachineTrouble::QemuDidNotStart { found, command_file }.into());
    }
}
