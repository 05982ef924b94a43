//! What an attacker, or a careless builder, can make: manifests signed by other keys or about other things.

use anyhow::{Context as _, Result};
use bennu_formats::dsse::{self, SLOT_PAYLOAD_TYPE, Signature};
use bennu_formats::verity_sig::{PARTITION_BYTES, VeritySig};
use bennu_harness::partitions::Partition;
use bennu_harness::prelude::*;
use bennu_harness::tool;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a block of dm-verity and of EROFS.
const BLOCK: u64 = 4096;
/// Bytes that are searched at a time.
const SEARCH_BYTES: u64 = 32 << 20;

/// The release key of the stories.
pub fn release_key() -> Result<SigningKey> {
    let pem = std::fs::read_to_string(crate::images::keys().join("release.key"))?;
    Ok(SigningKey::from_pkcs8_pem(&pem)?)
}

/// A key that nobody trusts.
pub fn foreign_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Reads the manifest of the slot labelled `label`, lets `change` edit it, signs it with `key` and writes it back.
pub fn resign(
    disk: &Disk,
    label: &str,
    key: &SigningKey,
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<()> {
    let partition = manifest_partition(disk, label)?;
    let bytes = disk.read(partition.number, 0, PARTITION_BYTES)?;
    let mut sig = VeritySig::decode(&bytes)?;
    let mut payload: serde_json::Value = serde_json::from_slice(&sig.bennu.manifest.payload)?;
    change(&mut payload);
    let payload = serde_json::to_vec_pretty(&payload)?;
    let message = dsse::pre_authentication_encoding(SLOT_PAYLOAD_TYPE, &payload);
    sig.bennu.manifest.payload = payload;
    sig.bennu.manifest.signatures = vec![Signature {
        keyid: dsse::key_id(key.verifying_key().as_bytes()),
        sig: key.sign(&message).to_bytes().to_vec(),
    }];
    let mut bytes = sig.encode()?;
    bytes.resize(PARTITION_BYTES, 0);
    disk.write(partition.number, 0, &bytes)?;
    Ok(())
}

/// Replaces the PKCS#7 signature over the root hash of the slot labelled `label`; its manifest stays as it is.
pub fn replace_root_hash_signature(disk: &Disk, label: &str, signature: &[u8]) -> Result<()> {
    let partition = manifest_partition(disk, label)?;
    let bytes = with_signature(&disk.read(partition.number, 0, PARTITION_BYTES)?, signature)?;
    disk.write(partition.number, 0, &bytes)?;
    Ok(())
}

/// The content of a root-verity-sig partition with another PKCS#7 signature.
pub fn with_signature(partition: &[u8], signature: &[u8]) -> Result<Vec<u8>> {
    let mut sig = VeritySig::decode(partition)?;
    sig.signature = signature.to_vec();
    let mut bytes = sig.encode()?;
    bytes.resize(PARTITION_BYTES, 0);
    Ok(bytes)
}

/// Flips one byte in the root partition of the slot labelled `label`, in the block that holds `content` (which
/// must occur exactly once). Gives the number of the block.
pub fn flip_in_root(disk: &Disk, label: &str, content: &[u8]) -> Result<u64> {
    let partition = root_partition(disk, label)?;
    let at = find_once(disk, &partition, content)?;
    disk.flip_byte(partition.number, at)?;
    Ok(at / BLOCK)
}

/// Bytes of the disk that the block with `content` (which must occur exactly once) of that slot's root occupies.
pub fn block_in_root(disk: &Disk, label: &str, content: &[u8]) -> Result<Range<u64>> {
    let partition = root_partition(disk, label)?;
    let block = find_once(disk, &partition, content)? / BLOCK;
    Ok(disk.range(partition.number, block * BLOCK, usize::try_from(BLOCK)?)?)
}

/// The root partition of the slot labelled `label`.
pub fn root_partition(disk: &Disk, label: &str) -> Result<Partition> {
    partition(disk, label, &bennu_formats::guids::TYPE_ROOT_X86_64)
}

/// The partition with the hash tree of the slot labelled `label`.
pub fn tree_partition(disk: &Disk, label: &str) -> Result<Partition> {
    partition(disk, label, &bennu_formats::guids::TYPE_ROOT_VERITY_X86_64)
}

/// The partition with the manifest of the slot labelled `label`.
pub fn manifest_partition(disk: &Disk, label: &str) -> Result<Partition> {
    partition(disk, label, &bennu_formats::guids::TYPE_ROOT_VERITY_SIG_X86_64)
}

fn partition(disk: &Disk, label: &str, type_guid: &[u8; 16]) -> Result<Partition> {
    let wanted = bennu_formats::digest::uuid_text(type_guid);
    disk.partitions()?
        .into_iter()
        .find(|p| p.label == label && p.type_guid.eq_ignore_ascii_case(&wanted))
        .with_context(|| format!("no partition of type {wanted} labelled {label}"))
}

/// Where `content` lies in a partition; refused where it is missing or there twice.
fn find_once(disk: &Disk, partition: &Partition, content: &[u8]) -> Result<u64> {
    let mut found = None;
    let mut start = 0;
    while start < partition.bytes {
        // Windows overlap, so that nothing is missed between two of them.
        let length = (partition.bytes - start).min(SEARCH_BYTES + content.len() as u64);
        let bytes = disk.read(partition.number, start, usize::try_from(length)?)?;
        for (at, _) in bytes
            .windows(content.len())
            .enumerate()
            .filter(|(_, w)| *w == content)
        {
            let at = start + at as u64;
            ensure!(
                found.is_none() || found == Some(at),
                "the content is more than once in the partition"
            );
            found = Some(at);
        }
        start += SEARCH_BYTES;
    }
    found.context("the content is not in the partition")
}

/// Flips the first byte of the file `path` of `release`, in the slot labelled `label`. Gives the number of the block.
pub fn flip_in_file(disk: &Disk, label: &str, release: &std::path::Path, path: &str) -> Result<u64> {
    let tree = release.join("extracted");
    if !tree.exists() {
        let output = std::process::Command::new("fsck.erofs")
            .arg(format!("--extract={}", tree.display()))
            .arg(release.join("root.erofs"))
            .output()
            .context("fsck.erofs: install erofs-utils")?;
        ensure!(
            output.status.success(),
            "fsck.erofs: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let content = std::fs::read(tree.join(path.trim_start_matches('/')))?;
    flip_in_root(disk, label, &content[..content.len().min(4096)])
}

/// Name of the boot entry of `version` on the ESP.
pub fn entry(disk: &Disk, prefix: &str) -> Result<String> {
    let names = disk.esp()?.list("/EFI/Linux")?;
    names
        .into_iter()
        .map(|e| e.name)
        .find(|n| n.starts_with(prefix))
        .with_context(|| format!("no boot entry {prefix}… on the ESP"))
}

/// What the attacker with the disk can do about a slot's failures: `prefix`'s entry gets its tries back, and the boot
/// record goes away.
pub fn give_tries_back(machine: &Machine, prefix: &str) -> Result<()> {
    let (entry, fresh) = (entry(machine.disk()?, prefix)?, format!("{prefix}+3-0.efi"));
    let esp = machine.disk()?.esp()?;
    if entry != fresh {
        esp.rename(&format!("/EFI/Linux/{entry}"), &fresh)?;
    }
    for record in ["boot-record.json", "boot-record.2.json"] {
        esp.delete(&format!("/bennu/{record}"))?;
    }
    Ok(())
}

/// DER of a detached PKCS#7 without signed attributes, as the kernel wants it.
pub fn sign_root_hash(folder: &Path, root_hash: &str, key: &Path, certificate: &Path) -> Result<Vec<u8>> {
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
pub fn stranger(folder: &Path) -> Result<(PathBuf, PathBuf)> {
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
