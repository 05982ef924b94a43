//! What `bennud` costs in a whole Debian system in which nothing happens.
//!
//! The guest counts instructions: a second of a processor is 10^9 of them, which is less than a processor of today does
//! in one, so the share is too large rather than too small.

use super::STANDS;
use crate::benches::Session;
use crate::guest::{self, Guest};
use crate::host;
use crate::product;
use crate::report::{Row, Unit};
use anyhow::{Context as _, Result, bail, ensure};
use bennu_harness::machine::GuestClock;

const NAME: &str = "bennud-idle";
pub(super) const DEFINITION: &str = "images/bench/idle.toml";
const RESULT: &str = "MEASURE COST bennud ";
const THREAD: &str = "MEASURE THREAD ";
/// Threads that are told of.
const MOST_THREADS: usize = 5;
const MOST_PERCENT: f64 = 0.5;
const MOST_BYTES: f64 = 40.0 * 1024.0 * 1024.0;
/// Shorter is no measurement.
const LEAST_S: f64 = 60.0;

/// What the guest found.
#[derive(Debug, PartialEq)]
struct Cost {
    seconds: f64,
    /// Share of one processor.
    percent: f64,
    resident_bytes: f64,
    peak_bytes: f64,
}

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        return Ok(vec![Row::not_run(NAME, "-", reason)]);
    }
    let scratch = session.scratch()?;
    let mut guest = Guest::new(
        &scratch.path().join("idle"),
        &[DEFINITION],
        GuestClock::Instructions,
    )?;
    let lines = guest.boot_and_cut("IDLE END")?;
    let lines: Vec<String> = lines.into_iter().map(|(_, text)| text).collect();
    let console = product::top().join("target/bench/idle-console.txt");
    std::fs::write(&console, lines.join("\n")).with_context(|| console.display().to_string())?;
    guest::word_after(&lines, STANDS).context("the gate did not stand")?;
    Ok(rows_of(&cost(&lines)?, &threads(&lines)))
}

/// What the busiest threads cost, in words.
fn threads(lines: &[String]) -> String {
    let mut found: Vec<(f64, &str)> = (lines.iter())
        .filter_map(|line| line.split_once(THREAD)?.1.trim().split_once(' '))
        .filter_map(|(ns, name)| Some((ns.parse::<f64>().ok()? / 1e6, name)))
        .collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    let words: Vec<String> = (found.iter().take(MOST_THREADS))
        .map(|(ms, name)| format!("{name} {ms:.0} ms"))
        .collect();
    words.join(", ")
}

fn cost(lines: &[String]) -> Result<Cost> {
    let words = guest::word_after(lines, RESULT).context("the guest did not tell the cost")?;
    let numbers: Vec<f64> = words.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [elapsed_ns, on_cpu_ns, _clock_ticks, resident_kib, peak_kib] = numbers[..] else {
        bail!("expected five numbers, found {words:?}")
    };
    let seconds = elapsed_ns / 1e9;
    ensure!(
        seconds >= LEAST_S,
        "expected at least {LEAST_S} s, found {seconds} s"
    );
    Ok(Cost {
        seconds,
        percent: on_cpu_ns / elapsed_ns * 100.0,
        resident_bytes: resident_kib * 1024.0,
        peak_bytes: peak_kib * 1024.0,
    })
}

fn rows_of(cost: &Cost, threads: &str) -> Vec<Row> {
    let note = format!(
        "{DEFINITION}: {:.0} s of guest time; a processor of 10^9 instructions a second; most memory so far {:.1} MiB; \
         {threads}",
        cost.seconds,
        cost.peak_bytes / f64::from(1u32 << 20)
    );
    let row = |name: &str, unit, figure: f64, most| {
        Row::alone(&format!("{NAME}-{name}"), unit, figure, vec![figure], Some(most)).with_note(&note)
    };
    vec![
        row("processor", Unit::Percent, cost.percent, MOST_PERCENT),
        row("memory", Unit::Bytes, cost.resident_bytes, MOST_BYTES),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_one_processor() {
        let line = "[  9.1] MEASURE COST bennud 120000000000 240000000 24 10240 20480".to_owned();
        let found = cost(&[line]).unwrap();
        assert_eq!((found.percent, found.seconds), (0.2, 120.0));
        assert_eq!(
            (found.resident_bytes, found.peak_bytes),
            (10.0 * 1048576.0, 20.0 * 1048576.0)
        );
    }

    #[test]
    fn the_busiest_threads_are_named() {
        let lines = [
            "[ 9.1] MEASURE THREAD 2000000 gate",
            "MEASURE THREAD 30000000 scrub of slots",
            "MEASURE",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(threads(&lines), "scrub of slots 30 ms, gate 2 ms");
    }

    #[test]
    fn too_short_a_time_and_too_few_numbers_are_errors() {
        for line in [
            "MEASURE COST bennud 59000000000 1 1 1 1",
            "MEASURE COST bennud 1 2",
        ] {
            assert!(cost(&[line.to_owned()]).is_err(), "{line}");
        }
    }
}
