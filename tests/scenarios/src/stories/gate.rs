//! The execution gate: an intruder who is root (`tests/probe/attack.c`), before it stands and behind it.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::collections::BTreeMap;

pub fn stories() -> Vec<Story> {
    vec![
        story!("intruder-behind-the-gate", Tier::Fast, behind_the_gate),
        story!("intruder-in-a-dry-run", Tier::Fast, dry_run),
        story!("gate-on-a-kernel-without-its-hooks", Tier::Fast, without_hooks),
        story!("gate-that-nobody-asks-is-told", Tier::Fast, silenced),
    ]
}

/// Attacks that pass without a gate, and must be denied with EPERM behind it.
const PASS_WITHOUT: &[&str] = &[
    "exec-tmpfs",
    "exec-bind",
    "exec-memfd",
    "exec-script",
    "map-tmpfs",
    "map-memfd",
    "map-anonymous",
    "map-write-exec",
    "protect-anonymous",
    "protect-changed",
    "shared-memory",
    "trace-child",
    "trace-me",
    "memory-of-self",
    "memory-of-init",
    "core-pattern",
    "modprobe",
    "write-disk",
    "write-other-slot",
    "write-own-node",
    "ring-open",
    "dm-create",
    "bind-private-over-usr",
    "bind-shared-over-usr",
    "tracing-off",
    "mount-over-usr",
    "mount-over-deep",
    "move-over-usr",
    "mount-from-shared-namespace",
    "load-probe",
    "exec-descriptor",
    "exec-proc-descriptor",
    "exec-race-link",
    "exec-race-rename",
    "interpret-tmpfs",
    "interpret-dev",
    "interpret-link",
    "interpret-bind",
    "interpret-memfd",
    "interpret-race",
    "poweroff-command",
    "mount-over-program",
    "overlay-over-usr",
    "exec-dev",
    "exec-shm",
    "exec-tmp",
    "exec-var",
    "exec-etc",
    "exec-overlay",
    "exec-overlay-changed",
    "map-with-right",
    "dm-create-32",
];
/// Those that fail without a gate for a reason of their own, which is not EPERM.
const FAIL_WITHOUT: &[&str] = &[
    "program-by-file",
    "program-by-map",
    "swap",
    "pivot-over-root",
    "passthrough",
    "passthrough-mmc",
    "passthrough-ata",
    "passthrough-nvme",
    "ring-command",
    "partitions",
    "dm-suspend",
    "dm-load",
    "dm-remove",
];
/// Those that Secure Boot's lockdown or dm-verity's claim may refuse as well: the event tells who did.
const REFUSED_ANYWAY: &[&str] = &[
    "write-slot",
    "load-module",
    "load-module-bytes",
    "load-kernel",
    "load-kernel-old",
];
/// No hook can refuse these; the process does not come back from them.
const KILLED: &[&str] = &["read-implies-exec", "read-implies-exec-32"];
/// On the gate and on bennud.
const ON_THE_GATE: &[&str] = &[
    "trace-agent",
    "trace-init",
    "write-agent",
    "take-descriptor",
    "maps-by-id",
    "programs-by-id",
    "links-by-id",
    "pinned-map",
    "unlink-pin",
    "rename-pin",
    "mount-over-pins",
    "unmount-pins",
    "unmount-pins-elsewhere",
    "unmount-root",
    "exec-tmpfs-after-kill",
    "map-anonymous-after-kill",
];
/// What must keep working.
const CONTROLS: &[&str] = &[
    "exec-verified",
    "map-verified",
    "protect-plain",
    "dm-version",
    "read-disk",
    "write-esp",
    "mount-over-tmp",
    "mount-in-own-namespace",
    "pivot-in-own-namespace",
    "compile-with-right",
    "load-filter",
    "interpret-verified",
    "interpret-data",
    "interpret-overlay",
    "interpret-kernel",
];
/// Kinds of events that these attacks make.
const KINDS: &[&str] = &[
    "exec",
    "map-exec",
    "anonymous-exec",
    "changed-exec",
    "write-exec",
    "personality",
    "trace",
    "process-memory",
    "module",
    "kexec",
    "bpf-load",
    "device-write",
    "passthrough",
    "device-mapper",
    "partitions",
    "mount",
    "kernel-setting",
    "interpreter",
    "program",
];
const KINDS_ON_THE_GATE: &[&str] = &["bpf-object", "unmount", "pin"];

/// The lines of one run of the intruder: names and results.
pub type Results = BTreeMap<String, String>;

/// Each run ends with a line of its own.
pub fn runs(lines: &[String]) -> Vec<Results> {
    let result = |line: &String| {
        // The console is shared: the first letters of another line may stand before.
        let (_, rest) = line
            .split_once("ATTACK ")
            .or_else(|| line.split_once("CONTROL "))?;
        let (name, result) = rest.split_once(' ')?;
        Some((name.to_owned(), result.trim().to_owned()))
    };
    lines
        .split(|line| line.starts_with("ATTACKS END"))
        .map(|run| run.iter().filter_map(result).collect())
        .collect()
}

pub fn expect(run: &Results, names: &[&str], expected: &str) -> Result<()> {
    for name in names {
        let found = run.get(*name).map(String::as_str);
        ensure!(
            found == Some(expected),
            "{name}: expected {expected}, found {found:?}"
        );
    }
    Ok(())
}

