//! The logs of one machine: which one a line belongs to.
//!
//! A line is told by its number, its segment and its bytes. One that was there is dropped; one that follows is appended;
//! one that begins a log anew, or does not follow, begins a folder of its own; one whose number is taken by other bytes is
//! kept beside. Nothing is overwritten.

use super::beside::{Added, Beside, Kept};
use super::log::{Log, Opened, Place, folder_number};
use super::medium::{self, Medium, io_error};
use super::{CollectError, Outcome, Sent, Told};
use crate::message::read_gap;
use bennu_formats::codes::Code;
use bennu_records::{Kind, Line};
use std::fs;
use std::path::{Path, PathBuf};

/// How many logs lines are compared with: the one that is being written, and those before it whose last lines may come
/// late, over a connection that hung.
const RECENT: usize = 3;
/// Most logs of a machine: an image without a state volume begins one at each start.
const MAX_LOGS: u32 = 65_536;

/// A machine.
#[derive(Debug)]
pub(super) struct Machine {
    name: String,
    directory: PathBuf,
    /// The last one written to comes first.
    logs: Vec<Log>,
    next_log: u32,
    notes: Beside,
    conflicts: Beside,
    /// That there is no more room was told.
    full: bool,
}

impl Machine {
    /// The machine's folder, or a new one; what a power cut left is put in order and told.
    pub(super) fn open(
        directory: &Path,
        name: &str,
        medium: &mut Medium,
        told: &mut Vec<Told>,
    ) -> Result<Self, CollectError> {
        let directory = directory.join(name);
        medium::make_directory(&directory)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&directory).map_err(io_error("list", &directory))? {
            let name = entry.map_err(io_error("list", &directory))?.file_name();
            numbers.extend(name.to_str().and_then(folder_number));
        }
        numbers.sort_unstable();
        let mut machine = Self {
            name: name.to_owned(),
            logs: Vec::new(),
            next_log: numbers.last().map_or(0, |last| last.saturating_add(1)),
            notes: Beside::open(directory.join("notes.jsonl"))?,
            conflicts: Beside::open(directory.join("conflicts.jsonl"))?,
            directory,
            full: false,
        };
        for number in numbers.into_iter().rev().take(RECENT) {
            match Log::open(&machine.directory, number)? {
                Opened::Log(log, torn) => {
                    machine.logs.push(log);
                    if let Some(torn) = torn {
                        let kept = if torn.kept {
                            "kept in a file torn-…"
                        } else {
                            "cut off"
                        };
                        let words = format!("its last {} bytes are no line; {kept}", torn.bytes);
                        told.push(machine.told(Code::RecordsTorn, Some(number), None, words));
                    }
                }
                Opened::Empty if number.saturating_add(1) == machine.next_log => machine.next_log = number,
                Opened::Empty | Opened::Damaged => {}
            }
        }
        medium.sync()?;
        medium::sync_directory(&machine.directory)?;
        Ok(machine)
    }

    /// Takes what came from the machine.
    pub(super) fn take(
        &mut self,
        medium: &mut Medium,
        text: &str,
        sent: Sent,
        told: &mut Vec<Told>,
    ) -> Result<Outcome, CollectError> {
        // One past the last number must be a number; a line feed between the members would be JSON, and two lines here.
        let line = Line::decode(text.as_bytes()).ok();
        match line.filter(|line| line.seq < u64::MAX && !text.contains('\n')) {
            Some(line) => self.record(medium, &line, text, sent, told),
            None => self.words(medium, text, told),
        }
    }

    fn record(
        &mut self,
        medium: &mut Medium,
        line: &Line,
        text: &str,
        sent: Sent,
        told: &mut Vec<Told>,
    ) -> Result<Outcome, CollectError> {
        // The common case: it is of a log whose newest segment is its own.
        let own = self.logs.iter().position(|log| log.is_in(line.segment));
        if let Some(index) = own
            && let Place::Next { missing } = self.logs[index].place(line, text.as_bytes())?
        {
            return self.append(medium, (index, missing), line, text, sent, told);
        }
        let mut places = Vec::with_capacity(self.logs.len());
        for log in &mut self.logs {
            let place = log.place(line, text.as_bytes())?;
            if place == Place::Repeat {
                return Ok(Outcome::Repeat);
            }
            places.push(place);
        }
        // The first line of a segment: behind the last line of one of the logs, or of the newest with a gap between them.
        let exactly = places
            .iter()
            .position(|place| *place == Place::Next { missing: 0 });
        if let Some(index) = exactly.or(Some(0))
            && let Some(Place::Next { missing }) = places.get(index)
        {
            return self.append(medium, (index, *missing), line, text, sent, told);
        }
        let joint = matches!(line.kind, Kind::Start | Kind::Continue);
        // Of the log that it says it is of; if it is of none that is known, of any.
        let differs = match own {
            Some(index) => Some(index).filter(|index| places[*index] == Place::Differs),
            None => places.iter().position(|place| *place == Place::Differs),
        };
        match differs.filter(|_| !joint) {
            Some(index) => {
                let log = self.logs[index].number;
                self.conflict(medium, log, line.seq, text, told)
            }
            None => self.begin(medium, line, text, sent, told),
        }
    }

    fn append(
        &mut self,
        medium: &mut Medium,
        (index, missing): (usize, u64),
        line: &Line,
        text: &str,
        sent: Sent,
        told: &mut Vec<Told>,
    ) -> Result<Outcome, CollectError> {
        if missing > 0 {
            let log = self.logs[index].number;
            self.gap(medium, log, line.seq, missing, sent, told)?;
        }
        let mut log = self.logs.remove(index);
        let appended = log.append(medium, line, text.as_bytes());
        self.logs.insert(0, log);
        appended.map(|()| Outcome::New)
    }

    /// Tells of numbers that are missing, unless the machine itself has, or leaves lines out.
    fn gap(
        &mut self,
        medium: &mut Medium,
        log: u32,
        number: u64,
        missing: u64,
        sent: Sent,
        told: &mut Vec<Told>,
    ) -> Result<(), CollectError> {
        if sent == Sent::Alerts || self.was_announced(number)? {
            return Ok(());
        }
        let words =
            format!("{missing} lines before number {number} did not come, and the machine does not say why");
        self.note(medium, Code::RecordsGap, Some(log), Some(number), words, told)
    }

    fn was_announced(&self, number: u64) -> Result<bool, CollectError> {
        self.notes.has(|line| {
            let kept: Option<Kept> = serde_json::from_slice(line).ok();
            let kept = kept.filter(|kept| kept.code == Code::RecordsSender);
            kept.and_then(|kept| read_gap(&kept.text))
                .is_some_and(|(_, before)| before == number)
        })
    }

    /// A line that belongs to no log that is known.
    fn begin(
        &mut self,
        medium: &mut Medium,
        line: &Line,
        text: &str,
        sent: Sent,
        told: &mut Vec<Told>,
    ) -> Result<Outcome, CollectError> {
        let number = self.next_log;
        if number >= MAX_LOGS {
            self.is_full(format!("expected at most {MAX_LOGS} logs"), told);
            return self.conflict(medium, number, line.seq, text, told);
        }
        let anew = line.kind == Kind::Start && line.seq == 0;
        let first = self.logs.is_empty() && number == 0;
        if first && line.seq > 0 {
            self.gap(medium, number, line.seq, line.seq, sent, told)?;
        } else if !first {
            let (code, words) = if anew {
                (
                    Code::RecordsAnew,
                    format!("begins anew with number 0, in boot {}", line.boot),
                )
            } else {
                let words = format!(
                    "number {} of boot {} does not follow the log before it",
                    line.seq, line.boot
                );
                (Code::RecordsFork, words)
            };
            self.note(medium, code, Some(number), Some(line.seq), words, told)?;
        }
        let log = Log::begin(&self.directory, number, medium, line, text.as_bytes())?;
        self.next_log = number + 1;
        self.logs.insert(0, log);
        self.logs.truncate(RECENT);
        Ok(Outcome::New)
    }

    fn conflict(
        &mut self,
        medium: &mut Medium,
        log: u32,
        number: u64,
        text: &str,
        told: &mut Vec<Told>,
    ) -> Result<Outcome, CollectError> {
        let kept = Kept {
            v: 1,
            code: Code::RecordsConflict,
            log: Some(log),
            number: Some(number),
            text: text.to_owned(),
        };
        let words = format!("number {number} came again with other bytes; what came first stays");
        match self.conflicts.add(medium, &kept)? {
            Added::Again => return Ok(Outcome::Repeat),
            Added::New => told.push(self.told(Code::RecordsConflict, Some(log), Some(number), words)),
            Added::Full => self.is_full("conflicts.jsonl has no room".to_owned(), told),
        }
        Ok(Outcome::Refused)
    }

    /// What is no record.
    fn words(
        &mut self,
        medium: &mut Medium,
        text: &str,
        told: &mut Vec<Told>,
    ) -> Result<Outcome, CollectError> {
        let log = self.logs.first().map(|log| log.number);
        let before = read_gap(text).map(|(_, before)| before);
        let kept = Kept {
            v: 1,
            code: Code::RecordsSender,
            log,
            number: before,
            text: text.to_owned(),
        };
        match self.notes.add(medium, &kept)? {
            Added::Again => return Ok(Outcome::Repeat),
            Added::New => told.push(self.told(Code::RecordsSender, log, before, shown(text))),
            Added::Full => self.is_full("notes.jsonl has no room".to_owned(), told),
        }
        Ok(Outcome::New)
    }

    /// Tells, and writes it down.
    fn note(
        &mut self,
        medium: &mut Medium,
        code: Code,
        log: Option<u32>,
        number: Option<u64>,
        words: String,
        told: &mut Vec<Told>,
    ) -> Result<(), CollectError> {
        let kept = Kept {
            v: 1,
            code,
            log,
            number,
            text: words.clone(),
        };
        if self.notes.add(medium, &kept)? == Added::Full {
            self.is_full("notes.jsonl has no room".to_owned(), told);
        }
        told.push(self.told(code, log, number, shown(&words)));
        Ok(())
    }

    fn is_full(&mut self, words: String, told: &mut Vec<Told>) {
        if !self.full {
            self.full = true;
            told.push(self.told(Code::RecordsFull, None, None, words));
        }
    }

    fn told(&self, code: Code, log: Option<u32>, number: Option<u64>, words: String) -> Told {
        Told {
            code,
            machine: Some(self.name.clone()),
            log,
            number,
            words,
        }
    }
}

/// Text from the network, for a terminal: its first 200 characters, without control characters.
fn shown(text: &str) -> String {
    let clean = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().take(200).map(clean).collect()
}
