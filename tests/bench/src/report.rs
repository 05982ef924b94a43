//! The report: rows of numbers, or of reasons why there are none; as JSON for programs, as a table for people.
//!
//! Written by `bench` to `target/bench/report.json`: an array of objects. Every one has `bench` and `peer`. A
//! measured one has `peer_version`, `ours`, `theirs`, `unit`, `ratio` (ours / theirs), `target` (the largest ratio
//! that we want) and `met`, and besides them `ours_max`, `limit`, `note`, `runs` and `load`; one of ours alone has `ours`,
//! `unit`, `runs`, `load`, and `ours_max` and `met` where we want something; any other has `reason`.

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// The peer of a row that has none.
const NO_PEER: &str = "-";
/// An empty cell.
const DASH: &str = "-";

/// What a number counts. Less is better for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Wall clock.
    #[serde(rename = "s")]
    Seconds,
    /// Size or memory.
    #[serde(rename = "bytes")]
    Bytes,
    /// Instructions of a guest's processor.
    #[serde(rename = "instructions")]
    Instructions,
    /// Hundredths of one processor.
    #[serde(rename = "%")]
    Percent,
    /// Records of events.
    #[serde(rename = "records")]
    Records,
}

/// The numbers of each run, in the order in which they were measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Runs {
    /// Ours.
    pub ours: Vec<f64>,
    /// The peer's.
    pub theirs: Vec<f64>,
}

/// What the hardware would need at least, measured in the same session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// What was measured.
    pub what: String,
    /// In the row's unit.
    pub value: f64,
    /// `ours` / `value`: 1 is the limit itself.
    pub ours_to_limit: f64,
}

/// What we want.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Largest ratio of ours to theirs.
    pub ratio: f64,
    /// Largest value of ours, whatever the peer does.
    pub ours_max: Option<f64>,
}

/// A row with numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The peer's version, as it says itself.
    pub peer_version: String,
    /// Median of ours.
    pub ours: f64,
    /// Median of the peer's.
    pub theirs: f64,
    /// Of both.
    pub unit: Unit,
    /// ours / theirs.
    pub ratio: f64,
    /// Largest ratio that we want.
    pub target: f64,
    /// Whether ratio and `ours_max` hold.
    pub met: bool,
    /// Largest value of ours that we want.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours_max: Option<f64>,
    /// The hardware's limit, where there is one that can be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// What has to be known to read the row.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Every run.
    pub runs: Runs,
    /// Load average of the last minute when the row was made: other work on the machine makes times useless.
    pub load: f64,
}

/// A row with a number of ours that has no peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alone {
    /// The figure.
    pub ours: f64,
    /// Its unit.
    pub unit: Unit,
    /// Largest value that we want, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours_max: Option<f64>,
    /// Whether it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// What has to be known to read the row.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What the figure was made of.
    pub runs: Vec<f64>,
    /// As in [`Measured`].
    pub load: f64,
}

/// How a bench ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// With numbers.
    Measured(Box<Measured>),
    /// With numbers of ours alone.
    Alone(Alone),
    /// Without.
    NotRun {
        /// Why.
        reason: String,
    },
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub bench: String,
    /// Against what.
    pub peer: String,
    /// The numbers.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Row {
    /// A row without numbers.
    pub fn not_run(bench: &str, peer: &str, reason: impl Into<String>) -> Self {
        Self {
            bench: bench.to_owned(),
            peer: peer.to_owned(),
            outcome: Outcome::NotRun {
                reason: reason.into(),
            },
        }
    }

    /// A row of the medians of `runs`.
    ///
    /// # Errors
    /// No runs, or a median that no ratio can be made of.
    pub fn measured(
        bench: &str,
        peer: &str,
        peer_version: &str,
        unit: Unit,
        runs: Runs,
        target: Target,
    ) -> Result<Self> {
        let ours = median(&runs.ours).with_context(|| format!("{bench}: ours has no runs"))?;
        let theirs = median(&runs.theirs).with_context(|| format!("{bench}: {peer} has no runs"))?;
        ensure!(
            ours > 0.0 && theirs > 0.0,
            "{bench}: expected numbers above zero, found {ours} and {theirs}"
        );
        let ratio = ours / theirs;
        Ok(Self {
            bench: bench.to_owned(),
            peer: peer.to_owned(),
            outcome: Outcome::Measured(Box::new(Measured {
                peer_version: peer_version.to_owned(),
                ours,
                theirs,
                unit,
                ratio,
                target: target.ratio,
                met: ratio <= target.ratio && target.ours_max.is_none_or(|most| ours <= most),
                ours_max: target.ours_max,
                limit: None,
                note: String::new(),
                runs,
                load: crate::machine::load(),
            })),
        })
    }

    /// A row of a `figure` without a peer, made of `runs`.
    pub fn alone(bench: &str, unit: Unit, figure: f64, runs: Vec<f64>, ours_max: Option<f64>) -> Self {
        Self {
            bench: bench.to_owned(),
            peer: NO_PEER.to_owned(),
            outcome: Outcome::Alone(Alone {
                ours: figure,
                unit,
                ours_max,
                met: ours_max.map(|most| figure <= most),
                note: String::new(),
                runs,
                load: crate::machine::load(),
            }),
        }
    }

    /// With the hardware's limit, in the row's unit.
    pub fn with_limit(mut self, what: &str, value: f64) -> Self {
        if let Outcome::Measured(row) = &mut self.outcome {
            row.limit = Some(Limit {
                what: what.to_owned(),
                value,
                ours_to_limit: row.ours / value,
            });
        }
        self
    }

    /// With a sentence.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        match &mut self.outcome {
            Outcome::Measured(row) => row.note = note.into(),
            Outcome::Alone(row) => row.note = note.into(),
            Outcome::NotRun { .. } => {}
        }
        self
    }
}

