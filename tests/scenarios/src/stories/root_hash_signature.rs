//! The kernel verifies the PKCS#7 signature over the root hash against the firmware's db, besides what bennu-init
//! verifies: under a manifest that is right in every way a signature that is not ends the start.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

const BY_KERNEL: &str = "; the kernel verified its signature";

pub fn stories() -> Vec<Story> {
    vec![story!(
        "kernel-refuses-a-wrong-root-hash-signature",
        Tier::Fast,
        wrong_signature
    )]
}

fn wrong_signature(context: &mut Context) -> Result<()> {
    let folder = context.folder().to_owned();
    let root_hash = root_hash("small/v2.toml")?;
    let keys = images::keys();

    // The control: somebody else's program signs with the db key, and the kernel takes it.
    let mut machine = images::machine(context, &images::small()?)?;
    let good = forge::sign_root_hash(&folder, &root_hash, &keys.join("db.key"), &keys.join("db.crt"))?;
    forge::replace_root_hash_signature(machine.disk()?, "small_2", &good)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, BY_KERNEL)?;
    expect_line(&lines, "\"root_hash_check\": \"by-kernel\"")?;

    // A signer that the firmware does not know.
    let (key, certificate) = forge::stranger(&folder)?;
    let foreign = forge::sign_root_hash(&folder, &root_hash, &key, &certificate)?;
    forge::replace_root_hash_signature(machine.disk()?, "small_2", &foreign)?;
    refused(&mut machine)?;

    // The right signer, and another root hash.
    let mut machine = images::machine(context, &images::small()?)?;
    let other = self::root_hash("small/image.toml")?;
    let other = forge::sign_root_hash(&folder, &other, &keys.join("db.key"), &keys.join("db.crt"))?;
    forge::replace_root_hash_signature(machine.disk()?, "small_2", &other)?;
    refused(&mut machine)
}

fn refused(machine: &mut Machine) -> Result<()> {
    boot_that_fails(machine, "VERITY-SIGNATURE")?;
    let lines = boot_to_probe(machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: VERITY-SIGNATURE: ")?;
    expect_line(&lines, BY_KERNEL)?;
    Ok(())
}

fn root_hash(definition: &str) -> Result<String> {
    let manifest = images::manifest(&images::release(definition)?)?;
    let found = manifest["verity"]["root_hash"].as_str();
    found.map(str::to_owned).context("no root hash")
}
