//! Which units an action against a unit concerns.
//!
//! A strong signal concerns the unit that it names. One that names none (a PCR has no unit) may have come from any of
//! them, so it concerns all; what the image spares, what systemd itself is and what sends the alerts go on. Weak signals
//! concern nobody: their cause may be innocent.

use super::{Seen, Weight, Windows};
use std::collections::BTreeSet;

/// Units, by the paths of their control groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concerned {
    /// These.
    pub units: BTreeSet<String>,
    /// All of them but those that are spared.
    pub everything: bool,
}

impl Concerned {
    /// Whether nobody is concerned.
    pub fn is_nobody(&self) -> bool {
        self.units.is_empty() && !self.everything
    }

    /// In words.
    pub fn words(&self) -> String {
        match (self.everything, self.units.is_empty()) {
            (true, _) => "every unit but those that are spared".to_owned(),
            (false, true) => "nobody".to_owned(),
            (false, false) => self
                .units
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// Whom the signals that count at `now_ms` concern; each with its unit, if it names one.
pub fn concerned<'a>(
    signals: impl IntoIterator<Item = (Seen, Option<&'a str>)>,
    now_ms: u64,
    windows: &Windows,
) -> Concerned {
    let mut found = Concerned::default();
    for (seen, unit) in signals {
        if seen.signal.row().weight != Weight::Strong || !seen.counts(now_ms, windows) {
            continue;
        }
        match unit {
            Some(unit) => drop(found.units.insert(unit.to_owned())),
            None => found.everything = true,
        }
    }
    found
}
