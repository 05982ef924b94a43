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
    /// MiB of both slots that are read and judged in a second, at most.
    pub scrub_mib_per_s: u32,
    /// Thousandths of one processor that the scrub spends, at most.
    pub scrub_processor_permille: u32,
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
        let weak_window_s = self.within(
            "drift.weak_window_s",
            "60 to 86400",
            section.weak_window_s.unwrap_or(drift::DEFAULT_WEAK_WINDOW_S),
            drift::WINDOW_S,
        )?;
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
            scrub_mib_per_s: self.within(
                "drift.scrub_mib_per_s",
                "0 to 1024",
                section.scrub_mib_per_s.unwrap_or(drift::DEFAULT_SCRUB_MIB_PER_S),
                drift::SCRUB_MIB_PER_S,
            )?,
            scrub_processor_permille: self.within(
                "drift.scrub_processor_permille",
                "1 to 1000",
                section
                    .scrub_processor_permille
                    .unwrap_or(drift::DEFAULT_SCRUB_PROCESSOR_PERMILLE),
                drift::SCRUB_PROCESSOR_PERMILLE,
            )?,
            enforced: enforced.into_iter().collect(),
            weak_window_s,
            strong_window_s: self.within(
                "drift.strong_window_s",
                "60 to 86400, not less than drift.weak_window_s",
                strong_window_s,
                weak_window_s..=*drift::WINDOW_S.end(),
            )?,
            spared: section.spared,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EnforcedAction::{CutNetwork, Deny, Kill};
    use std::path::Path;

    fn of(section: DriftSection, gate: GateMode) -> Result<DriftPlan, String> {
        let check = Checker {
            path: Path::new("image.toml"),
        };
        check.drift(section, gate).map_err(|error| error.to_string())
    }

    fn enforcing(enforce: &[EnforcedAction]) -> DriftSection {
        DriftSection {
            enforce: enforce.to_vec(),
            ..DriftSection::default()
        }
    }

    #[test]
    fn what_the_gate_carries_out_is_enforced_beside_one_that_enforces_and_no_other() {
        for gate in [GateMode::None, GateMode::DryRun, GateMode::Enforce] {
            assert!(of(enforcing(&[Kill]), gate).is_ok(), "control");
            for action in [Deny, CutNetwork] {
                let found = of(enforcing(&[Kill, action]), gate);
                match gate {
                    GateMode::Enforce => assert_eq!(found.unwrap().enforced.len(), 2),
                    _ => assert!(
                        found.unwrap_err().contains("drift.enforce"),
                        "{action:?} {gate:?}"
                    ),
                }
            }
        }
        let twice = of(enforcing(&[Kill, Deny, Kill]), GateMode::Enforce).unwrap();
        assert_eq!(twice.enforced, [Deny, Kill]);
    }

    #[test]
    fn windows_are_ten_minutes_and_an_hour_unless_the_definition_says_otherwise() {
        let windows = |weak_window_s, strong_window_s| {
            let section = DriftSection {
                weak_window_s,
                strong_window_s,
                ..DriftSection::default()
            };
            of(section, GateMode::None).map(|plan| (plan.weak_window_s, plan.strong_window_s))
        };
        assert_eq!(windows(None, None).unwrap(), (600, 3600));
        assert_eq!(windows(Some(60), Some(60)).unwrap(), (60, 60));
        assert_eq!(windows(Some(7200), None).unwrap(), (7200, 7200));
        for (weak, strong, key) in [
            (Some(59), None, "drift.weak_window_s"),
            (Some(86_401), Some(86_400), "drift.weak_window_s"),
            (None, Some(86_401), "drift.strong_window_s"),
            (None, Some(599), "drift.strong_window_s"),
        ] {
            let refused = windows(weak, strong).unwrap_err();
            assert!(refused.contains(key), "{refused}");
        }
    }

    #[test]
    fn what_is_spared_is_a_path_of_a_control_group() {
        let spared = |paths: &[&str]| DriftSection {
            spared: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..DriftSection::default()
        };
        assert!(
            of(
                spared(&["user.slice", "system.slice/ssh.service"]),
                GateMode::None
            )
            .is_ok()
        );
        for wrong in ["/user.slice", "a/../b", ""] {
            let refused = of(spared(&[wrong]), GateMode::None).unwrap_err();
            assert!(refused.contains("drift.spared"), "{refused}");
        }
        assert!(of(spared(&["a"; 17]), GateMode::None).is_err());
    }
}
