//! The slot manifest and the JSON around it, signed.

use crate::plan::Plan;
use crate::steps::keys::KeySet;
use crate::steps::uki::Uki;
use bennu_formats::decode::{DecodeError, Document};
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::dsse::{self, Envelope, SLOT_PAYLOAD_TYPE, Signature};
use bennu_formats::floor;
use bennu_formats::manifest::{
    BuildParameters, GoldenIndexBinding, POLICY_PCRS, POLICY_REF, PredictedPcrs, RootImage, SlotManifest,
    TpmPolicy, UkiBinding, VerityParameters,
};
use bennu_formats::units::{Blocks4K, Bytes};
use bennu_formats::verity_sig::{BennuMember, VeritySig};
use bennu_uki::tpm_policy::{self, NvComparison, PolicyError};
use ed25519_dalek::{Signer as _, SigningKey};

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// TPM policy.
    #[error("manifest: {0}")]
    Policy(#[from] PolicyError),
    /// JSON.
    #[error("manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// What bennu-init would refuse.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The key has signed already.
    #[error("manifest: expected a release key that has not signed yet, found a signature by {keyid}")]
    SignedAlready {
        /// Key id.
        keyid: Sha256Digest,
    },
    /// PKCS#7 over the root hash.
    #[error("manifest: {0}")]
    Pkcs7(#[from] bennu_uki::root_hash::RootHashSignatureError),
}

/// The file system and its tree.
#[derive(Debug, Clone, Copy)]
pub struct RootFacts {
    /// Bytes of the file system.
    pub bytes: Bytes,
    /// Root hash.
    pub root_hash: RootHash,
    /// Bytes of superblock and tree.
    pub tree: Bytes,
    /// Salt.
    pub salt: [u8; 32],
}

/// Makes the manifest.
///
/// # Errors
/// The policy cannot be signed.
pub fn compose(
    plan: &Plan,
    root: &RootFacts,
    index: GoldenIndexBinding,
    uki: &Uki,
    keys: &KeySet,
) -> Result<SlotManifest, ManifestError> {
    Ok(SlotManifest {
        schema: SlotManifest::SCHEMA,
        critical: ["root", "verity", "security_version", "tpm_policy"]
            .map(String::from)
            .to_vec(),
        image_id: plan.image_id.clone(),
        version: plan.version.clone(),
        security_version: plan.security_version,
        architecture: plan.architecture,
        root: RootImage {
            bytes: root.bytes,
            filesystem: "erofs".into(),
        },
        verity: VerityParameters {
            format: 1,
            hash: "sha256".into(),
            root_hash: root.root_hash,
            salt: root.salt.to_vec(),
            data_block_bytes: 4096,
            hash_block_bytes: 4096,
            data_blocks: Blocks4K(root.bytes.0 / 4096),
            hash_start: Blocks4K(1),
            tree_bytes: root.tree,
        },
        uki: UkiBinding {
            sha256: Sha256Digest::of(&uki.bytes),
            bytes: Bytes(uki.bytes.len() as u64),
            stub_version: uki.stub_version.clone(),
        },
        pcrs: uki.pcrs.clone(),
        tpm_policy: policy(&uki.pcrs, plan.security_version, keys)?,
        state_schema: plan.state_schema,
        golden_index: Some(index),
        build: BuildParameters {
            source_date_epoch: plan.epoch,
            builder: concat!("bennu ", env!("CARGO_PKG_VERSION")).into(),
        },
    })
}

/// The TPM Name of a policy key.
pub fn policy_key_name(modulus: &[u8; 256]) -> [u8; 34] {
    tpm_policy::tpm_public_name(&tpm_policy::tpmt_public_rsa2048(modulus))
}

/// The Name of the anti-rollback floor that a policy key guards (`docs/spec/floor.md`).
fn floor_name(key_name: &[u8]) -> [u8; 34] {
    let policy = tpm_policy::policy_or_digest(&[
        tpm_policy::policy_authorize_digest(key_name, POLICY_REF.as_bytes()),
        tpm_policy::policy_nv_never_written_digest(),
    ]);
    let attributes = floor::NV_ATTRIBUTES | floor::NV_WRITTEN;
    tpm_policy::nv_index_name(floor::NV_INDEX, attributes, &policy, floor::NV_BYTES)
}

/// The policy digest of a release: PolicyPCR over the values that hold while secrets may be unsealed, then
/// PolicyNV: floor ≤ `security_version`.
pub fn approved_policy(
    pcrs: &PredictedPcrs,
    security_version: u64,
    key_name: &[u8],
) -> Result<Sha256Digest, PolicyError> {
    let values = [
        pcrs.pcr11_enter_initrd,
        pcrs.pcr12,
        pcrs.pcr13,
        Sha256Digest::ZERO,
    ];
    let selection: Vec<(u8, [u8; 32])> = POLICY_PCRS
        .iter()
        .zip(values)
        .map(|(pcr, value)| (*pcr as u8, value.0))
        .collect();
    Ok(Sha256Digest(tpm_policy::policy_nv_digest(
        &tpm_policy::policy_pcr_digest(&selection)?,
        &floor_name(key_name),
        &security_version.to_be_bytes(),
        NvComparison::AtMost,
    )))
}

fn policy(pcrs: &PredictedPcrs, security_version: u64, keys: &KeySet) -> Result<TpmPolicy, ManifestError> {
    let key_name = policy_key_name(&keys.policy_modulus);
    let approved = approved_policy(pcrs, security_version, &key_name)?;
    let signature = tpm_policy::sign_policy(&keys.policy, approved.as_bytes(), POLICY_REF.as_bytes())?;
    Ok(TpmPolicy {
        policy_ref: POLICY_REF.into(),
        pcrs: POLICY_PCRS.to_vec(),
        key_name: key_name.to_vec(),
        approved_policy: approved,
        signature: signature.to_vec(),
    })
}

/// Signs the manifest with every release key at hand and wraps it as the root-verity-sig partition's content.
///
/// # Errors
/// Encoding or signing failed, or the result is too long.
pub fn sign(manifest: &SlotManifest, keys: &KeySet) -> Result<Vec<u8>, ManifestError> {
    let payload = serde_json::to_vec_pretty(manifest)?;
    // What bennu-init would refuse is refused here.
    SlotManifest::decode(&payload)?;
    let message = dsse::pre_authentication_encoding(SLOT_PAYLOAD_TYPE, &payload);
    let root_hash = manifest.verity.root_hash;
    let json = VeritySig {
        root_hash,
        signature: bennu_uki::root_hash::sign(&root_hash.to_string(), &keys.db.key, &keys.db.certificate)?,
        certificate_fingerprint: Sha256Digest(keys.db.certificate.fingerprint()),
        bennu: BennuMember {
            manifest: Envelope {
                payload_type: SLOT_PAYLOAD_TYPE.into(),
                payload,
                signatures: keys.release.iter().map(|key| signature(key, &message)).collect(),
            },
        },
    };
    Ok(json.encode()?)
}

fn signature(key: &SigningKey, message: &[u8]) -> Signature {
    Signature {
        keyid: dsse::key_id(key.verifying_key().as_bytes()),
        sig: key.sign(message).to_bytes().to_vec(),
    }
}

/// Adds `key`'s signature to a root-verity-sig partition's content; the signed bytes stay as they are.
///
/// # Errors
/// The content or its manifest is malformed, or the key has signed already.
pub fn add_signature(content: &[u8], key: &SigningKey) -> Result<VeritySig, ManifestError> {
    let mut json = VeritySig::decode(content)?;
    let envelope = &mut json.bennu.manifest;
    SlotManifest::decode(&envelope.payload)?;
    let signature = signature(key, &envelope.pre_authentication_encoding());
    if envelope.signatures.iter().any(|s| s.keyid == signature.keyid) {
        return Err(ManifestError::SignedAlready {
            keyid: signature.keyid,
        });
    }
    envelope.signatures.push(signature);
    envelope.check_signature_count()?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floors_name_and_a_release_policy_are_those_of_the_specification() {
        let key = policy_key_name(&[0xFF; 256]);
        assert_eq!(
            hex::encode(floor_name(&key)),
            "000b2bb5bd1e554eed0fd15786119d04d5c77e4ba0d0d3c167f9ab92c824aa5ae921"
        );
        let zero = Sha256Digest::ZERO;
        let pcrs = PredictedPcrs {
            sections: std::collections::BTreeMap::new(),
            pcr11_sections: zero,
            pcr11_enter_initrd: zero,
            pcr11_leave_initrd: zero,
            pcr11_sysinit: zero,
            pcr11_ready: zero,
            pcr12: zero,
            pcr13: zero,
        };
        let policy = approved_policy(&pcrs, 5, &key).unwrap();
        assert_eq!(
            policy.to_string(),
            "3ffc4ac27d5ed265962a5988f39f41f619a98930ea9827a8d9abc5906e570896"
        );
    }
}
