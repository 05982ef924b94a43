//! A device on the TPM's bus shows a storage key of its own, whose private part it knows: whatever were salted to it
//! could be read. The sealed files say which key it has to be.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "interposer-swaps-the-storage-key",
        Tier::Fast,
        swapped_storage_key
    )]
}

fn swapped_storage_key(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    machine.set_tpm_faults(Some(vec![TpmFault::Record]));
    let (first, tpm) = boot_to_probe_watched(&mut machine)?;
    expect_version(&first, "2")?;
    let control = tpm.traffic().salted_sessions();
    ensure!(control > 0, "control: expected sessions salted to our own key");
    let blob = machine.disk()?.esp()?.get("/bennu/secrets/tpm.owner.sealed")?;
    // Its Name stands behind magic and version (docs/spec).
    let name = hex::encode(
        blob.get(10..44)
            .context("the owner's sealed secret is too short")?,
    );

    machine.set_tpm_faults(Some(vec![TpmFault::SwapSrkPublic, TpmFault::Record]));
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    let line = expect_no_unseal(&mut on, &format!("expected storage key {name}, found 000b"))?;
    ensure!(
        !line.contains(&format!("found {name}")),
        "expected another storage key, found: {line}"
    );
    drop(on);
    let trouble = tpm.trouble();
    ensure!(
        tpm.struck(0) > 0 && trouble.is_empty(),
        "expected a swapped key and no trouble of the rig, found {} and {trouble:?}",
        tpm.struck(0)
    );
    let sessions = tpm.traffic().salted_sessions();
    ensure!(
        sessions == 0,
        "expected no session salted to the stranger's key, found {sessions}"
    );

    machine.set_tpm_faults(None);
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "1")?;
    expect_line(&after, "fell back from 2: SECRET-UNSEAL: ")?;
    expect_same_secret(&after, &first)
}
