//! `bennuctl boot-times`: how long each step of `bennu-init` took, and when the slot was marked good.

use super::SCHEMA;
use super::render::visible;
use bennu_formats::handover::{Handover, StepTime};
use bennu_formats::health::{HealthReport, HealthState};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Width of the bars in characters.
const BAR: u64 = 40;
/// Longest name that the column grows for.
const MAX_NAME: usize = 32;

/// `bennuctl boot-times --json`. All times are milliseconds since kernel start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTimes {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Steps in their order.
    pub steps: Vec<StepTime>,
    /// When the last of them ended.
    pub initrd_done_ms: u64,
    /// When the slot was marked good, if it was.
    pub good_ms: Option<u64>,
}

impl BootTimes {
    /// The times in the two records.
    pub fn of(handover: Handover, health: Option<&HealthReport>) -> Self {
        let ends = handover
            .steps
            .iter()
            .map(|step| step.start_ms.saturating_add(step.took_ms));
        let good_ms = match health.map(|report| &report.health) {
            Some(HealthState::Good { at_ms }) => Some(*at_ms),
            Some(HealthState::Waiting { .. } | HealthState::Unhealthy { .. }) | None => None,
        };
        Self {
            schema: SCHEMA,
            initrd_done_ms: ends.max().unwrap_or(0),
            good_ms,
            steps: handover.steps,
        }
    }

    /// A table with bars.
    pub fn text(&self) -> String {
        let first = self.steps.iter().map(|step| step.start_ms).min().unwrap_or(0);
        let span = self.initrd_done_ms.saturating_sub(first).max(1);
        let width = self
            .steps
            .iter()
            .map(|step| step.step.chars().count())
            .max()
            .unwrap_or(4)
            .clamp(4, MAX_NAME);
        let mut out = format!("{:width$} {:>9} {:>9}\n", "step", "start ms", "took ms");
        for step in &self.steps {
            let name = visible(&step.step);
            let bar = bar(step.start_ms.saturating_sub(first), step.took_ms, span);
            // Writing to a string cannot fail.
            let _ok = writeln!(
                out,
                "{name:width$} {:>9} {:>9} |{bar}",
                step.start_ms, step.took_ms
            );
        }
        let took = self.initrd_done_ms.saturating_sub(first);
        let _ok = writeln!(
            out,
            "\nbennu-init took {took} ms and was done {} ms after kernel start",
            self.initrd_done_ms
        );
        let _ok = match self.good_ms {
            Some(good) => writeln!(out, "slot marked good {good} ms after kernel start"),
            None => writeln!(out, "slot not marked good yet"),
        };
        out
    }
}

/// At least one mark; begins and ends in proportion to `span`, and never beyond [`BAR`].
fn bar(start: u64, took: u64, span: u64) -> String {
    let scale = |ms: u64| {
        u64::try_from(u128::from(ms) * u128::from(BAR) / u128::from(span))
            .unwrap_or(BAR)
            .min(BAR)
    };
    let begin = scale(start).min(BAR - 1);
    let end = scale(start.saturating_add(took)).max(begin + 1);
    let times = |n: u64| usize::try_from(n).unwrap_or(0);
    " ".repeat(times(begin)) + &"#".repeat(times(end - begin))
}
