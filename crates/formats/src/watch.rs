//! What the watch for drift last saw: `/run/bennu/watch.json`, written by `bennud` after each round, read by `bennuctl` and
//! by `bennu-verified.service`. A report only: no decision reads it.

use crate::decode::{DecodeError, Document};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most names in each list.
pub const MAX_NAMES: usize = 32;

/// The last round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchReport {
    /// Schema number; 1.
    pub schema: u32,
    /// When the round ended, in milliseconds since the machine started, without suspended time.
    pub at_ms: u64,
    /// Pause between two rounds in milliseconds.
    pub interval_ms: u32,
    /// No strong signal counts, and nothing is in `blind`.
    pub clean: bool,
    /// Stable name of the rule that the decision came to: `drift.calm`, …
    pub rule: String,
    /// Stable names of the signals that count, sorted.
    pub signals: Vec<String>,
    /// What cannot be watched.
    pub blind: Vec<String>,
    /// What looking has cost since `bennud` started, microseconds on a processor by subject.
    pub cost_us: BTreeMap<String, u64>,
}

impl Document for WatchReport {
    const NAME: &'static str = "watch report";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 16 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        for (member, names) in [("signals", &self.signals), ("blind", &self.blind)] {
            if names.len() > MAX_NAMES {
                return Err(Self::bad_value(member, "at most 32", names.len()));
            }
        }
        if self.cost_us.len() > MAX_NAMES {
            return Err(Self::bad_value("cost_us", "at most 32", self.cost_us.len()));
        }
        Ok(())
    }
}
