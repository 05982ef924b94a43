//! What the execution gate costs, and what follows from what it sees.
//!
//! Guest instructions of fork+exec, open+close and connect, with the gate against without it: counted by QEMU
//! (`-icount`), so that other work on the host changes nothing. One guest measures before the gate stands and behind it,
//! for no gate can be taken down again. Where the gate attaches programs, programs that do nothing are measured too: no
//! gate of this kind costs less. Time is measured besides, in two guests that take turns (`time`).

pub mod burst;
pub mod idle;
pub mod profiles;
pub mod purge;
pub mod reborn;
pub mod time;
pub mod trace;

use super::Session;
use crate::guest::{self, Guest, Sample};
use crate::host;
use crate::report::{self, Row, Runs, Target, Unit};
use anyhow::{Context as _, Result};
use bennu_harness::machine::GuestClock;
use std::path::Path;

const NAME: &str = "gate";
/// What rows are compared with.
pub const PEER: &str = "the same guest without a gate";
const DEFINITION: &str = "images/bench/gate.toml";
/// Rounds of each run, as the definitions ask for them.
const ROUNDS: usize = 5;
const BOOTS: usize = 1;
/// Labels of the definitions' runs: before anything stands, with what does nothing, and behind what is measured.
const BEFORE: &str = "before";
const AGAIN: &str = "again";
const NOTHING_ATTACHED: &str = "nothing";
const BEHIND: &str = "behind";
const STANDS: &str = "bennud: gate stands: ";
const END: &str = "PROBE END";

/// An operation that is measured, as the measuring program calls it.
#[derive(Debug)]
struct Operation {
    name: &'static str,
    /// Largest ratio to the same without a gate.
    most: f64,
    /// Whether hooks lie on its way that a gate without profiles attaches to.
    has_limit: bool,
}

const OPERATIONS: [Operation; 4] = [
    Operation {
        name: "exec",
        most: 1.03,
        has_limit: true,
    },
    Operation {
        name: "open",
        most: 1.02,
        has_limit: true,
    },
    Operation {
        name: "connect-tcp",
        most: 1.02,
        has_limit: false,
    },
    Operation {
        name: "connect-unix",
        most: 1.02,
        has_limit: false,
    },
];

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        let row = |operation: &Operation| Row::not_run(&name(NAME, operation), PEER, &reason);
        return Ok(OPERATIONS.iter().map(row).collect());
    }
    let scratch = session.scratch()?;
    let mut counted = Measuring::new(
        &scratch.path().join("counted"),
        DEFINITION,
        GuestClock::Instructions,
    )?;
    for _ in 0..BOOTS {
        counted.boot(STANDS)?;
    }
    let rows = OPERATIONS.iter().map(|operation| {
        let row = row(NAME, operation, &counted)?;
        Ok(if operation.has_limit {
            with_limit(row, counted.limit(operation)?)
        } else {
            row
        })
    });
    rows.collect()
}

fn name(bench: &str, operation: &Operation) -> String {
    format!("{bench}-{}", operation.name)
}

/// A guest that measures itself, and what it measured in each boot.
struct Measuring {
    guest: Guest,
    clock: GuestClock,
    boots: Vec<Vec<Sample>>,
    /// Lines of the last boot.
    lines: Vec<String>,
    definition: String,
}

impl Measuring {
    fn new(folder: &Path, definition: &str, clock: GuestClock) -> Result<Self> {
        Ok(Self {
            guest: Guest::new(folder, &[definition], clock)?,
            clock,
            boots: Vec::new(),
            lines: Vec::new(),
            definition: definition.to_owned(),
        })
    }

    /// Boots; the guest must say `must_show`: who does less is not measured.
    fn boot(&mut self, must_show: &str) -> Result<()> {
        self.lines = self.guest.boot(END)?;
        let shown = guest::word_after(&self.lines, must_show);
        let shown = shown.with_context(|| format!("{}: expected `{must_show}`", self.definition))?;
        eprintln!("bench: {}: {must_show}{shown}", self.definition);
        let samples = guest::samples(&self.lines);
        if self.clock == GuestClock::Instructions {
            guest::ensure_ticks_are_instructions(&samples)?;
        }
        self.boots.push(samples);
        Ok(())
    }

    /// What `figure` says of one operation in every round of the runs with these labels.
    fn each(&self, labels: &[&str], operation: &Operation, figure: fn(&Sample) -> f64) -> Result<Vec<f64>> {
        let boots = self.boots.iter();
        let each = boots.map(|samples| guest::each_round(samples, labels, operation.name, ROUNDS, figure));
        Ok(each.collect::<Result<Vec<_>>>()?.concat())
    }

    /// With programs that do nothing at the same hooks.
    fn limit(&self, operation: &Operation) -> Result<f64> {
        self.median(NOTHING_ATTACHED, operation, Sample::alone)
    }

    fn median(&self, label: &str, operation: &Operation, figure: fn(&Sample) -> f64) -> Result<f64> {
        report::median(&self.each(&[label], operation, figure)?).context("no rounds")
    }

    fn kernel(&self) -> Result<&str> {
        guest::word_after(&self.lines, "PROBE /proc/sys/kernel/osrelease: ")
            .context("the guest did not tell its kernel")
    }
}

fn row(bench: &str, operation: &Operation, guest: &Measuring) -> Result<Row> {
    let runs = Runs {
        ours: guest.each(&[BEHIND], operation, Sample::alone)?,
        theirs: guest.each(&[BEFORE, AGAIN], operation, Sample::alone)?,
    };
    let target = Target {
        ratio: operation.most,
        ours_max: None,
    };
    let kernel = format!("Linux {}", guest.kernel()?);
    let row = Row::measured(
        &name(bench, operation),
        PEER,
        &kernel,
        Unit::Instructions,
        runs,
        target,
    )?;
    let note = format!("{}; 1 processor, {BOOTS} boots; bennud runs", guest.definition);
    Ok(row.with_note(note))
}

fn with_limit(row: Row, limit: f64) -> Row {
    row.with_limit("programs that do nothing at the same hooks", limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product;

    #[test]
    fn the_definitions_are_there() {
        for definition in [
            DEFINITION,
            burst::DEFINITION,
            idle::DEFINITION,
            profiles::DEFINITION,
            purge::DEFINITION,
            time::WITH,
            time::WITHOUT,
            trace::DEFINITION,
            trace::AUDIT,
        ] {
            assert!(product::top().join(definition).is_file(), "{definition}");
        }
        for definition in reborn::DEFINITIONS {
            assert!(product::top().join(definition).is_file(), "{definition}");
        }
    }
}
