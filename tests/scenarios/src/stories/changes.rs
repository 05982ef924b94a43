//! What an intruder changes around the verified root, one thing after the other: each is told by its name, and nothing is
//! told before it is changed. What he mounts over files of procfs and sysfs deceives everybody but the watch, which reads
//! them on mounts of its own; as these paths are not verified ones, the mounts themselves are no signal.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

/// What the probe says before a change, and what is told then.
const CHANGES: [(&str, &str); 8] = [
    ("begins intrude-esp", "esp-changed (weak): EFI/planted.efi is new"),
    (
        "begins intrude-variables",
        "efi-variable-changed (weak): BootNext changed",
    ),
    // The first entry of the order, whichever that is.
    ("begins intrude-variables", "efi-variable-changed (weak): Boot0"),
    ("begins intrude-gpt", "gpt-changed (weak): digest of both copies "),
    (
        "begins intrude-mount",
        "mount-changed (weak): something was mounted over /usr/lib (",
    ),
    (
        "begins intrude-violation",
        "ima-violation (weak): /tmp/visitor/visitor was open for writing while it was measured",
    ),
    // Behind a copy of its old value.
    ("extends PCR 12", "pcr-changed (strong): PCR 12 is "),
    ("extends PCR 10", "ima-log-mismatch (strong): PCR 10 is "),
];

/// What everybody sees once something is mounted over it.
const MODULES: &str = "PROBE /proc/modules: planted ";
const PCR: &str = "PROBE /sys/class/tpm/tpm0/pcr-sha256/12: ";
/// What the watch would say if it had no mounts of its own, or could not read beneath them.
const BLIND: [&str; 3] = ["kernel files", "kernel modules", "PCRs"];

pub fn stories() -> Vec<Story> {
    vec![story!("changes-that-the-watch-tells", Tier::Fast, changes)]
}

fn changes(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/drift-changes.toml"])?;
    let mut machine = images::machine_with(context, &disk, 1024)?;
    let lines = {
        let mut on = machine.power_on()?;
        on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], MULTI_USER)?;
        on.wait_exit(Duration::from_secs(60))?;
        texts(&on)
    };
    expect_version(&lines, "3")?;
    expect_line(&lines, "watching for drift: dry run, nothing is done about it")?;
    let place = |part: &str| lines.iter().position(|line| line.contains(part));
    let cannot = lines.iter().find(|line| line.contains("PROBE INTRUDER cannot"));
    ensure!(
        cannot.is_none(),
        "expected every change to be made, found {cannot:?}"
    );
    for (change, signal) in CHANGES {
        let changed = place(&format!("PROBE INTRUDER {change}")).with_context(|| change.to_owned())?;
        let told = place(&format!("bennud: signal {signal}"))
            .with_context(|| format!("expected `{signal}`, found none"))?;
        // By the signal's name: none of it before, whatever its words.
        let name = signal.split(' ').next().unwrap_or_default();
        let first = place(&format!("bennud: signal {name} "));
        ensure!(
            first.is_some_and(|first| first > changed),
            "expected {name} after line {changed} and not before, found lines {first:?} and {told}"
        );
    }
    let others: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("bennud: signal "))
        .filter(|line| !CHANGES.iter().any(|(_, signal)| line.contains(signal)))
        .collect();
    ensure!(others.is_empty(), "expected no other signal, found {others:?}");
    ensure!(
        !lines.iter().any(|line| line.contains("state-purge.")),
        "expected no purge"
    );
    nothing_hides_from_the_watch(&lines)?;
    expect_line(&lines, "PROBE EXISTS /run/secrets/machine true").map(drop)
}

/// The control: others read what the intruder mounted. That no module is told and PCR 12 is stands in the lists above.
fn nothing_hides_from_the_watch(lines: &[String]) -> Result<()> {
    expect_line(lines, MODULES)?;
    let at_the_start = pcr(lines, "sha256", 12)?;
    let shown = expect_line(lines, PCR)?.to_lowercase();
    ensure!(
        shown.contains(&at_the_start),
        "expected PCR 12 to be shown as {at_the_start} still, found {shown}"
    );
    let told = expect_line(lines, "bennud: signal pcr-changed (strong): PCR 12 is ")?;
    let found = told.split("PCR 12 is ").nth(1).unwrap_or_default();
    ensure!(
        !found.starts_with(&at_the_start) && found.contains(&format!(", expected {at_the_start}")),
        "expected another value than {at_the_start}, found {told}"
    );
    for subject in BLIND {
        let blind = lines
            .iter()
            .find(|line| line.contains(&format!("bennud: {subject}: cannot be watched")));
        ensure!(
            blind.is_none(),
            "expected {subject} to be watched, found {blind:?}"
        );
    }
    Ok(())
}
