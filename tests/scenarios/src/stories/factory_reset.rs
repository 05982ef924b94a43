//! Factory reset: two confirmations on the running system, and the next start is a first one. What the disk held before,
//! put back from a copy, is refused by the TPM for ever; the anti-rollback floor stays.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

const LABEL: &str = "state";
const HEADER_BYTES: usize = 1 << 20;
const WISH: &str = "/bennu/factory-reset.request";
const SECRETS: [&str; 3] = ["machine", "state.volume", "tpm.owner"];

pub fn stories() -> Vec<Story> {
    vec![
        story!("factory-reset-erases-and-shows-it", Tier::Fast, erases),
        story!("factory-reset-cut-off-goes-on", Tier::Fast, cut_off),
    ]
}

/// What somebody with the disk has copied.
struct Copy {
    header: Vec<u8>,
    sealed: Vec<(String, Vec<u8>)>,
}

fn copy(machine: &Machine) -> Result<Copy> {
    let disk = machine.disk()?;
    let esp = disk.esp()?;
    let sealed = SECRETS
        .iter()
        .map(|name| {
            let path = format!("/bennu/secrets/{name}.sealed");
            Ok((path.clone(), esp.get(&path)?))
        })
        .collect::<Result<_>>()?;
    let header = disk.read(LABEL, 0, HEADER_BYTES)?;
    Ok(Copy { header, sealed })
}

fn put_back(machine: &Machine, copy: &Copy, which: &[&str]) -> Result<()> {
    let disk = machine.disk()?;
    disk.write(LABEL, 0, &copy.header)?;
    for (path, bytes) in &copy.sealed {
        if which.iter().any(|name| path.contains(&format!("/{name}."))) {
            disk.esp()?.put(path, bytes)?;
        }
    }
    Ok(())
}

fn count(lines: &[String], expected: u32) -> Result<()> {
    expect_line(lines, &format!("PROBE COUNT /var/starts {expected} true")).map(drop)
}

fn expect_none(lines: &[String], part: &str) -> Result<()> {
    match lines.iter().find(|line| line.contains(part)) {
        Some(line) => bail!("expected no line with `{part}`, found: {line}"),
        None => Ok(()),
    }
}

/// A machine of three starts: the floor has risen, a reset was asked for and confirmed.
fn asked_for(context: &mut Context) -> Result<(Machine, Vec<String>)> {
    let mut machine = images::machine(context, &images::disk(&["small/reset.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    count(&first, 1)?;
    expect_line(&first, "PROBE GOOD")?;

    let second = boot_to_probe(&mut machine)?;
    expect_line(&second, "raised the floor from 0 to 2")?;
    count(&second, 2)?;
    expect_line(&second, "PROBE RESET exit status: 1")?;
    expect_line(&second, "expected the name of this machine")?;
    expect_line(&second, "To go on, within five minutes")?;

    // The control: without the second confirmation nothing has happened.
    let third = boot_to_probe(&mut machine)?;
    expect_none(&third, "bennu-init: factory reset")?;
    count(&third, 3)?;
    expect_same_secret(&third, &first)?;
    expect_line(&third, "PROBE RESET Confirmed. Restart the machine")?;
    Ok((machine, third))
}

/// A first start at the old floor.
fn expect_reset(lines: &[String], before: &[String]) -> Result<()> {
    for name in SECRETS {
        expect_line(lines, &format!("the TPM refuses the old secret {name}: 0x"))?;
    }
    expect_line(lines, "not of this tpm or was changed")?;
    expect_line(lines, "overwrote the state volume's header and keyslots")?;
    expect_line(
        lines,
        "factory reset done: floor kept at 2; a first start follows",
    )?;
    expect_none(lines, "begun at 0")?;
    expect_line(lines, "set the TPM's owner and lockout authorisations")?;
    expect_line(lines, "bennu-init: made state volume ")?;
    expect_line(lines, "bennu-init: recovery key of the state volume: ")?;
    expect_line(lines, "\"floor\": 2")?;
    expect_line(lines, "\"outcome\": \"done\"")?;
    count(lines, 1)?;
    ensure!(
        secret_mark(lines, "machine")? != secret_mark(before, "machine")?,
        "the secret is the old one"
    );
    Ok(())
}

fn erases(context: &mut Context) -> Result<()> {
    let (mut machine, before) = asked_for(context)?;
    let old = copy(&machine)?;
    let wish = machine.disk()?.esp()?.get(WISH)?;

    let reset = boot_to_probe(&mut machine)?;
    expect_line(&reset, "was asked for")?;
    expect_reset(&reset, &before)?;
    let new = copy(&machine)?;
    ensure!(
        machine.disk()?.esp()?.get(WISH)? == [0; 64],
        "the wish is still there"
    );

    // The old copy put back: first all of it, then the volume with its key, then the volume alone.
    put_back(&machine, &old, &SECRETS)?;
    refused(&mut machine, "SECRET-UNSEAL", "storage key")?;
    put_back(&machine, &new, &SECRETS)?;
    put_back(&machine, &old, &["state.volume"])?;
    refused(&mut machine, "SECRET-UNSEAL", "storage key")?;
    put_back(&machine, &new, &SECRETS)?;
    put_back(&machine, &old, &[])?;
    refused(&mut machine, "STATE-SWAPPED", "expected")?;

    // The old wish counts no more, and the machine goes on where its first start ended.
    put_back(&machine, &new, &SECRETS)?;
    machine.disk()?.esp()?.put(WISH, &wish)?;
    let after = boot_to_probe(&mut machine)?;
    expect_line(&after, "not asked for on this machine; nothing is reset")?;
    count(&after, 2)?;
    expect_same_secret(&after, &reset)
}

fn refused(machine: &mut Machine, code: &str, words: &str) -> Result<()> {
    let mut on = machine.power_on()?;
    let nothing = ["unsealed secret".into(), "PROBE BEGIN".into()];
    let line = on.wait_for_without(format!("bennu-init: FAILED {code}: ").as_str(), &nothing, INITRD)?;
    ensure!(
        line.text.contains(words),
        "expected {words}, found: {}",
        line.text
    );
    on.wait_for_without(format!("HALTED {code}").as_str(), &nothing, INITRD)?;
    on.quit()?;
    let disk = machine.disk()?;
    let entry = crate::forge::entry(disk, "small_6")?;
    if entry != "small_6+3-0.efi" {
        disk.esp()?
            .rename(&format!("/EFI/Linux/{entry}"), "small_6+3-0.efi")?;
    }
    for record in ["boot-record.json", "boot-record.2.json"] {
        disk.esp()?.delete(&format!("/bennu/{record}"))?;
    }
    Ok(())
}

fn cut_off(context: &mut Context) -> Result<()> {
    let (mut machine, before) = asked_for(context)?;
    // The TPM has neither floor nor seed any more; everything else is as it was.
    let mut on = machine.power_on()?;
    on.wait_for_without("bennu-init: cleared the TPM", &["overwrote".into()], INITRD)?;
    on.kill()?;
    // Whoever has the disk takes the wish away: the reset does not depend on it any more.
    machine.disk()?.esp()?.delete(WISH)?;

    let reset = boot_to_probe(&mut machine)?;
    expect_line(&reset, "going on with a factory reset that was cut off")?;
    expect_reset(&reset, &before)?;
    let after = boot_to_probe(&mut machine)?;
    expect_none(&after, "bennu-init: factory reset")?;
    count(&after, 2)
}
