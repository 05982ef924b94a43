//! A state volume that a newer release has written: an older one refuses it by code before it mounts it, and a newer one
//! that is given up does not fall back to it.

use crate::serial::*;
use crate::{forge, images};
use bennu_formats::boot_record::BootRecord;
use bennu_formats::decode::Document as _;
use bennu_harness::prelude::*;
use bennu_harness::story;

const OLDER: &str = "small_6";
const NEWER: &str = "small_7";
const RECORDS: [&str; 2] = ["/bennu/boot-record.json", "/bennu/boot-record.2.json"];

pub fn stories() -> Vec<Story> {
    vec![story!(
        "newer-state-refused-by-an-older-release",
        Tier::Fast,
        older_release
    )]
}

fn older_release(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/schema-1.toml", "small/schema-2.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    // The older release first, as on a machine that gets the newer one later.
    without_tries(&machine, NEWER)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "bennu-init: verified small 6 ")?;
    expect_line(&first, "PROBE COUNT /var/starts 1 true")?;

    fresh(&machine, NEWER)?;
    let second = boot_to_probe(&mut machine)?;
    expect_line(&second, "bennu-init: verified small 7 ")?;
    expect_line(&second, "PROBE COUNT /var/starts 2 true")?;

    // The newer one is damaged: nothing to fall back to, and that is known without going there.
    let release = images::release("small/schema-2.toml")?;
    let partition = forge::root_partition(machine.disk()?, NEWER)?;
    let before = machine
        .disk()?
        .read(partition.number, 0, usize::try_from(partition.bytes)?)?;
    forge::flip_in_file(machine.disk()?, NEWER, &release, "/sbin/init")?;
    let mut on = machine.power_on()?;
    on.wait_for_without(
        "bennu-init: HALTED VERITY-CORRUPT",
        &["restarting into the other one".into(), "PROBE BEGIN".into()],
        INITRD,
    )?;
    on.quit()?;
    machine.disk()?.write(partition.number, 0, &before)?;

    // Somebody makes the loader take the older one.
    without_tries(&machine, NEWER)?;
    fresh(&machine, OLDER)?;
    let nothing = ["PROBE BEGIN".into(), "unsealed secret".into()];
    let mut on = machine.power_on()?;
    let line = on.wait_for_without("bennu-init: FAILED STATE-SCHEMA: ", &nothing, INITRD)?;
    ensure!(
        line.text
            .contains("state schema 1 can read, found one written with 2, readable from 2 on"),
        "expected both schemas, found {}",
        line.text
    );
    on.wait_for_without("bennu-init: HALTED STATE-SCHEMA", &nothing, INITRD)?;
    on.quit()?;

    // Positive control: the newer one has all that was kept.
    fresh(&machine, NEWER)?;
    let last = boot_to_probe(&mut machine)?;
    expect_line(&last, "bennu-init: verified small 7 ")?;
    expect_line(&last, "PROBE COUNT /var/starts 3 true").map(drop)
}

fn rename(machine: &Machine, prefix: &str, counter: &str) -> Result<()> {
    let entry = forge::entry(machine.disk()?, prefix)?;
    let name = format!("{prefix}{counter}.efi");
    if entry != name {
        machine
            .disk()?
            .esp()?
            .rename(&format!("/EFI/Linux/{entry}"), &name)?;
    }
    Ok(())
}

/// The loader passes the slot over.
fn without_tries(machine: &Machine, prefix: &str) -> Result<()> {
    rename(machine, prefix, "+0-3")
}

/// The slot has its tries, and nothing speaks against it; what is known of the state stays on the record.
fn fresh(machine: &Machine, prefix: &str) -> Result<()> {
    rename(machine, prefix, "+3-0")?;
    let esp = machine.disk()?.esp()?;
    let mut record = BootRecord::decode(&esp.get(RECORDS[0])?)?;
    let version = prefix.rsplit('_').next().unwrap_or_default().parse()?;
    let slot = record.slot_mut(&version);
    (slot.bad, slot.last_failure, slot.attempts) = (None, None, 0);
    for path in RECORDS {
        esp.put(path, &record.encode()?)?;
    }
    Ok(())
}
