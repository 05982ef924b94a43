//! From the first signal of an intruder to the end of State Purge, by the signed certificates of many lives of one machine. The
//! signal is a changed PCR: the kernel keeps no time of it, so it begins at the round of the watch that saw it.

use super::END;
use crate::benches::Session;
use crate::guest::{self, Guest};
use crate::host;
use crate::report::{self, Row, Unit};
use anyhow::{Context as _, Result};
use bennu_harness::machine::GuestClock;

const NAME: &str = "first-signal-to-purged";
pub(super) const DEFINITION: &str = "images/bench/purge.toml";
/// Each life of the machine has one purge.
const LIVES: usize = 20;
/// `bennuctl certificates`.
const PURGED: &str = "state-purge done at ";
const AFTER: &str = " ms after the first signal";

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        return Ok(vec![Row::not_run(NAME, "-", reason)]);
    }
    let scratch = session.scratch()?;
    let mut guest = Guest::new(&scratch.path().join("purge"), &[DEFINITION], GuestClock::Time)?;
    let mut seconds = Vec::new();
    for _ in 0..LIVES {
        let lines = guest.boot(END)?;
        seconds.push(purged_after_s(&lines)?);
    }
    rows_of(seconds)
}

/// The newest certificate's: older ones are listed before it.
fn purged_after_s(lines: &[String]) -> Result<f64> {
    let newest = lines.iter().rev().find(|line| line.contains(PURGED));
    let (words, _) = newest
        .and_then(|line| line.split_once(AFTER))
        .context("no certificate of a purge")?;
    let number = words.rsplit(' ').next().unwrap_or_default();
    let ms: f64 = number
        .parse()
        .with_context(|| format!("milliseconds: {number:?}"))?;
    Ok(ms / 1e3)
}

fn rows_of(seconds: Vec<f64>) -> Result<Vec<Row>> {
    let note = format!(
        "{DEFINITION}: {} lives; {}, 1 processor",
        seconds.len(),
        guest::accelerator()
    );
    let row = |name: &str, share| -> Result<Row> {
        let figure = report::percentile(&seconds, share).context("no purge")?;
        let bench = format!("{NAME}-{name}");
        Ok(Row::alone(&bench, Unit::Seconds, figure, seconds.clone(), None).with_note(&note))
    };
    Ok(vec![row("p50", 0.5)?, row("p99", 0.99)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_purge_counts() {
        let lines = [
            "PROBE RUN   state-purge done at 31000 ms, 900 ms after the first signal: all steps",
            "PROBE RUN   state-purge.kill done at 29900 ms, 200 ms after the first signal: 1 control groups",
            "PROBE RUN   state-purge done at 30100 ms, 400 ms after the first signal: all steps",
            "PROBE RUN   state-purge.drop-caches done at 31400 ms, 800 ms after the first signal: x",
        ]
        .map(str::to_owned);
        assert_eq!(purged_after_s(&lines).unwrap(), 0.4);
        assert!(purged_after_s(&lines[..0]).is_err());
    }
}
