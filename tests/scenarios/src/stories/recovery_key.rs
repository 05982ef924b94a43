//! The recovery key at the machine: what a TPM had sealed is gone with it, and the key that was shown once, or went
//! to the operator's escrow key, brings the state volume to the TPM that is there now.
//!
//! The control of each is the count that the root keeps on the volume: it goes on, or the volume was not opened.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

/// What no start that asks for a key may say, whatever is typed: no secret is open, and no root runs.
const OPEN: [&str; 3] = ["unsealed secret", "PROBE BEGIN", "opened, generation"];
const PROMPT: &str = "recovery key:";
const MACHINE: &str = "/bennu/secrets/machine.sealed";
const OWNER: &str = "/bennu/secrets/tpm.owner.sealed";
const VOLUME: &str = "/bennu/secrets/state.volume.sealed";
/// Both copies of the header and the keyslots.
const HEADER_BYTES: usize = 1 << 20;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "recovery-key-brings-the-state-to-another-tpm",
            Tier::Fast,
            another_tpm
        ),
        story!("recovery-with-wrong-keys-changes-nothing", Tier::Fast, wrong_keys),
        story!(
            "recovery-key-where-the-sealed-key-is-lost",
            Tier::Fast,
            sealed_key_lost
        ),
        story!("recovery-cut-at-each-step", Tier::Fast, cut_at_each_step),
        story!("recovery-key-goes-to-escrow", Tier::Fast, escrow),
    ]
}

