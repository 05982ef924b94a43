//! `[drift]` in image.toml: what bennud does about drift.

use super::Checker;
use crate::definition::{DefinitionError, DriftSection};
use bennu_formats::drift::{self, EnforcedAction};
use bennu_formats::gate::GateMode;
use std::collections::BTreeSet;

/// What `/usr/lib/bennu/drift.json` says besides the release keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftPlan {
    /// Milliseconds between two rounds of the watch.
    pub interval_ms: u32,
    /// What is done, each once; in dry run everything else.
    pub enforced: Vec<EnforcedAction>,
    /// Seconds that a weak signal counts.
    pub weak_window_s: u32,
    /// Seconds that a strong one counts.
    pub strong_window_s: u32,
    /// Control groups that `deny` spares.
    pub spared: Vec<String>,
}

impl Checker<'_> {
    /// Without a gate that enforces nobody would carry `deny` and `cut-network` out.
    pub(super) fn drift(&self, section: DriftSection, gate: GateMode) -> Result<DriftPlan, DefinitionError> {
        // An image and what it extends may name the same one.
        let enforced = BTreeSet::from_iter(section.enforce);
        let without = enforced.iter().find(|action| action.needs_gate());
        if let Some(action) = without.filter(|_| gate != GateMode::Enforce) {
            return Err(self.value(
                "drift.enforce",
                "`deny` and `cut-network` only beside [gate] mode = \"enforce\", whose programs carry them out",
                format!("{action:?} beside mode {}", gate.as_str()),
            ));
        }
        let weak_window_s = section.weak_window_s.unwrap_or(drift::DEFAULT_WEAK_WINDOW_S);
        let strong_window_s = section
            .strong_window_s
            .unwrap_or(drift::DEFAULT_STRONG_WINDOW_S.max(weak_window_s));
        let wrong = section.spared.iter().find(|path| !drift::is_group(path));
        if wrong.is_some() || section.spared.len() > drift::MAX_SPARED {
            return Err(self.value(
                "drift.spared",
                "at most 16 paths of control groups, as system.slice/ssh.service",
                wrong.map_or_else(|| section.spared.len().to_string(), Clone::clone),
            ));
        }
        Ok(DriftPlan {
            interval_ms: self.within(
                "drift.interval_ms",
                "200 to 600000",
                section.interval_ms.unwrap_or(drift::DEFAULT_INTERVAL_MS),
                drift::INTERVAL_MS,
            )?,
            enforced: enforced.into_iter().collect(),
            weak_window_s: self.within(
                "drift.weak_window_s",
                "60 to 86400",
                weak_window_s,
                drift::WINDOW_S,
            )?,
            strong_window_s: self.within(
                "drift.strong_window_s",
                "60 to 86400, not less than drift.weak_window_s",
                strong_window_s,
                weak_window_s.max(*drift::WINDOW_S.start())..=*drift::WINDOW_S.end(),
            )?,
            spared: section.spared,
        })
    }
}
