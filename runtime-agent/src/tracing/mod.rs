//! The trace of the running system, in a thread of its own: from the gate's ring to `/var/log/bennu/trace.jsonl`.
//!
//! The file is [`file`]'s. If it cannot be written, what was taken from the ring waits, nothing more is taken, and the kernel
//! counts what finds the ring full. Every loss is told: a line in the log, a signal for the watch, and a gap in the file when that can be written
//! (`account`; what was counted is kept in `/run/bennu/trace.json`). Denials have a ring and a reader of their own
//! (`gate::watch`), which a flood here does not touch.

pub mod account;
pub mod file;
pub mod record;

use crate::console::Console;
use crate::documents;
use crate::gate::NoGate;
use crate::watch::Inbox;
use account::Account;
use bennu_ebpf::GateError;
use bennu_ebpf::live::Traces;
use bennu_formats::paths;
use bennu_formats::trace::{TraceLine, TraceReport};
use bennu_linux::kmsg::Level;
use file::TraceFile;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Records taken in one round; the ring has room for 2,148 (1 MiB, 488 bytes each).
const MOST_RECORDS: usize = 4096;
/// Pause after a round with records.
const BREATH: Duration = Duration::from_millis(50);
/// Pause after the file could not be written.
const PAUSE: Duration = Duration::from_secs(10);

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{path}: cannot be written: {0}", path = paths::VAR_TRACE)]
    File(#[from] io::Error),
    #[error("the trace's losses are not known: {0}")]
    Counters(#[from] GateError),
}

/// Starts the thread, which writes to `file`; the watch for drift hears of losses through `lost`.
///
/// # Errors
/// The gate's maps cannot be opened, or the system has no thread to give.
pub fn start(lost: Inbox, file: TraceFile) -> Result<(), NoGate> {
    let traces = Traces::open(Path::new(paths::ROOT_GATE_PINS))?;
    let counters = traces.counted()?;
    let mut console = Console::open();
    let kept = documents::read_if_there(Path::new(paths::RUN_TRACE)).unwrap_or_else(|error| {
        let words = format!("{error}; losses of the trace are counted anew");
        console.say(Level::Warning, &words);
        None
    });
    let follower = Follower {
        account: Account::new(kept, &counters),
        traces,
        file,
        rest: Vec::new(),
        kept: None,
        keep_fails: false,
        lost,
        console,
    };
    let thread = std::thread::Builder::new().name("trace".to_owned());
    // Never joined: it ends with the program.
    let _thread = thread.spawn(move || follower.run()).map_err(NoGate::Thread)?;
    Ok(())
}

struct Follower {
    traces: Traces,
    account: Account,
    file: TraceFile,
    /// Lines that are not in the file yet.
    rest: Vec<u8>,
    /// The report as it was written last.
    kept: Option<TraceReport>,
    /// It could not be written, and that was told.
    keep_fails: bool,
    lost: Inbox,
    console: Console,
}

impl Follower {
    fn run(mut self) -> ! {
        let mut told = false;
        // Before anything is taken from the ring: the next bennud goes on from it.
        self.keep();
        loop {
            match self.round() {
                Ok(()) => told = false,
                Err(error) => {
                    if !told {
                        self.console.say(Level::Error, &error.to_string());
                    }
                    told = true;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn round(&mut self) -> Result<(), Trouble> {
        let minute = Timespec {
            tv_sec: 60,
            tv_nsec: 0,
        };
        let _woken = poll(
            &mut [PollFd::new(&self.traces.ring(), PollFlags::IN)],
            Some(&minute),
        );
        let written = self.write_rest();
        let emptied = written.is_ok() && self.take_records()?;
        self.tell_losses(emptied)?;
        written?;
        for gap in self.account.gaps() {
            push(&mut self.rest, &gap)?;
        }
        self.write_rest()?;
        self.keep();
        std::thread::sleep(BREATH);
        Ok(())
    }

    /// Whether nothing is left in the ring.
    fn take_records(&mut self) -> io::Result<bool> {
        for _ in 0..MOST_RECORDS {
            let Some(trace) = self.traces.next_trace() else {
                return Ok(true);
            };
            self.account.take(trace.cpu, trace.number);
            push(&mut self.rest, &record::line(trace))?;
        }
        Ok(false)
    }

    fn tell_losses(&mut self, emptied: bool) -> Result<(), GateError> {
        let (counters, later) = (self.traces.counted()?, self.traces.counted()?);
        for loss in self.account.losses(&counters, &later, emptied) {
            let words = format!(
                "GAP: {} records of the trace of CPU {} were lost",
                loss.missing, loss.cpu
            );
            self.console.say(Level::Warning, &words);
            self.lost.lost_of_trace(loss.missing);
        }
        Ok(())
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let path = Path::new(paths::VAR_TRACE);
        self.file.append(path, file::MOST_BYTES, &mut self.rest)
    }

    fn keep(&mut self) {
        let report = self.account.report();
        if self.kept.as_ref() == Some(&report) {
            return;
        }
        match documents::write(Path::new(paths::RUN_TRACE), &report) {
            Ok(()) => {
                self.kept = Some(report);
                self.keep_fails = false;
            }
            Err(error) if !self.keep_fails => {
                self.keep_fails = true;
                let words = format!("bennuctl will show an old count of the trace: {error}");
                self.console.say(Level::Warning, &words);
            }
            Err(_) => {}
        }
    }
}

fn push(lines: &mut Vec<u8>, line: &TraceLine) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}
