//! Factory reset at the recovery screen: whoever is in front of a machine that does not start types two confirmations, and
//! the next start does what `bennuctl factory-reset` would have had it do. One confirmation, or a wrong one, changes
//! nothing.

use super::pin::open;
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

const LABEL: &str = "state";
const HEADER_BYTES: usize = 1 << 20;
const WISH: &str = "/bennu/factory-reset.request";

pub fn stories() -> Vec<Story> {
    vec![
        story!("factory-reset-at-the-recovery-screen", Tier::Fast, typed),
        story!(
            "factory-reset-at-the-screen-of-a-cleared-tpm",
            Tier::Fast,
            cleared
        ),
    ]
}

fn count(lines: &[String], expected: u32) -> Result<()> {
    expect_line(lines, &format!("PROBE COUNT /var/starts {expected} true")).map(drop)
}

fn halted(on: &mut PowerOn<'_>, code: &str) -> Result<()> {
    on.wait_for_without(format!("bennu-init: HALTED {code}:").as_str(), &open(), INITRD)?;
    on.wait_for("use the power switch, or the prompt below", INITRD)?;
    Ok(())
}

fn first_word(on: &mut PowerOn<'_>, words: &str) -> Result<()> {
    on.wait_for_prompt("words:", INITRD)?;
    on.send(&format!("{words}\r"))
}

/// The code that the second confirmation asks for.
fn code(on: &mut PowerOn<'_>) -> Result<String> {
    let line = on.wait_for("within five minutes", INITRD)?;
    let code = line
        .text
        .split("type ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    on.wait_for_prompt("code:", INITRD)?;
    code.map(str::to_owned).context("no code")
}

/// Both confirmations; the machine restarts by itself.
fn confirm(mut on: PowerOn<'_>) -> Result<()> {
    first_word(&mut on, "factory reset")?;
    let code = code(&mut on)?;
    on.send(&format!("{code}\r"))?;
    on.wait_for_without(
        format!("factory reset {code} is asked for: restarting").as_str(),
        &open(),
        INITRD,
    )?;
    expect_reset(&mut on)
}

fn expect_first_start(lines: &[String], before: &[String]) -> Result<()> {
    expect_line(lines, "overwrote the state volume's header and keyslots")?;
    expect_line(lines, "factory reset done: floor kept at ")?;
    expect_line(lines, "\"outcome\": \"done\"")?;
    expect_line(lines, "bennu-init: made state volume ")?;
    count(lines, 1)?;
    ensure!(
        secret_mark(lines, "machine")? != secret_mark(before, "machine")?,
        "the secret is the old one"
    );
    Ok(())
}

fn typed(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/halts.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    count(&first, 1)?;
    let header = machine.disk()?.read(LABEL, 0, HEADER_BYTES)?;
    machine.disk()?.write(LABEL, 0, &vec![0; HEADER_BYTES])?;

    // Wrong words; the right ones with a wrong code; the right ones and no code.
    let mut on = machine.power_on()?;
    halted(&mut on, "STATE-MISSING")?;
    first_word(&mut on, "factory reset please")?;
    on.wait_for(
        "these are not the words of a factory reset: nothing was changed",
        INITRD,
    )?;
    first_word(&mut on, "factory reset")?;
    let wrong = if code(&mut on)?.starts_with('0') {
        "10000000"
    } else {
        "00000000"
    };
    on.send(&format!("{wrong}\r"))?;
    on.wait_for("that is not the code: nothing was changed", INITRD)?;
    first_word(&mut on, "factory reset")?;
    code(&mut on)?;
    on.quit()?;
    ensure!(machine.disk()?.esp()?.get(WISH).is_err(), "a wish was written");
    machine.disk()?.write(LABEL, 0, &header)?;
    let second = boot_to_probe(&mut machine)?;
    count(&second, 2)?;
    expect_same_secret(&second, &first)?;

    machine.disk()?.write(LABEL, 0, &vec![0; HEADER_BYTES])?;
    let mut on = machine.power_on()?;
    halted(&mut on, "STATE-MISSING")?;
    confirm(on)?;
    let reset = boot_to_probe(&mut machine)?;
    for name in ["machine", "state.volume", "tpm.owner"] {
        expect_line(&reset, &format!("the TPM refuses the old secret {name}: 0x"))?;
    }
    expect_first_start(&reset, &first)?;

    // The volume that was destroyed does not come back.
    machine.disk()?.write(LABEL, 0, &header)?;
    boot_that_halts(&mut machine, "STATE-SWAPPED").map(drop)
}

/// The TPM was cleared in the firmware's setup, and there is no recovery key.
fn cleared(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/halts.toml"])?)?;
    let first = boot_to_probe(&mut machine)?;
    machine.replace_tpm(None)?;
    let mut on = machine.power_on()?;
    on.wait_for_without("RECOVERY FLOOR-MISSING: ", &open(), INITRD)?;
    on.wait_for_prompt("recovery key:", INITRD)?;
    on.send("\u{4}")?;
    halted(&mut on, "FLOOR-MISSING")?;
    confirm(on)?;
    let reset = boot_to_probe(&mut machine)?;
    expect_line(&reset, "going on with a factory reset that was cut off")?;
    expect_line(&reset, "factory reset done: floor kept at 1")?;
    expect_first_start(&reset, &first)?;
    let second = boot_to_probe(&mut machine)?;
    count(&second, 2)
}
