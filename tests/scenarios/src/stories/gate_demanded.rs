//! A whole Debian whose gate cannot be set up: where the image demands it nothing of the root runs, a unit that
//! is no workload as little as one that waits for nothing; where it is in dry run everything does.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("no-unit-runs-without-the-gate", Tier::Full, other_slot),
        story!(
            "no-unit-runs-without-the-gate-in-the-last-slot",
            Tier::Full,
            last_slot
        ),
        story!("gate-in-dry-run-that-does-not-stand", Tier::Full, dry_run),
    ]
}

const NO_HOOK: &str = "bennud: FAILED GATE: hook bdev_setintegrity: ";
const NO_PROGRAM: &str = "bennud: FAILED GATE: /run/tool: cannot be looked at: ";

fn other_slot(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/bystanders.toml", "demo/no-gate.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    start_without_gate(
        &mut machine,
        NO_PROGRAM,
        "bennud: slot 3 is marked bad; restarting into the other one",
    )?;
    // The control: the same two units, behind a gate.
    let mut on = machine.power_on()?;
    on.wait_for("fell back from 3: SLOT-UNHEALTHY: GATE: ", MULTI_USER)?;
    on.wait_for_without(
        "bennud: gate stands: enforce, root ",
        &["BYSTANDER".into()],
        MULTI_USER,
    )?;
    on.wait_for("BYSTANDER EARLY", MULTI_USER)?;
    on.wait_for("BYSTANDER LATE", MULTI_USER)?;
    on.wait_for("bennud: slot 2 marked good (+3)", MULTI_USER)?;
    Ok(())
}

fn last_slot(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/without-hooks.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    start_without_gate(
        &mut machine,
        NO_HOOK,
        "bennud: slot 3 is marked bad and no other one may start; restarting into the recovery screen",
    )?;
    let lines = boot_that_halts(&mut machine, "SLOT-UNHEALTHY")?;
    expect_line(
        &lines,
        "GATE: the execution gate that the image demands does not stand",
    )
    .map(drop)
}

fn dry_run(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/without-hooks-dry.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for(NO_HOOK, MULTI_USER)?;
    on.wait_for("bennud: slot 4 marked good (+3)", MULTI_USER)?;
    let lines = texts(&on);
    for line in ["BYSTANDER EARLY", "BYSTANDER LATE"] {
        expect_line(&lines, line)?;
    }
    Ok(())
}

/// Powers on, and waits for `fault`, for `verdict` and for the restart, with no unit's word before it, and no shell's either.
fn start_without_gate(machine: &mut Machine, fault: &str, verdict: &str) -> Result<()> {
    let mut on = machine.power_on()?;
    let others = ["BYSTANDER", "emergency mode", "root account is locked"].map(Marker::from);
    on.wait_for_without(fault, &others, MULTI_USER)?;
    on.wait_for_without("bennud: FAILED SLOT-UNHEALTHY: GATE: ", &others, MULTI_USER)?;
    on.wait_for_without(verdict, &others, MULTI_USER)?;
    // Before bennud's own grace of a minute: it is systemd that restarts.
    let ending = on.wait_exit(Duration::from_secs(60))?;
    ensure!(
        ending.reason == Some(ShutdownReason::GuestReset),
        "expected a reset, found {ending:?}"
    );
    let said = texts(&on)
        .into_iter()
        .find(|line| line.contains("BYSTANDER") || line.contains("emergency mode"));
    ensure!(said.is_none(), "expected no unit to run, found {said:?}");
    Ok(())
}
