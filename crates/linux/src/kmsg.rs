//! Lines in the kernel's log.
//!
//! Written by: `bennu-init` (all it says) and `bennud` (what must survive a panic in pstore). Read by:
//! the console, the journal, the next boot. The kernel drops lines of user space after ten in five
//! seconds unless [`Kmsg::lift_rate_limit`] was called.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Longest record that `/dev/kmsg` takes, prefix included: `LOG_LINE_MAX` (1,024 less 48) of
/// kernel/printk/printk.c in 6.1; longer ones are refused with EINVAL.
pub const RECORD_LIMIT: usize = 976;

/// Why a line is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum KmsgError {
    /// `/dev/kmsg` cannot be opened.
    #[error("cannot open /dev/kmsg: {0}")]
    Open(#[source] io::Error),
    /// A record was refused.
    #[error("cannot write to /dev/kmsg: {0}")]
    Write(#[source] io::Error),
    /// The rate limit stays.
    #[error("cannot lift the rate limit in /proc/sys/kernel/printk_devkmsg: {0}")]
    RateLimit(#[source] io::Error),
    /// The kernel goes on printing.
    #[error("cannot lower the console log level in /proc/sys/kernel/printk: {0}")]
    ConsoleLevel(#[source] io::Error),
}

/// Severity, as in syslog(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The system cannot go on.
    Emergency = 0,
    /// A person must act now.
    Alert = 1,
    /// Critical condition.
    Critical = 2,
    /// An act failed.
    Error = 3,
    /// Something is not as it should be.
    Warning = 4,
    /// Normal but worth knowing.
    Notice = 5,
    /// Progress.
    Info = 6,
    /// For developers.
    Debug = 7,
}

/// The open log.
pub struct Kmsg<W: Write = File> {
    sink: W,
    prefix: &'static str,
}

impl Kmsg {
    /// Opens `/dev/kmsg`; every line will start with `prefix: `.
    ///
    /// # Errors
    /// [`KmsgError::Open`].
    pub fn open(prefix: &'static str) -> Result<Self, KmsgError> {
        let sink = File::options()
            .write(true)
            .open("/dev/kmsg")
            .map_err(KmsgError::Open)?;
        Ok(Self { sink, prefix })
    }

    /// Tells the kernel to drop no lines. Needs `/proc`.
    ///
    /// # Errors
    /// [`KmsgError::RateLimit`]; the kernel refuses if its command line has `printk.devkmsg=`.
    pub fn lift_rate_limit() -> Result<(), KmsgError> {
        std::fs::write(Path::new("/proc/sys/kernel/printk_devkmsg"), "on\n").map_err(KmsgError::RateLimit)
    }
}

/// Tells the kernel to print nothing below [`Level::Emergency`] on the consoles from now on, so that what stands
/// there stays; the log itself goes on. A panic is printed all the same. Needs `/proc`.
///
/// # Errors
/// [`KmsgError::ConsoleLevel`].
pub fn keep_kernel_off_consoles() -> Result<(), KmsgError> {
    // The first of its four numbers: messages of a level below it are printed (sysctl/kernel.rst, `printk`).
    std::fs::write(Path::new("/proc/sys/kernel/printk"), "1\n").map_err(KmsgError::ConsoleLevel)
}

impl<W: Write> Kmsg<W> {
    /// Writes a text; each of its lines, and each part of a line too long for a record, becomes a
    /// record of its own. Control characters are written as `\u{…}`.
    ///
    /// # Errors
    /// [`KmsgError::Write`]; records before it are in the log.
    pub fn log(&mut self, level: Level, text: &str) -> Result<(), KmsgError> {
        for record in records(level, self.prefix, text) {
            // One write is one record.
            let written = self.sink.write(record.as_bytes()).map_err(KmsgError::Write)?;
            if written != record.len() {
                return Err(KmsgError::Write(io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(())
    }
}

/// Cuts a text into records of at most [`RECORD_LIMIT`] bytes, each with level and prefix.
fn records(level: Level, prefix: &str, text: &str) -> Vec<String> {
    // Facility 1 (user): the kernel does not let user space write as facility 0.
    let prefix: String = prefix.chars().take(64).collect();
    let head = format!("<{}>{prefix}: ", 8 | level as u8);
    let mut records = Vec::new();
    for line in text.lines() {
        let mut record = head.clone();
        for character in line.chars() {
            let shown = if character.is_control() {
                character.escape_unicode().to_string()
            } else {
                character.to_string()
            };
            // One byte is kept for the newline.
            if record.len() + shown.len() >= RECORD_LIMIT {
                records.push(std::mem::replace(&mut record, head.clone()) + "\n");
            }
            record.push_str(&shown);
        }
        records.push(record + "\n");
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_line_becomes_a_record_with_level_and_prefix() {
        let mut kmsg = Kmsg {
            sink: Vec::new(),
            prefix: "bennu-init",
        };
        kmsg.log(Level::Warning, "first\nsecond\u{1b}[0m").unwrap();
        let text = String::from_utf8(kmsg.sink).unwrap();
        assert_eq!(text, "<12>bennu-init: first\n<12>bennu-init: second\\u{1b}[0m\n");
    }

    #[test]
    fn a_long_line_is_cut_into_records_that_the_kernel_takes_and_loses_nothing() {
        let text = "ä".repeat(1500);
        let records = records(Level::Info, "p", &text);
        assert_eq!(records.len(), 4);
        let rejoined: String = records
            .iter()
            .map(|r| r.trim_end().strip_prefix("<14>p: ").unwrap())
            .collect();
        assert_eq!(rejoined, text);
    }

    proptest! {
        #[test]
        fn no_text_gives_a_record_over_the_limit_or_with_a_control_character(text in "\\PC{0,40}|(.|\n){0,3000}") {
            for record in records(Level::Debug, "bennud", &text) {
                prop_assert!(record.len() <= RECORD_LIMIT);
                prop_assert!(!record.trim_end_matches('\n').chars().any(char::is_control));
            }
        }
    }
}
