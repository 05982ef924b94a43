//! Lines of the record log and their heads, with time limits: a log that hangs costs its lines, and no act.

use super::Warden;
use super::limit::Late;
use super::signer::TPM_LIMIT;
use crate::records::Journal;
use crate::surroundings::Surroundings;
use bennu_alert::Cursor;
use bennu_formats::{Sha256Digest, paths};
use bennu_linux::kmsg::Level;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Longest time for one line to be on the medium.
const LINE_LIMIT: Duration = Duration::from_secs(5);

/// Longest time for the syslog server to confirm what is about to be done.
const ALERT_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at what it has confirmed.
const ALERT_PAUSE: Duration = Duration::from_millis(100);

/// Whether `bennu-forward` has brought the line with this number to the server. What cannot be read says no.
fn is_confirmed(cursor: &Path, line: u64) -> bool {
    matches!(Cursor::read(cursor), Ok(Some(cursor)) if cursor.number > line)
}

impl Warden {
    /// Gives the line's number and the chain after it; those of the decision where it could not be written.
    pub(super) fn note(&mut self, body: Value, world: &mut impl Surroundings) -> (u64, Sha256Digest) {
        let lost = std::mem::take(&mut self.unwritten);
        let write = move |journal: &mut Journal| {
            journal.lose(lost);
            journal.note(body)
        };
        let mut alive = || world.pause(Duration::ZERO);
        let words = match self.journal.lend(LINE_LIMIT, &mut alive, write) {
            Ok(Ok(line)) => {
                self.unsigned_lines = true;
                return line;
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => {
                // What timed out may still be written; what was never begun is not.
                if matches!(late, Late::Away) {
                    self.unwritten = lost.saturating_add(1);
                }
                format!("record log: {late}")
            }
        };
        world.say(Level::Error, &words);
        self.line
    }

    pub(super) fn sign_head(&mut self, world: &mut impl Surroundings) {
        let Some(mut signer) = self.signer.clone() else {
            return;
        };
        let mut alive = || world.pause(Duration::ZERO);
        let signed = self
            .journal
            .lend(LINE_LIMIT + TPM_LIMIT, &mut alive, move |journal| {
                journal.head(&mut signer)
            });
        let words = match signed {
            Ok(Ok(())) => {
                self.unsigned_lines = false;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => format!("record log: {late}"),
        };
        world.say(Level::Error, &words);
    }

    /// Waits until the syslog server has confirmed the line of the decision, and tells whether it has: afterwards the
    /// machine may have no network, no log and no time. One that is away keeps no secret open: [`ALERT_LIMIT`].
    pub(super) fn let_the_alert_out(&mut self, world: &mut impl Surroundings) {
        if !self.sinks.is_named() {
            return;
        }
        let end = world.now() + ALERT_LIMIT;
        let confirmed = loop {
            if is_confirmed(Path::new(paths::STATE_ALERT_CURSOR), self.line.0) {
                break true;
            }
            if world.now() >= end {
                break false;
            }
            world.pause(ALERT_PAUSE);
        };
        let words = if confirmed {
            "the syslog server has the alert".to_owned()
        } else {
            format!(
                "the syslog server has not confirmed the alert within {} s; what was decided does not wait longer",
                ALERT_LIMIT.as_secs()
            )
        };
        world.say(Level::Notice, &words);
    }

    /// Ends the log in good order, before the volume beneath it goes or the machine restarts.
    pub(super) fn stop_log(&mut self, world: &mut impl Surroundings) {
        let mut alive = || world.pause(Duration::ZERO);
        let words = match self.journal.lend(LINE_LIMIT, &mut alive, Journal::stop) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(late) => format!("record log: {late}"),
        };
        world.say(Level::Error, &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_out_when_the_cursor_stands_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor.json");
        assert!(!is_confirmed(&path, 0), "there is none yet");
        let cursor = Cursor {
            file: 0,
            offset: 900,
            number: 7,
        };
        cursor.write(&path).unwrap();
        assert!(is_confirmed(&path, 6));
        assert!(!is_confirmed(&path, 7), "7 is the next one");
        std::fs::write(&path, "{").unwrap();
        assert!(!is_confirmed(&path, 0));
    }
}
