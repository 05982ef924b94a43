//! The signed policy for the kernel's IPE that `images/small/gate-ipe.toml` names.

use crate::images::{keys, top};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Where it lies: made from `images/small/ipe/policy` and the throw-away db key.
pub fn folder() -> PathBuf {
    top().join("target/ipe")
}

/// Signs the policy, which the kernel takes as PKCS #7 with its content in it and without attributes, unless it is there and
/// newer than what it is made from.
///
/// # Errors
/// openssl, or a file.
pub fn sign_policy() -> Result<()> {
    let (keys, folder) = (keys(), folder());
    let (key, certificate) = (keys.join("db.key"), keys.join("db.crt"));
    let (policy, signed) = (top().join("images/small/ipe/policy"), folder.join("policy.p7b"));
    let made = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified());
    if let Ok(at) = made(&signed)
        && at > made(&certificate)?
        && at > made(&policy)?
    {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let new = folder.join("policy.new");
    let done = Command::new("openssl")
        .args(["cms", "-sign", "-binary", "-nodetach", "-noattr", "-nosmimecap"])
        .args(["-outform", "DER", "-md", "sha256"])
        .arg("-signer")
        .arg(certificate)
        .arg("-inkey")
        .arg(key)
        .arg("-in")
        .arg(policy)
        .arg("-out")
        .arg(&new)
        .output()
        .context("openssl: run tests/install-tools")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "openssl cms: {said}");
    Ok(fs::rename(new, signed)?)
}
