//! What a machine demands on top of the release's policy: a PIN, which the TPM counts, and the state of Secure Boot. The
//! recovery key is the way out of both, and seals anew.
//!
//! The control of each is the count that the root keeps on the volume, and the secret behind it: the same, or nothing
//! was opened.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use sha2::{Digest as _, Sha256};

const PIN: &str = "2580-winter";
const NEXT_PIN: &str = "neuer Winter 1";
/// Bytes of the sealed key's file that cross the wire in clear (docs/spec/sealed-secret.md): its policy.
const POLICY: std::ops::Range<usize> = 87..119;
const VOLUME: &str = "/bennu/secrets/state.volume.sealed";
/// What no start may say before the PIN is right.
const OPEN: [&str; 3] = ["unsealed secret", "PROBE BEGIN", "opened, generation"];

pub fn stories() -> Vec<Story> {
    vec![
        story!("pin-opens-and-wrong-ones-are-counted-by-the-tpm", Tier::Fast, pin),
        story!(
            "pin-locked-out-and-chosen-anew-with-the-recovery-key",
            Tier::Fast,
            lockout
        ),
        story!(
            "secure-boot-that-changed-takes-the-recovery-key",
            Tier::Fast,
            bound
        ),
    ]
}

pub(super) fn open() -> Vec<Marker> {
    OPEN.map(Marker::from).to_vec()
}

fn count(lines: &[String], expected: u32) -> Result<()> {
    expect_line(lines, &format!("PROBE COUNT /var/starts {expected} true")).map(drop)
}

pub(super) fn recovery_key(lines: &[String]) -> Result<String> {
    let line = expect_line(lines, "bennu-init: recovery key of the state volume: ")?;
    let key = line.rsplit(' ').next().context("no recovery key")?;
    Ok(key.trim().to_owned())
}

/// Answers a prompt; nothing may be open yet.
fn answer(on: &mut PowerOn<'_>, prompt: &str, text: &str, then: &str) -> Result<String> {
    on.wait_for_prompt(prompt, INITRD)?;
    on.send(&format!("{text}\r"))?;
    Ok(on.wait_for_without(then, &open(), INITRD)?.text)
}

fn choose(on: &mut PowerOn<'_>, pin: &str) -> Result<()> {
    on.wait_for_prompt("new PIN:", INITRD)?;
    on.send(&format!("{pin}\r"))?;
    answer(on, "the same again:", pin, "the PIN is chosen").map(drop)
}

fn to_the_end(on: &mut PowerOn<'_>) -> Result<Vec<String>> {
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(Duration::from_secs(60))?;
    let lines = texts(on);
    for pin in [PIN, NEXT_PIN] {
        ensure!(!lines.iter().any(|line| line.contains(pin)), "a PIN was echoed");
    }
    Ok(lines)
}

/// A start that types `pin` and reaches its root.
fn start_with(machine: &mut Machine, pin: &str) -> Result<Vec<String>> {
    let mut on = machine.power_on()?;
    // Somebody who does not wait: it is dropped, and shown nowhere.
    on.wait_for_without("bennu-init: verified ", &open(), INITRD)?;
    on.send(&format!("{pin}\r"))?;
    // The last failure's words, `STATE-PIN: …`, come first.
    on.wait_for_without("the state volume has a PIN; Ctrl-D", &open(), INITRD)?;
    answer(&mut on, "PIN:", pin, "the PIN opens the key of the state volume")?;
    to_the_end(&mut on)
}

/// The first start, at which the PIN is chosen.
fn provisioned(machine: &mut Machine) -> Result<Vec<String>> {
    let mut on = machine.power_on()?;
    on.wait_for_prompt("new PIN:", INITRD)?;
    on.send(&format!("{PIN}\r"))?;
    answer(
        &mut on,
        "the same again:",
        "2580-summer",
        "these were two different ones",
    )?;
    choose(&mut on, PIN)?;
    let lines = to_the_end(&mut on)?;
    count(&lines, 1)?;
    Ok(lines)
}

fn pin(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/pin.toml"])?)?;
    machine.set_tpm_faults(Some(vec![TpmFault::Record]));
    let first = provisioned(&mut machine)?;

    // Wrong ones are counted by the TPM, and forgotten with the right one; what cannot be a PIN costs none.
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    answer(
        &mut on,
        "PIN:",
        "2580-summer",
        "has counted 1 wrong ones and takes 9 more",
    )?;
    answer(
        &mut on,
        "PIN:",
        "123",
        "expected 4 to 64 characters, found 3; the TPM was not asked",
    )?;
    answer(
        &mut on,
        "PIN:",
        "2580-autumn",
        "has counted 2 wrong ones and takes 8 more",
    )?;
    answer(&mut on, "PIN:", PIN, "the PIN opens the key of the state volume")?;
    let second = to_the_end(&mut on)?;
    drop(on);
    expect_line(&second, "2 wrong PINs were counted since the last right one")?;
    expect_line(&second, "opened, generation 2")?;
    count(&second, 2)?;
    expect_same_secret(&second, &first)?;
    listener_heard_no_pin(&machine, &tpm.traffic())?;
    machine.set_tpm_faults(None);

    // Nobody knows it: nothing opens, and the start does not count.
    for _ in 0..2 {
        let mut on = machine.power_on()?;
        // The boot record tells of the last time first: `STATE-PIN: …`.
        on.wait_for_without("the state volume has a PIN; Ctrl-D", &open(), INITRD)?;
        on.wait_for_prompt("PIN:", INITRD)?;
        on.send("\u{4}")?;
        on.wait_for_without("RECOVERY STATE-PIN: ", &open(), INITRD)?;
        on.wait_for_prompt("recovery key:", INITRD)?;
        on.send("\u{4}")?;
        on.wait_for_without("bennu-init: HALTED STATE-PIN:", &open(), INITRD)?;
        on.quit()?;
    }
    let third = start_with(&mut machine, PIN)?;
    expect_line(&third, "attempt 3 of 9")?;
    count(&third, 3)
}

