//! An intruder inside a unit (`tests/probe/attack-contain.c`): its unit starts no more programs, then the network is cut but
//! for loopback and the alert sink, and both end. Two programs outside of the machine echo and record what reaches them.

use super::gate::{Results, expect, runs};
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::path::Path;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "drift-denies-a-unit-and-cuts-the-network-until-it-is-over",
        Tier::Full,
        contained
    )]
}

/// From power-on to the end: windows of 120 s and 60 s, and what a cut connection needs to come back.
const ALL: Duration = Duration::from_secs(900);

const BEFORE: &[&str] = &[
    "0-prepare",
    "0-exec-web",
    "0-exec-other",
    "0-talk-loopback",
    "0-talk-sink",
    "0-talk-other",
    "0-new-other",
    "0-new-sink",
    "0-datagram",
    "0-frame",
];
const DENIED: &[&str] = &[
    "1-write-disk",
    "1-exec-web",
    "1-exec-inner",
    "1-leave-web",
    "1-leave-inner",
    "1-exec-web-again",
    "1-exec-web-without-agent",
    "1-exec-web-with-agent",
];
const BESIDE_DENIED: &[&str] = &[
    "1-await-denied",
    "1-exec-other",
    "1-exec-here",
    "1-talk-other",
    "1-restart-web",
    "1-status",
    "1-kill-agent",
    "1-start-agent",
];
const CUT: &[&str] = &["2-talk-other", "2-new-other"];
const BESIDE_CUT: &[&str] = &[
    "2-move-clock",
    "2-await-cut",
    "2-talk-loopback",
    "2-new-loopback",
    "2-new-own-address",
    "2-talk-sink",
    "2-new-sink",
    "2-service-frozen",
];
const OVER: &[&str] = &[
    "3-await-whole",
    "3-datagram",
    "3-frame",
    "3-await-other",
    "3-service-goes-on",
    "3-await-allowed",
    "3-status",
    "3-log",
    "3-certificates",
];

fn contained(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/contain.toml", "small/image.toml"])?;
    let (sink, other) = (context.folder().join("sink"), context.folder().join("other"));
    let mut machine = images::machine_with(context, &disk, 1024)?;
    machine.set_extra_args(network(&sink, &other)?);
    let mut on = machine.power_on()?;
    on.wait_for_without("PROBE END", &["HALTED".into(), "FAILED".into()], ALL)?;
    on.wait_exit(Duration::from_secs(60))?;
    let lines = texts(&on);
    expect_line(&lines, ", network can be cut")?;
    expect_line(
        &lines,
        "watching for drift; enforced: deny, freeze-cgroup, cut-network",
    )?;
    let runs = runs(&lines);
    let run = runs.first().context("no run of the intruder")?;
    expect(run, BEFORE, "passed")?;
    expect_denied(&lines, run)?;
    expect_cut(&lines, run)?;
    expect_over(&lines, run)?;
    expect_everything(&lines, run)?;
    expect(run, &["5-change-log"], "passed")?;
    // The programs that see packets stay.
    expect(run, &["5-take-off"], "EPERM")?;
    expect_line(
        &lines,
        "bennud: signal log-broken (strong): records-00000000000000000",
    )?;
    expect_outside(&sink, &other)
}

/// A network that reaches two addresses: what they get is written to a file and echoed.
fn network(sink: &Path, other: &Path) -> Result<Vec<std::ffi::OsString>> {
    let to = |address: &str, file: &Path| format!("guestfwd=tcp:{address}-cmd:tee -a {}", file.display());
    ensure!(
        !sink.display().to_string().contains([',', ' ']),
        "expected a path without commas and blanks, found {}",
        sink.display()
    );
    let netdev = format!(
        "user,id=net,restrict=on,ipv6=off,{},{}",
        to("10.0.2.100:6514", sink),
        to("10.0.2.101:7001", other)
    );
    // Without an option ROM, which the firmware would measure.
    let device = "virtio-net-pci,netdev=net,romfile=";
    Ok(
        ["-device", "virtio-rng-pci", "-netdev", &netdev, "-device", device]
            .map(Into::into)
            .to_vec(),
    )
}

