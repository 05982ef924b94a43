//! What of the log is not confirmed yet, in batches.
//!
//! The files are read as they lie there; who can write them is root of this machine, so a line counts for nothing here but
//! its length, and what is no record line is sent as a message that says so.

use crate::cursor::{Cursor, CursorError};
use crate::message::{Message, Severity, frame, gap_text};
use bennu_records::{Kind, Line, MAX_LINE_BYTES, file_number};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Most bytes of record lines in one batch; one line more may stand in it.
pub const MAX_BATCH_BYTES: u64 = 1 << 20;
/// Most files that a log may have here; more are an error, not memory.
const MAX_FILES: usize = 4096;

/// Why the queue cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The directory or a file.
    #[error("{path}: record log cannot be read: {source}")]
    Read {
        /// File or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many files.
    #[error("{path}: expected at most {MAX_FILES} record files, found more")]
    TooMany {
        /// Directory.
        path: PathBuf,
    },
    /// The cursor.
    #[error("{0}")]
    Cursor(#[from] CursorError),
}

/// Which lines are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All.
    Everything,
    /// Heads, gaps, starts, and events of severity warning and above.
    Alerts,
}

/// Frames to send, and where the log stands when they are confirmed.
#[derive(Debug)]
pub struct Batch {
    /// Framed messages, back to back.
    pub frames: Vec<u8>,
    /// How many.
    pub messages: u64,
    next: Cursor,
}

impl Batch {
    /// Nothing to send; the cursor may still move over lines that are not selected.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }
}

/// The log as a queue.
#[derive(Debug)]
pub struct Queue {
    directory: PathBuf,
    cursor_file: PathBuf,
    cursor: Cursor,
    selection: Selection,
    hostname: String,
}

impl Queue {
    /// The log in `directory`, confirmed up to what `cursor_file` says.
    ///
    /// # Errors
    /// [`QueueError::Cursor`].
    pub fn open(
        directory: &Path,
        cursor_file: &Path,
        selection: Selection,
        hostname: &str,
    ) -> Result<Self, QueueError> {
        Ok(Self {
            directory: directory.to_owned(),
            cursor_file: cursor_file.to_owned(),
            cursor: Cursor::read(cursor_file)?.unwrap_or_default(),
            selection,
            hostname: hostname.to_owned(),
        })
    }

    /// The log from its first line on: for a cursor that cannot be read.
    pub fn from_the_beginning(
        directory: &Path,
        cursor_file: &Path,
        selection: Selection,
        hostname: &str,
    ) -> Self {
        Self {
            directory: directory.to_owned(),
            cursor_file: cursor_file.to_owned(),
            cursor: Cursor::default(),
            selection,
            hostname: hostname.to_owned(),
        }
    }

    /// What is next. Reads at most [`MAX_BATCH_BYTES`] and one line.
    ///
    /// # Errors
    /// [`QueueError::Read`], [`QueueError::TooMany`].
    pub fn next_batch(&self) -> Result<Batch, QueueError> {
        let files = self.files()?;
        let mut making = Making {
            batch: Batch {
                frames: Vec::new(),
                messages: 0,
                next: self.cursor,
            },
            taken: 0,
            queue: self,
        };
        for (number, path) in files.range(self.cursor.file..) {
            if *number != making.batch.next.file {
                making.batch.next.file = *number;
                making.batch.next.offset = 0;
            }
            making.file(path)?;
            if making.taken >= MAX_BATCH_BYTES {
                break;
            }
        }
        Ok(making.batch)
    }

    /// The server has the batch: moves the cursor.
    ///
    /// # Errors
    /// [`QueueError::Cursor`]; the batch will be sent again after a restart.
    pub fn confirm(&mut self, batch: &Batch) -> Result<(), QueueError> {
        if batch.next != self.cursor {
            batch.next.write(&self.cursor_file)?;
            self.cursor = batch.next;
        }
        Ok(())
    }

    /// Bytes of the log behind the cursor, whatever is selected of them.
    ///
    /// # Errors
    /// [`QueueError::Read`], [`QueueError::TooMany`].
    pub fn waiting(&self) -> Result<u64, QueueError> {
        let mut waiting = 0_u64;
        for (number, path) in self.files()?.range(self.cursor.file..) {
            let bytes = match std::fs::metadata(path) {
                Ok(found) => found.len(),
                // The log gave up its oldest file meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    let path = path.clone();
                    return Err(QueueError::Read { path, source });
                }
            };
            let sent = if *number == self.cursor.file {
                self.cursor.offset
            } else {
                0
            };
            waiting = waiting.saturating_add(bytes.saturating_sub(sent));
        }
        Ok(waiting)
    }

    fn files(&self) -> Result<BTreeMap<u64, PathBuf>, QueueError> {
        let read = |source| QueueError::Read {
            path: self.directory.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(read(error)),
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let name = entry.map_err(read)?.file_name();
            let Some(number) = name.to_str().and_then(file_number) else {
                continue;
            };
            if files.len() == MAX_FILES {
                return Err(QueueError::TooMany {
                    path: self.directory.clone(),
                });
            }
            files.insert(number, self.directory.join(&name));
        }
        Ok(files)
    }
}

