//! That a start which nobody signed for is refused also where nothing is sealed that would not open; and the machine's
//! own look at its latch, with a TPM that says success and extends another PCR.

use super::esp_injections::expect_unexpected;
use super::smbios::{WORDS, with_text};
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::ffi::OsString;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "foreign-command-line-where-nothing-is-sealed",
            Tier::Full,
            nothing_sealed
        ),
        story!("latch-that-does-not-close", Tier::Full, does_not_close),
    ]
}

const REFUSED: &str = "the TPM refused the policy that all that is sealed names";

fn nothing_sealed(context: &mut Context) -> Result<()> {
    let (mut machine, plain) = machine(context, "small/bare.toml")?;
    let latched = format!("bennu-init: latched: {REFUSED}");
    expect_line(&boot_to_probe(&mut machine)?, &latched)?;
    machine.set_extra_args(with_text(&plain, WORDS));
    refused(&mut machine, &["PROBE BEGIN".into()])?;
    // The control: the same machine without the words.
    machine.set_extra_args(plain);
    expect_line(&boot_to_probe(&mut machine)?, &latched)?;

    // The first start of all, before there is a volume: none is made for whoever chose the words.
    let (mut machine, plain) = self::machine(context, "small/state.toml")?;
    let volume = "recovery key of the state volume";
    machine.set_extra_args(with_text(&plain, WORDS));
    refused(&mut machine, &["PROBE BEGIN".into(), volume.into()])?;
    machine.set_extra_args(plain);
    expect_line(&boot_to_probe(&mut machine)?, volume).map(drop)
}

fn machine(context: &mut Context, definition: &str) -> Result<(Machine, Vec<OsString>)> {
    let spec = images::spec(&images::disk(&[definition])?)?;
    let plain = spec.extra_args.clone();
    Ok((context.machine(spec)?, plain))
}

/// A start that fails for PCR 12, and proves its latch behind that.
fn refused(machine: &mut Machine, forbidden: &[Marker]) -> Result<()> {
    let mut on = machine.power_on()?;
    let line = on.wait_for_without("bennu-init: FAILED PCR-UNEXPECTED:", forbidden, INITRD)?;
    expect_unexpected(&line.text, 12)?;
    let latched = format!("bennu-init: latched after the failure: {REFUSED}");
    on.wait_for_without(latched.as_str(), forbidden, INITRD)?;
    on.wait_for_without("qr text  bennu:1:PCR-UNEXPECTED:", forbidden, INITRD)?;
    on.quit().map(drop)
}

fn does_not_close(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    machine.set_tpm_faults(Some(vec![TpmFault::Record]));
    let (first, tpm) = boot_to_probe_watched(&mut machine)?;
    expect_version(&first, "2")?;
    let eleven = u32::try_from(tpm.traffic().extends_of(11))?;
    ensure!(
        eleven > 1,
        "expected PCR 11 extended by stub and initrd, found {eleven}"
    );

    // The latch is PCR 15 twice and PCR 11 once, the last of its extends. All of them go elsewhere.
    let elsewhere = |pcr, passed| TpmFault::Extend {
        pcr,
        passed,
        instead: ExtendInstead::OfPcr(16),
    };
    machine.set_tpm_faults(Some(vec![elsewhere(15, 0), elsewhere(11, eleven - 1)]));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    let line = on.wait_for_without("bennu-init: HALTED LATCH-OPEN", &["PROBE BEGIN".into()], INITRD)?;
    let lines = texts(&on);
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    let open = "latch: expected the TPM to refuse the release's policy for its PCRs, found that it does not";
    expect_line(&lines, &format!("FAILED LATCH-OPEN: {open}"))?;
    ensure!(
        !lines.iter().any(|line| line.contains("latched")),
        "the latch was said to be closed before: {}",
        line.text
    );
    ensure!(
        (tpm.struck(0), tpm.struck(1)) == (2, 1),
        "expected 2 and 1 extends that went elsewhere, found {} and {}",
        tpm.struck(0),
        tpm.struck(1)
    );
    on.quit()?;

    // A latch that the TPM refuses to close ends the start as well.
    let refused = TpmFault::Extend {
        pcr: 15,
        passed: 0,
        instead: ExtendInstead::Refused(ResponseCode::FAILURE),
    };
    machine.set_tpm_faults(Some(vec![refused]));
    let mut on = machine.power_on()?;
    on.wait_for_without("bennu-init: FAILED TPM-EXTEND:", &["PROBE BEGIN".into()], INITRD)?;
    on.wait_for_without("the latch could not be closed", &["PROBE BEGIN".into()], INITRD)?;
    expect_reset(&mut on)?;
    drop(on);

    // The control: an honest TPM, the same machine.
    machine.set_tpm_faults(None);
    expect_same_secret(&boot_to_probe(&mut machine)?, &first)
}
