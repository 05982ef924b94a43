//! An intruder has root. One sign of it is told and nothing is destroyed; two of different sources are answered by
//! State Purge and by the other slot, which shows the signed certificate of the life before it.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

const LOG: &str = "bennuctl log verify";
const SHOWN: &str = "bennuctl log show";
const CERTIFICATES: &str = "bennuctl certificates";
const ONE_SIGNAL: &str = "bennud: ALERT drift.one-strong: ima-digest-unknown (ima, strong)";
const TWO_SIGNALS: &str =
    "bennud: ALERT drift.two-strong: ima-digest-unknown (ima, strong); pcr-changed (tpm, strong)";
/// Behind the gate nothing foreign executes: the attempt on the disk is what is strong.
const GATE_ALONE: &str = "bennud: ALERT drift.one-strong: ";
const GATE_AND_TPM: &str = "bennud: ALERT drift.two-strong: ";
const INTRUDER_RUNS: &str = "PROBE INTRUDER RUNS";
const SECRET: &str = "PROBE EXISTS /run/secrets/machine ";

pub fn stories() -> Vec<Story> {
    vec![
        story!("drift-in-dry-run-is-told-and-logged-only", Tier::Fast, dry_run),
        story!("drift-of-two-kinds-destroys-the-secrets", Tier::Fast, purge),
        story!("drift-of-two-kinds-flips-the-slot", Tier::Fast, flip),
        story!("drift-on-debian-13", Tier::Full, debian_13),
        story!(
            "drift-on-debian-13-kills-a-foreign-program",
            Tier::Full,
            kill_on_debian_13
        ),
    ]
}

/// The positive control of both others, and the log's story: edits and cuts are found, with their line.
fn dry_run(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/reborn.toml", "small/drift-dry.toml"])?;
    let mut machine = images::machine_with(context, &disk, 1024)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "3")?;
    expect_line(&lines, "watching for drift: dry run, nothing is done about it")?;
    nothing_before_the_intruder(&lines)?;
    expect_line(&lines, ONE_SIGNAL)?;
    expect_line(&lines, TWO_SIGNALS)?;
    expect_line(&lines, "not done: state-purge: dry run")?;
    // Nothing was done.
    ensure!(
        lines
            .iter()
            .filter(|line| line.contains("PROBE RUNS intruder true"))
            .count()
            == 2,
        "expected the intruder to run on"
    );
    for line in &lines {
        ensure!(!line.contains("state-purge."), "expected no purge, found {line}");
        ensure!(
            !line.contains("PROBE EXISTS /run/secrets/machine false"),
            "expected the secret to stay"
        );
    }
    expect_line(&lines, "PROBE /var/kept: 1")?;

    let logs = answers(&lines, LOG);
    let [first, whole, edited, cut] = &logs[..] else {
        bail!("expected four verdicts, found {logs:?}")
    };
    for good in [first, whole] {
        ensure!(
            good.status == 0 && good.text.contains("good: ") && !good.text.contains(" 0 by signed heads"),
            "expected a log that the TPM's heads prove, found {good:?}"
        );
    }
    let named = |text: &str, part: &str| {
        let place = text
            .lines()
            .find(|line| line.contains("REFUSED: ") && line.contains(part));
        place
            .map(str::to_owned)
            .with_context(|| format!("expected `{part}`, found {text}"))
    };
    ensure!(edited.status == 1, "{edited:?}");
    let line = named(
        &edited.text,
        "the chain in this line is not that of the lines before it",
    )?;
    ensure!(line.contains(".jsonl:"), "expected file and line, found {line}");
    ensure!(cut.status == 1, "{cut:?}");
    let line = named(
        &cut.text,
        "1 lines are missing before this one: expected number 2",
    )?;
    ensure!(line.contains(".jsonl:3"), "expected line 3, found {line}");
    the_log_is_shown_in_words(&lines)
}

/// For people: what happened in words, and the edited line marked where it stands.
fn the_log_is_shown_in_words(lines: &[String]) -> Result<()> {
    let shown = answers(lines, SHOWN);
    let [whole, edited] = &shown[..] else {
        bail!("expected the log twice, found {shown:?}")
    };
    ensure!(whole.status == 0 && edited.status == 1, "{whole:?} {edited:?}");
    for part in [
        " the log begins by bennud",
        " watch-begins",
        " signed head ",
        "ima-digest-unknown",
    ] {
        ensure!(
            whole.text.contains(part),
            "expected `{part}`, found {}",
            whole.text
        );
    }
    // The verdict says `REFUSED: `; a line begins with its year.
    let marked = |text: &str| text.lines().any(|line| line.starts_with("REFUSED 2"));
    ensure!(!marked(&whole.text) && marked(&edited.text), "{}", edited.text);
    Ok(())
}

