//! How much longer the operations take behind the gate by the clock: two guests that differ in the gate alone take turns,
//! each a boot, and measure at the same point of their lives, after a round that is not counted. Within one guest time
//! cannot be compared: what runs first pays for the emulator's translation of it.

use super::{Measuring, OPERATIONS, Operation, STANDS, name};
use crate::benches::Session;
use crate::guest::{self, Sample};
use crate::host;
use crate::report::{self, Row, Unit};
use anyhow::{Context as _, Result};
use bennu_harness::machine::GuestClock;
use std::path::Path;

const NAME: &str = "gate-time";
pub const PEER: &str = "the same image without a gate";
pub(super) const WITH: &str = "images/bench/time.toml";
pub(super) const WITHOUT: &str = "images/bench/time-without.toml";
/// Boots of each.
const PAIRS: usize = 5;
const NO_GATE: &str = "bennud: no gate: ";
/// Label of the runs that count.
const COUNTED: &str = "counted";

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        let row = |operation: &Operation| Row::not_run(&name(NAME, operation), PEER, &reason);
        return Ok(OPERATIONS.iter().map(row).collect());
    }
    let scratch = session.scratch()?;
    let pairs = Pairs::measure(scratch.path())?;
    OPERATIONS.iter().map(|operation| pairs.row(operation)).collect()
}

/// The boots of both.
struct Pairs {
    with: Measuring,
    without: Measuring,
}

impl Pairs {
    fn measure(folder: &Path) -> Result<Self> {
        let guest = |part: &str, definition| Measuring::new(&folder.join(part), definition, GuestClock::Time);
        let mut pairs = Self {
            with: guest("timed", WITH)?,
            without: guest("timed-without", WITHOUT)?,
        };
        for _ in 0..PAIRS {
            pairs.without.boot(NO_GATE)?;
            pairs.with.boot(STANDS)?;
        }
        Ok(pairs)
    }

    /// In hundredths, of each pair, by the medians of its rounds.
    fn row(&self, operation: &Operation) -> Result<Row> {
        let (with, without) = (each(&self.with, operation)?, each(&self.without, operation)?);
        let shares: Vec<f64> = with
            .iter()
            .zip(&without)
            .map(|(with, without)| (with / without - 1.0) * 100.0)
            .collect();
        let share = report::median(&shares).context("no pairs")?;
        let note = format!(
            "{WITH} against {WITHOUT}, {PAIRS} pairs of boots; {}, 1 processor",
            guest::accelerator()
        );
        let name = name(NAME, operation);
        Ok(Row::alone(&name, Unit::Percent, share, shares, None).with_note(note))
    }
}

/// The median of each boot's rounds, each of them the median of single operations, in ticks of the processor's counter:
/// interrupts and other processes do not count.
fn each(guest: &Measuring, operation: &Operation) -> Result<Vec<f64>> {
    let boots = guest.boots.iter();
    let medians = boots.map(|samples| {
        let rounds = guest::each_round(samples, &[COUNTED], operation.name, super::ROUNDS, Sample::alone)?;
        report::median(&rounds).context("no rounds")
    });
    medians.collect()
}
