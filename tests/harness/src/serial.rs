//! Serial lines, and why a wait for one fails.

use std::time::Duration;

/// One line of the console, without colours and control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialLine {
    /// When its end arrived, in ms since power-on.
    pub ms: u64,
    /// Its text.
    pub text: String,
}

/// Why a wait for a marker did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    /// The deadline came first.
    #[error(
        "marker {marker} did not appear within {within_ms} ms; {lines} lines were seen, the last: {last}"
    )]
    Deadline {
        /// The marker or markers waited for.
        marker: String,
        /// How long was waited, in ms.
        within_ms: u64,
        /// Lines of this power-on so far.
        lines: usize,
        /// The last of them.
        last: String,
    },
    /// The machine ended first.
    #[error(
        "the machine ended ({how}) before marker {marker} appeared; {lines} lines were seen, the last: {last}"
    )]
    Ended {
        /// The marker or markers waited for.
        marker: String,
        /// How it ended.
        how: String,
        /// Lines of this power-on.
        lines: usize,
        /// The last of them.
        last: String,
    },
    /// A line that must not appear did.
    #[error("forbidden marker {marker} appeared {} ms after power-on: {}", line.ms, line.text)]
    Forbidden {
        /// The forbidden marker.
        marker: String,
        /// The line that holds it.
        line: SerialLine,
    },
    /// The console's log could not be written or its pipe not read.
    #[error("keep the serial log: {0}")]
    Log(String),
}

/// Whole milliseconds; a run lasts no 584 million years.
pub(crate) fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
