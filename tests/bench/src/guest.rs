//! A guest of ours that measures itself (`tests/probe/measure.c`): builds its image, boots it, reads what it says.

use crate::{product, run};
use anyhow::{Context as _, Result, anyhow, ensure};
use bennu_harness::artefacts::Artefacts;
use bennu_harness::machine::{DiskSource, Firmware, GuestClock, Machine, MachineSpec};
use bennu_harness::marker::Marker;
use bennu_harness::power_on::{PowerOn, ShutdownReason};
use bennu_harness::serial::SerialError;
use std::path::Path;
use std::time::Duration;

/// For one boot with what is measured in it; a busy machine takes minutes where a quiet one takes half of one.
const WITHIN: Duration = Duration::from_secs(3600);
const GONE_WITHIN: Duration = Duration::from_secs(60);
const MEMORY_MIB: u32 = 2048;
/// Ends a boot that will come to nothing.
const HOPELESS: [&str; 4] = [
    "bennu-init: FAILED",
    "bennu-init: HALTED",
    "Kernel panic",
    "MEASURE FAILED",
];
/// In front of what the measuring program says. The console is shared: another line's beginning may stand before it.
const SAMPLE: &str = "MEASURE ";
/// The loop that does nothing, and its instructions a turn.
const NOTHING: &str = "nothing";
const NOTHING_INSTRUCTIONS: f64 = 2.0;
/// How much more may be counted: the timer's interrupts.
const CALIBRATION: f64 = 0.01;

/// Programs that a machine needs, and their Debian packages.
pub const TOOLS: [(&str, &str); 3] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("swtpm", "swtpm"),
    ("mcopy", "mtools"),
];

/// One round of one operation, as the guest measured it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which run of the measuring program.
    pub label: String,
    /// What was done.
    pub operation: String,
    /// How often, at least 1.
    pub times: f64,
    /// Ticks of the processor's counter, of the whole round.
    pub ticks: f64,
    /// Ticks of one operation alone, the median of the round.
    pub median: f64,
}

/// A line of a console, with the milliseconds from power-on to its end by the host's clock.
pub type Line = (u64, String);

/// A machine with images of ours.
pub struct Guest {
    machine: Machine,
}

impl Guest {
    /// Builds `definitions`, each for a slot, and a machine with them, all in the new directory `folder`.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub fn new(folder: &Path, definitions: &[&str], clock: GuestClock) -> Result<Self> {
        std::fs::create_dir(folder).with_context(|| folder.display().to_string())?;
        let mut releases = Vec::new();
        for (number, definition) in definitions.iter().enumerate() {
            let release = folder.join(format!("release-{number}"));
            product::build(&product::top().join(definition), &release, None)?;
            releases.push(release);
        }
        let disk = folder.join("image.raw");
        product::disk(&releases, &disk)?;
        let spec = MachineSpec {
            memory_mib: MEMORY_MIB,
            clock,
            ..spec(folder, &disk)?
        };
        Ok(Self {
            machine: Machine::create(folder, spec)?,
        })
    }

    /// Boots until `last_words` and until the guest has switched itself off; gives the text of its lines.
    ///
    /// # Errors
    /// It does not come to that; the console is kept and named.
    pub fn boot(&mut self, last_words: &str) -> Result<Vec<String>> {
        let (lines, _) = self.power_on(|on| {
            on.wait_for_without(last_words, &HOPELESS.map(Marker::from), WITHIN)?;
            on.wait_exit(GONE_WITHIN)
        })?;
        Ok(lines.into_iter().map(|(_, text)| text).collect())
    }

    /// Boots until `last_words`, then cuts the power.
    ///
    /// # Errors
    /// As [`Self::boot`].
    pub fn boot_and_cut(&mut self, last_words: &str) -> Result<Vec<Line>> {
        let wait =
            |on: &mut PowerOn<'_>| on.wait_for_without(last_words, &HOPELESS.map(Marker::from), WITHIN);
        Ok(self.power_on(wait)?.0)
    }

    /// Boots until the guest resets itself; gives besides its lines when that was, in milliseconds since power-on.
    ///
    /// # Errors
    /// It ends in another way, or not at all.
    pub fn boot_until_reset(&mut self) -> Result<(Vec<Line>, u64)> {
        let (lines, ending) = self.power_on(|on| on.wait_exit(WITHIN))?;
        if ending.reason == Some(ShutdownReason::GuestReset) {
            return Ok((lines, ending.ms));
        }
        let error = anyhow!("expected a reset of the guest's, found {ending:?}");
        Err(keep_console(&lines, error))
    }

    fn power_on<T>(
        &mut self,
        wait: impl FnOnce(&mut PowerOn<'_>) -> Result<T, SerialError>,
    ) -> Result<(Vec<Line>, T)> {
        let mut on = self.machine.power_on()?;
        let ended = wait(&mut on);
        let lines: Vec<Line> = on.lines().into_iter().map(|line| (line.ms, line.text)).collect();
        drop(on);
        match ended {
            Ok(ended) => Ok((lines, ended)),
            Err(error) => Err(keep_console(&lines, error.into())),
        }
    }
}

