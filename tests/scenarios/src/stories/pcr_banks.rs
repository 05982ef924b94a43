//! TPMs with other PCR banks than SHA-256 alone. A policy names values of the SHA-256 bank: without it nothing opens,
//! and the sentence says what to do. With a second bank all of them are measured into and latched: one that were
//! left at zero would be a way round. And a TPM whose SHA-256 bank is on, and into which the firmware measured nothing:
//! whoever comes later could put any values there.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("tpm-with-the-sha1-bank-only", Tier::Fast, sha1_only),
        story!("tpm-with-the-sha384-bank-only", Tier::Fast, sha384_only),
        story!("tpm-with-two-banks", Tier::Fast, two_banks),
        story!(
            "tpm-into-which-the-firmware-measures-nothing",
            Tier::Fast,
            nothing_measured
        ),
    ]
}

fn machine(context: &mut Context, banks: Vec<PcrBank>) -> Result<Machine> {
    context.machine(MachineSpec {
        tpm: Some(banks),
        ..images::spec(&images::small()?)?
    })
}

fn sha1_only(context: &mut Context) -> Result<()> {
    refused(&mut machine(context, vec![PcrBank::Sha1])?, "sha1")
}

fn sha384_only(context: &mut Context) -> Result<()> {
    refused(&mut machine(context, vec![PcrBank::Sha384])?, "sha384")
}

/// Refused when the TPM is opened: nothing is extended or sealed before, and the other slot would meet the same.
fn refused(machine: &mut Machine, found: &str) -> Result<()> {
    let lines = boot_that_halts(machine, "TPM-BANK")?;
    let reason =
        format!("expected pcr 0 in an active bank sha256, found the banks: {found}; turn that bank on");
    expect_line(&lines, &reason)?;
    ensure!(
        !lines
            .iter()
            .any(|l| l.contains("made secret") || l.contains("no floor in this TPM")),
        "something was made in a TPM that is refused"
    );
    Ok(())
}

/// The control of both, and more.
fn two_banks(context: &mut Context) -> Result<()> {
    let mut machine = machine(context, vec![PcrBank::Sha1, PcrBank::Sha256])?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    expect_line(&lines, "latched: the TPM refused a second unseal of 1 secrets")?;
    for bank in ["sha1", "sha256"] {
        for index in [11, 15] {
            ensure!(
                pcr(&lines, bank, index)?.bytes().any(|b| b != b'0'),
                "PCR {index} of bank {bank} is zero"
            );
        }
    }
    Ok(())
}

/// A firmware that meets an error at its first extend gives the TPM up and starts the machine all the same. For
/// `bennu-init` the TPM works.
fn nothing_measured(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;

    machine.set_tpm_faults(Some(vec![TpmFault::Error {
        command: TpmCommand::PCR_EXTEND,
        code: ResponseCode::FAILURE,
        times: 1,
        after: 0,
    }]));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    let nothing = ["PROBE BEGIN".into(), "unsealed secret".into()];
    let line = on.wait_for_without("bennu-init: FAILED TPM-BANK: ", &nothing, INITRD)?;
    let reason = "to have measured into pcr 0 of bank sha256, found zeros";
    ensure!(
        line.text.contains(reason),
        "expected `{reason}`, found: {}",
        line.text
    );
    on.wait_for_without("bennu-init: HALTED TPM-BANK:", &nothing, INITRD)?;
    on.quit()?;
    let trouble = tpm.trouble();
    ensure!(
        tpm.struck(0) == 1 && trouble.is_empty(),
        "expected one error and no trouble of the rig, found {} and {trouble:?}",
        tpm.struck(0)
    );

    machine.set_tpm_faults(None);
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}
