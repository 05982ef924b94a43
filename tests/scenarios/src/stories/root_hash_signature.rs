//! The kernel verifies the PKCS#7 signature over the root hash against the firmware's db, besides what bennu-init
//! verifies: under a manifest that is right in every way a signature that is not ends the start.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

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
    let good = sign(&folder, &root_hash, &keys.join("db.key"), &keys.join("db.crt"))?;
    forge::replace_root_hash_signature(machine.disk()?, "small_2", &good)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, BY_KERNEL)?;
    expect_line(&lines, "\"root_hash_check\": \"by-kernel\"")?;

    // A signer that the firmware does not know.
    let (key, certificate) = stranger(&folder)?;
    let foreign = sign(&folder, &root_hash, &key, &certificate)?;
    forge::replace_root_hash_signature(machine.disk()?, "small_2", &foreign)?;
    refused(&mut machine)?;

    // The right signer, and another root hash.
    let mut machine = images::machine(context, &images::small()?)?;
    let other = self::root_hash("small/image.toml")?;
    let other = sign(&folder, &other, &keys.join("db.key"), &keys.join("db.crt"))?;
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

/// DER of a detached PKCS#7 without signed attributes, as the kernel wants it.
fn sign(folder: &Path, root_hash: &str, key: &Path, certificate: &Path) -> Result<Vec<u8>> {
    let message = folder.join("root-hash");
    std::fs::write(&message, root_hash)?;
    let args: Vec<&OsStr> = vec![
        "smime".as_ref(),
        "-sign".as_ref(),
        "-binary".as_ref(),
        "-noattr".as_ref(),
        "-outform".as_ref(),
        "der".as_ref(),
        "-in".as_ref(),
        message.as_os_str(),
        "-signer".as_ref(),
        certificate.as_os_str(),
        "-inkey".as_ref(),
        key.as_os_str(),
    ];
    Ok(tool::run("openssl", &args, &[])?)
}

/// Key and certificate that nobody enrolled.
fn stranger(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("stranger.key"), folder.join("stranger.crt"));
    let args: Vec<&OsStr> = vec![
        "req".as_ref(),
        "-x509".as_ref(),
        "-newkey".as_ref(),
        "rsa:2048".as_ref(),
        "-nodes".as_ref(),
        "-subj".as_ref(),
        "/CN=stranger".as_ref(),
        "-keyout".as_ref(),
        key.as_os_str(),
        "-out".as_ref(),
        certificate.as_os_str(),
    ];
    tool::run("openssl", &args, &[])?;
    Ok((key, certificate))
}
