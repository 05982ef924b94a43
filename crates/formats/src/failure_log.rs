//! The log of a start that failed: what `bennu-init` said, and what it measured. Normative text:
//! `docs/spec/recovery-qr.md`.
//!
//! Written by `bennu-init` to [`crate::paths::ESP_FAILURE_LOG`] and digested into the QR code of the recovery
//! screen; read by people. It lies where everybody with the disk can write: only the digest on the screen of
//! the machine itself says that it is the log of that start.

use crate::names::ReleaseName;
use std::collections::VecDeque;

/// Most bytes of the whole log.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most bytes of all lines; the oldest are dropped first, since the end says why.
pub const MAX_LINES_BYTES: usize = 40 * 1024;
/// Most bytes of one line, its newline included.
pub const MAX_LINE_BYTES: usize = 1024;
/// Most bytes of all events; the last are dropped first, since a replay begins at the first.
pub const MAX_EVENTS_BYTES: usize = 16 * 1024;

/// Lines of this boot, bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureLog {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: u64,
}

impl FailureLog {
    /// Adds a line; `since_boot_ms` is CLOCK_BOOTTIME in milliseconds. Control characters are written as
    /// `\u{…}`, so that one line stays one; a line over [`MAX_LINE_BYTES`] is cut.
    pub fn push(&mut self, since_boot_ms: u64, text: &str) {
        let mut line = format!("[{since_boot_ms} ms] ");
        for c in text.chars() {
            let before = line.len();
            if c.is_control() {
                line.extend(c.escape_unicode());
            } else {
                line.push(c);
            }
            if line.len() >= MAX_LINE_BYTES {
                line.truncate(before);
                break;
            }
        }
        line.push('\n');
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > MAX_LINES_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The bytes of the log, at most [`MAX_BYTES`]: a header of four lines, the lines, the events. `events` are
    /// records of the TPM event log, each ending in a newline; they are kept as they are.
    pub fn encode(&self, release: Option<&ReleaseName>, events: &[String]) -> Vec<u8> {
        let mut room = MAX_EVENTS_BYTES;
        let kept: Vec<&String> = events
            .iter()
            .map_while(|event| {
                room = room.checked_sub(event.len())?;
                Some(event)
            })
            .collect();
        let release = release.map_or_else(|| "-".to_owned(), ToString::to_string);
        let mut text = format!(
            "bennu-failure-log 1\nimage {release}\nlines {} dropped {}\nevents {} dropped {}\n",
            self.lines.len(),
            self.dropped,
            kept.len(),
            events.len() - kept.len(),
        );
        text.extend(self.lines.iter().map(String::as_str));
        text.extend(kept.into_iter().map(String::as_str));
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn release() -> ReleaseName {
        ReleaseName {
            image_id: "demo".parse().unwrap(),
            version: "2".parse().unwrap(),
        }
    }

    #[test]
    fn the_log_has_its_header_its_lines_and_its_events() {
        let mut log = FailureLog::default();
        log.push(12, "demo 2: attempt 1 of 3");
        log.push(40, "FAILED ESP: a\nb");
        let bytes = log.encode(Some(&release()), &["\u{1e}{\"pcr\":11}\n".to_owned()]);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "bennu-failure-log 1\nimage demo 2\nlines 2 dropped 0\nevents 1 dropped 0\n\
             [12 ms] demo 2: attempt 1 of 3\n[40 ms] FAILED ESP: a\\u{a}b\n\u{1e}{\"pcr\":11}\n"
        );
    }

    #[test]
    fn an_empty_log_of_an_unknown_release_is_its_header() {
        assert_eq!(
            FailureLog::default().encode(None, &[]),
            b"bennu-failure-log 1\nimage -\nlines 0 dropped 0\nevents 0 dropped 0\n"
        );
    }

    #[test]
    fn the_oldest_lines_and_the_last_events_are_dropped_and_counted() {
        let mut log = FailureLog::default();
        for ms in 0..100 {
            log.push(ms, &"x".repeat(2000));
        }
        let events = vec!["e".repeat(MAX_EVENTS_BYTES / 2 - 1) + "\n"; 3];
        let text = String::from_utf8(log.encode(None, &events)).unwrap();
        assert!(
            text.contains("\nlines 40 dropped 60\nevents 2 dropped 1\n[60 ms] x"),
            "{}",
            &text[..200]
        );
        assert!(text.contains("\n[99 ms] x") && !text.contains("\n[59 ms]"));
        assert!(text.len() <= MAX_BYTES);
    }

    proptest! {
        // Each case is some 100 KiB of random text.
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_lines_and_events_make_it_longer_than_its_bound(
            lines in proptest::collection::vec((any::<u64>(), "(.|\n){0,300}"), 0..80),
            event in "[a-z]{0,3000}", count in 0usize..40,
        ) {
            let mut log = FailureLog::default();
            for (ms, line) in &lines {
                log.push(*ms, line);
            }
            let bytes = log.encode(Some(&release()), &vec![format!("{event}\n"); count]);
            prop_assert!(bytes.len() <= MAX_BYTES);
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
