//! The rollback attack: whoever has the disk starts an older release, correctly signed, with a hole that a newer one
//! mended. Until the newer one was marked good the older one is the way back; from then on the TPM refuses it.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "older-release-below-the-floor",
        Tier::Fast,
        older_release_below_the_floor
    )]
}

fn older_release_below_the_floor(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/floor.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "bennu-init: verified small 4 (security version 2)")?;
    expect_line(&first, "no floor in this TPM: begun at 0")?;
    expect_line(&first, "set the TPM's owner and lockout authorisations")?;
    expect_line(&first, "PROBE GOOD")?;

    // Positive control: the floor has not risen yet, and the older release opens the same secret.
    prefer_older(&machine)?;
    let older = boot_to_probe(&mut machine)?;
    expect_version(&older, "1")?;
    ensure!(
        secret_mark(&older, "machine")? == secret_mark(&first, "machine")?,
        "the slots have different secrets"
    );

    prefer_newer(&machine)?;
    let raised = boot_to_probe(&mut machine)?;
    expect_line(&raised, "raised the floor from 0 to 2")?;

    prefer_older(&machine)?;
    let mut on = machine.power_on()?;
    let refused = on.wait_for_without(
        "bennu-init: FAILED BELOW-FLOOR: ",
        &["unsealed secret".into(), "PROBE BEGIN".into()],
        INITRD,
    )?;
    ensure!(
        refused
            .text
            .contains("expected at most this slot's security_version 1, found 2"),
        "expected both numbers, found: {}",
        refused.text
    );
    on.wait_for_without("HALTED BELOW-FLOOR", &["unsealed secret".into()], INITRD)?;
    on.kill()?;

    // The attack cost nothing but the time: the newer release goes on, with the secret.
    prefer_newer(&machine)?;
    let after = boot_to_probe(&mut machine)?;
    expect_line(&after, "bennu-init: verified small 4 (security version 2)")?;
    ensure!(
        secret_mark(&after, "machine")? == secret_mark(&first, "machine")?,
        "the secret changed"
    );
    Ok(())
}

/// What an attacker with the disk does to have the older release started: the newer entry is taken away.
fn prefer_older(machine: &Machine) -> Result<()> {
    rename(machine, "small_4", "small_4.away")?;
    rename(machine, "small_1", "small_1+3-0.efi")
}

fn prefer_newer(machine: &Machine) -> Result<()> {
    rename(machine, "small_4", "small_4+3-0.efi")
}

fn rename(machine: &Machine, prefix: &str, to: &str) -> Result<()> {
    let entry = forge::entry(machine.disk()?, prefix)?;
    if entry != to {
        let esp = machine.disk()?.esp()?;
        esp.rename(&format!("/EFI/Linux/{entry}"), to)?;
    }
    Ok(())
}
