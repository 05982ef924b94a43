//! Runs both sides: in alternation, by the wall clock, or under GNU time for their memory.

use crate::host;
use crate::report::Runs;
use anyhow::{Context as _, Result, ensure};
use std::process::Command;
use std::time::Instant;

/// What a run gave.
#[derive(Debug)]
pub struct Ended {
    /// Wall clock from before the start to after the end, in seconds.
    pub seconds: f64,
    /// Standard output.
    pub stdout: String,
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started, or ends with another status than 0.
pub fn run(command: &mut Command) -> Result<Ended> {
    let start = Instant::now();
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(Ended {
        seconds,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
    })
}

/// Largest resident memory of a command in bytes, as the kernel counts it (getrusage(2), `ru_maxrss`).
///
/// # Errors
/// As [`run`], or there is no GNU time.
pub fn peak_bytes(command: &Command) -> Result<f64> {
    let report = tempfile::NamedTempFile::new().context("temporary file")?;
    let mut timed = host::tool("time").context("time is not installed (apt-get install time)")?;
    timed
        .args(["-f", "%M", "-o"])
        .arg(report.path())
        .arg(command.get_program())
        .args(command.get_args());
    run(&mut timed)?;
    let text = std::fs::read_to_string(report.path()).context("report of time")?;
    let kib: f64 = text
        .trim()
        .parse()
        .with_context(|| format!("report of time: {text:?}"))?;
    Ok(kib * 1024.0)
}

/// Calls both sides `count` times in alternation, after one pair that is not counted; who begins changes, so that
/// neither always finds what the other one left behind.
///
/// # Errors
/// Those of the sides.
pub fn pairs(
    count: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut theirs: impl FnMut() -> Result<f64>,
) -> Result<Runs> {
    let mut runs = Runs::default();
    let (_warm_up, _warm_up_too) = (ours()?, theirs()?);
    for pair in 0..count {
        if pair % 2 == 0 {
            runs.ours.push(ours()?);
            runs.theirs.push(theirs()?);
        } else {
            runs.theirs.push(theirs()?);
            runs.ours.push(ours()?);
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn both_sides_alternate_and_the_first_pair_is_not_counted() {
        let order = RefCell::new(String::new());
        let side = |letter| {
            order.borrow_mut().push(letter);
            Ok(order.borrow().len() as f64)
        };
        let runs = pairs(3, || side('o'), || side('t')).unwrap();
        assert_eq!(*order.borrow(), "otottoot");
        assert_eq!(runs.ours, [3.0, 6.0, 7.0]);
        assert_eq!(runs.theirs, [4.0, 5.0, 8.0]);
    }

    #[test]
    fn a_run_gives_its_output_and_a_failed_one_its_words() {
        let ended = run(Command::new("sh").args(["-c", "echo yes"])).unwrap();
        assert!(ended.stdout == "yes\n" && ended.seconds > 0.0);
        let error = run(Command::new("sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err();
        assert!(format!("{error:#}").contains("because"), "{error:#}");
    }

    #[test]
    fn the_peak_of_a_program_that_fills_memory_is_at_least_that() {
        let fill = "x=$(head -c 33554432 /dev/zero | tr '\\0' a); echo ${#x}";
        let mut shell = Command::new("sh");
        shell.args(["-c", fill]);
        assert!(peak_bytes(&shell).unwrap() >= f64::from(32u32 << 20));
    }
}
