//! The execution gate beside others who decide about execution: the kernel's IPE with a policy, and programs of systemd's
//! kind. The gate says who they are, stands, and each denies on its own; what is denied for another's sake is not taken for
//! its own work.

use super::gate::{Results, boot, expect, expect_denied, runs};
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("gate-beside-ipe", Tier::Fast, beside_ipe),
        story!(
            "gate-beside-programs-of-systemds-kind",
            Tier::Fast,
            beside_programs
        ),
    ]
}

/// Attempts that IPE stops, and those that it lets pass: other hooks, and changed pages of a verified file.
const STOPPED_BY_IPE: &[&str] = &[
    "exec-tmpfs",
    "exec-bind",
    "exec-memfd",
    "exec-script",
    "exec-shm",
    "map-tmpfs",
    "map-memfd",
    "map-anonymous",
];
const PASS_IPE: &[&str] = &[
    "exec-overlay",
    "map-write-exec",
    "protect-changed",
    "read-implies-exec",
    "trace-child",
    "memory-of-init",
    "core-pattern",
    "write-disk",
    "dm-create",
    "mount-over-usr",
    "load-probe",
    "interpret-tmpfs",
    "tracing-off",
];
/// The same of systemd's programs.
const STOPPED_BY_PROGRAMS: &[&str] = &[
    "exec-tmpfs",
    "exec-bind",
    "exec-memfd",
    "exec-shm",
    "map-tmpfs",
    "map-memfd",
    "map-anonymous",
];
const PASS_PROGRAMS: &[&str] = &[
    "trace-child",
    "core-pattern",
    "write-disk",
    "dm-create",
    "mount-over-usr",
    "load-probe",
    "interpret-tmpfs",
];
/// What the gate gives one program of the image, and others give nobody.
const RIGHT: &str = "compile-with-right";

fn beside_ipe(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/gate-ipe.toml")?;
    expect_line(&lines, "PROBE NEIGHBOUR ipe appliance ")?;
    let told = expect_line(&lines, "bennud: gate stands: enforce, root ")?;
    ensure!(
        told.contains("; IPE decides as well: policy appliance 1.2.3"),
        "expected IPE to be named, found {told}"
    );
    let runs = runs(&lines);
    let [alone, both, without, ..] = &runs[..] else {
        bail!("expected three runs of the intruder, found {}", runs.len())
    };
    expect(alone, STOPPED_BY_IPE, "EACCES")?;
    expect(alone, PASS_IPE, "passed")?;
    expect_both(both, "EACCES")?;
    let at = |part: &str| {
        let place = lines.iter().position(|line| line.contains(part));
        place.with_context(|| format!("expected `{part}`"))
    };
    // IPE still denies executable memory, which the gate's own silence must not hide behind.
    let (begins, told) = (
        at("PROBE INTRUDER begins intrude-tracing")?,
        at(
            "bennud: signal bpf-object-changed (strong): programs of the gate: expected the kernel to ask them",
        )?,
    );
    ensure!(
        begins < told,
        "expected it to be told after line {begins}, found {told}"
    );
    expect(without, STOPPED_BY_IPE, "EACCES")?;
    expect(without, PASS_IPE, "passed")
}

fn beside_programs(context: &mut Context) -> Result<()> {
    let lines = boot(context, "small/gate-beside.toml")?;
    expect_line(&lines, "PROBE NEIGHBOUR foreign-gate")?;
    let told = expect_line(&lines, "bennud: gate stands: enforce, root ")?;
    ensure!(
        told.contains(
            "; decide as well: systemd's RestrictFileSystems=, a gate that guards 4 programs of its own, as systemd's \
             RestrictFileSystemAccess= does"
        ),
        "expected both to be named, found {told}"
    );
    let runs = runs(&lines);
    let [alone, both, ..] = &runs[..] else {
        bail!("expected two runs of the intruder, found {}", runs.len())
    };
    expect(alone, STOPPED_BY_PROGRAMS, "EPERM")?;
    // procfs has words of its own for what may not be traced.
    expect(alone, &["memory-of-init"], "EACCES")?;
    expect(alone, PASS_PROGRAMS, "passed")?;
    expect_both(both, "EPERM")?;
    let signal = lines.iter().find(|line| line.contains("bpf-object-changed"));
    ensure!(
        signal.is_none(),
        "expected the gate to be whole, found {signal:?}"
    );
    Ok(())
}

/// Behind both everything is denied that the gate denies; what its image allows one program is the other's to deny.
fn expect_both(run: &Results, theirs: &str) -> Result<()> {
    expect(run, &[RIGHT], theirs)?;
    let mut ours = run.clone();
    ours.insert(RIGHT.to_owned(), "passed".to_owned());
    expect_denied(&ours)
}