/// Without a gate, or one that only records.
fn expect_open(run: &Results) -> Result<()> {
    expect(run, CONTROLS, "passed")?;
    expect(run, PASS_WITHOUT, "passed")?;
    expect(run, KILLED, "passed")?;
    for name in FAIL_WITHOUT {
        let found = run.get(*name).map(String::as_str);
        ensure!(
            !matches!(found, None | Some("passed" | "EPERM")),
            "{name}: expected another errno than EPERM, found {found:?}"
        );
    }
    Ok(())
}

fn expect_kinds(lines: &[String], verb: &str, kinds: &[&str]) -> Result<()> {
    kinds
        .iter()
        .try_for_each(|kind| expect_line(lines, &format!("bennud: {verb} {kind}: ")).map(drop))
}

fn behind_the_gate(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/gate.toml")?;
    expect_line(&lines, "bennud: gate stands: enforce, root ")?;
    let runs = runs(&lines);
    let [before, behind, gate, ..] = runs.as_slice() else {
        anyhow::bail!("expected three runs of the intruder, found {}", runs.len());
    };
    expect_open(before)?;
    expect_denied(behind)?;
    expect(behind, FAIL_WITHOUT, "EPERM")?;
    expect(behind, REFUSED_ANYWAY, "EPERM")?;
    expect_gate_kept(gate)?;
    expect_kinds(&lines, "DENIED", KINDS)?;
    expect_kinds(&lines, "DENIED", KINDS_ON_THE_GATE)?;
    // Not lockdown: kexec_load has no file.
    expect_line(
        &lines,
        "bennud: DENIED kexec: load another kernel (0:0:0), by bennu-attack ",
    )?;
    expect_status(&lines, "enforced; ")
}

/// Behind a gate that enforces, in any root.
pub fn expect_denied(behind: &Results) -> Result<()> {
    expect(behind, CONTROLS, "passed")?;
    expect(behind, PASS_WITHOUT, "EPERM")?;
    expect(behind, KILLED, "KILL")
}

/// The gate stands against attacks on itself, also without bennud.
pub fn expect_gate_kept(gate: &Results) -> Result<()> {
    expect(gate, ON_THE_GATE, "EPERM")?;
    // A link of this kind knows no detaching, whoever asks.
    expect(gate, &["detach-link"], "EOPNOTSUPP")?;
    expect(gate, &["kill-agent", "exec-verified-after-kill"], "passed")
}

/// bennuctl counts the events, none of them lost.
fn expect_status(lines: &[String], words: &str) -> Result<()> {
    let line = expect_line(lines, &format!("gate         {words}"))?;
    ensure!(
        line.contains(", 0 lost, "),
        "expected no lost event, found: {line}"
    );
    let many = line
        .split(' ')
        .find_map(|word| word.parse::<u64>().ok())
        .is_some_and(|events| events > 40);
    ensure!(many, "expected more than 40 events, found: {line}");
    Ok(())
}

fn dry_run(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/gate-dry-run.toml")?;
    expect_line(&lines, "bennud: gate stands: dry-run, root ")?;
    let runs = runs(&lines);
    expect_open(runs.first().context("no run of the intruder")?)?;
    expect_kinds(&lines, "WOULD DENY", KINDS)?;
    ensure!(
        !lines.iter().any(|line| line.contains("bennud: DENIED ")),
        "expected no denial in a dry run"
    );
    let traced = expect_line(&lines, r#"PROBE LINE {"kind":"exec","#)?;
    ensure!(
        traced.contains(r#""verified":false"#),
        "expected an unverified program, found: {traced}"
    );
    expect_status(&lines, "DRY RUN: nothing is denied; ")?;
    // Nothing kept the intruder from taking a link away; that it is gone is told.
    expect_line(&lines, "ATTACK unlink-pin passed")?;
    let gone = "bennud: signal bpf-object-changed (strong): pin execute: expected link ";
    ensure!(
        expect_line(&lines, gone)?.ends_with(", found nothing"),
        "expected a link that is gone"
    );
    Ok(())
}

/// Debian 12's kernel.
fn without_hooks(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/gate-bookworm.toml")?;
    expect_line(&lines, "bennud: FAILED GATE: hook bdev_setintegrity: ")?;
    expect_line(&lines, "bennud: FAILED SLOT-UNHEALTHY: GATE: ").map(drop)
}

/// Where the kernel does not call the gate's programs any more they are all there, and deny nothing.
fn silenced(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/gate-silenced.toml")?;
    let runs = runs(&lines);
    let [before, after, ..] = &runs[..] else {
        bail!("expected two runs, found {runs:?}")
    };
    expect(before, &["unlink-pin"], "EPERM")?;
    let at = |part: &str| {
        let place = lines.iter().position(|line| line.contains(part));
        place.with_context(|| format!("expected `{part}`"))
    };
    let begins = at("PROBE INTRUDER begins intrude-tracing")?;
    let told = at(
        "bennud: signal bpf-object-changed (strong): programs of the gate: expected the kernel to ask them",
    )?;
    ensure!(
        begins < told,
        "expected it to be told after line {begins}, found line {told}"
    );
    // The control: it was worth telling.
    expect(after, &["unlink-pin"], "passed")
}

/// Boots `image` until its probe has done everything.
pub fn boot(context: &mut Context, image: &str) -> Result<Vec<String>> {
    let mut machine = images::machine(context, &images::disk(&[image, "small/image.toml"])?)?;
    let mut on = machine.power_on()?;
    on.wait_for_without("PROBE END", &["HALTED".into()], INITRD)?;
    on.wait_exit(Duration::from_secs(60))?;
    Ok(texts(&on))
}