fn listener_heard_no_pin(machine: &Machine, traffic: &bennu_harness::tpm_rig::Traffic) -> Result<()> {
    let blob = machine.disk()?.esp()?.get(VOLUME)?;
    let public = blob.get(POLICY).context("the sealed key is too short")?;
    ensure!(
        traffic.contains(public),
        "expected the sealed key's policy on the wire"
    );
    let auth = Sha256::digest([b"bennu-pin-v1\0", PIN.as_bytes()].concat());
    for secret in [PIN.as_bytes(), auth.as_slice(), &auth[..8]] {
        ensure!(!traffic.contains(secret), "the PIN was on the wire");
    }
    Ok(())
}

fn lockout(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/pin.toml"])?)?;
    let first = provisioned(&mut machine)?;
    let key = recovery_key(&first)?;

    let mut on = machine.power_on()?;
    for wrong in 1..10 {
        let counted = format!("has counted {wrong} wrong ones");
        answer(&mut on, "PIN:", "2580-summer", &counted)?;
    }
    answer(&mut on, "PIN:", "2580-summer", "RECOVERY TPM-LOCKOUT: ")?;
    on.wait_for_prompt("recovery key:", INITRD)?;
    on.kill()?;

    // The right one does not help now: it is not even asked for.
    let mut on = machine.power_on()?;
    on.wait_for_without("RECOVERY TPM-LOCKOUT: ", &["PIN:".into()], INITRD)?;
    answer(
        &mut on,
        "recovery key:",
        &key,
        "the TPM has forgotten the wrong PINs",
    )?;
    on.wait_for_without(
        "latched for recovery: this start opens no secret",
        &open(),
        INITRD,
    )?;
    choose(&mut on, NEXT_PIN)?;
    on.wait_for_without(
        "sealed the volume key to this TPM, which refuses it to this start",
        &open(),
        INITRD,
    )?;
    expect_reset(&mut on)?;
    drop(on);

    let mut on = machine.power_on()?;
    answer(&mut on, "PIN:", PIN, "has counted 1 wrong ones")?;
    answer(
        &mut on,
        "PIN:",
        NEXT_PIN,
        "the PIN opens the key of the state volume",
    )?;
    let after = to_the_end(&mut on)?;
    count(&after, 2)?;
    expect_same_secret(&after, &first)
}

fn bound(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/bound.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "the volume key is sealed to PCR 7 besides")?;
    count(&first, 1)?;
    let key = recovery_key(&first)?;
    let second = boot_to_probe(&mut machine)?;
    count(&second, 2)?;
    let own = std::fs::read(machine.vars_path())?;

    // The same db, and so the same signatures; another PK and KEK.
    let other = other_enrolment(context)?;
    std::fs::copy(&other, machine.vars_path())?;
    let mut on = machine.power_on()?;
    let line = on.wait_for_without("RECOVERY STATE-SECURE-BOOT: ", &open(), INITRD)?;
    ensure!(
        line.text.contains("pcr 7, the state of secure boot"),
        "{}",
        line.text
    );
    on.wait_for_prompt("recovery key:", INITRD)?;
    on.send("\u{4}")?;
    on.wait_for_without("bennu-init: HALTED STATE-SECURE-BOOT:", &open(), INITRD)?;
    // This image reads no key at its recovery screen.
    on.wait_for("nothing restarts by itself and no key is read", INITRD)?;
    on.quit()?;

    let mut on = machine.power_on()?;
    answer(
        &mut on,
        "recovery key:",
        &key,
        "the recovery key opens the state volume",
    )?;
    on.wait_for_without("restarting", &open(), INITRD)?;
    expect_reset(&mut on)?;
    drop(on);
    let third = boot_to_probe(&mut machine)?;
    count(&third, 3)?;
    expect_same_secret(&third, &first)?;

    // The old state is the wrong one now.
    std::fs::write(machine.vars_path(), own)?;
    let mut on = machine.power_on()?;
    on.wait_for_without("RECOVERY STATE-SECURE-BOOT: ", &open(), INITRD)?;
    on.quit()?;
    Ok(())
}

/// A variable store with the db of every story, enrolled by somebody else's PK and KEK.
fn other_enrolment(context: &Context) -> Result<std::path::PathBuf> {
    let keys = context.folder().join("other-keys");
    images::run_bennu(&["keys", "generate", "--throw-away", &images::text(&keys)])?;
    for name in ["db.crt", "db.key"] {
        std::fs::copy(images::keys().join(name), keys.join(name))?;
    }
    let store = context.folder().join("other-vars.fd");
    images::run_bennu(&[
        "keys",
        "enrol",
        &images::text(&keys),
        "--output",
        &images::text(&store),
    ])?;
    Ok(store)
}
