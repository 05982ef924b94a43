//! Profiles of units and the trace (`tests/probe/attack-unit.c`): an intruder inside a service.

use super::gate::{Results, boot, expect, runs};
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::time::Instant;

pub fn stories() -> Vec<Story> {
    vec![
        story!("units-behind-their-profiles", Tier::Fast, behind_profiles),
        story!(
            "rule-that-became-stricter-stays-so-after-a-restart",
            Tier::Fast,
            stays_strict
        ),
        story!("intruder-in-debian-13", Tier::Full, in_debian_13),
        story!(
            "intruder-in-a-debian-13-that-denies-nothing",
            Tier::Full,
            in_a_dry_run
        ),
    ]
}

/// Until bennud has told something that has happened.
const TOLD: Duration = Duration::from_secs(120);

/// What the profiles allow; the last two break a rule that does not deny yet.
const CONTROLS: &[&str] = &[
    "unit-exec",
    "unit-connect",
    "unit-connect-6",
    "unit-connect-mapped",
    "unit-send",
    "unit-socket",
    "unit-socket-abstract",
    "shell-exec",
    "local-unix",
    "dry-exec-other",
    "late-exec-other",
];
/// What they deny; each passes in a cgroup without a profile.
const ATTACKS: &[&str] = &[
    "unit-exec-other",
    "unit-executor",
    "below-exec-other",
    "old-exec-other",
    "unit-shell",
    "unit-shell-map",
    "unit-connect-port",
    "unit-connect-address",
    "unit-connect-6-port",
    "unit-connect-mapped-address",
    "unit-connect-mixed",
    "unit-ring-connect",
    "unit-send-address",
    "unit-send-unspec",
    "unit-fast-open",
    "unit-raw",
    "unit-socket-other",
    "unit-socket-renamed",
    "unit-socket-abstract-other",
    "unit-datagram-other",
    "local-tcp",
    "local-tcp-6",
    "unit-leave",
];

/// Memory made executable in two units; one has an exemption for it.
const ANONYMOUS: &[&str] = &["shell-anonymous", "unit-anonymous"];

/// With what a distribution has. The kernel looks for firmware elsewhere when one place is denied.
const IN_DEBIAN: &[&str] = &["exec-loader", "preload", "interpret-shell", "binfmt-misc"];
/// The gate's own word on each: who tried it. The intruder concludes most of them from an exit status.
const EVENTS_IN_DEBIAN: &[(&str, &str)] = &[
    ("map-exec", "ld-linux-x86-64"),
    ("map-exec", "cat"),
    ("interpreter", "sh"),
    ("firmware", "bennu-attack"),
    ("kernel-setting", "bennu-attack"),
];

fn expect_free(run: &Results) -> Result<()> {
    expect(run, CONTROLS, "passed")?;
    expect(run, ATTACKS, "passed")?;
    expect(run, &["unit-clone-away"], "passed")
}

fn behind_profiles(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/units.toml")?;
    expect_line(&lines, " 7 units with profiles")?;
    let runs = runs(&lines);
    let [before, free, unit, flood, clock, ..] = runs.as_slice() else {
        bail!("expected five runs of the intruder, found {}", runs.len());
    };
    expect_free(before)?;
    expect_free(free)?;
    expect(before, ANONYMOUS, "passed")?;
    // The exemption is the unit's, and not the program's.
    expect(free, ANONYMOUS, "EPERM")?;
    expect(unit, &["shell-anonymous"], "passed")?;
    expect(unit, &["unit-anonymous"], "EPERM")?;
    expect(unit, CONTROLS, "passed")?;
    expect(unit, ATTACKS, "EPERM")?;
    // No hook can refuse this one; the process does not come back from it.
    expect(unit, &["unit-clone-away"], "KILL")?;
    for words in [
        "bennud: DENIED shell: ",
        "bennud: DENIED tcp: ",
        "bennud: DENIED cgroup: ",
        "bennud: WOULD DENY executable: ",
        "bennud: WARNED executable: ",
    ] {
        expect_line(&lines, words)?;
    }
    let line = expect_line(&lines, "bennud: DENIED connect: ")?;
    ensure!(
        line.contains(", profile probe.service, to 127.0.0.1:7002"),
        "expected the unit and the other side, found: {line}"
    );
    expect_trace(&lines)?;
    expect_flood(&lines, flood)?;
    // A day that comes makes a rule stricter, and a clock that is set back does not make it milder again.
    expect(clock, &["soon-exec-other"], "passed")?;
    expect(clock, &["soon-exec-in-2100", "soon-exec-clock-back"], "EPERM")?;
    expect_line(
        &lines,
        "profile soon.service: executables holds as deny since 2100-01-01",
    )
    .map(drop)
}