fn machine(context: &mut Context) -> Result<(Machine, Vec<String>, String)> {
    let mut machine = images::machine(context, &images::disk(&["small/state.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    count(&first, 1)?;
    let line = expect_line(&first, "bennu-init: recovery key of the state volume: ")?;
    let key = line
        .rsplit(' ')
        .next()
        .context("no recovery key")?
        .trim()
        .to_owned();
    Ok((machine, first, key))
}

fn count(lines: &[String], expected: u32) -> Result<()> {
    expect_line(lines, &format!("PROBE COUNT /var/starts {expected} true")).map(drop)
}

fn open() -> Vec<Marker> {
    OPEN.map(Marker::from).to_vec()
}

/// Powers on and waits until the key is asked for.
fn asked<'m>(machine: &'m mut Machine, code: &str) -> Result<PowerOn<'m>> {
    let mut on = machine.power_on()?;
    on.wait_for_without(
        "bennu-init: latched for recovery: this start opens no secret",
        &open(),
        INITRD,
    )?;
    on.wait_for_without(format!("RECOVERY {code}: ").as_str(), &open(), INITRD)?;
    on.wait_for_prompt(PROMPT, INITRD)?;
    Ok(on)
}

/// Types the right key; the machine takes it and restarts by itself, having opened nothing.
fn recover(machine: &mut Machine, code: &str, key: &str) -> Result<Vec<String>> {
    let mut on = asked(machine, code)?;
    on.send(&format!("{key}\r"))?;
    on.wait_for_without("the recovery key opens the state volume", &open(), INITRD)?;
    on.wait_for_without(
        "sealed the volume key to this TPM, which refuses it to this start",
        &open(),
        INITRD,
    )?;
    on.wait_for_without("restarting", &open(), INITRD)?;
    expect_reset(&mut on)?;
    let lines = texts(&on);
    ensure!(
        !lines
            .iter()
            .any(|line| line.to_lowercase().contains(&key.to_lowercase())),
        "the key was echoed"
    );
    Ok(lines)
}

fn another_tpm(context: &mut Context) -> Result<()> {
    let (mut machine, first, key) = machine(context)?;
    machine.replace_tpm(None)?;
    // As people type: no capitals where there were none, other gaps.
    let typed = key.to_uppercase().replace('-', " ");
    let recovery = recover(&mut machine, "FLOOR-MISSING", &typed)?;
    expect_line(
        &recovery,
        "so that the next start makes new ones: machine, tpm.owner",
    )?;
    expect_line(&recovery, "no floor in this TPM: begun at 1")?;

    let second = boot_to_probe(&mut machine)?;
    count(&second, 2)?;
    expect_line(&second, "opened, generation 2")?;
    expect_line(&second, "set the TPM's owner and lockout authorisations")?;
    ensure!(
        secret_mark(&second, "machine")? != secret_mark(&first, "machine")?,
        "the secret that the old TPM had sealed is there again"
    );
    let third = boot_to_probe(&mut machine)?;
    count(&third, 3)?;
    expect_same_secret(&third, &second)
}

fn wrong_keys(context: &mut Context) -> Result<()> {
    let (mut machine, first, key) = machine(context)?;
    let own = machine.tpm_snapshot()?;
    let before = what_is_kept(&machine)?;
    machine.replace_board()?;

    let mut on = asked(&mut machine, "FLOOR-MISSING")?;
    let wrong = if key.starts_with('c') { "b" } else { "c" };
    let another = format!("{wrong}{}", &key[1..]);
    for (at, (typed, words)) in [
        ("no key at all", "expected only the letters"),
        (&key[..70], "expected 64 letters"),
        (another.as_str(), "this key does not open the volume"),
        (&"x".repeat(400), "too long"),
        (another.as_str(), "this key does not open the volume"),
    ]
    .into_iter()
    .enumerate()
    {
        if at > 0 {
            on.wait_for_prompt(PROMPT, INITRD)?;
        }
        on.send(&format!("{typed}\r"))?;
        let line = on.wait_for_without(format!("({} of 5)", at + 1).as_str(), &open(), INITRD)?;
        ensure!(
            line.text.contains(words),
            "expected `{words}`, found: {}",
            line.text
        );
    }
    on.wait_for_without("bennu-init: HALTED FLOOR-MISSING:", &open(), INITRD)?;
    on.quit()?;
    ensure!(what_is_kept(&machine)? == before, "something was written");

    // Somebody is there and has no key.
    let mut on = asked(&mut machine, "FLOOR-MISSING")?;
    on.send("\u{4}")?;
    on.wait_for_without("bennu-init: HALTED FLOOR-MISSING:", &open(), INITRD)?;
    on.quit()?;

    // The new TPM has nothing, and the old one everything.
    machine.tpm_restore(&own)?;
    tries_back(&machine)?;
    let second = boot_to_probe(&mut machine)?;
    count(&second, 2)?;
    expect_same_secret(&second, &first)
}

/// Its root never marks it good, so the starts of one story would use its tries up.
fn tries_back(machine: &Machine) -> Result<()> {
    let entry = forge::entry(machine.disk()?, "small_5")?;
    let esp = machine.disk()?.esp()?;
    if entry != "small_5+3-0.efi" {
        esp.rename(&format!("/EFI/Linux/{entry}"), "small_5+3-0.efi")?;
    }
    for record in ["boot-record.json", "boot-record.2.json"] {
        esp.delete(&format!("/bennu/{record}"))?;
    }
    Ok(())
}

/// The sealed files and the header.
fn what_is_kept(machine: &Machine) -> Result<Vec<Vec<u8>>> {
    let esp = machine.disk()?.esp()?;
    let mut kept = [MACHINE, OWNER, VOLUME]
        .into_iter()
        .map(|path| esp.get(path))
        .collect::<Result<Vec<_>, _>>()?;
    kept.push(header(machine)?);
    Ok(kept)
}

fn header(machine: &Machine) -> Result<Vec<u8>> {
    Ok(machine.disk()?.read("state", 0, HEADER_BYTES)?)
}

fn sealed_key_lost(context: &mut Context) -> Result<()> {
    let (mut machine, first, key) = machine(context)?;
    let older = header(&machine)?;
    machine.disk()?.esp()?.delete(VOLUME)?;
    recover(&mut machine, "STATE-KEY-MISSING", &key)?;
    let second = boot_to_probe(&mut machine)?;
    count(&second, 2)?;
    expect_same_secret(&second, &first)?;

    // A key that the TPM does not load.
    let mut bytes = machine.disk()?.esp()?.get(VOLUME)?;
    let last = bytes.last_mut().context("an empty file")?;
    *last ^= 1;
    machine.disk()?.esp()?.put(VOLUME, &bytes)?;
    recover(&mut machine, "SECRET-UNSEAL", &key)?;
    let third = boot_to_probe(&mut machine)?;
    count(&third, 3)?;

    // An older copy of the volume is not recovered either: nobody is asked.
    machine.disk()?.esp()?.delete(VOLUME)?;
    machine.disk()?.write("state", 0, &older)?;
    let lines = boot_that_halts(&mut machine, "STATE-KEY-MISSING")?;
    expect_line(
        &lines,
        "no recovery key is asked for: this TPM has pinned another generation",
    )?;
    ensure!(
        !lines.iter().any(|line| line.contains("type it:")),
        "a key was asked for"
    );
    Ok(())
}

fn cut_at_each_step(context: &mut Context) -> Result<()> {
    let (mut machine, _, key) = machine(context)?;
    let steps = [
        "bennu-init: removed machine",
        "bennu-init: removed tpm.owner",
        "bennu-init: pinned state volume",
        "bennu-init: no floor in this TPM: begun at 1",
        "bennu-init: sealed the volume key",
    ];
    let mut starts = 1;
    for step in steps {
        machine.replace_tpm(None)?;
        let mut on = asked(&mut machine, "FLOOR-MISSING")?;
        on.send(&format!("{key}\r"))?;
        on.wait_for_without(step, &open(), INITRD)?;
        on.kill()?;
        // The power comes back.
        let mut on = machine.power_on()?;
        let (again, _) = on.wait_for_any(&["type it:".into(), "PROBE END".into()], INITRD)?;
        if again == 0 {
            on.wait_for_prompt(PROMPT, INITRD)?;
            on.send(&format!("{key}\r"))?;
            on.wait_for_without("restarting", &open(), INITRD)?;
            expect_reset(&mut on)?;
            drop(on);
            starts += 1;
            count(&boot_to_probe(&mut machine)?, starts)?;
        } else {
            starts += 1;
            count(&texts(&on), starts)?;
            on.wait_exit(Duration::from_secs(60))?;
        }
    }
    Ok(())
}

fn escrow(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/escrow.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    count(&first, 1)?;
    expect_line(&first, "the state volume's recovery key is encrypted to age1")?;
    ensure!(
        !first
            .iter()
            .any(|line| line.contains("recovery key of the state volume:")),
        "the recovery key was shown"
    );
    let blob = machine.disk()?.esp()?.get("/bennu/recovery.age")?;
    let file = context.folder().join("recovery.age");
    std::fs::write(&file, blob)?;
    let output = std::process::Command::new("age")
        .args(["--decrypt", "--identity"])
        .arg(images::top().join("images/small/escrow-identity.txt"))
        .arg(&file)
        .output()
        .context("age: run tests/install-tools")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "age: {words}");
    let text = String::from_utf8(output.stdout)?;
    let key = text.lines().next().context("no key in it")?;

    machine.replace_tpm(None)?;
    recover(&mut machine, "FLOOR-MISSING", key)?;
    count(&boot_to_probe(&mut machine)?, 2)
}
