//! TPMs that are locked out, slow, or gone in the middle of the boot. Each ends with a code or boots, and costs
//! nothing that the next start does not have again.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("tpm-locked-out", Tier::Fast, locked_out),
        story!("tpm-answers-slowly", Tier::Fast, slow),
        story!("tpm-goes-away", Tier::Fast, goes_away),
    ]
}

/// Unseals on a first start before that of a secret: the owner's authorisation, for a factory reset.
const OWNER: u32 = 1;

/// A start with `faults` that fails as SECRET-UNSEAL with `reason` and resets; the control is the next one, which
/// opens the secret that this one had sealed.
fn fails_once(context: &mut Context, faults: Vec<TpmFault>, reason: &str) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    machine.set_tpm_faults(Some(faults));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    on.wait_for("made secret machine and sealed it to this TPM", INITRD)?;
    expect_no_unseal(&mut on, reason)?;
    drop(on);
    let trouble = tpm.trouble();
    ensure!(
        tpm.struck(0) > 0 && trouble.is_empty(),
        "expected a fault that struck and no trouble of the rig, found {} and {trouble:?}",
        tpm.struck(0)
    );

    machine.set_tpm_faults(None);
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "1")?;
    expect_line(&after, "fell back from 2: SECRET-UNSEAL: ")?;
    expect_line(&after, "unsealed secret machine (32 bytes)")?;
    ensure!(
        !after.iter().any(|l| l.contains("made secret")),
        "the secret was made twice"
    );
    Ok(())
}

fn locked_out(context: &mut Context) -> Result<()> {
    let locked = TpmFault::Error {
        command: TpmCommand::UNSEAL,
        code: ResponseCode::LOCKOUT,
        times: u32::MAX,
        after: 0,
    };
    fails_once(context, vec![locked], "the tpm is locked out")
}

fn goes_away(context: &mut Context) -> Result<()> {
    let gone = TpmFault::Drop {
        after: TpmCommand::UNSEAL,
        answered: OWNER,
    };
    fails_once(context, vec![gone], "to the tpm: Input/output error")
}

fn slow(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    // A discrete TPM takes up to 1.4 s for an unseal and seconds for a key.
    let slow = [
        (TpmCommand::CREATE, 6),
        (TpmCommand::LOAD, 3),
        (TpmCommand::UNSEAL, 6),
    ];
    let faults = slow.map(|(command, seconds)| TpmFault::Delay {
        command,
        by: Duration::from_secs(seconds),
    });
    machine.set_tpm_faults(Some(faults.to_vec()));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(INITRD)?;
    let lines = texts(&on);
    for (number, (command, _)) in slow.iter().enumerate() {
        ensure!(tpm.struck(number) > 0, "expected a slow {command}, found none");
    }
    let trouble = tpm.trouble();
    ensure!(
        trouble.is_empty(),
        "expected no trouble of the rig, found {trouble:?}"
    );
    expect_version(&lines, "2")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    expect_line(&lines, "latched: the TPM refused a second unseal of 1 secrets")?;
    Ok(())
}
