//! Very many programs in a short time: each is in the trace, or counted as lost.

use super::{END, STANDS};
use crate::benches::Session;
use crate::guest::{self, Guest};
use crate::host;
use crate::report::{Row, Unit};
use anyhow::{Context as _, Result, bail};
use bennu_harness::machine::GuestClock;

const NAME: &str = "exec-burst";
pub(super) const DEFINITION: &str = "images/bench/burst.toml";
const RESULT: &str = "MEASURE BURST ";

/// What the guest found.
#[derive(Debug, PartialEq, Eq)]
struct Burst {
    programs: u64,
    recorded: u64,
    lost: u64,
    ns: u64,
}

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        return Ok(vec![Row::not_run(NAME, "-", reason)]);
    }
    let scratch = session.scratch()?;
    let mut guest = Guest::new(&scratch.path().join("burst"), &[DEFINITION], GuestClock::Time)?;
    let lines = guest.boot(END)?;
    guest::word_after(&lines, STANDS).context("the gate did not stand")?;
    Ok(rows_of(&burst(&lines)?))
}

fn burst(lines: &[String]) -> Result<Burst> {
    let words = guest::word_after(lines, RESULT).context("the guest did not tell of its burst")?;
    let numbers: Vec<u64> = words.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [programs, recorded, lost, ns] = numbers[..] else {
        bail!("expected four numbers, found {words:?}")
    };
    Ok(Burst {
        programs,
        recorded,
        lost,
        ns,
    })
}

fn rows_of(burst: &Burst) -> Vec<Row> {
    let told = burst.recorded + burst.lost;
    // More than there were would be as wrong as fewer.
    let untold = burst.programs.abs_diff(told) as f64;
    let seconds = burst.ns as f64 / 1e9;
    let note = format!(
        "{DEFINITION}: {} programs, {} records, {} counted as lost; {}, 1 processor",
        burst.programs,
        burst.recorded,
        burst.lost,
        guest::accelerator()
    );
    let row = |name: &str, unit, figure: f64, most| {
        Row::alone(&format!("{NAME}-{name}"), unit, figure, vec![figure], most).with_note(&note)
    };
    vec![
        row("untold", Unit::Records, untold, Some(0.0)),
        row("lost", Unit::Records, burst.lost as f64, None),
        row("time", Unit::Seconds, seconds, None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    #[test]
    fn an_event_that_is_neither_recorded_nor_counted_fails_the_row() {
        for (text, untold, met) in [
            ("MEASURE BURST 100 90 10 2500000000", 0.0, true),
            ("MEASURE BURST 100 90 9 2500000000", 1.0, false),
            ("MEASURE BURST 100 101 0 2500000000", 1.0, false),
        ] {
            let rows = rows_of(&burst(&[text.to_owned()]).unwrap());
            let Outcome::Alone(row) = &rows[0].outcome else {
                panic!("expected a figure")
            };
            assert_eq!((row.ours, row.met), (untold, Some(met)), "{text}");
            let Outcome::Alone(row) = &rows[2].outcome else {
                panic!("expected a figure")
            };
            assert_eq!((row.ours, row.met), (2.5, None));
        }
        assert!(burst(&["MEASURE BURST 1 2".to_owned()]).is_err());
        assert!(burst(&[]).is_err());
    }
}
