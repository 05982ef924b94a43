//! A disk that answers the same read in two ways: the first time with what was signed, later with what the attacker
//! wants to be used. What is checked once is used from memory; what is read again is checked again.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::ops::Range;

/// Never by itself: the story turns the fault on.
const OFF: u32 = u32::MAX;

pub fn stories() -> Vec<Story> {
    vec![
        story!("manifest-that-lies-on-the-second-read", Tier::Fast, manifest),
        story!("root-block-that-lies-after-the-check", Tier::Fast, root_block),
    ]
}

fn lie(range: Range<u64>, from_read: u32) -> Vec<DiskFault> {
    vec![DiskFault::Lie {
        range,
        from_read,
        content: Lie::Inverted,
    }]
}

fn manifest(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let range = middle_of_the_manifest(machine.disk()?)?;

    // There is no second read that could be lied to.
    machine.set_disk_faults(Some(lie(range.clone(), 2)));
    let mut on = machine.power_on()?;
    let disk = on.disk_watch()?;
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(INITRD)?;
    expect_version(&texts(&on), "2")?;
    drop(on);
    ensure!(
        disk.reads(0) == 1 && disk.struck(0) == 0 && disk.trouble().is_empty(),
        "expected one read and no lie, found {} and {} ({:?})",
        disk.reads(0),
        disk.struck(0),
        disk.trouble()
    );

    // The control: the same lie at the first read is met.
    machine.set_disk_faults(Some(lie(range, 1)));
    boot_that_fails(&mut machine, "MANIFEST-FORMAT")?;
    machine.set_disk_faults(None);
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: MANIFEST-FORMAT: ")?;
    Ok(())
}

/// A sector of the newer slot's manifest that neither firmware nor kernel looks at for reasons of their own.
fn middle_of_the_manifest(disk: &Disk) -> Result<Range<u64>> {
    let partition = forge::manifest_partition(disk, "small_2")?;
    let bytes = disk.read(partition.number, 0, bennu_formats::verity_sig::PARTITION_BYTES)?;
    let length = bytes
        .iter()
        .rposition(|b| *b != 0)
        .context("the manifest is empty")?;
    let sector = u64::try_from(length / 2 / 512)?;
    Ok(disk.range(partition.number, sector * 512, 512)?)
}

fn root_block(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let superblock = {
        let disk = machine.disk()?;
        disk.range(forge::root_partition(disk, "small_2")?.number, 0, 4096)?
    };
    machine.set_disk_faults(Some(lie(superblock, OFF)));
    let mut on = machine.power_on()?;
    let disk = on.disk_watch()?;
    // The initrd has mounted and read the root once, found it sound, and opened it anew.
    on.wait_for_without("is open as /dev/dm-", &["FAILED".into()], INITRD)?;
    disk.turn_on(0);
    on.wait_for_without(
        "Kernel panic - not syncing: dm-verity device corrupted",
        &["PROBE BEGIN".into()],
        INITRD,
    )?;
    expect_reset(&mut on)?;
    drop(on);
    ensure!(
        disk.struck(0) > 0 && disk.trouble().is_empty(),
        "expected a lie that was told, found {} ({:?})",
        disk.struck(0),
        disk.trouble()
    );

    machine.set_disk_faults(None);
    let line = boot_that_fails(&mut machine, "VERITY-CORRUPT")?;
    ensure!(
        line.contains("data block 0 is corrupted"),
        "expected block 0, found: {line}"
    );
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: VERITY-CORRUPT: ")?;
    Ok(())
}
