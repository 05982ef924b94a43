//! How `bennud` ended, so that the next one can say it: an agent that was killed or hung is a sign.
//!
//! Written by `bennud ended`, which systemd runs after each end of `bennud.service` (`ExecStopPost=`) with its verdict in
//! `SERVICE_RESULT` (systemd.exec(5)). Read by the next `bennud`: ends of this start become signals
//! (`watch::ended`), ends of an earlier start a line of the record log. On the state volume, or in `/run` where the image
//! keeps no state. Root can change or remove it: it tells and decides nothing by itself; what ends a loop is the unit's
//! start limit, which is systemd's. A file that cannot be read is begun anew.

use crate::documents::{self, DocumentError};
use bennu_formats::decode::Document;
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What ended it, by systemd's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It did not answer: the watchdog, or a start that took too long.
    Hung,
    /// A signal, or the kernel for want of memory.
    Killed,
    /// It ended by itself with a failure.
    Failed,
}

impl Ending {
    /// What `SERVICE_RESULT` says; nothing for an end in good order. A word of a later systemd counts as a failure.
    pub fn of(result: &str) -> Option<Self> {
        match result {
            "success" => None,
            "watchdog" | "timeout" => Some(Self::Hung),
            "signal" | "core-dump" | "oom-kill" => Some(Self::Killed),
            _ => Some(Self::Failed),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Hung => "it did not answer systemd",
            Self::Killed => "it was ended by a signal",
            Self::Failed => "it failed",
        }
    }
}

/// Ends of one start of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// Schema number; 1.
    schema: u32,
    /// The kernel's boot id.
    boot: String,
    /// How often it hung.
    pub hung: u32,
    /// How often it was killed.
    pub killed: u32,
    /// How often it failed.
    pub failed: u32,
    /// The last end, milliseconds since the machine started.
    pub last_up_ms: u64,
}

impl Document for Ends {
    const NAME: &'static str = "ends of bennud";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 4096;
}

impl Ends {
    /// None yet in the start with this boot id.
    pub fn none(boot: &str) -> Self {
        Self {
            schema: Self::SCHEMA,
            boot: boot.to_owned(),
            ..Self::default()
        }
    }

    /// Whether they are of the start with this boot id.
    pub fn are_of(&self, boot: &str) -> bool {
        self.boot == boot
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, ending: Ending, up_ms: u64) -> Self {
        let count = match ending {
            Ending::Hung => &mut self.hung,
            Ending::Killed => &mut self.killed,
            Ending::Failed => &mut self.failed,
        };
        *count = count.saturating_add(1);
        self.last_up_ms = up_ms;
        self
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        format!(
            "{} times without an answer, {} times by a signal, {} times with a failure",
            self.hung, self.killed, self.failed
        )
    }
}

/// Where the ends of a start lie.
pub fn place(handover: &Handover) -> &'static Path {
    Path::new(match handover.state_volume {
        Some(_) => paths::STATE_AGENT_ENDS,
        None => paths::RUN_AGENT_ENDS,
    })
}

/// Counts one end in `path`; gives a sentence about it, or nothing for an end in good order.
///
/// # Errors
/// The file cannot be written. One that cannot be read is begun anew.
pub fn note(path: &Path, result: &str, boot: &str, up_ms: u64) -> Result<Option<String>, DocumentError> {
    let Some(ending) = Ending::of(result) else {
        return Ok(None);
    };
    let kept = documents::read_if_there::<Ends>(path).unwrap_or_default();
    let kept = kept.filter(|ends| ends.are_of(boot));
    let ends = kept.unwrap_or_else(|| Ends::none(boot)).with(ending, up_ms);
    documents::write(path, &ends)?;
    Ok(Some(format!(
        "the agent ended: {} ({result}); in this start: {}",
        ending.words(),
        ends.words()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_systemds_has_its_meaning_and_a_new_one_is_a_failure() {
        for (word, ending) in [
            ("success", None),
            ("watchdog", Some(Ending::Hung)),
            ("timeout", Some(Ending::Hung)),
            ("signal", Some(Ending::Killed)),
            ("core-dump", Some(Ending::Killed)),
            ("oom-kill", Some(Ending::Killed)),
            ("exit-code", Some(Ending::Failed)),
            ("never-heard-of", Some(Ending::Failed)),
        ] {
            assert_eq!(Ending::of(word), ending, "{word}");
        }
    }

    #[test]
    fn ends_are_counted_by_kind_and_start_anew_with_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ends");
        assert_eq!(note(&path, "success", "a", 1).unwrap(), None);
        assert!(!path.exists());
        for (result, up_ms) in [("watchdog", 5), ("signal", 6), ("signal", 7)] {
            note(&path, result, "a", up_ms).unwrap();
        }
        let ends: Ends = documents::read(&path).unwrap();
        assert_eq!(
            (ends.hung, ends.killed, ends.failed, ends.last_up_ms),
            (1, 2, 0, 7)
        );
        let words = note(&path, "signal", "b", 3).unwrap().unwrap();
        assert_eq!(
            words,
            "the agent ended: it was ended by a signal (signal); in this start: 0 times without an answer, 1 times by a \
             signal, 0 times with a failure"
        );
        std::fs::write(&path, "{").unwrap();
        note(&path, "signal", "b", 3).unwrap();
        let ends: Ends = documents::read(&path).unwrap();
        assert_eq!(ends, Ends::none("b").with(Ending::Killed, 3));
    }
}
