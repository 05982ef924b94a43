//! The watch's part of `bennuctl status`: what the last round saw, and how long ago that was.

use bennu_formats::watch::WatchReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A watch that is silent for so many intervals, and at least [`SILENT_MS`], does not watch.
const SILENT_ROUNDS: u64 = 4;
/// Rounds take time: a slow TPM, a whole slot that is verified before a flip.
const SILENT_MS: u64 = 120_000;

/// The last round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// Milliseconds since it ended.
    pub age_ms: u64,
    /// Whether the watch has been silent for longer than a round may take.
    pub silent: bool,
    /// As in [`WatchReport`].
    pub clean: bool,
    /// Stable name of the rule that the decision came to.
    pub rule: String,
    /// Stable names of the signals that count.
    pub signals: Vec<String>,
    /// What cannot be watched.
    pub blind: Vec<String>,
    /// What looking has cost, microseconds on a processor by subject; empty in what was written by an older `bennud`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost_us: BTreeMap<String, u64>,
}

impl WatchStatus {
    /// At `now_ms` since the machine started.
    pub fn of(report: WatchReport, now_ms: u64) -> Self {
        let age_ms = now_ms.saturating_sub(report.at_ms);
        let longest = (u64::from(report.interval_ms) * SILENT_ROUNDS).max(SILENT_MS);
        Self {
            age_ms,
            silent: age_ms > longest,
            clean: report.clean,
            rule: report.rule,
            signals: report.signals,
            blind: report.blind,
            cost_us: report.cost_us,
        }
    }

    /// In one sentence.
    pub fn words(&self) -> String {
        if self.silent {
            return format!("the last look was {} s ago", self.age_ms / 1000);
        }
        let mut words = if self.signals.is_empty() {
            "nothing seen".to_owned()
        } else {
            format!("{}: {}", self.rule, self.signals.join(", "))
        };
        if !self.blind.is_empty() {
            words.push_str(&format!("; cannot be watched: {}", self.blind.join(", ")));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> WatchReport {
        WatchReport {
            schema: 1,
            at_ms: 10_000,
            interval_ms: 5000,
            clean: true,
            rule: "drift.one-weak".into(),
            signals: vec!["clock-jumped".into()],
            blind: Vec::new(),
            cost_us: BTreeMap::new(),
        }
    }

    #[test]
    fn a_watch_that_is_silent_for_longer_than_a_round_may_take_is_told() {
        let fresh = WatchStatus::of(report(), 10_000 + SILENT_MS);
        assert!(!fresh.silent);
        assert_eq!(fresh.words(), "drift.one-weak: clock-jumped");
        let silent = WatchStatus::of(report(), 10_001 + SILENT_MS);
        assert!(silent.silent);
        assert_eq!(silent.words(), "the last look was 120 s ago");
        let slow = WatchReport {
            interval_ms: 60_000,
            ..report()
        };
        assert!(!WatchStatus::of(slow, 10_000 + 240_000).silent, "rounds are rare");
    }

    #[test]
    fn what_cannot_be_watched_is_named() {
        let report = WatchReport {
            signals: Vec::new(),
            blind: vec!["ESP".into(), "PCRs".into()],
            ..report()
        };
        let words = WatchStatus::of(report, 10_000).words();
        assert_eq!(words, "nothing seen; cannot be watched: ESP, PCRs");
    }
}
