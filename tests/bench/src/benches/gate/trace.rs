//! The gate with its trace against auditd with rules that record the same, each in a guest of its own.
//!
//! What the machine does in the whole round counts, for both write their records later, by programs of their own.

use super::{BEFORE, BEHIND, Measuring, OPERATIONS, Operation, STANDS, name};
use crate::benches::Session;
use crate::guest::{self, Sample};
use crate::host;
use crate::report::{Row, Runs, Target, Unit};
use anyhow::{Context as _, Result};
use bennu_harness::machine::GuestClock;

const NAME: &str = "trace";
/// What rows are compared with.
pub const PEER: &str = "auditd";
pub(super) const DEFINITION: &str = "images/bench/trace.toml";
pub(super) const AUDIT: &str = "images/bench/audit.toml";
/// auditctl(8), `-s`: recording is on.
const AUDITS: &str = "enabled 1";
const TARGET: Target = Target {
    ratio: 1.0,
    ours_max: None,
};
/// Peers that no registry of ours has.
const OTHERS: [(&str, &str); 2] = [
    ("Tetragon", "Debian 13 has no package of it"),
    (
        "Falco",
        "Debian 13 has libraries of it and no package of the program",
    ),
];

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    let mut rows = match host::missing(&guest::TOOLS) {
        Some(reason) => OPERATIONS
            .iter()
            .map(|operation| Row::not_run(&name(NAME, operation), PEER, &reason))
            .collect(),
        None => measured(session)?,
    };
    rows.extend(OTHERS.map(|(peer, reason)| Row::not_run(NAME, peer, reason)));
    Ok(rows)
}

fn measured(session: &Session) -> Result<Vec<Row>> {
    let scratch = session.scratch()?;
    let mut ours = Measuring::new(
        &scratch.path().join("trace"),
        DEFINITION,
        GuestClock::Instructions,
    )?;
    let mut theirs = Measuring::new(&scratch.path().join("audit"), AUDIT, GuestClock::Instructions)?;
    // One boot each: instructions are counted, and nothing of the host is in them.
    ours.boot(STANDS)?;
    theirs.boot(AUDITS)?;
    OPERATIONS
        .iter()
        .map(|operation| row(operation, &ours, &theirs))
        .collect()
}

fn row(operation: &Operation, ours: &Measuring, theirs: &Measuring) -> Result<Row> {
    let runs = Runs {
        ours: ours.each(&[BEHIND], operation, Sample::mean)?,
        theirs: theirs.each(&[BEHIND], operation, Sample::mean)?,
    };
    let version =
        guest::word_after(&theirs.lines, "auditctl version ").context("auditctl did not tell its version")?;
    let note = format!(
        "{DEFINITION} against {AUDIT}, Linux {} and {}; without either: {:.0} and {:.0}",
        ours.kernel()?,
        theirs.kernel()?,
        ours.median(BEFORE, operation, Sample::mean)?,
        theirs.median(BEFORE, operation, Sample::mean)?,
    );
    let version = format!("auditd {version}");
    let row = Row::measured(
        &name(NAME, operation),
        PEER,
        &version,
        Unit::Instructions,
        runs,
        TARGET,
    )?;
    Ok(row.with_note(note))
}