fn nothing_before_the_intruder(lines: &[String]) -> Result<()> {
    let intruder = lines
        .iter()
        .position(|line| line.contains(INTRUDER_RUNS))
        .context("the intruder never ran")?;
    let told = lines[..intruder]
        .iter()
        .find(|line| line.contains("bennud: signal "));
    ensure!(
        told.is_none(),
        "expected no signal on a sound machine, found {told:?}"
    );
    let none = answers(&lines[..intruder], CERTIFICATES);
    let [none] = &none[..] else {
        bail!("expected one list of certificates, found {none:?}")
    };
    ensure!(
        none.status == 0 && none.text.contains("good: 0 certificates"),
        "expected none, found {none:?}"
    );
    Ok(())
}

fn purge(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/reborn.toml", "small/drift-purge.toml"])?;
    let mut machine = images::machine_with(context, &disk, 1024)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "3")?;
    nothing_before_the_intruder(&lines)?;
    expect_line(&lines, "watching for drift; enforced: kill, state-purge")?;
    // One signal: the intruder is killed, the secret stays.
    expect_line(&lines, ONE_SIGNAL)?;
    expect_line(&lines, "bennud: kill done: 1 processes")?;
    expect_line(&lines, "PROBE RUNS intruder false")?;
    let found: Vec<&String> = lines.iter().filter(|line| line.contains(SECRET)).collect();
    ensure!(
        matches!(&found[..], [before, after] if before.ends_with("true") && after.ends_with("false")),
        "expected the secret to stay after one signal and to go after two, found {found:?}"
    );
    // Told before it was done.
    let at = |part: &str| {
        lines
            .iter()
            .position(|line| line.contains(part))
            .with_context(|| format!("expected `{part}`"))
    };
    let steps = [
        "bennud: kill done: 1 processes",
        "bennud: action certificate 0 is signed and on the state volume",
        TWO_SIGNALS,
        "bennud: action certificate 1 is signed and on the ESP",
        "bennud: state-purge.freeze done: 1 control groups",
        "bennud: state-purge.erase-secrets done: ",
        "bennud: state-purge.wipe-keys done: bennu-state",
        "bennud: state-purge.kill done: 1 control groups",
        "bennud: state-purge.unmount done",
        "bennud: state-purge.drop-caches done",
        "bennud: action certificate 2 is signed and on the ESP",
    ];
    let places: Vec<usize> = steps.iter().map(|step| at(step)).collect::<Result<_>>()?;
    ensure!(
        places.is_sorted(),
        "expected {steps:?} in order, found lines {places:?}"
    );
    // Who used the secrets is gone; bennud is there.
    for (line, times) in [
        ("PROBE RUNS service true", 1),
        ("PROBE RUNS service false", 1),
        ("PROBE RUNS bennud true", 2),
    ] {
        let found = lines.iter().filter(|found| found.contains(line)).count();
        ensure!(found == times, "expected `{line}` {times} times, found {found}");
    }
    // Nothing reads the state volume any more.
    let kept = expect_line(&lines, "PROBE /var/kept")?;
    ensure!(
        kept.contains("cannot be read"),
        "expected /var to be dead, found {kept}"
    );
    Ok(())
}

fn flip(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/reborn.toml", "small/drift.toml"])?;
    let mut machine = images::machine_with(context, &disk, 1024)?;
    {
        let mut on = machine.power_on()?;
        on.wait_for_without(INTRUDER_RUNS, &["FAILED".into(), "HALTED".into()], INITRD)?;
        on.wait_for("bennud: state-purge.drop-caches done", INITRD)?;
        on.wait_for("bennud: flip: slot 2 verifies", INITRD)?;
        on.wait_for("bennud: flip-slot done: slot 3 is marked bad", INITRD)?;
        expect_reset(&mut on)?;
        let lines = texts(&on);
        nothing_before_the_intruder(&lines)?;
        ensure!(
            lines
                .iter()
                .any(|line| line.contains("PROBE EXISTS /run/secrets/machine true")),
            "expected one signal alone to leave the secret"
        );
    }
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(
        &lines,
        "fell back from 3: SLOT-DRIFTED: drift.two-strong: ima-digest-unknown",
    )?;
    // The verified slot has the state again, and what the log says is whole.
    expect_line(&lines, "PROBE /var/kept: 1")?;
    let shown = answers(&lines, CERTIFICATES);
    let [shown] = &shown[..] else {
        bail!("expected one list of certificates, found {shown:?}")
    };
    ensure!(shown.status == 0, "{}", shown.text);
    for part in [
        "certificate 0 of small 3, boot ",
        "certificate 2 of small 3, boot ",
        "kill done",
        "ima-digest-unknown (ima, strong): /tmp/intruder/intruder",
        "pcr-changed (tpm, strong): PCR 12 is ",
        "state-purge planned",
        "state-purge.wipe-keys done",
        "state-purge done",
        "flip-slot done",
        "good: 3 certificates, signed by the TPM",
    ] {
        ensure!(
            shown.text.contains(part),
            "expected `{part}`, found {}",
            shown.text
        );
    }
    let logs = answers(&lines, LOG);
    let [log] = &logs[..] else {
        bail!("expected one verdict, found {logs:?}")
    };
    ensure!(log.status == 0, "{}", log.text);
    Ok(())
}

