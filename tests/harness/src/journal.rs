//! What a story's machines did: shared by the machines that write it and the runner that reports it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::accelerator::Accelerator;
use crate::console::Console;
use crate::serial::{SerialLine, as_ms};
use crate::trouble::is_tpm_timeout;

/// One power-on as `summary.json` shows it. Times in ms.
#[derive(Debug, Clone, Serialize)]
pub struct PowerOnSummary {
    /// Folder of the power-on below the story's.
    pub folder: String,
    /// What ran the guest's instructions.
    pub accelerator: Accelerator,
    /// Start, after the story's.
    pub started_ms: u64,
    /// From the guest's first instruction to the machine's end, absent while it runs.
    pub lasted_ms: Option<u64>,
    /// When the first serial line was complete, after power-on.
    pub first_line_ms: Option<u64>,
    /// Serial lines.
    pub lines: usize,
    /// How it ended.
    pub ended: Option<String>,
}

#[derive(Debug)]
struct Entry {
    console: Arc<Console>,
    summary: PowerOnSummary,
}

/// All power-ons of one story.
#[derive(Debug, Clone)]
pub struct Journal {
    started: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            entries: Arc::default(),
        }
    }
}

impl Journal {
    /// Notes a power-on; the number returned names it to [`Journal::end`].
    pub(crate) fn begin(&self, folder: String, accelerator: Accelerator, console: Arc<Console>) -> usize {
        let summary = PowerOnSummary {
            folder,
            accelerator,
            started_ms: as_ms(self.started.elapsed()),
            lasted_ms: None,
            first_line_ms: None,
            lines: 0,
            ended: None,
        };
        let mut entries = self.lock();
        entries.push(Entry { console, summary });
        entries.len() - 1
    }

    /// Notes how a power-on ended; the first word counts.
    pub(crate) fn end(&self, number: usize, how: &str) {
        if let Some(entry) = self.lock().get_mut(number)
            && entry.summary.ended.is_none()
        {
            entry.summary.lasted_ms = Some(as_ms(entry.console.elapsed()));
            entry.summary.ended = Some(how.to_owned());
        }
    }

    /// All power-ons so far.
    #[must_use]
    pub fn summaries(&self) -> Vec<PowerOnSummary> {
        let filled = |entry: &Entry| {
            let lines = entry.console.lines();
            PowerOnSummary {
                first_line_ms: lines.first().map(|line| line.ms),
                lines: lines.len(),
                ..entry.summary.clone()
            }
        };
        self.lock().iter().map(filled).collect()
    }

    /// The last `count` serial lines of the last power-on.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<SerialLine> {
        self.lock()
            .last()
            .map(|entry| entry.console.tail(count))
            .unwrap_or_default()
    }

    /// A guest kernel's first report that its TPM did not answer: a later power-on may be its consequence.
    #[must_use]
    pub fn tpm_timeout(&self) -> Option<SerialLine> {
        self.lock()
            .iter()
            .find_map(|entry| entry.console.find(is_tpm_timeout))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
