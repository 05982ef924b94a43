//! What an intruder changes around the verified root, one thing after the other: each is told by its name, and nothing is
//! told before it is changed.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

/// What the probe says before a change, and what is told then.
const CHANGES: [(&str, &str); 7] = [
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
    ("extends PCR 10", "ima-log-mismatch (strong): PCR 10 is "),
];

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
    expect_line(&lines, "PROBE EXISTS /run/secrets/machine true").map(drop)
}