/// The clock is set to the day of the rule and back; the next start has the clock of before, and the stage of that day.
fn stays_strict(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/tightens.toml"])?;
    let mut machine = images::machine_with(context, &disk, 1024)?;
    let mut start = |number: u32, first: &str| {
        let mut on = machine.power_on()?;
        on.wait_for_without("PROBE END", &["HALTED".into()], MULTI_USER)?;
        on.wait_exit(Duration::from_secs(60))?;
        let lines = texts(&on);
        expect_line(&lines, &format!("PROBE COUNT /var/starts {number} true"))?;
        expect_line(&lines, "bennud: gate stands: enforce, root ")?;
        expect_line(&lines, "PROBE /var/lib/bennu/profile-day: 2100-01-01")?;
        let runs = runs(&lines);
        let [clock, ..] = runs.as_slice() else {
            bail!("expected a run of the intruder, found none");
        };
        expect(clock, &["soon-exec-other"], first)?;
        expect(clock, &["soon-exec-in-2100", "soon-exec-clock-back"], "EPERM")
    };
    start(1, "passed")?;
    // Before `bennud` has looked at any clock: the gate was set up so.
    start(2, "EPERM")?;
    // The control: it was this file, which was removed at the end of that start.
    start(3, "passed")
}

/// Programs and connections of the unit, with those who started them.
fn expect_trace(lines: &[String]) -> Result<()> {
    let traced = |part: &str| expect_line(lines, part).map(|line| line.to_owned());
    let exec = traced(r#"PROBE LINE {"kind":"exec","#)?;
    for part in [
        r#""path":"/usr/bin/bennu-attack""#,
        r#""unit":"probe.service""#,
        r#""verified":true"#,
        r#""ancestors":[{"pid":"#,
        r#""comm":"bennu-attack""#,
    ] {
        ensure!(exec.contains(part), "expected {part}, found {exec}");
    }
    for to in [
        "127.0.0.1:7001 tcp",
        "[::1]:7001 tcp",
        "127.0.0.2:7001 tcp",
        "unix:/tmp/field/allowed",
        "unix:@bennu-other",
    ] {
        let found = lines.iter().any(|line| {
            line.starts_with(r#"PROBE LINE {"kind":"connect","#) && line.contains(&format!(r#""to":"{to}""#))
        });
        ensure!(found, "expected a traced connection to {to}");
    }
    Ok(())
}

/// A flood of the trace hides no denial, and what it cost is told although no record follows the lost ones.
fn expect_flood(lines: &[String], flood: &Results) -> Result<()> {
    expect(flood, &["stop-agent", "flood", "continue-agent"], "passed")?;
    expect(flood, &["exec-tmpfs"], "EPERM")?;
    expect_line(lines, "records of the trace of CPU ")?;
    expect_line(lines, r#"PROBE LINE {"kind":"gap","cpu":"#)?;
    let signal = lines.iter().any(|line| {
        line.contains("bennud: signal events-lost (weak): ")
            && line.contains(" records of the trace were lost")
    });
    ensure!(signal, "expected the losses of the trace as a signal");
    let line = expect_line(lines, "gate         enforced; ")?;
    ensure!(
        line.contains(", 0 lost, "),
        "expected no lost denial, found: {line}"
    );
    Ok(())
}

/// Waits for the line of each event.
fn expect_events(on: &PowerOn<'_>, verb: &str) -> Result<()> {
    let deadline = Instant::now() + TOLD;
    for (kind, program) in EVENTS_IN_DEBIAN {
        let (begins, by) = (
            format!("bennud: {verb} {kind}: "),
            format!(", by {program} (process "),
        );
        while !texts(on)
            .iter()
            .any(|line| line.contains(&begins) && line.contains(&by))
        {
            ensure!(
                Instant::now() < deadline,
                "expected `{begins}` with `{by}`, found none"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    Ok(())
}

/// The control of what follows.
fn in_a_dry_run(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/intruder-dry.toml", "demo/v2.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for("bennud: gate stands: dry-run, root ", MULTI_USER)?;
    on.wait_for("ATTACKS END", MULTI_USER)?;
    expect_events(&on, "WOULD DENY")?;
    let runs = runs(&texts(&on));
    let run = runs.first().context("no run of the intruder")?;
    expect(run, IN_DEBIAN, "passed")?;
    expect(run, &["firmware"], "passed")
}

/// A whole system: the dynamic loader by hand, LD_PRELOAD, a shell of the distribution, a unit that systemd starts,
/// systemd that starts bennud again when it is killed.
fn in_debian_13(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/intruder.toml", "demo/v2.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for("bennud: gate stands: enforce, root ", MULTI_USER)?;
    on.wait_for("ATTACKS END", MULTI_USER)?;
    on.wait_for("CONTROL exec-verified-after-kill ", MULTI_USER)?;
    expect_events(&on, "DENIED")?;
    let lines = texts(&on);
    drop(on);
    let runs = runs(&lines);
    let [debian, behind, gate, ..] = runs.as_slice() else {
        bail!("expected three runs of the intruder, found {}", runs.len());
    };
    expect(debian, IN_DEBIAN, "EPERM")?;
    expect(debian, &["firmware"], "ENOENT")?;
    super::gate::expect_denied(behind)?;
    super::gate::expect_gate_kept(gate)?;
    ensure!(
        !lines.iter().any(|line| line.contains("CONFINED SHELL")),
        "expected no shell in a unit without shells"
    );
    let shell = expect_line(&lines, "bennud: DENIED shell: ")?;
    ensure!(
        shell.contains(", profile confined.service"),
        "expected the unit's name, found: {shell}"
    );
    // Its library tries the journal's socket before.
    let bus = ", profile confined.service, to unix:/run/dbus/system_bus_socket";
    ensure!(
        lines
            .iter()
            .any(|line| line.contains("bennud: DENIED connect: ") && line.contains(bus)),
        "expected a denial with `{bus}`, found none"
    );
    Ok(())
}
