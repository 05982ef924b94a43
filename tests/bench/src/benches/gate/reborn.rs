//! From drift to multi-user in the other slot, phase by phase: a whole Debian system, an intruder, a purge, a flip.
//!
//! By the host's clock, which stamps each line of the console: the guest's own begins anew with the restart.

use crate::benches::Session;
use crate::guest::{self, Guest, Line};
use crate::host;
use crate::report::{self, Row, Unit};
use anyhow::{Context as _, Result};
use bennu_harness::machine::GuestClock;

const NAME: &str = "reborn";
/// The slot that is reborn into, and the one that an intruder comes into.
pub(super) const DEFINITIONS: [&str; 2] = ["images/demo/reborn.toml", "images/demo/drift.toml"];
const BOOTS: usize = 1;
/// What begins and ends the phases before the restart.
const DRIFTED: [(&str, &str); 4] = [
    ("", "INTRUDER EXTENDED"),
    ("noticed", "bennud: ALERT drift.two-strong"),
    ("purged", "bennud: state-purge.drop-caches done"),
    ("other-slot-verified", "bennud: flip-slot done"),
];
/// Ends the phases after it, from power-on. The demo's report is the first unit behind multi-user.target.
const REBORN: [(&str, &str); 3] = [
    ("initrd-begun", "bennu-init: "),
    ("initrd-left", "bennu-init: starting /"),
    ("multi-user", ", first boot: "),
];
const LAST_WORDS: &str = "REBORN END";

/// A phase and its seconds.
type Phase = (&'static str, f64);

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        return Ok(vec![Row::not_run(NAME, "-", reason)]);
    }
    let scratch = session.scratch()?;
    let mut all: Vec<Vec<Phase>> = Vec::new();
    for boot in 0..BOOTS {
        let folder = scratch.path().join(format!("reborn-{boot}"));
        let mut guest = Guest::new(&folder, &DEFINITIONS, GuestClock::Time)?;
        let (drifted, ended_ms) = guest.boot_until_reset()?;
        let reborn = guest.boot_and_cut(LAST_WORDS)?;
        all.push(phases(&drifted, ended_ms, &reborn)?);
    }
    rows_of(&all)
}

fn phases(drifted: &[Line], ended_ms: u64, reborn: &[Line]) -> Result<Vec<Phase>> {
    let mut phases = Vec::new();
    let mut from = None;
    for (name, words) in DRIFTED {
        let at = first(drifted, words)?;
        if let Some(from) = from {
            phases.push((name, seconds(from, at)));
        }
        from = Some(at);
    }
    phases.push(("restarted", seconds(from.unwrap_or(ended_ms), ended_ms)));
    let mut from = 0;
    for (name, words) in REBORN {
        let at = first(reborn, words)?;
        phases.push((name, seconds(from, at)));
        from = at;
    }
    phases.push(("together", phases.iter().map(|(_, seconds)| seconds).sum()));
    Ok(phases)
}

fn first(lines: &[Line], words: &str) -> Result<u64> {
    let found = lines.iter().find(|(_, text)| text.contains(words));
    found
        .map(|(ms, _)| *ms)
        .with_context(|| format!("expected `{words}` on the console"))
}

fn seconds(from_ms: u64, to_ms: u64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1e3
}

fn rows_of(all: &[Vec<Phase>]) -> Result<Vec<Row>> {
    let names = all.first().context("no boots")?.iter().map(|(name, _)| *name);
    let note = format!("images/demo: {}, 1 processor", guest::accelerator());
    let row = |(index, name): (usize, &str)| -> Result<Row> {
        let runs: Vec<f64> = all
            .iter()
            .filter_map(|phases| phases.get(index))
            .map(|phase| phase.1)
            .collect();
        let figure = report::median(&runs).context("no boots")?;
        Ok(Row::alone(&format!("{NAME}-{name}"), Unit::Seconds, figure, runs, None).with_note(&note))
    };
    names.enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[(u64, &str)]) -> Vec<Line> {
        texts.iter().map(|(ms, text)| (*ms, (*text).to_owned())).collect()
    }

    #[test]
    fn phases_follow_each_other_and_the_last_row_is_their_sum() {
        let drifted = lines(&[
            (60_000, "INTRUDER EXTENDED"),
            (61_500, "bennud: ALERT drift.two-strong: x"),
            (62_000, "bennud: state-purge.drop-caches done: y"),
            (70_000, "bennud: flip-slot done: z"),
        ]);
        let reborn = lines(&[
            (9_000, "bennu-init: version"),
            (12_000, "bennu-init: starting /sbin/init"),
            (40_000, "machine id 1, first boot: no"),
        ]);
        let found = phases(&drifted, 71_000, &reborn).unwrap();
        let expected = [
            ("noticed", 1.5),
            ("purged", 0.5),
            ("other-slot-verified", 8.0),
            ("restarted", 1.0),
            ("initrd-begun", 9.0),
            ("initrd-left", 3.0),
            ("multi-user", 28.0),
            ("together", 51.0),
        ];
        assert_eq!(found, expected);
        assert!(phases(&drifted, 71_000, &reborn[..2]).is_err());
        let rows = rows_of(&[found.clone(), found]).unwrap();
        assert_eq!((rows.len(), rows[7].bench.as_str()), (8, "reborn-together"));
    }
}
