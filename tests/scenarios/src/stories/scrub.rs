//! Blocks of both slots go bad on the disk while the machine is off, where nobody reads them: the scrub finds each by its
//! number, and the slot that does not run is mended from the one that does, to the byte.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::collections::BTreeSet;

const BLOCK: usize = 4096;
/// First block of the tree's leaves in a slot of 128 to 16,384 blocks: superblock and top stand before.
const FIRST_LEAF: u64 = 2;
const STATUS: &str = "bennuctl status";

pub fn stories() -> Vec<Story> {
    vec![
        story!("bad-blocks-of-the-other-slot-are-mended", Tier::Fast, mended),
        story!("bad-blocks-in-dry-run-are-told-only", Tier::Fast, dry_run),
        story!("bad-blocks-without-a-source-stay", Tier::Fast, unrepairable),
        story!(
            "bad-block-of-the-running-slot-starts-the-other",
            Tier::Fast,
            running
        ),
    ]
}

/// Slot 2, which does not run, in the first slot of the disk, and `running` in the second.
fn machine(context: &mut Context, running: &str) -> Result<Machine> {
    let disk = images::disk(&["small/scrubbed.toml", running])?;
    images::machine(context, &disk)
}

/// All bytes of root and tree of a slot.
fn bytes(disk: &Disk, label: &str) -> Result<[Vec<u8>; 2]> {
    let [root, tree] = [
        forge::root_partition(disk, label)?,
        forge::tree_partition(disk, label)?,
    ];
    let read = |p: bennu_harness::partitions::Partition| -> Result<Vec<u8>> {
        Ok(disk.read(p.number, 0, usize::try_from(p.bytes)?)?)
    };
    Ok([read(root)?, read(tree)?])
}

/// Numbers of the blocks of `root` of which `other` has none.
fn only_in(root: &[u8], other: &[u8]) -> Vec<usize> {
    let there: BTreeSet<&[u8]> = other.chunks_exact(BLOCK).collect();
    let blocks = root.chunks_exact(BLOCK).enumerate();
    blocks
        .filter(|(_, block)| !there.contains(block))
        .map(|(index, _)| index)
        .collect()
}

/// A block of the late file of slot `label` and one leaf of its tree are damaged; gives their numbers.
fn damage(disk: &Disk, label: &str) -> Result<(u64, u64)> {
    let data = std::fs::read(images::top().join("images/small/late-data"))?;
    let block = forge::flip_in_root(disk, label, &data[40_000..40_064])?;
    // A leaf that does not cover that block.
    let leaf = if block / 128 == 0 { 1 } else { 0 };
    let tree = forge::tree_partition(disk, label)?;
    disk.flip_byte(tree.number, (FIRST_LEAF + leaf) * BLOCK as u64 + 77)?;
    Ok((block, leaf))
}

fn words_of(disk: &Disk, label: &str, (block, leaf): (u64, u64)) -> Result<[String; 2]> {
    let [root, tree] = [
        forge::root_partition(disk, label)?,
        forge::tree_partition(disk, label)?,
    ];
    let version = label.trim_start_matches("small_");
    Ok([
        format!(
            "slot {version} (does not run): root block {block} (byte {} of partition {}): wrong bytes",
            block * BLOCK as u64,
            root.number
        ),
        format!(
            "slot {version} (does not run): tree block {leaf} of level 0 (byte {} of partition {}): wrong bytes",
            (FIRST_LEAF + leaf) * BLOCK as u64,
            tree.number
        ),
    ])
}

fn status(lines: &[String]) -> Result<String> {
    match &answers(lines, STATUS)[..] {
        [shown] if shown.status == 0 => Ok(shown.text.clone()),
        other => bail!("expected one status, found {other:?}"),
    }
}

fn expect_in(text: &str, part: &str) -> Result<()> {
    ensure!(text.contains(part), "expected `{part}`, found {text}");
    Ok(())
}