/// A batch that is being put together.
struct Making<'a> {
    batch: Batch,
    taken: u64,
    queue: &'a Queue,
}

impl Making<'_> {
    /// Takes whole lines of one file. A torn end of the newest file may still become a line and is looked at again; that of
    /// an older one never will, and the next file's first line names it.
    fn file(&mut self, path: &Path) -> Result<(), QueueError> {
        let read = |source| QueueError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let mut file = match File::open(path) {
            Ok(file) => file,
            // Rotated away between the listing and now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(read(error)),
        };
        file.seek(SeekFrom::Start(self.batch.next.offset)).map_err(read)?;
        let room = MAX_BATCH_BYTES.saturating_sub(self.taken) + MAX_LINE_BYTES as u64 + 1;
        (&file).take(room).read_to_end(&mut bytes).map_err(read)?;
        // The writer may not have flushed its last line yet. A line that left the machine should not be forgotten by it: after
        // a power cut another one would take its number. A medium that flushes no more is no reason to say nothing.
        let _sent_all_the_same = file.sync_data();
        let mut rest = bytes.as_slice();
        while self.taken < MAX_BATCH_BYTES
            && let Some(end) = rest.iter().position(|byte| *byte == b'\n')
        {
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            let length = end as u64 + 1;
            self.line(line);
            self.taken += length;
            self.batch.next.offset += length;
        }
        // No line is as long as this: nothing will ever end it.
        if rest.len() > MAX_LINE_BYTES && self.taken < MAX_BATCH_BYTES {
            self.broken(rest.len());
            self.taken += rest.len() as u64;
            self.batch.next.offset += rest.len() as u64;
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) {
        let (Ok(line), Ok(text)) = (Line::decode(bytes), std::str::from_utf8(bytes)) else {
            return self.broken(bytes.len());
        };
        if line.seq > self.batch.next.number {
            let lost = line.seq - self.batch.next.number;
            self.say(Severity::Warning, &line, "gap", &gap_text(lost, line.seq));
        }
        self.batch.next.number = line.seq.saturating_add(1);
        let severity = severity(&line);
        if self.queue.selection == Selection::Everything
            || severity <= Severity::Warning
            || line.kind != Kind::Event
        {
            self.say(severity, &line, kind(&line), text);
        }
    }

    fn say(&mut self, severity: Severity, line: &Line, kind: &str, text: &str) {
        self.push(&Message {
            severity,
            at_ms: line.stamp.at_ms,
            up_ms: line.stamp.up_ms,
            number: line.seq,
            hostname: &self.queue.hostname,
            boot: &line.boot,
            kind,
            text,
        });
    }

    fn broken(&mut self, bytes: usize) {
        let Cursor { file, offset, number } = self.batch.next;
        let text = format!(
            "file {file} of the record log, byte {offset}: expected a record line, found {bytes} bytes that are none"
        );
        self.push(&Message {
            severity: Severity::Alert,
            at_ms: u64::MAX,
            up_ms: 0,
            number,
            hostname: &self.queue.hostname,
            boot: "",
            kind: "broken",
            text: &text,
        });
    }

    fn push(&mut self, message: &Message<'_>) {
        self.batch.frames.extend(frame(message));
        self.batch.messages += 1;
    }
}

fn kind(line: &Line) -> &'static str {
    match line.kind {
        Kind::Start => "start",
        Kind::Continue => "continue",
        Kind::Event => "event",
        Kind::Gap => "gap",
        Kind::Head => "head",
        Kind::Stop => "stop",
    }
}

/// Severity words are those of the drift ladder (`docs/explanation/drift-ladder.md`), in an event's body.
fn severity(line: &Line) -> Severity {
    match line.kind {
        Kind::Start | Kind::Stop => Severity::Notice,
        Kind::Continue | Kind::Head => Severity::Informational,
        Kind::Gap => Severity::Warning,
        Kind::Event => match line.body.get("severity").and_then(|word| word.as_str()) {
            Some("lost") => Severity::Alert,
            Some("contained") => Severity::Critical,
            Some("serious") => Severity::Error,
            Some("suspicious") => Severity::Warning,
            Some("noted") => Severity::Notice,
            _ => Severity::Informational,
        },
    }
}
