//! Kernels that panic before `bennu-init` runs, in both slots: signed UKIs with an initrd of zeros. Nothing on the disk
//! counts such a start; bootfallback does, in the variable `BennuStarts`, and stops.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::path::Path;
use std::process::Command;

/// Power-ons that bootfallback allows (`MAX_POWER_ONS`).
const POWER_ONS: usize = 8;
/// Bytes of a PE section's alignment in the file.
const ALIGNMENT: usize = 512;
const PANIC: &str = "Kernel panic - not syncing";
const STOPPED: &str = "B-NO-BOOTABLE-SLOT: no bootable slot: 8 starts in a row";

pub fn stories() -> Vec<Story> {
    vec![story!(
        "kernels-that-die-early-in-both-slots-end-at-a-screen",
        Tier::Full,
        both_slots
    )]
}

fn both_slots(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let mut good = Vec::new();
    for prefix in ["small_1", "small_2"] {
        let path = format!("/EFI/Linux/{}", forge::entry(machine.disk()?, prefix)?);
        good = machine.disk()?.esp()?.get(&path)?;
        let dying = without_initrd(context.folder(), &good)?;
        machine.disk()?.esp()?.put(&path, &dying)?;
    }
    for start in 1..=POWER_ONS {
        dies(&mut machine).with_context(|| format!("start {start}"))?;
    }
    stops(&mut machine)?;
    // A hand is one more start, and the next one stops again.
    dies(&mut machine)?;
    stops(&mut machine)?;

    // The positive control: what was signed, put back, boots, and the count is gone.
    let path = format!("/EFI/Linux/{}", forge::entry(machine.disk()?, "small_2")?);
    machine.disk()?.esp()?.put(&path, &good)?;
    for _ in 0..2 {
        let lines = boot_to_probe(&mut machine)?;
        expect_version(&lines, "2")?;
    }
    Ok(())
}

/// A start in which the kernel panics and the machine restarts.
fn dies(machine: &mut Machine) -> Result<()> {
    let mut on = machine.power_on()?;
    on.wait_for_without(
        PANIC,
        &["B-NO-BOOTABLE-SLOT".into(), "bennu-init:".into()],
        INITRD,
    )?;
    let ending = on.wait_exit(Duration::from_secs(120))?;
    ensure!(
        ending.reason == Some(ShutdownReason::GuestReset),
        "expected a reset, found {ending:?}"
    );
    Ok(())
}

/// A power-on that ends at bootfallback's screen.
fn stops(machine: &mut Machine) -> Result<()> {
    let mut on = machine.power_on()?;
    on.wait_for_without(STOPPED, &[PANIC.into(), "bennu-init:".into()], INITRD)?;
    on.wait_for("Stopped. Press any key to reset this machine.", INITRD)?;
    on.kill()
}

/// The UKI with zeros for its initrd, signed by the throw-away db key.
fn without_initrd(folder: &Path, uki: &[u8]) -> Result<Vec<u8>> {
    let [program, copy, section] = ["dying.efi", "dying.copy", "dying.initrd"].map(|name| folder.join(name));
    std::fs::write(&program, uki)?;
    let dump = format!("--dump-section=.initrd={}", section.display());
    tool::run(
        "objcopy",
        &[dump.as_ref(), program.as_os_str(), copy.as_os_str()],
        &[],
    )?;
    let initrd = std::fs::read(&section)?;
    let mut changed = uki.to_vec();
    let at = (0..changed.len())
        .step_by(ALIGNMENT)
        .find(|&at| changed[at..].starts_with(&initrd))
        .context("expected the initrd's bytes in the UKI, found none")?;
    changed[at..at + initrd.len()].fill(0);
    std::fs::write(&program, changed)?;
    let mut unsign = Command::new("sbattach");
    run(unsign.arg("--remove").arg(&program))?;
    let (keys, signed) = (images::keys(), folder.join("dying.signed"));
    let mut sign = Command::new("sbsign");
    sign.arg("--key").arg(keys.join("db.key"));
    sign.arg("--cert").arg(keys.join("db.crt"));
    run(sign.arg("--output").arg(&signed).arg(&program))?;
    let bytes = std::fs::read(&signed)?;
    for file in [program, copy, section, signed] {
        std::fs::remove_file(file)?;
    }
    Ok(bytes)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{command:?}: install sbsigntool"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
