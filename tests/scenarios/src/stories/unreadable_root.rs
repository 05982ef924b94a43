//! A block of the root that cannot be read: a failing medium, or somebody who had it marked as bad. Met in the
//! initrd it is a code and the other slot; met later the kernel panics, the slot is started once more, then the other. One
//! that only the scrub reads is told, and the machine runs on.

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
        story!(
            "unreadable-block-of-the-running-slot-is-told-only",
            Tier::Fast,
            by_the_scrub
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

/// What would be done about wrong bytes, which this image enforces.
const FAIL_SAFE: [&str; 4] = [
    "verity-corrupt-active",
    "bennud: fail-safe ",
    "is marked bad",
    "restarting: the boot decides anew",
];

/// Two blocks of a file that nobody reads: one cannot be read from the start on; the other, in the same start, has wrong bytes
/// later, which is the control.
fn by_the_scrub(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/scrubbed.toml", "small/scrub-unreadable.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    let data = std::fs::read(images::top().join("images/small/late-data"))?;
    let root = forge::root_partition(machine.disk()?, "small_3")?.number;
    let begins = machine.disk()?.range(root, 0, 1)?.start;
    let block_of = |at: usize| forge::block_in_root(machine.disk()?, "small_3", &data[at..at + 64]);
    let (silent, wrong) = (block_of(20_000)?, block_of(40_000)?);
    let place = |range: &Range<u64>| {
        let byte = range.start - begins;
        format!(
            "slot 3 (runs): root block {} (byte {byte} of partition {root}): ",
            byte / 4096
        )
    };
    let told = format!(
        "bennud: signal active-unreadable (weak): {}cannot be read (EIO)",
        place(&silent)
    );
    let control = format!(
        "bennud: signal verity-corrupt-active (strong): {}wrong bytes",
        place(&wrong)
    );
    let mut faults = unreadable(silent);
    faults.push(DiskFault::Lie {
        range: wrong,
        from_read: u32::MAX,
        content: Lie::Inverted,
    });
    machine.set_disk_faults(Some(faults));

    let mut on = machine.power_on()?;
    let watch = on.disk_watch()?;
    let mut forbidden: Vec<Marker> = FAIL_SAFE.map(Into::into).to_vec();
    forbidden.extend(["FAILED".into(), "HALTED".into()]);
    on.wait_for_without(told.as_str(), &forbidden, INITRD)?;
    on.wait_for_without("PROBE RUN-END /usr/bin/bennuctl status", &forbidden, INITRD)?;
    let lines = texts(&on);
    expect_version(&lines, "3")?;
    expect_line(&lines, "watching for drift; enforced: fail-safe")?;
    expect_line(
        &lines,
        "bennud: ALERT drift.one-weak: active-unreadable (disk, weak)",
    )?;
    let status = expect_line(&lines, "slot 3 (runs): BAD BLOCKS: 1; pass 1 ended")?;
    ensure!(watch.struck(0) > 0, "expected the scrub to meet it: {status}");
    expect_line(&lines, "slot 2 (does not run): no bad block; pass 1 ended")?;

    watch.turn_on(1);
    on.wait_for_without(control.as_str(), &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_for("bennud: slot 3 is marked bad; slot 2 verifies", INITRD)?;
    on.wait_for("bennud: restarting: the boot decides anew", INITRD)?;
    expect_reset(&mut on)?;
    let signals = texts(&on);
    let signals: Vec<&String> = signals
        .iter()
        .filter(|line| line.contains("bennud: signal "))
        .collect();
    ensure!(
        matches!(signals[..], [first, second] if first.contains(&told) && second.contains(&control)),
        "expected `{told}` and later `{control}`, each once, found {signals:?}"
    );
    Ok(())
}