/// With systemd: its units are frozen and killed, and nothing that it starts again finds a secret.
fn debian_13(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/reborn.toml", "demo/drift.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    {
        let mut on = machine.power_on()?;
        on.wait_for_without(
            "bennud: watching for drift; enforced: ",
            &["FAILED".into()],
            MULTI_USER,
        )?;
        // A real system, twenty seconds of it: nothing is told.
        on.wait_for_without("INTRUDER BEGINS", &["bennud: signal ".into()], MULTI_USER)?;
        on.wait_for_without("INTRUDER MAY NOT EXECUTE", &["state-purge".into()], MULTI_USER)?;
        on.wait_for_without(
            "INTRUDER MAY NOT WRITE THE DISK",
            &["state-purge".into()],
            MULTI_USER,
        )?;
        on.wait_for_without(GATE_ALONE, &["state-purge".into()], MULTI_USER)?;
        on.wait_for_without(
            "bennud: kill done: 1 processes",
            &["state-purge".into()],
            MULTI_USER,
        )?;
        on.wait_for("INTRUDER SEES THE SECRET", MULTI_USER)?;
        expect_line(&texts(&on), "INTRUDER WAS ENDED")?;
        on.wait_for(GATE_AND_TPM, MULTI_USER)?;
        for step in [
            "freeze",
            "erase-secrets",
            "wipe-keys",
            "kill",
            "unmount",
            "drop-caches",
        ] {
            on.wait_for(format!("bennud: state-purge.{step} done: ").as_str(), MULTI_USER)?;
        }
        on.wait_for(
            "bennud: flip-slot done: slot 3 is marked bad; slot 2 verifies",
            MULTI_USER,
        )?;
        expect_reset(&mut on)?;
    }
    let mut on = machine.power_on()?;
    on.wait_for_without("REBORN END", &["FAILED".into()], MULTI_USER)?;
    let lines = texts(&on);
    expect_line(&lines, "fell back from 3: SLOT-DRIFTED: drift.two-strong: ")?;
    expect_line(&lines, "certificate 1 of demo 3, boot ")?;
    expect_line(&lines, "state-purge.wipe-keys done at ")?;
    expect_line(&lines, " certificates, signed by the TPM with the key ")?;
    Ok(())
}

/// With systemd: of what a unit executes the program that no image has is killed, and nothing else. `bennud` has fewer rights
/// there than other units, and sees what they execute all the same.
fn kill_on_debian_13(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/kill.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for_without(
        "bennud: watching for drift; enforced: kill",
        &["FAILED".into()],
        MULTI_USER,
    )?;
    on.wait_for_without("INTRUDER BEGINS", &["bennud: signal ".into()], MULTI_USER)?;
    on.wait_for_without("INTRUDER ENDS", &["FAILED".into()], MULTI_USER)?;
    let lines = texts(&on);
    for part in [
        "bennud: signal ima-digest-unknown (strong): /dev/shm/foreign (",
        ONE_SIGNAL,
        "bennud: kill done: 1 processes",
        "bennud: action certificate 0 is signed and on the state volume",
        // 128 and SIGKILL.
        "INTRUDER'S PROGRAM ENDED WITH 137",
        "FOREIGN PROCESSES 0",
        "BYSTANDERS 1, active",
        "certificate 0 of demo 3, boot ",
        "ima-digest-unknown (ima, strong): /dev/shm/foreign (",
        "kill done at ",
        "good: 1 certificates, signed by the TPM with the key ",
    ] {
        expect_line(&lines, part)?;
    }
    Ok(())
}
