//! Seals of the trace in the record log: what was written until now cannot be altered unseen from then on.

use super::Warden;
use crate::limit::Lent;
use crate::surroundings::Surroundings;
use crate::tracing::file::TraceFile;
use bennu_formats::trace::TraceSeal;
use bennu_linux::kmsg::Level;
use std::io;
use std::time::Duration;

/// Longest time for the trace to be on the medium. A medium that hangs costs the seals, and no act.
const SYNC_LIMIT: Duration = Duration::from_secs(2);

/// The trace's file, and what was said last about sealing it, so that it is said once.
pub(super) struct Seals {
    file: TraceFile,
    lent: Lent<TraceFile>,
    trouble: Option<String>,
}

impl Seals {
    pub(super) fn of(file: TraceFile) -> Self {
        Self {
            lent: Lent::new(file.clone()),
            file,
            trouble: None,
        }
    }

    /// The volume beneath it is about to go.
    pub(super) fn forget(&self) {
        self.file.forget();
    }

    fn take(&self, alive: &mut dyn FnMut()) -> Result<Vec<TraceSeal>, String> {
        let seals = self.lent.lend(SYNC_LIMIT, alive, |file| file.seals());
        let seals: Result<_, io::Error> = seals.map_err(|late| late.to_string())?;
        seals.map_err(|error| error.to_string())
    }
}

impl Warden {
    /// Writes what the trace has to begin with from now on. `soon`: something else was seen, which a head is to be signed
    /// for; else so that the log does not fill with seals.
    pub(super) fn seal_trace(&mut self, soon: bool, world: &mut impl Surroundings) {
        if !self.trace.file.wants_seal(soon) {
            return;
        }
        let seals = match self.trace.take(&mut || world.pause(Duration::ZERO)) {
            Ok(seals) => seals,
            Err(error) => {
                let words = format!("the trace is not sealed: {error}");
                if self.trace.trouble.as_ref() != Some(&words) {
                    world.say(Level::Error, &words);
                }
                self.trace.trouble = Some(words);
                return;
            }
        };
        self.trace.trouble = None;
        for seal in seals {
            let Ok(body) = serde_json::to_value(&seal) else {
                continue;
            };
            if self.note(body, world).is_none() {
                return;
            }
            self.trace.file.sealed(&seal);
        }
    }
}
