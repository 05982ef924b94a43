//! A machine that fails again and again, with somebody at its keyboard and its serial line: no prompt, no shell, no
//! debugger, however often. What the kernel itself does at SysRq stays.

use crate::serial::*;
use crate::{forge, images};
use bennu_formats::verity_sig::PARTITION_BYTES;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "ten-failures-and-every-key-give-no-shell",
        Tier::Fast,
        ten_failures
    )]
}

const FAILURES: usize = 10;
/// A shell would answer with the product; an echo does not hold it, and the consoles show none.
const TYPED: &str = "\r\n\x03\x04\x1b\r\nroot\r\nrd.break\r\necho answer-$((6*7))\r\n";
const ANSWER: &str = "answer-42";
/// SysRq with each of these (Documentation/admin-guide/sysrq.rst): terminate, kill, free memory, help, debugger.
const SYSRQ: [&str; 5] = ["e", "i", "f", "h", "g"];

fn ten_failures(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let manifests = ["small_1", "small_2"].map(|label| manifest(&machine, label));
    let [older, newer] = manifests;
    let (older, newer) = (older?, newer?);
    for (number, _) in [&older, &newer] {
        machine.disk()?.write(*number, 0, &[0; PARTITION_BYTES])?;
    }
    boot_that_fails(&mut machine, "MANIFEST-FORMAT")?;
    for failure in 1..=FAILURES {
        talk(&mut machine).with_context(|| format!("failure {failure}"))?;
    }

    // The control: mended, with its tries given back, it boots, and the secret is the same.
    for (number, bytes) in [&older, &newer] {
        machine.disk()?.write(*number, 0, bytes)?;
    }
    forge::give_tries_back(&machine, "small_2")?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}

fn manifest(machine: &Machine, label: &str) -> Result<(u32, Vec<u8>)> {
    let number = forge::manifest_partition(machine.disk()?, label)?.number;
    Ok((number, machine.disk()?.read(number, 0, PARTITION_BYTES)?))
}

/// Powers on, waits for the recovery screen, and tries everything.
fn talk(machine: &mut Machine) -> Result<()> {
    let nothing: [Marker; 4] = [
        "unsealed secret".into(),
        "PROBE BEGIN".into(),
        "login:".into(),
        ANSWER.into(),
    ];
    let mut on = machine.power_on()?;
    on.wait_for_without("qr text  bennu:1:MANIFEST-FORMAT:", &nothing, INITRD)?;
    on.send(TYPED)?;
    on.press_keys(&["ctrl", "alt", "delete"])?;
    for key in SYSRQ {
        on.press_keys(&["alt", "sysrq", key])?;
    }
    // The kernel got the last of them, whether it obeys or says that it is disabled.
    for _ in SYSRQ {
        on.wait_for("sysrq: ", INITRD)?;
    }
    // And what comes over the serial line, behind all that was typed there: its own SysRq, a break and a letter.
    on.send_break()?;
    on.send("h")?;
    on.wait_for("sysrq: HELP", INITRD)?;
    for marker in nothing {
        on.expect_none(&marker)?;
    }
    on.quit().map(drop)
}