fn mended(context: &mut Context) -> Result<()> {
    let mut machine = machine(context, "small/scrub.toml")?;
    let (before, running) = (
        bytes(machine.disk()?, "small_2")?,
        bytes(machine.disk()?, "small_3")?,
    );
    let bad = damage(machine.disk()?, "small_2")?;
    ensure!(
        bytes(machine.disk()?, "small_2")? != before,
        "control: the slot is damaged"
    );
    let told = words_of(machine.disk()?, "small_2", bad)?;

    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "3")?;
    expect_line(&lines, "gate stands: enforce, root ")?;
    for words in &told {
        expect_line(&lines, &format!("bennud: scrub: {words}"))?;
    }
    expect_line(
        &lines,
        "bennud: ALERT drift.one-weak: verity-corrupt-inactive (disk, weak)",
    )?;
    let done = expect_line(
        &lines,
        "bennud: repair-inactive-slot done: slot 2: 2 blocks mended and read back",
    )?;
    expect_in(&done, "of level 0")?;
    expect_in(&done, "recomputed")?;
    expect_in(&done, &format!("root block {} (byte", bad.0))?;
    expect_in(&done, "from slot 3")?;
    expect_line(&lines, "bennud: action certificate 0 is signed and on the ESP")?;
    let status = status(&lines)?;
    expect_in(&status, "slot 2 (does not run): no bad block, 2 mended")?;
    expect_in(&status, "slot 3 (runs): no bad block; pass 1 ended")?;
    // Nobody else writes what bennud mended, nor the slot that runs.
    for device in ["/dev/vda2", "/dev/vda6"] {
        expect_line(&lines, &format!("PROBE WRITE {device}: Operation not permitted"))?;
    }
    // The judge: both slots' bytes, outside of the machine.
    ensure!(
        bytes(machine.disk()?, "small_2")? == before,
        "expected slot 2 as it was built"
    );
    ensure!(
        bytes(machine.disk()?, "small_3")? == running,
        "expected slot 3 untouched"
    );

    // And the slot boots, and its late file, which had the damage, is read whole through dm-verity.
    let running = b"PRETTY_NAME=\"Bennu test root (small 3)\"";
    forge::flip_in_root(machine.disk()?, "small_3", running)?;
    boot_that_fails(&mut machine, "VERITY-CORRUPT")?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "PROBE READ /usr/share/late/data 65536 bytes")?;
    Ok(())
}

/// The control: nothing is enforced, so everything is told and nothing is written. The running slot has a bad block in a
/// file that nobody reads.
fn dry_run(context: &mut Context) -> Result<()> {
    let mut machine = machine(context, "small/scrub-dry.toml")?;
    let bad = damage(machine.disk()?, "small_2")?;
    let data = std::fs::read(images::top().join("images/small/late-data"))?;
    let unread = forge::flip_in_root(machine.disk()?, "small_3", &data[20_000..20_064])?;
    let before = [
        bytes(machine.disk()?, "small_2")?,
        bytes(machine.disk()?, "small_3")?,
    ];
    let told = words_of(machine.disk()?, "small_2", bad)?;

    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "3")?;
    for words in &told {
        expect_line(&lines, &format!("bennud: scrub: {words}"))?;
    }
    let root = forge::root_partition(machine.disk()?, "small_3")?.number;
    let place = format!(
        "slot 3 (runs): root block {unread} (byte {} of partition {root}): wrong bytes",
        unread * BLOCK as u64
    );
    expect_line(
        &lines,
        &format!("bennud: signal verity-corrupt-active (strong): {place}"),
    )?;
    expect_line(&lines, "not done: repair-inactive-slot: dry run")?;
    let inactive = format!(
        "bennud: signal verity-corrupt-inactive (weak): {}; 1 more",
        told[1]
    );
    expect_line(&lines, &inactive)?;
    ensure!(
        !lines
            .iter()
            .any(|line| line.contains("repair-inactive-slot done")),
        "expected no repair in a dry run"
    );
    let status = status(&lines)?;
    expect_in(&status, "slot 3 (runs): BAD BLOCKS: 1")?;
    expect_in(&status, "slot 2 (does not run): BAD BLOCKS: 2")?;
    let after = [
        bytes(machine.disk()?, "small_2")?,
        bytes(machine.disk()?, "small_3")?,
    ];
    ensure!(after == before, "expected both slots untouched");
    Ok(())
}

