//! A machine without a bootable slot ends at the recovery screen, and stays there.

use crate::serial::*;
use crate::{forge, images};
use bennu_formats::Sha256Digest;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "both-roots-damaged-ends-at-the-recovery-screen",
        Tier::Fast,
        both_roots_damaged
    )]
}

fn both_roots_damaged(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    for version in ["1", "2"] {
        let words = format!("PRETTY_NAME=\"Bennu test root (small {version})\"");
        forge::flip_in_root(machine.disk()?, &format!("small_{version}"), words.as_bytes())?;
    }
    boot_that_fails(&mut machine, "VERITY-CORRUPT")?;

    let lines = halt(&mut machine, "small:1:")?;
    for row in [
        "bennu    small 1: stopped ",
        "code     VERITY-CORRUPT",
        "slots    1 (this): bad, attempts 1; VERITY-CORRUPT, as above",
        "         2: bad, attempts 1; VERITY-CORRUPT",
        "log      kept on the ESP: /bennu/last-failure.log",
    ] {
        expect_line(&lines, row)?;
    }
    let log = machine.disk()?.esp()?.get("/bennu/last-failure.log")?;
    let digest = Sha256Digest::of(&log);
    expect_line(&lines, &format!("sha256   {digest}"))?;
    let log = String::from_utf8(log).context("the log is not UTF-8")?;
    ensure!(
        log.starts_with("bennu-failure-log 1\nimage small 1\n")
            && log.contains("FAILED VERITY-CORRUPT: ")
            && log.contains("\"string\":\"leave-initrd\""),
        "expected header, failure and latch in the log, found:\n{log}"
    );

    // Switching on again leads to the same place: whichever entry the loader takes was given up.
    halt(&mut machine, "small:")?;
    Ok(())
}

/// Powers on, waits for the end of the screen with a QR code of `release`, and switches off; gives all lines.
fn halt(machine: &mut Machine, release: &str) -> Result<Vec<String>> {
    let mut on = machine.power_on()?;
    on.wait_for_without(
        "bennu-init: HALTED VERITY-CORRUPT:",
        &["PROBE BEGIN".into()],
        INITRD,
    )?;
    let last = format!("qr text  bennu:1:VERITY-CORRUPT:{release}");
    on.wait_for(last.as_str(), INITRD)?;
    let lines = texts(&on);
    on.quit()?;
    Ok(lines)
}
