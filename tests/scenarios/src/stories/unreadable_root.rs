//! A block of the root that cannot be read: a failing medium, or somebody who had it marked as bad. Met in the
//! initrd it is a code and the other slot; met later the kernel panics, the slot is started once more, then the other.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::ops::Range;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "unreadable-root-block-before-the-pivot",
            Tier::Fast,
            before_the_pivot
        ),
        story!(
            "unreadable-root-block-after-the-pivot",
            Tier::Fast,
            after_the_pivot
        ),
    ]
}

fn unreadable(range: Range<u64>) -> Vec<DiskFault> {
    vec![DiskFault::ReadError {
        range,
        from_read: 1,
        times: u32::MAX,
    }]
}

fn before_the_pivot(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let words = b"PRETTY_NAME=\"Bennu test root (small 2)\"";
    let block = forge::block_in_root(machine.disk()?, "small_2", words)?;
    machine.set_disk_faults(Some(unreadable(block)));
    let line = boot_that_fails(&mut machine, "ROOT-IO")?;
    let reason = "the root file system cannot be read: Input/output error";
    ensure!(line.contains(reason), "expected `{reason}`, found: {line}");
    // The medium is as bad as before: the other slot does not need the block.
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: ROOT-IO: ")?;
    Ok(())
}

fn after_the_pivot(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/reads.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    let data = std::fs::read(images::top().join("images/small/late-data"))?;
    let block = forge::block_in_root(machine.disk()?, "small_2", &data[40_000..40_064])?;
    machine.set_disk_faults(Some(unreadable(block)));

    // The first time: it may have been a loose cable. The slot is started once more.
    let read: [Marker; 2] = ["PROBE READ".into(), "FAILED".into()];
    let panic = "dm-verity device has I/O error";
    boot_that_panics(&mut machine, panic, &read)?;
    let again = boot_that_panics(&mut machine, panic, &read)?;
    expect_version(&again, "2")?;
    expect_line(&again, "an earlier start of this slot failed: ROOT-IO: ")?;

    // The second time: the other slot.
    let line = boot_that_fails(&mut machine, "ROOT-IO")?;
    ensure!(line.contains(panic), "expected the kernel's words, found: {line}");
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: ROOT-IO: ")?;
    Ok(())
}
