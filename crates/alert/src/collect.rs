//! The other end: keeps what machines sent, each line once.
//!
//! Delivery is at least once (RFC 5425 has no confirmation of a message), so that it becomes exactly once here, where the
//! number, the segment and the bytes of a line tell it (`docs/adr/0031-exactly-once-at-the-receiver.md`).
//!
//! Read and written: `DIRECTORY/<machine>/log-<number>/collected-<first line>.jsonl`, which `bennuctl log verify` checks;
//! beside the logs `notes.jsonl` and `conflicts.jsonl`. Input is hostile: lengths first, then names, then the shape of a
//! line. Nothing is proven here: no MAC, no head. On failure the syslog server is told, keeps the message and sends it
//! again; a power cut leaves whole confirmed lines, and half a line that is cut off.

mod beside;
mod input;
mod log;
mod machine;
mod medium;
mod told;

pub use beside::Kept;
pub use input::{Input, InputError, MAX_INPUT_BYTES, MAX_NAME_BYTES};
pub use told::Told;

use bennu_formats::codes::Code;
use machine::Machine;
use medium::{Medium, io_error};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for another collector to end: rsyslog starts the next one when the one before is about to.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Machines whose place is kept in memory, some hundred bytes each; the others are read again when a line comes.
const MAX_LOADED: usize = 1024;

/// Why something is not kept. The message must come again.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Files.
    #[error("cannot {act} {path}: {source}")]
    Io {
        /// What was being done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else writes there.
    #[error(
        "{path}: another collector writes there; give each a directory of its own, and omprog forceSingleInstance=\"on\""
    )]
    Busy {
        /// Directory.
        path: PathBuf,
    },
}

/// What of their logs the machines send (`[alerts] send` in image.toml).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Every line: a number that is missing is told.
    Everything,
    /// Some: numbers are missing by design, and nobody can tell which.
    Alerts,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is kept.
    New,
    /// It was there.
    Repeat,
    /// It was not taken in.
    Refused,
}

/// How many messages came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Kept.
    pub new: u64,
    /// Dropped: they were there, byte for byte.
    pub repeats: u64,
    /// Not taken in.
    pub refused: u64,
}

/// Keeps the logs of many machines.
#[derive(Debug)]
pub struct Collector {
    directory: PathBuf,
    most_machines: usize,
    sent: Sent,
    machines: BTreeMap<String, Machine>,
    medium: Medium,
    counts: Counts,
    /// The directory itself, locked for as long as this lives.
    _lock: File,
}

impl Collector {
    /// Keeps logs in `directory`, which is made if need be, of at most `most_machines` machines.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub fn open(directory: &Path, most_machines: usize, sent: Sent) -> Result<Self, CollectError> {
        let directory = std::path::absolute(directory).map_err(io_error("find", directory))?;
        medium::make_directory(&directory)?;
        let lock = File::open(&directory).map_err(io_error("open", &directory))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => return Err(CollectError::Busy { path: directory }),
                Err(TryLockError::Error(source)) => return Err(io_error("lock", &directory)(source)),
            }
        }
        Ok(Self {
            directory,
            most_machines,
            sent,
            machines: BTreeMap::new(),
            medium: Medium::default(),
            counts: Counts::default(),
            _lock: lock,
        })
    }

    /// Takes a message of the syslog server. It outlives this process when this returns, and a power cut after
    /// [`Self::commit`]. What people should know is added to `told`.
    ///
    /// # Errors
    /// [`CollectError::Io`]: the message is not kept and must come again.
    pub fn take(&mut self, bytes: &[u8], told: &mut Vec<Told>) -> Result<Outcome, CollectError> {
        let outcome = match Input::decode(bytes) {
            Ok(input) => self.message(&input, told)?,
            Err(error) => self.refuse(Code::RecordsInput, error.to_string(), told),
        };
        match outcome {
            Outcome::New => self.counts.new += 1,
            Outcome::Repeat => self.counts.repeats += 1,
            Outcome::Refused => self.counts.refused += 1,
        }
        Ok(outcome)
    }

    fn message(&mut self, input: &Input, told: &mut Vec<Told>) -> Result<Outcome, CollectError> {
        let name = &input.machine;
        if !self.machines.contains_key(name) {
            if !self.directory.join(name).is_dir() && self.folders()? >= self.most_machines {
                let words = format!("{name}: expected at most {} machines", self.most_machines);
                return Ok(self.refuse(Code::RecordsFull, words, told));
            }
            if self.machines.len() >= MAX_LOADED {
                self.machines.clear();
            }
            let machine = Machine::open(&self.directory, name, &mut self.medium, told)?;
            self.machines.insert(name.clone(), machine);
        }
        let Some(machine) = self.machines.get_mut(name) else {
            return Ok(Outcome::Refused);
        };
        let taken = machine.take(&mut self.medium, &input.line, self.sent, told);
        if taken.is_err() {
            // What is on the medium is looked at anew.
            self.machines.remove(name);
        }
        taken
    }

    /// How many machines have a folder.
    fn folders(&self) -> Result<usize, CollectError> {
        let list = fs::read_dir(&self.directory).map_err(io_error("list", &self.directory))?;
        Ok(list.take(self.most_machines).count())
    }

    fn refuse(&self, code: Code, words: String, told: &mut Vec<Told>) -> Outcome {
        told.push(Told {
            code,
            machine: None,
            log: None,
            number: None,
            words,
        });
        Outcome::Refused
    }

    /// Puts everything that was taken on the medium.
    ///
    /// # Errors
    /// [`CollectError::Io`]: what was taken since the last call must come again.
    pub fn commit(&mut self) -> Result<(), CollectError> {
        let synced = self.medium.sync();
        if synced.is_err() {
            self.machines.clear();
        }
        synced
    }

    /// What came so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
