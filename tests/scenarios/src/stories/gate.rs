//! The execution gate: an intruder who is root, before it stands and behind it.

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
        story!("gate-that-the-kernel-does-not-call", Tier::Fast, not_called),
    ]
}

/// What must happen to each attack: its result, and the word of the event; none where nothing is recorded.
const DENIED: &[(&str, &str, Option<&str>)] = &[
    ("exec-tmpfs", "EPERM", Some("exec")),
];

fn results(lines: &[String], word: &str) -> BTreeMap<String, String> {
    let parts = |line: &String| {
        let rest = line.strip_prefix(word)?.strip_prefix(' ')?;
        let (name, result) = rest.split_once(' ')?;
        Some((name.to_owned(), result.trim().to_owned()))
    };
    lines.iter().filter_map(parts).collect()
}

fn behind_the_gate(context: &mut Context) -> Result<()> {
    let lines = gate_boot(context, "small/gate.toml")?;
    let _ = (results(&lines, "ATTACK"), DENIED);
    Ok(())
}

fn gate_boot(context: &mut Context, image: &str) -> Result<Vec<String>> {
    let mut machine = images::machine(context, &images::disk(&[image, "small/image.toml"])?)?;
    let mut on = machine.power_on()?;
    on.wait_for_without("PROBE END", &["HALTED".into()], INITRD)?;
    on.wait_exit(Duration::from_secs(60))?;
    Ok(texts(&on))
}

fn dry_run(context: &mut Context) -> Result<()> {
    let lines = gate_boot(context, "small/gate-dry-run.toml")?;
    expect_line(&lines, "gate stands: dry-run").map(drop)
}

fn without_hooks(context: &mut Context) -> Result<()> {
    let lines = gate_boot(context, "small/gate-bookworm.toml")?;
    expect_line(&lines, "FAILED GATE: hook bdev_setintegrity").map(drop)
}

fn not_called(context: &mut Context) -> Result<()> {
    let lines = gate_boot(context, "small/gate-without-bpf.toml")?;
    expect_line(&lines, "FAILED GATE: gate: expected it to notice").map(drop)
}
