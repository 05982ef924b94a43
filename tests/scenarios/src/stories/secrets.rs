//! The sealed secret: it opens in both signed slots, stays sealed when PCR 11 has a value that nobody signed,
//! and does not open a second time.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("secret-opens-in-both-slots", Tier::Fast, both_slots),
        story!(
            "secret-stays-sealed-under-an-unsigned-pcr-11",
            Tier::Fast,
            unsigned_pcr_11
        ),
        story!("second-unseal-after-the-latch-fails", Tier::Fast, second_unseal),
    ]
}

fn both_slots(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let newer = boot_to_probe(&mut machine)?;
    expect_version(&newer, "2")?;
    let entry = forge::entry(machine.disk()?, "small_2")?;
    machine
        .disk()?
        .esp()?
        .rename(&format!("/EFI/Linux/{entry}"), "small_2+0-3.efi")?;
    let older = boot_to_probe(&mut machine)?;
    expect_version(&older, "1")?;
    ensure!(
        secret_mark(&older, "machine")? == secret_mark(&newer, "machine")?,
        "the slots have different secrets"
    );
    Ok(())
}

fn unsigned_pcr_11(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let before = boot_to_probe(&mut machine)?;
    // Whoever has the db key alone can sign another UKI for the same root: here one with another command line.
    let foreign = std::fs::read(images::release("small/other-cmdline.toml")?.join("uki.efi"))?;
    let entry = forge::entry(machine.disk()?, "small_2")?;
    machine
        .disk()?
        .esp()?
        .put(&format!("/EFI/Linux/{entry}"), &foreign)?;
    let line = boot_that_fails(&mut machine, "PCR-UNEXPECTED")?;
    ensure!(
        line.contains("pcr 11: expected "),
        "expected PCR 11 to be named, found: {line}"
    );
    // The other slot opens it still.
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "1")?;
    expect_line(&after, "fell back from 2: PCR-UNEXPECTED: ")?;
    ensure!(
        secret_mark(&after, "machine")? == secret_mark(&before, "machine")?,
        "the secret changed"
    );
    Ok(())
}

fn second_unseal(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_line(&lines, "latched: the TPM refused a second unseal of 1 secrets")?;
    // The blob was really there to be unsealed, and the first unseal worked.
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    let blob = machine.disk()?.esp()?.get("/bennu/secrets/machine.sealed")?;
    ensure!(blob.starts_with(b"BennuTPM"), "no sealed secret on the ESP");
    // PCR 15 is what closes it: zero would open it again.
    ensure!(
        pcr(&lines, "sha256", 15)?.bytes().any(|b| b != b'0'),
        "PCR 15 is zero after the latch"
    );
    Ok(())
}
