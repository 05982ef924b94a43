//! The state volume: kept from start to start, and never another machine's, nobody's, or an older one. Whoever has the
//! disk can put anything on the partition; the machine says which it was, and no secret is released.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub(super) const LABEL: &str = "state";
/// Both copies of the header and the keyslots.
pub(super) const HEADER_BYTES: usize = 1 << 20;

pub fn stories() -> Vec<Story> {
    vec![
        story!("state-is-kept-and-an-older-copy-refused", Tier::Fast, kept),
        story!("state-of-somebody-else", Tier::Fast, somebody_elses),
        story!("state-grows-to-the-disks-end", Tier::Fast, grows),
    ]
}

pub(super) fn machine(context: &mut Context) -> Result<Machine> {
    images::machine(context, &images::disk(&["small/state.toml"])?)
}

pub(super) fn count(lines: &[String], expected: u32) -> Result<()> {
    expect_line(lines, &format!("PROBE COUNT /var/starts {expected} true")).map(drop)
}

fn kept(context: &mut Context) -> Result<()> {
    let mut machine = machine(context)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "bennu-init: made state volume ")?;
    let recovery = expect_line(&first, "bennu-init: recovery key of the state volume: ")?;
    count(&first, 1)?;
    let older = header(&machine)?;

    let second = boot_to_probe(&mut machine)?;
    expect_line(&second, "opened, generation 2")?;
    count(&second, 2)?;
    ensure!(
        !second.iter().any(|line| line.contains("recovery key")),
        "the recovery key was shown a second time"
    );
    recovery_key_opens(&machine, &recovery)?;

    let newest = header(&machine)?;
    machine.disk()?.write(LABEL, 0, &older)?;
    let line = refused(&mut machine, "STATE-ROLLED-BACK")?;
    ensure!(
        line.contains("expected generation 2 or 3, found 1: the volume is an older copy"),
        "expected both generations and the older side, found: {line}"
    );

    machine.disk()?.write(LABEL, 0, &newest)?;
    let third = boot_to_probe(&mut machine)?;
    count(&third, 3)
}

/// An image is smaller than what it is flashed to; a virtual disk is made larger later.
fn grows(context: &mut Context) -> Result<()> {
    let flashed = context.folder().join("flashed.raw");
    std::fs::copy(images::disk(&["small/state.toml"])?, &flashed)?;
    enlarge(&flashed, 40)?;
    let mut machine = images::machine(context, &flashed)?;
    std::fs::remove_file(&flashed)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "bennu-init: state partition grown to 13")?;
    count(&first, 1)?;
    let second = boot_to_probe(&mut machine)?;
    ensure!(
        !second.iter().any(|line| line.contains("state partition grown")),
        "it grew again on a disk of the same length"
    );
    count(&second, 2)?;

    enlarge(machine.disk()?.path(), 64)?;
    let third = boot_to_probe(&mut machine)?;
    let line = expect_line(&third, "bennu-init: state partition grown to ")?;
    count(&third, 3)?;
    let blocks = expect_line(&third, "PROBE BLOCKS /var ")?;
    let mib: u64 = blocks.rsplit(' ').next().context("no number")?.parse()?;
    ensure!(
        (170..200).contains(&mib),
        "expected the file system to grow as well, found {mib} MiB; {line}"
    );
    let judged = std::process::Command::new("sgdisk")
        .arg("-v")
        .arg(machine.disk()?.path())
        .output()?;
    let words = String::from_utf8_lossy(&judged.stdout);
    ensure!(words.contains("No problems found."), "sgdisk: {words}");
    Ok(())
}

fn enlarge(path: &std::path::Path, mib: u64) -> Result<()> {
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    Ok(file.set_len(file.metadata()?.len() + (mib << 20))?)
}

fn somebody_elses(context: &mut Context) -> Result<()> {
    let mut other = machine(context)?;
    boot_to_probe(&mut other)?;
    let strange = header(&other)?;
    let mut machine = machine(context)?;
    count(&boot_to_probe(&mut machine)?, 1)?;
    let own = header(&machine)?;

    // The same form, made by a machine like this one.
    machine.disk()?.write(LABEL, 0, &strange)?;
    refused(&mut machine, "STATE-SWAPPED")?;
    // LUKS2 by somebody's own tools, under the same UUID: the attack that unlocked other systems.
    machine.disk()?.write(LABEL, 0, &luks_by_tools(context, &own)?)?;
    refused(&mut machine, "STATE-HEADER")?;
    // No encryption at all.
    machine.disk()?.write(LABEL, 0, &plain_ext4(context)?)?;
    refused(&mut machine, "STATE-PLAIN")?;
    // Nothing: it is not made anew over what may have been there.
    machine.disk()?.write(LABEL, 0, &vec![0; HEADER_BYTES])?;
    refused(&mut machine, "STATE-MISSING")?;

    machine.disk()?.write(LABEL, 0, &own)?;
    let sealed = machine.disk()?.esp()?.get("/bennu/secrets/state.volume.sealed")?;
    machine
        .disk()?
        .esp()?
        .delete("/bennu/secrets/state.volume.sealed")?;
    refused(&mut machine, "STATE-KEY-MISSING")?;

    machine
        .disk()?
        .esp()?
        .put("/bennu/secrets/state.volume.sealed", &sealed)?;
    count(&boot_to_probe(&mut machine)?, 2)
}