/// A machine with Secure Boot under our keys, a TPM of its own and a copy of `disk`; its files lie in `folder`.
///
/// # Errors
/// The keys cannot be made or enrolled.
pub fn spec(folder: &Path, disk: &Path) -> Result<MachineSpec> {
    let vars = folder.join("enrolled.fd");
    let mut enrol = product::bennu()?;
    enrol.args(["keys", "enrol"]).arg(product::keys()?);
    run::run(enrol.arg("--output").arg(&vars))?;
    Ok(MachineSpec {
        firmware: Firmware::with_vars(vars),
        disk: DiskSource::CopyOf(disk.to_owned()),
        extra_args: ["-device", "virtio-rng-pci"].map(Into::into).to_vec(),
        ..MachineSpec::default()
    })
}

/// Keeps the console of a boot that went wrong: the machine's own folder goes away with the bench.
pub fn keep_console(lines: &[Line], error: anyhow::Error) -> anyhow::Error {
    let path = product::target("bench/failed-boot.log");
    let text: String = lines
        .iter()
        .map(|(ms, line)| format!("{ms:>8} {line}\n"))
        .collect();
    match std::fs::write(&path, text) {
        Ok(()) => error.context(format!("console in {}", path.display())),
        Err(unkept) => error.context(format!("console not kept: {unkept}")),
    }
}

/// What runs guests by time, as the harness found out.
pub fn accelerator() -> String {
    let cache = Artefacts::in_target().root().join("accelerator.json");
    bennu_harness::accelerator::choose(&cache).map_or_else(
        |error| error.to_string(),
        |verdict| format!("{:?}", verdict.accelerator),
    )
}

/// What stands behind `before` in the first line that has it.
pub fn word_after<'a>(lines: &'a [String], before: &str) -> Option<&'a str> {
    lines
        .iter()
        .find_map(|line| line.split_once(before))
        .map(|(_, rest)| rest.trim())
}

/// The samples in a console's lines, in their order.
pub fn samples(lines: &[String]) -> Vec<Sample> {
    lines.iter().filter_map(|line| sample(line)).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (_, rest) = line.split_once(SAMPLE)?;
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [label, operation, times, ticks, median, _ns] = words.as_slice() else {
        return None;
    };
    let sample = Sample {
        label: (*label).to_owned(),
        operation: (*operation).to_owned(),
        times: times.parse().ok()?,
        ticks: ticks.parse().ok()?,
        median: median.parse().ok()?,
    };
    (sample.times >= 1.0).then_some(sample)
}

impl Sample {
    /// Ticks for each operation, with everything that the machine did besides.
    pub fn mean(&self) -> f64 {
        self.ticks / self.times
    }

    /// Ticks of the operation alone.
    pub fn alone(&self) -> f64 {
        self.median
    }
}

/// What `figure` says of each round of one `operation`, in the runs with these labels.
///
/// # Errors
/// Another number of rounds than `rounds` for each label: a line is missing or was torn.
pub fn each_round(
    samples: &[Sample],
    labels: &[&str],
    operation: &str,
    rounds: usize,
    figure: fn(&Sample) -> f64,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for label in labels {
        let of_run = |sample: &&Sample| sample.label == *label && sample.operation == operation;
        let found: Vec<f64> = samples.iter().filter(of_run).map(figure).collect();
        ensure!(
            found.len() == rounds,
            "{label}, {operation}: expected {rounds} rounds, found {}",
            found.len()
        );
        all.extend(found);
    }
    Ok(all)
}

/// Checks that the guest's ticks are its instructions.
///
/// # Errors
/// A loop of two instructions a turn did not take two ticks a turn.
pub fn ensure_ticks_are_instructions(samples: &[Sample]) -> Result<()> {
    let mut seen = false;
    for sample in samples.iter().filter(|sample| sample.operation == NOTHING) {
        seen = true;
        let found = sample.mean();
        ensure!(
            (found / NOTHING_INSTRUCTIONS - 1.0).abs() <= CALIBRATION,
            "{}: expected {NOTHING_INSTRUCTIONS} ticks for each turn of a loop of as many instructions, found {found}",
            sample.label
        );
    }
    ensure!(seen, "the guest did not measure the loop that does nothing");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn samples_are_read_from_a_shared_console() {
        let found = samples(&lines(&[
            "PROBE BEGIN",
            "MEASURE before open 100 250000 2400 251000",
            "[    5.1] virtio MEASURE before open 100 260000 2401 1",
            "MEASURE COST bennud 1 2 3 4 x",
            "MEASURE before open 0 1 1 1",
            "MEASURE before open x 1 1 1",
        ]));
        let of = |figure| each_round(&found, &["before"], "open", 2, figure).unwrap();
        assert_eq!(of(Sample::mean), [2500.0, 2600.0]);
        assert_eq!(of(Sample::alone), [2400.0, 2401.0]);
    }

    #[test]
    fn a_round_that_is_missing_is_an_error() {
        let found = samples(&lines(&["MEASURE a open 1 1 1 1", "MEASURE b open 1 1 1 1"]));
        let of = |labels: &[&str]| each_round(&found, labels, "open", 1, Sample::mean);
        assert!(of(&["a", "b"]).is_ok());
        let error = of(&["a", "c"]).unwrap_err().to_string();
        assert!(error.contains("c, open: expected 1 rounds, found 0"), "{error}");
    }

    #[test]
    fn ticks_that_are_not_instructions_are_refused() {
        let of = |ticks: &str| samples(&lines(&[&format!("MEASURE a nothing 1000 {ticks} 1 1")]));
        ensure_ticks_are_instructions(&of("2004")).unwrap();
        for ticks in ["1500", "2100", "7903"] {
            assert!(ensure_ticks_are_instructions(&of(ticks)).is_err(), "{ticks}");
        }
        assert!(ensure_ticks_are_instructions(&[]).is_err());
    }
}
