//! A block of the root that cannot be read: a failing medium, or somebody who had it marked as bad. Met in the
//! initrd it is a code and the other slot.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::ops::Range;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "unreadable-root-block-before-the-pivot",
        Tier::Fast,
        before_the_pivot
    )]
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