fn expect_denied(lines: &[String], run: &Results) -> Result<()> {
    expect(run, BESIDE_DENIED, "passed")?;
    expect(run, DENIED, "EPERM")?;
    // No hook can refuse this one; the process does not come back from it.
    expect(run, &["1-clone-web"], "KILL")?;
    expect_line(
        lines,
        "bennud: ALERT drift.one-strong: gate-tampering (gate, strong)",
    )?;
    expect_line(lines, "bennud: deny done: no more programs in web.service")?;
    expect_line(lines, "bennud: DENIED unit-denied: ")?;
    let shown = expect_line(lines, "in force     ")?;
    ensure!(
        shown.trim_end().ends_with(" deny"),
        "expected deny alone to be in force first, found: {shown}"
    );
    Ok(())
}

fn expect_cut(lines: &[String], run: &Results) -> Result<()> {
    expect(run, BESIDE_CUT, "passed")?;
    expect(run, CUT, "ETIMEDOUT")?;
    expect(run, &["2-datagram", "2-frame"], "EPERM")?;
    let alert = expect_line(lines, "bennud: ALERT drift.strong-and-weak: ")?;
    ensure!(alert.contains("clock-jumped (clock, weak)"), "{alert}");
    expect_line(
        lines,
        "bennud: cut-network done: only loopback is left; alerts go to 10.0.2.100 port 6514",
    )?;
    expect_line(lines, "bennud: freeze-cgroup done: ")?;
    // The agent that was killed knew what it had done.
    let last = |part: &str| lines.iter().rposition(|line| line.contains(part));
    let (denied, again) = (
        last("bennud: deny done: no more programs in web.service"),
        last("CONTROL 1-start-agent passed"),
    );
    ensure!(
        denied < again,
        "expected the agent that was started again not to deny anew, found line {denied:?} behind {again:?}"
    );
    Ok(())
}

fn expect_over(lines: &[String], run: &Results) -> Result<()> {
    expect(run, OVER, "passed")?;
    let at = |part: &str| {
        lines
            .iter()
            .position(|line| line.contains(part))
            .with_context(|| format!("expected `{part}`"))
    };
    let order = [
        "bennud: cut-network done: ",
        "bennud: cut-network undone: packets go as before",
        "bennud: freeze-cgroup undone: ",
        "bennud: deny undone: every unit starts programs",
    ];
    // Each act is signed, and so is its end.
    for words in [
        "deny done at ",
        "cut-network done at ",
        "undo.cut-network done at ",
        "undo.deny done at ",
    ] {
        at(words)?;
    }
    let places = order.iter().map(|part| at(part)).collect::<Result<Vec<_>>>()?;
    ensure!(
        places.is_sorted(),
        "expected {order:?} in order, found {places:?}"
    );
    Ok(())
}

/// A PCR has no unit.
fn expect_everything(lines: &[String], run: &Results) -> Result<()> {
    expect(
        run,
        &["4-quiet", "4-extend-pcr", "4-await-everything", "4-exec-spared"],
        "passed",
    )?;
    expect(run, &["4-exec-web", "4-exec-here"], "EPERM")?;
    expect_line(
        lines,
        "bennud: deny done: no more programs in every unit but those that are spared",
    )
    .map(drop)
}

/// What came out of the machine, by the words of the two that got it.
fn expect_outside(sink: &Path, other: &Path) -> Result<()> {
    let words = |path: &Path| -> Result<usize> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(text.matches("word-").count())
    };
    let (sink, other) = (words(sink)?, words(other)?);
    // Before: two each. While the network is cut: two to the sink.
    ensure!(sink == 4, "expected 4 words at the sink, found {sink}");
    ensure!(
        other >= 4,
        "expected at least 4 words at the other, found {other}"
    );
    Ok(())
}