fn unrepairable(context: &mut Context) -> Result<()> {
    let mut machine = machine(context, "small/scrub.toml")?;
    let [root, _] = bytes(machine.disk()?, "small_2")?;
    let [other, _] = bytes(machine.disk()?, "small_3")?;
    let number = forge::root_partition(machine.disk()?, "small_2")?.number;
    let alone = only_in(&root, &other);
    let (Some(first), Some(last)) = (alone.first(), alone.last()) else {
        bail!("expected blocks that only slot 2 has");
    };
    ensure!(
        first < last,
        "expected two blocks that only slot 2 has, found {alone:?}"
    );
    for block in [*first, *last] {
        disk_flip(machine.disk()?, number, block)?;
    }
    let before = bytes(machine.disk()?, "small_2")?;

    // A repair that fails says so, and the machine goes on.
    let lines = {
        let mut on = machine.power_on()?;
        on.wait_for_without(
            "PROBE END",
            &["bennu-init: FAILED".into(), "HALTED".into()],
            INITRD,
        )?;
        on.wait_exit(Duration::from_secs(60))?;
        texts(&on)
    };
    expect_version(&lines, "3")?;
    let failed = expect_line(
        &lines,
        "bennud: repair-inactive-slot FAILED: slot 2 is unrepairable: 2 blocks stay bad",
    )?;
    for block in [first, last] {
        expect_in(&failed, &format!("root block {block} (byte"))?;
    }
    expect_in(&failed, "no source has its bytes")?;
    expect_in(&failed, "slot 2: 0 blocks mended")?;
    expect_in(
        &status(&lines)?,
        "slot 2 (does not run): UNREPAIRABLE, BAD BLOCKS: 2",
    )?;
    ensure!(
        bytes(machine.disk()?, "small_2")? == before,
        "expected slot 2 untouched"
    );
    Ok(())
}

/// A block that nobody reads, in the slot that runs: no boot would notice it, so the slot is given up for the other one;
/// and where that one is no better, the machine stays up.
fn running(context: &mut Context) -> Result<()> {
    let data = std::fs::read(images::top().join("images/small/late-data"))?;
    let unread = &data[20_000..20_064];
    let mut machine = machine(context, "small/scrub-active.toml")?;
    forge::flip_in_root(machine.disk()?, "small_3", unread)?;
    {
        let mut on = machine.power_on()?;
        on.wait_for_without(
            "bennud: signal verity-corrupt-active (strong): slot 3 (runs): root block ",
            &["FAILED".into(), "HALTED".into()],
            INITRD,
        )?;
        on.wait_for("bennud: action certificate 0 is signed and on the ESP", INITRD)?;
        on.wait_for("bennud: slot 3 is marked bad; slot 2 verifies", INITRD)?;
        on.wait_for("bennud: restarting: the boot decides anew", INITRD)?;
        expect_reset(&mut on)?;
    }
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "fell back from 3: SLOT-DRIFTED: ")?;

    let mut machine = self::machine(context, "small/scrub-active.toml")?;
    for label in ["small_2", "small_3"] {
        forge::flip_in_root(machine.disk()?, label, unread)?;
    }
    let mut on = machine.power_on()?;
    on.wait_for_without(
        "bennud: fail-safe FAILED: the machine stays up: the other slot is no better: ",
        &[
            "bennu-init: FAILED".into(),
            "HALTED".into(),
            "is marked bad".into(),
        ],
        INITRD,
    )?;
    // It goes on, and does not try again at each round.
    std::thread::sleep(Duration::from_secs(10));
    let lines = texts(&on);
    expect_version(&lines, "3")?;
    let tried = lines
        .iter()
        .filter(|line| line.starts_with("bennud: fail-safe "))
        .count();
    ensure!(tried == 1, "expected one try, found {tried}");
    on.kill()
}

fn disk_flip(disk: &Disk, partition: u32, block: usize) -> Result<()> {
    disk.flip_byte(partition, (block * BLOCK) as u64 + 1000)?;
    Ok(())
}
