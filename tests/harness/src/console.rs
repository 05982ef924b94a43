//! The serial console of one power-on: a live reader thread, the kept lines, and waiting for markers.
//!
//! Two files are written as the bytes arrive: `serial.raw` (every byte) and `serial.log` (one stripped line
//! each, with the ms since power-on). A waiter learns of a marker, of the machine's end, or of its deadline,
//! whichever comes first; nothing here sleeps.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::marker::Marker;
use crate::serial::{SerialError, SerialLine, as_ms};
use crate::terminal::LineSplitter;

/// Where a waiter stands: everything before it has been consumed by an earlier wait.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    line: usize,
    offset: usize,
}

/// What to wait for.
#[derive(Debug, Default)]
pub(crate) struct Wait<'a> {
    pub(crate) wanted: &'a [Marker],
    pub(crate) forbidden: &'a [Marker],
    /// Look at a line that has not ended as well.
    pub(crate) prompts: bool,
    pub(crate) within: Duration,
}

#[derive(Debug)]
struct Log {
    zero: Instant,
    lines: Vec<SerialLine>,
    partial: String,
    ended: bool,
    trouble: Option<String>,
}

/// The kept console of one power-on, shared by its reader thread, its waiters and the runner's report.
#[derive(Debug)]
pub struct Console {
    log: Mutex<Log>,
    changed: Condvar,
}

impl Console {
    /// Starts to read `pipe` into memory and into the two files in `folder`.
    pub(crate) fn start(
        pipe: impl Read + Send + 'static,
        folder: &Path,
    ) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let raw = File::create(folder.join("serial.raw"))?;
        let text = File::create(folder.join("serial.log"))?;
        let log = Log {
            zero: Instant::now(),
            lines: Vec::new(),
            partial: String::new(),
            ended: false,
            trouble: None,
        };
        let console = Arc::new(Self {
            log: Mutex::new(log),
            changed: Condvar::new(),
        });
        let shared = Arc::clone(&console);
        let reader = std::thread::Builder::new()
            .name("serial".to_owned())
            .spawn(move || {
                let trouble = shared
                    .read_all(pipe, raw, text)
                    .err()
                    .map(|error| error.to_string());
                let mut log = shared.lock();
                log.trouble = trouble;
                log.ended = true;
                log.partial.clear();
                shared.changed.notify_all();
            })?;
        Ok((console, reader))
    }

    /// Makes now the zero of the line times: the guest's first instruction.
    pub(crate) fn start_clock(&self) {
        self.lock().zero = Instant::now();
    }

    /// Time since power-on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.lock().zero.elapsed()
    }

    /// All complete lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<SerialLine> {
        self.lock().lines.clone()
    }

    /// The last `count` lines, a line that has not ended included.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<SerialLine> {
        let log = self.lock();
        let mut lines = log.lines[log.lines.len().saturating_sub(count)..].to_vec();
        if !log.partial.is_empty() {
            lines.push(SerialLine {
                ms: as_ms(log.zero.elapsed()),
                text: log.partial.clone(),
            });
        }
        lines
    }

    /// The first line so far that satisfies `test`.
    #[must_use]
    pub fn find(&self, test: impl Fn(&str) -> bool) -> Option<SerialLine> {
        self.lock().lines.iter().find(|line| test(&line.text)).cloned()
    }

    /// Waits until the console is closed, which QEMU's end does; false if `deadline` came first.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> bool {
        let mut log = self.lock();
        while !log.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            log = self
                .changed
                .wait_timeout(log, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Waits for the first wanted marker after `cursor` and moves the cursor behind it.
    ///
    /// Returns which marker it was and its line. The cursor stays where it was on failure.
    pub(crate) fn wait(
        &self,
        cursor: &mut Cursor,
        wait: &Wait<'_>,
    ) -> Result<(usize, SerialLine), SerialError> {
        let deadline = Instant::now() + wait.within;
        let mut here = *cursor;
        let mut log = self.lock();
        loop {
            if let Some(found) = log.scan(&mut here, wait)? {
                *cursor = here;
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if log.ended || left.is_zero() {
                return Err(log.missed(wait));
            }
            log = self
                .changed
                .wait_timeout(log, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn read_all(&self, mut pipe: impl Read, mut raw: File, mut text: File) -> io::Result<()> {
        let mut splitter = LineSplitter::default();
        let mut chunk = [0; 4096];
        loop {
            let count = match pipe.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let lines = if count == 0 {
                splitter.finish().into_iter().collect()
            } else {
                splitter.feed(&chunk[..count])
            };
            raw.write_all(&chunk[..count])?;
            self.keep(lines, splitter.partial(), &mut text)?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn keep(&self, lines: Vec<String>, partial: String, file: &mut File) -> io::Result<()> {
        let mut log = self.lock();
        let ms = as_ms(log.zero.elapsed());
        for text in lines {
            writeln!(file, "{ms:>8} {text}")?;
            log.lines.push(SerialLine { ms, text });
        }
        log.partial = partial;
        drop(log);
        self.changed.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Looks through the lines from `here`; leaves `here` behind the match, or at the first unseen line.
    fn scan(&self, here: &mut Cursor, wait: &Wait<'_>) -> Result<Option<(usize, SerialLine)>, SerialError> {
        let find = |markers: &[Marker], text: &str, from: usize| {
            markers
                .iter()
                .enumerate()
                .find_map(|(index, marker)| Some((index, marker.find_end(text, from)?)))
        };
        while let Some(line) = self.lines.get(here.line) {
            if let Some((index, _)) = find(wait.forbidden, &line.text, here.offset) {
                let marker = wait.forbidden[index].to_string();
                return Err(SerialError::Forbidden {
                    marker,
                    line: line.clone(),
                });
            }
            if let Some((index, end)) = find(wait.wanted, &line.text, here.offset) {
                here.offset = end;
                return Ok(Some((index, line.clone())));
            }
            *here = Cursor {
                line: here.line + 1,
                offset: 0,
            };
        }
        if wait.prompts
            && let Some((index, end)) = find(wait.wanted, &self.partial, here.offset)
        {
            here.offset = end;
            let line = SerialLine {
                ms: as_ms(self.zero.elapsed()),
                text: self.partial.clone(),
            };
            return Ok(Some((index, line)));
        }
        Ok(None)
    }

    fn missed(&self, wait: &Wait<'_>) -> SerialError {
        if let Some(trouble) = &self.trouble {
            return SerialError::Log(trouble.clone());
        }
        let marker = wait
            .wanted
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" or ");
        let lines = self.lines.len();
        let last = self
            .lines
            .last()
            .map_or_else(|| "none".to_owned(), |line| format!("{:?}", line.text));
        if self.ended {
            SerialError::Ended {
                marker,
                how: "console closed".to_owned(),
                lines,
                last,
            }
        } else {
            SerialError::Deadline {
                marker,
                within_ms: as_ms(wait.within),
                lines,
                last,
            }
        }
    }
}

#[cfg(test)]
mod tests;
