//! The firmware refuses a UKI with one changed byte, and the other slot boots in the same power-on: on a machine
//! that was just flashed, and on a slot that was marked good long ago. With no UKI left it stops in the firmware.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("changed-uki-on-a-fresh-machine", Tier::Fast, fresh),
        story!(
            "changed-uki-on-a-slot-marked-good-long-ago",
            Tier::Fast,
            marked_good
        ),
        story!("every-uki-changed-ends-in-the-firmware", Tier::Fast, every_uki),
    ]
}

/// Changes one byte in the middle of the UKI's kernel; done twice, it is the UKI that was signed.
fn change_uki(disk: &Disk, prefix: &str) -> Result<()> {
    let path = format!("/EFI/Linux/{}", forge::entry(disk, prefix)?);
    let mut uki = disk.esp()?.get(&path)?;
    let at = uki.len() / 2;
    uki[at] ^= 1;
    Ok(disk.esp()?.put(&path, &uki)?)
}

fn falls_back(machine: &mut Machine, tries: u32) -> Result<()> {
    let mut on = machine.power_on()?;
    on.wait_for("B-LOADER-RETURNED", INITRD)?;
    on.wait_for_without("PROBE END", &["bennu-init: verified small 2".into()], INITRD * 2)?;
    on.wait_exit(Duration::from_secs(60))?;
    let lines = texts(&on);
    drop(on);
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: UKI-NOT-STARTED: ")?;
    let returned = lines.iter().filter(|l| l.contains("B-LOADER-RETURNED")).count();
    ensure!(
        returned == tries as usize,
        "expected {tries} refused starts, found {returned}"
    );
    let entry = forge::entry(machine.disk()?, "small_2+")?;
    ensure!(
        entry.starts_with("small_2+0-"),
        "expected an entry without tries, found {entry}"
    );
    Ok(())
}

fn fresh(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    change_uki(machine.disk()?, "small_2")?;
    falls_back(&mut machine, 3)
}

fn marked_good(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/good.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    // The positive control, and what makes the slot good: bennud of the image marks it.
    let mut on = machine.power_on()?;
    on.wait_for("bennud: slot 2 marked good (+3)", INITRD)?;
    on.wait_for("PROBE END", INITRD)?;
    on.wait_exit(Duration::from_secs(60))?;
    drop(on);
    let entry = forge::entry(machine.disk()?, "small_2")?;
    ensure!(
        entry == "small_2+3-0.efi",
        "expected the counter armed again, found {entry}"
    );
    change_uki(machine.disk()?, "small_2")?;
    falls_back(&mut machine, 3)
}

/// The firmware loads neither: bootfallback starts the loader 8 times, says so and stops. No storm, nothing runs.
fn every_uki(context: &mut Context) -> Result<()> {
    const STARTS: usize = 8;
    let mut machine = images::machine(context, &images::small()?)?;
    for slot in ["small_1", "small_2"] {
        change_uki(machine.disk()?, slot)?;
    }
    let mut on = machine.power_on()?;
    on.wait_for_without(
        "B-NO-BOOTABLE-SLOT",
        &["Linux version".into(), "bennu-init:".into()],
        INITRD * 3,
    )?;
    on.wait_for("Stopped. Press any key to reset this machine.", INITRD)?;
    let returned = texts(&on)
        .iter()
        .filter(|l| l.contains("B-LOADER-RETURNED"))
        .count();
    ensure!(
        returned == STARTS,
        "expected {STARTS} starts of the loader, found {returned}"
    );
    let said = texts(&on).len();
    std::thread::sleep(Duration::from_secs(20));
    ensure!(
        texts(&on).len() == said,
        "the machine went on after its last word: {:?}",
        texts(&on).last()
    );
    on.kill()?;
    // The positive control: what was signed, put back, boots, though its entry has no tries left.
    change_uki(machine.disk()?, "small_2")?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")
}
