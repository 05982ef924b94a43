//! The NV indices of the anti-rollback floor and of the state volume's pin, removed and made anew. Who has the running
//! system cannot: the owner's authorisation is random. Who reaches the TPM before the firmware locks its platform
//! hierarchy, or clears it, can, and the machine says which it was.

use super::state;
use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "floor-index-removed-or-made-anew",
            Tier::Fast,
            removed_or_made_anew
        ),
        story!(
            "floor-index-made-anew-and-never-written",
            Tier::Fast,
            never_written
        ),
        story!("state-pin-removed-or-made-anew", Tier::Fast, pin_removed),
    ]
}

/// Where the floor lies (docs/spec/floor.md).
const INDEX: &str = "0x180be00";
/// Where the state volume's pin lies (docs/spec/state-volume.md).
const PIN: &str = "0x180be01";

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

/// Attributes, policy and size are public: whoever clears the TPM can define the very index that a first start defines,
/// and leave it unwritten, so that it is begun at 0.
fn never_written(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let own = machine.tpm_snapshot()?;
    let policy = context.folder().join("floor.policy");
    std::fs::write(&policy, write_policy(&machine)?)?;

    machine.tpm_tool("tpm2_clear", &["-c", "p"])?;
    define_unwritten(&machine, &policy)?;
    let lines = boot_that_halts(&mut machine, "FLOOR-MISSING")?;
    let reason = "of a machine with sealed secrets, found one that was never written";
    expect_line(&lines, reason)?;

    machine.tpm_restore(&own)?;
    forge::give_tries_back(&machine, "small_2")?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)?;

    // The control: that index is well where nothing was sealed yet. A first start that was cut off leaves the same.
    let mut fresh = images::machine(context, &images::small()?)?;
    define_unwritten(&fresh, &policy)?;
    let lines = boot_to_probe(&mut fresh)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "no floor in this TPM: begun at 0")?;
    expect_line(&lines, "made secret machine and sealed it to this TPM").map(drop)
}

/// The digest of the policy under which the floor's index is written, as the TPM shows it to anybody.
fn write_policy(machine: &Machine) -> Result<Vec<u8>> {
    let shown = String::from_utf8(machine.tpm_tool("tpm2_nvreadpublic", &[INDEX])?)?;
    let digest = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("authorization policy:"))
        .with_context(|| format!("expected a policy, found {shown}"))?;
    let digest = hex::decode(digest.trim())?;
    ensure!(digest.len() == 32, "expected a digest of 32 bytes, found {shown}");
    Ok(digest)
}

fn define_unwritten(machine: &Machine, policy: &std::path::Path) -> Result<()> {
    let (attributes, policy) = ("policywrite|authread|no_da", images::text(policy));
    let arguments = ["-C", "o", "-s", "8", "-a", attributes, "-L", &policy, INDEX];
    machine.tpm_tool("tpm2_nvdefine", &arguments)?;
    let shown = String::from_utf8(machine.tpm_tool("tpm2_nvreadpublic", &[INDEX])?)?;
    ensure!(
        shown.contains("no_da") && !shown.contains("written"),
        "expected the floor's index, unwritten, found {shown}"
    );
    Ok(())
}

/// Which volume is the machine's, and how old it is, is forgotten; or somebody else can say it.
fn pin_removed(context: &mut Context) -> Result<()> {
    let mut machine = state::machine(context)?;
    let first = boot_to_probe(&mut machine)?;
    state::count(&first, 1)?;
    state::count(&boot_to_probe(&mut machine)?, 2)?;
    let own = machine.tpm_snapshot()?;
    let header = state::header(&machine)?;

    // The control: the index is there, and was reached.
    machine.tpm_tool("tpm2_nvreadpublic", &[PIN])?;
    let refused = machine.tpm_tool("tpm2_nvundefine", &["-C", "o", PIN]);
    expect_refusal(refused, "removed the pin as the owner")?;

    machine.tpm_tool("tpm2_nvundefine", &["-C", "p", PIN])?;
    let lines = halts_unopened(&mut machine, "STATE-OTHER-TPM")?;
    expect_line(
        &lines,
        "on a TPM that has pinned none, found the volume of another TPM",
    )?;
    // With a recovery key it would be pinned again; but nothing can be defined in a TPM that has an owner.
    let why = "no recovery key is asked for: this TPM has an owner and not what this machine needs";
    expect_line(&lines, why)?;

    let attributes = "platformcreate|ownerread|ownerwrite|authread|authwrite";
    let arguments = ["-C", "p", "-s", "56", "-a", attributes, PIN];
    machine.tpm_tool("tpm2_nvdefine", &arguments)?;
    let lines = halts_unopened(&mut machine, "FLOOR-FOREIGN")?;
    expect_line(&lines, "state volume: pin: nv index 0x180be01: expected name ")?;
    expect_line(
        &lines,
        "where the anti-rollback floor or the state volume's pin belongs",
    )?;
    ensure!(
        state::header(&machine)? == header,
        "the volume's header was written"
    );

    machine.tpm_restore(&own)?;
    let after = boot_to_probe(&mut machine)?;
    state::count(&after, 3)?;
    expect_same_secret(&after, &first)
}

/// A start that ends at the recovery screen with the volume closed; then the slot gets its tries back.
fn halts_unopened(machine: &mut Machine, code: &str) -> Result<Vec<String>> {
    let lines = boot_that_halts(machine, code)?;
    for open in ["opened, generation", "made state volume", "type it:"] {
        ensure!(
            !lines.iter().any(|line| line.contains(open)),
            "expected {code} and a closed volume, found `{open}`"
        );
    }
    forge::give_tries_back(machine, "small_5")?;
    Ok(lines)
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
