//! The slot manifest: read once into memory, verified, used from there.

use crate::error::InitError;
use crate::slot::{Slot, length};
use bennu_formats::RootHash;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::trust::TrustConfig;
use bennu_formats::verity_sig::{self, VeritySig};
use bennu_linux::block::OpenMode;
use bennu_policy::verify::{ReleaseTrust, SlotFacts, Verified, verify_slot};
use std::io::Read as _;

/// What the partition says.
pub struct Found {
    /// The manifest.
    pub manifest: Verified<SlotManifest>,
    /// PKCS#7 over the root hash, for the kernel to verify; untrusted.
    pub signature: Vec<u8>,
}

/// Reads the root-verity-sig partition in one go and verifies the manifest.
pub fn read_and_verify(slot: &Slot, trust: &TrustConfig, root_hash: RootHash) -> Result<Found, InitError> {
    let file = slot.verity_sig.open(OpenMode::Read)?;
    let mut bytes = Vec::new();
    file.take(verity_sig::PARTITION_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(InitError::ManifestRead)?;
    let facts = SlotFacts {
        root_hash,
        root_partition: length(&slot.root),
        verity_partition: length(&slot.verity),
    };
    let manifest = verify_slot(&bytes, &ReleaseTrust::from(trust), &facts)?;
    let found = &manifest.get().version;
    if *found != trust.version {
        return Err(InitError::ManifestVersion {
            expected: trust.version.clone(),
            found: found.clone(),
        });
    }
    check_policy_key(manifest.get(), trust)?;
    // From the same bytes in memory.
    let signature = VeritySig::decode(&bytes).map_err(InitError::VeritySig)?.signature;
    Ok(Found { manifest, signature })
}

/// A policy by another key would never open; said here, before the TPM says less.
fn check_policy_key(manifest: &SlotManifest, trust: &TrustConfig) -> Result<(), InitError> {
    let expected = bennu_tpm::policy_key_name(&trust.tpm_policy_modulus)
        .map(|name| hex::encode(name.as_bytes()))
        .unwrap_or_default();
    let found = hex::encode(&manifest.tpm_policy.key_name);
    if expected == found {
        Ok(())
    } else {
        Err(InitError::PolicyKey { expected, found })
    }
}

/// For the console.
pub fn sentence(manifest: &Verified<SlotManifest>) -> String {
    let m = manifest.get();
    let keys: Vec<String> = manifest
        .signed_by()
        .iter()
        .map(|k| k.to_string()[..16].to_owned())
        .collect();
    format!(
        "verified {} {} (security version {}) signed by release key {}",
        m.image_id,
        m.version,
        m.security_version,
        keys.join(", ")
    )
}
