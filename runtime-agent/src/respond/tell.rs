//! What is told, lines of the record log and their heads, with time limits: a log that hangs costs its lines, and no act.

use super::signer::TPM_LIMIT;
use super::{Warden, report};
use crate::limit::Late;
use crate::records::Journal;
use crate::surroundings::Surroundings;
use crate::watch::Sighting;
use bennu_alert::Cursor;
use bennu_formats::Sha256Digest;
use bennu_linux::kmsg::Level;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Longest time for one line to be on the medium.
const LINE_LIMIT: Duration = Duration::from_secs(5);

/// Longest time for the syslog server to confirm what is about to be done.
const ALERT_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at what it has confirmed.
const ALERT_PAUSE: Duration = Duration::from_millis(100);

/// Number of the line that `bennu-forward` brings to the server next; none where that cannot be read.
fn next_to_send(cursor: &Path) -> Option<u64> {
    Cursor::read(cursor).ok().flatten().map(|cursor| cursor.number)
}

/// Whether the line with this number is at the server. What cannot be read says no.
pub(super) fn is_confirmed(cursor: &Path, line: u64) -> bool {
    next_to_send(cursor).is_some_and(|next| next > line)
}

/// The line whose confirmation can be waited for. None where it was not written; nor where the cursor stood behind it before
/// it was: that is one of another log, and says nothing about this one.
fn awaited(cursor_before: Option<u64>, line: Option<u64>) -> Option<u64> {
    line.filter(|line| cursor_before.is_none_or(|next| next <= *line))
}

impl Warden {
    /// Tells of a new sighting, and writes its line.
    pub(super) fn tell_of(&mut self, sighting: &Sighting, world: &mut impl Surroundings) {
        let row = sighting.signal.row();
        let words = format!("signal {} ({}): {}", row.name, row.weight.name(), sighting.detail);
        world.say(Level::Warning, &words);
        self.note(
            json!({
                "event": "signal",
                "severity": report::severity_of(row.weight),
                "signal": row.name,
                "source": row.source.name(),
                "weight": row.weight.name(),
                "detail": sighting.detail,
            }),
            world,
        );
    }

    /// Writes the line of the decision, which certificates name from now on. Where it cannot be written they name the last one
    /// that was, and no server can confirm it.
    pub(super) fn note_decision(&mut self, body: Value, world: &mut impl Surroundings) {
        let cursor = next_to_send(self.cursor);
        let line = self.note(body, world);
        self.awaited = awaited(cursor, line.map(|(number, _)| number));
        self.line = line.unwrap_or(self.line);
    }

    /// Gives the line's number and the chain after it; none where it was not written in time.
    pub(super) fn note(&mut self, body: Value, world: &mut impl Surroundings) -> Option<(u64, Sha256Digest)> {
        let lost = std::mem::take(&mut self.unwritten);
        let write = move |journal: &mut Journal| {
            journal.lose(lost);
            journal.note(body)
        };
        let mut alive = || world.pause(Duration::ZERO);
        let words = match self.journal.lend(LINE_LIMIT, &mut alive, write) {
            Ok(Ok(line)) => {
                self.unsigned_lines = true;
                return Some(line);
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
        None
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
        let Some(line) = self.awaited else {
            let words = "no server can confirm the alert: its line is not in the log, or the log began anew";
            return world.say(Level::Warning, words);
        };
        let end = world.now() + ALERT_LIMIT;
        let confirmed = loop {
            if is_confirmed(self.cursor, line) {
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

    #[test]
    fn nothing_is_waited_for_that_was_not_written_or_that_an_older_cursor_would_confirm() {
        assert_eq!(awaited(Some(7), Some(7)), Some(7), "positive control");
        assert_eq!(awaited(None, Some(0)), Some(0), "nothing was sent yet");
        assert_eq!(awaited(Some(3), None), None, "the line was not written");
        assert_eq!(awaited(Some(8), Some(7)), None, "of a log that is gone");
    }
}
