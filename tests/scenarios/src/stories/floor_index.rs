//! The anti-rollback floor's NV index, removed and made anew. Who has the running system cannot: the owner's
//! authorisation is random. Who reaches the TPM before the firmware locks its platform hierarchy, or clears it, can,
//! and the machine says which it was.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "floor-index-removed-or-made-anew",
        Tier::Fast,
        removed_or_made_anew
    )]
}

/// Where the floor lies (docs/spec).
const INDEX: &str = "0x180be00";

fn removed_or_made_anew(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let own = machine.tpm_snapshot()?;

    // The control: the index is there, and was reached.
    machine.tpm_tool("tpm2_nvreadpublic", &[INDEX])?;
    let refused = machine.tpm_tool("tpm2_nvundefine", &["-C", "o", INDEX]);
    expect_refusal(refused, "removed the floor as the owner")?;
    let refused = machine.tpm_tool("tpm2_clear", &["-c", "l"]);
    expect_refusal(refused, "cleared the TPM with the lockout's authorisation")?;

    machine.tpm_tool("tpm2_nvundefine", &["-C", "p", INDEX])?;
    let lines = boot_that_halts(&mut machine, "FLOOR-MISSING")?;
    let reason = "expected the nv index 0x180be00 of a machine with sealed secrets, found none";
    expect_line(&lines, reason)?;

    // Cleared, the TPM belongs to nobody: its new owner makes an index that is written without a policy.
    machine.tpm_restore(&own)?;
    machine.tpm_tool("tpm2_clear", &["-c", "p"])?;
    let attributes = "ownerread|ownerwrite|authread|authwrite";
    machine.tpm_tool("tpm2_nvdefine", &["-C", "o", "-s", "8", "-a", attributes, INDEX])?;
    forge::give_tries_back(&machine, "small_2")?;
    boot_that_halts(&mut machine, "FLOOR-FOREIGN")?;

    machine.tpm_restore(&own)?;
    forge::give_tries_back(&machine, "small_2")?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}

fn expect_refusal(found: Result<Vec<u8>>, what: &str) -> Result<()> {
    let Err(error) = found else {
        bail!("somebody without the authorisation {what}")
    };
    let words = format!("{error:#}").to_lowercase();
    ensure!(
        words.contains("authorization"),
        "expected the TPM to refuse the authorisation, found: {words}"
    );
    Ok(())
}
