//! The TPM says nothing for a while, as one that hangs or that somebody keeps busy: that is told once, everything else goes
//! on being watched, and when it answers again it is watched like before.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

/// Each signal of the start, in the order of the story, and what is there before it.
const SIGNALS: [(&str, &str); 3] = [
    (
        "bennud: slot 3 marked good (+3)",
        "tpm-silent (weak): the TPM does not answer in time",
    ),
    (
        "PROBE INTRUDER begins intrude-gpt",
        "gpt-changed (weak): digest of both copies ",
    ),
    (
        "PROBE INTRUDER extends PCR 12",
        "pcr-changed (strong): PCR 12 is ",
    ),
];

pub fn stories() -> Vec<Story> {
    vec![story!(
        "tpm-silent-while-the-machine-runs",
        Tier::Fast,
        silent_for_a_while
    )]
}

fn silent_for_a_while(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/drift-silent.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    machine.set_tpm_faults(Some(Vec::new()));
    let forbidden: [Marker; 2] = ["FAILED".into(), "HALTED".into()];
    let (lines, tpm) = {
        let mut on = machine.power_on()?;
        let tpm = on.tpm_watch()?;
        on.wait_for_without(SIGNALS[0].0, &forbidden, INITRD)?;
        // The control: a TPM that answers, behind the same rig.
        ensure!(
            !texts(&on).iter().any(|line| line.contains("bennud: signal ")),
            "expected a quiet machine before the silence"
        );
        tpm.silence();
        on.wait_for_without("bennud: signal gpt-changed ", &forbidden, INITRD)?;
        tpm.answer();
        on.wait_for_without("PROBE END", &forbidden, INITRD)?;
        on.wait_exit(Duration::from_secs(60))?;
        (texts(&on), tpm)
    };
    expect_version(&lines, "3")?;
    ensure!(
        tpm.held() > 0 && tpm.trouble().is_empty(),
        "expected commands that met the silence and no trouble of the rig, found {} and {:?}",
        tpm.held(),
        tpm.trouble()
    );
    told_once_and_nothing_else(&lines)?;
    // Weak alone; and one strong sign is not two because the TPM was silent before.
    expect_line(&lines, "bennud: ALERT drift.one-weak: tpm-silent (tpm, weak)")?;
    for line in &lines {
        for done in ["drift.two-strong", "state-purge", "flip-slot done", "fail-safe"] {
            ensure!(!line.contains(done), "expected no `{done}`, found {line}");
        }
    }
    expect_line(&lines, "PROBE RUNS bennud true")?;
    expect_line(&lines, "PROBE EXISTS /run/secrets/machine true").map(drop)
}

fn told_once_and_nothing_else(lines: &[String]) -> Result<()> {
    let told: Vec<(usize, &String)> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("bennud: signal "))
        .collect();
    ensure!(
        told.len() == SIGNALS.len(),
        "expected {} signals, found {told:?}",
        SIGNALS.len()
    );
    for ((before, signal), (place, line)) in SIGNALS.into_iter().zip(told) {
        ensure!(
            line.contains(&format!("bennud: signal {signal}")),
            "expected `{signal}`, found {line}"
        );
        let earlier = lines.iter().position(|line| line.contains(before));
        ensure!(
            earlier.is_some_and(|earlier| earlier < place),
            "expected {line} after `{before}`, found that in line {earlier:?}"
        );
    }
    Ok(())
}
