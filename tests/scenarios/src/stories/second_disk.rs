//! A second disk with the GUIDs of the first: a clone that the attacker changed, attached so that one is taken for
//! the other. Refused wherever it stands on the bus; the control is the same disk with GUIDs of its own.

use crate::images;
use crate::serial::*;
use bennu_harness::machine::Firmware;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("second-disk-with-the-same-guids", Tier::Fast, same_guids),
        story!("second-disk-with-a-copy-of-the-slot", Tier::Fast, copied_slot),
        story!("slot-that-lost-a-partition", Tier::Fast, slot_missing),
    ]
}

fn same_guids(context: &mut Context) -> Result<()> {
    let mut machine = with_clone(context, SecondDiskPlace::Before)?;
    refused(&mut machine)?;
    // What the code advises: the copy gets GUIDs of its own.
    let clone = machine.second_disk()?;
    for partition in clone.partitions()? {
        clone.set_uuid(partition.number, "R")?;
    }
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    drop(machine);

    refused(&mut with_clone(context, SecondDiskPlace::After)?)
}

fn with_clone(context: &mut Context, place: SecondDiskPlace) -> Result<Machine> {
    let disk = images::small()?;
    context.machine(MachineSpec {
        firmware: Firmware::with_vars(images::variables()?),
        second_disk: Some(SecondDisk {
            source: DiskSource::CopyOf(disk.clone()),
            place,
        }),
        ..images::spec(&disk)?
    })
}

/// The ESP of neither is trusted with a verdict: the machine stops at once, before anything is read from either.
fn refused(machine: &mut Machine) -> Result<()> {
    let lines = boot_that_halts(machine, "DUPLICATE-PARTITION")?;
    names_both(&lines)?;
    expect_line(&lines, "slots    not known: the ESP was not read")?;
    ensure!(
        !lines
            .iter()
            .any(|l| l.contains("restart 1 of 7") || l.contains("made secret")),
        "expected an end without a restart and without a secret"
    );
    Ok(())
}

fn names_both(lines: &[String]) -> Result<()> {
    let line = expect_line(lines, "bennu-init: FAILED DUPLICATE-PARTITION:")?;
    let (both, orders) = ("expected on one disk, found on ", ["vda and vdb", "vdb and vda"]);
    ensure!(
        orders
            .iter()
            .any(|order| line.contains(&format!("{both}{order}"))),
        "expected both disks to be named, found: {line}"
    );
    Ok(())
}

/// The copy's ESP has a GUID of its own: the verdict is written to the ESP that the loader came from.
fn copied_slot(context: &mut Context) -> Result<()> {
    let mut machine = with_clone(context, SecondDiskPlace::After)?;
    let clone = machine.second_disk()?;
    let esp = clone.partitions()?.into_iter().map(|p| p.number).min();
    clone.set_uuid(esp.context("no partition")?, "R")?;
    let lines = boot_that_halts(&mut machine, "DUPLICATE-PARTITION")?;
    names_both(&lines)?;
    expect_line(&lines, "kept on the ESP: /bennu/last-failure.log")?;
    Ok(())
}

/// A slot that lost a partition is given up with a verdict, at once.
fn slot_missing(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let whole = boot_to_probe(&mut machine)?;
    let disk = machine.disk()?;
    let partitions = disk.partitions()?;
    let root = partitions
        .iter()
        .find(|p| p.label.starts_with("small_2") && !p.label.contains("verity"));
    disk.set_uuid(root.context("no root of version 2")?.number, "R")?;
    boot_that_fails(&mut machine, "SLOT-MISSING")?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: SLOT-MISSING: ")?;
    expect_same_secret(&lines, &whole)
}
