//! Somebody extends a PCR that no policy names (IMA does, and so can an attacker on the bus) while the secret is
//! being unsealed: the policy session is void, a new one is begun, a bounded number of times.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use bennu_harness::tpm_rig::Origin;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "concurrent-extend-during-unseal",
        Tier::Fast,
        concurrent_extend
    )]
}

/// Unseals of a start before that of the secret: the owner's authorisation, for a factory reset. They are left alone.
const OWNER: u32 = 1;

/// PCR 10 is extended before TPM2_Unseal of the secret, after the policy session has looked at the PCRs.
fn extends(times: u32) -> Vec<TpmFault> {
    let inject = TpmFault::Inject {
        before: TpmCommand::UNSEAL,
        command: pcr_extend(10, PcrBank::Sha256, &[0x5A; 32]),
        times,
        after: OWNER,
    };
    vec![inject, TpmFault::Record]
}

fn concurrent_extend(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;

    // A few times: it opens all the same.
    machine.set_tpm_faults(Some(extends(3)));
    let (first, tpm) = boot_to_probe_watched(&mut machine)?;
    expect_version(&first, "2")?;
    expect_line(&first, "unsealed secret machine (32 bytes)")?;
    expect_struck(&tpm, 3, 4)?;

    // Each time: it gives up after 12 sessions, says why, and the machine goes on to the other slot.
    machine.set_tpm_faults(Some(extends(u32::MAX)));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    expect_no_unseal(&mut on, "pcrs changed during each of 12 attempts")?;
    drop(on);
    expect_struck(&tpm, 12, 12)?;

    // When it stops the secret is there as before.
    machine.set_tpm_faults(None);
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "1")?;
    expect_line(&after, "fell back from 2: SECRET-UNSEAL: ")?;
    expect_same_secret(&after, &first)
}

/// Demands that many injected extends, as many refusals by the TPM, and that many tries to unseal the secret.
fn expect_struck(tpm: &TpmWatch, times: u32, unseals: u32) -> Result<()> {
    let trouble = tpm.trouble();
    ensure!(
        trouble.is_empty(),
        "expected no trouble of the rig, found {trouble:?}"
    );
    ensure!(
        tpm.struck(0) == times,
        "expected {times} injected extends, found {}",
        tpm.struck(0)
    );
    let traffic = tpm.traffic();
    let refused = traffic
        .messages()
        .iter()
        .filter(|m| m.origin == Origin::Tpm)
        .filter(|m| ResponseCode::of(&m.bytes) == Some(ResponseCode::PCR_CHANGED))
        .count();
    let tried = traffic.count(TpmCommand::UNSEAL);
    ensure!(
        refused == times as usize && tried == (OWNER + unseals) as usize,
        "expected {times} refusals of {OWNER} + {unseals} tries, found {refused} of {tried}"
    );
    Ok(())
}