pub(super) fn header(machine: &Machine) -> Result<Vec<u8>> {
    Ok(machine.disk()?.read(LABEL, 0, HEADER_BYTES)?)
}

/// A start that ends at the last screen with `code`, with no secret released and the latch closed. Then the attacker
/// gives the slot its tries back.
pub(super) fn refused(machine: &mut Machine, code: &str) -> Result<String> {
    let mut on = machine.power_on()?;
    if code == "STATE-KEY-MISSING" {
        // The one of these that a recovery key cures; here nobody has it.
        on.wait_for_prompt("recovery key:", INITRD)?;
        on.send("\u{4}")?;
    }
    let nothing = [
        "unsealed secret".into(),
        "PROBE BEGIN".into(),
        "opened, generation".into(),
    ];
    let line = on.wait_for_without(format!("bennu-init: FAILED {code}: ").as_str(), &nothing, INITRD)?;
    on.wait_for_without(format!("HALTED {code}").as_str(), &nothing, INITRD)?;
    on.quit()?;
    let log = machine.disk()?.esp()?.get("/bennu/last-failure.log")?;
    let log = String::from_utf8_lossy(&log);
    ensure!(
        log.contains(&format!("FAILED {code}: ")) && log.contains("\"string\":\"leave-initrd\""),
        "expected the failure and the latch in the log, found:\n{log}"
    );
    forge::give_tries_back(machine, "small_5")?;
    Ok(line.text)
}

/// cryptsetup opens the volume with the key that was shown.
fn recovery_key_opens(machine: &Machine, line: &str) -> Result<()> {
    let key = line.rsplit(' ').next().context("no recovery key")?.trim();
    ensure!(key.len() == 71, "expected eight groups of eight, found {key}");
    let scratch = tempfile::tempdir()?;
    let volume = scratch.path().join("volume");
    std::fs::write(&volume, header(machine)?)?;
    std::fs::OpenOptions::new()
        .write(true)
        .open(&volume)?
        .set_len(32 << 20)?;
    let file = scratch.path().join("key");
    std::fs::write(&file, key)?;
    let opens = |key: &std::path::Path| {
        std::process::Command::new("cryptsetup")
            .args(["open", "--test-passphrase", "--key-file"])
            .arg(key)
            .arg(&volume)
            .output()
    };
    let output = opens(&file)?;
    ensure!(
        output.status.success(),
        "cryptsetup: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(&file, "another key of some length")?;
    ensure!(!opens(&file)?.status.success(), "any key opens it");
    Ok(())
}

fn luks_by_tools(context: &Context, own: &[u8]) -> Result<Vec<u8>> {
    let uuid = String::from_utf8_lossy(&own[0xa8..0xa8 + 36]).into_owned();
    let path = context.folder().join("foreign.luks");
    std::fs::File::create(&path)?.set_len(32 << 20)?;
    let key = context.folder().join("foreign.key");
    std::fs::write(&key, "the attacker knows this one")?;
    run(
        "cryptsetup",
        &[
            "luksFormat",
            "--type",
            "luks2",
            "--batch-mode",
            "--pbkdf",
            "pbkdf2",
            "--uuid",
            &uuid,
            &images::text(&path),
            &images::text(&key),
        ],
    )?;
    first_bytes(&path)
}

fn plain_ext4(context: &Context) -> Result<Vec<u8>> {
    let path = context.folder().join("plain.ext4");
    std::fs::File::create(&path)?.set_len(32 << 20)?;
    run("mke2fs", &["-q", "-F", "-t", "ext4", &images::text(&path)])?;
    first_bytes(&path)
}

fn first_bytes(path: &std::path::Path) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(path)?;
    bytes.truncate(HEADER_BYTES);
    std::fs::remove_file(path)?;
    Ok(bytes)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = std::process::Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output()
        .with_context(|| program.to_owned())?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
