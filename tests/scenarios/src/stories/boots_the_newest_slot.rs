//! Both slots are sound: the newer one boots, measured as predicted, with the secret unsealed and nothing writable.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!("boots-the-newest-slot", Tier::Fast, boots_the_newest_slot)]
}

fn boots_the_newest_slot(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    expect_line(&first, "made secret machine and sealed it to this TPM")?;
    expect_line(&first, "latched: the TPM refused a second unseal of 1 secrets")?;
    expect_line(&first, "\"secure_boot\": \"enforced\"")?;

    // PCR 11 and 12 are what the builder predicted, in the guest's own words.
    let manifest = images::manifest(&images::release("small/v2.toml")?)?;
    for (index, name) in [(11, "pcr11_leave_initrd"), (12, "pcr12"), (13, "pcr13")] {
        let predicted = manifest["pcrs"][name].as_str().context("no prediction")?;
        ensure!(
            pcr(&first, "sha256", index)? == predicted,
            "PCR {index}: expected {predicted}"
        );
    }
    // PCR 15 is latched in every bank that the TPM has.
    for bank in ["sha1", "sha256", "sha384"] {
        if let Ok(value) = pcr(&first, bank, 15) {
            ensure!(
                value.bytes().any(|b| b != b'0'),
                "PCR 15 of bank {bank} is not latched"
            );
        }
    }
    for path in ["/probe-was-here", "/usr/probe-was-here"] {
        expect_line(&first, &format!("PROBE {path} read-only"))?;
    }
    expect_line(&first, "PROBE /proc/mounts: /dev/dm-0 / erofs ro")?;

    steps_add_up(&first)?;

    // The second start opens the same secret and makes no new one.
    let second = boot_to_probe(&mut machine)?;
    ensure!(
        !second.iter().any(|l| l.contains("made secret")),
        "the secret was made twice"
    );
    ensure!(
        secret_mark(&second, "machine")? == secret_mark(&first, "machine")?,
        "the secret changed"
    );
    Ok(())
}

/// What `bennuctl boot-times` shows leaves nothing out: each step begins where the one before ended, up to the switch.
fn steps_add_up(lines: &[String]) -> Result<()> {
    let report = hand_over(lines)?;
    let steps = report["steps"].as_array().context("no steps in the hand-over")?;
    let number = |step: &serde_json::Value, name: &str| step[name].as_u64().context("no time of a step");
    let mut end = None;
    for step in steps {
        let (start, took) = (number(step, "start_ms")?, number(step, "took_ms")?);
        // None is shown as shorter than a millisecond.
        ensure!(
            end.is_none_or(|end: u64| start.abs_diff(end) <= 1),
            "expected no time between steps, found {end:?} ms before {step}"
        );
        end = Some(start + took);
    }
    let last = steps.last().map(|step| &step["step"]);
    ensure!(
        last.is_some_and(|step| step == "esp: root reached"),
        "expected the last step before the switch, found {last:?}"
    );
    Ok(())
}