/// The middle of the numbers, of an even count the mean of the two in the middle; `None` of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper))
}

/// The smallest of the numbers that `share` of them (0 to 1) do not exceed; `None` of none.
pub fn percentile(numbers: &[f64], share: f64) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Writes the report.
///
/// # Errors
/// The file cannot be written.
pub fn write(rows: &[Row], path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// The rows for people.
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![["bench", "ours", "theirs", "ratio", "target", "met", "peer"].map(str::to_owned)];
    let mut below = String::new();
    for row in rows {
        match &row.outcome {
            Outcome::Measured(m) => {
                let cells = [
                    shown(m.ours, m.unit),
                    shown(m.theirs, m.unit),
                    format!("{:.3}", m.ratio),
                    format!("{:.2}", m.target),
                    yes_or_no(m.met).to_owned(),
                ];
                lines.push(line(row, cells));
                explain(&mut below, row, m);
            }
            Outcome::Alone(alone) => {
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| DASH.to_owned());
                let most = alone.ours_max.map(|most| shown(most, alone.unit));
                let met = alone.met.map(|met| yes_or_no(met).to_owned());
                let ours = shown(alone.ours, alone.unit);
                lines.push(line(
                    row,
                    [ours, DASH.into(), DASH.into(), or_dash(most), or_dash(met)],
                ));
                let (runs, load) = (alone.runs.len(), alone.load);
                let _infallible = writeln!(below, "{}: runs {runs}; load {load:.1}", row.bench);
                tell_note(&mut below, &alone.note);
            }
            Outcome::NotRun { reason } => {
                lines.push(line(row, [DASH; 5].map(str::to_owned)));
                let _infallible = writeln!(below, "{}: {reason}", row.bench);
            }
        }
    }
    format!("{}\n{below}", aligned(&lines))
}

fn line(row: &Row, [a, b, c, d, e]: [String; 5]) -> [String; 7] {
    [row.bench.clone(), a, b, c, d, e, row.peer.clone()]
}

fn yes_or_no(met: bool) -> &'static str {
    if met { "yes" } else { "no" }
}

fn tell_note(below: &mut String, note: &str) {
    if !note.is_empty() {
        let _infallible = writeln!(below, "    {note}");
    }
}

fn explain(below: &mut String, row: &Row, m: &Measured) {
    let _infallible = writeln!(
        below,
        "{}: {}; runs {}; load {:.1}",
        row.bench,
        m.peer_version,
        m.runs.ours.len(),
        m.load
    );
    if let Some(limit) = &m.limit {
        let _infallible = writeln!(
            below,
            "    limit {}: {}; ours is {:.2} times that",
            shown(limit.value, m.unit),
            limit.what,
            limit.ours_to_limit
        );
    }
    tell_note(below, &m.note);
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Instructions | Unit::Records => format!("{value:.0}"),
        Unit::Percent => format!("{value:.3} %"),
        Unit::Bytes => format!("{:.2} MiB", value / f64::from(1u32 << 20)),
    }
}

fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or_default();
            text.push_str(cell);
            if column + 1 < N {
                text.push_str(&" ".repeat(width - cell.len() + 2));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
