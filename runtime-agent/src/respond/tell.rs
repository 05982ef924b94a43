//! Lines of the record log and their heads, with time limits: a log that hangs costs its lines, and no act.

use super::Warden;
use super::limit::Late;
use super::signer::TPM_LIMIT;
use crate::records::Journal;
use crate::surroundings::Surroundings;
use bennu_formats::Sha256Digest;
use bennu_linux::kmsg::Level;
use serde_json::Value;
use std::time::Duration;

/// Longest time for one line to be on the medium.
const LINE_LIMIT: Duration = Duration::from_secs(5);

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
