//! A release made with two throw-away keys, and pieces of it to replace.

use bennu_formats::decode::Document;
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::dsse::{Envelope, SLOT_PAYLOAD_TYPE, Signature, key_id, pre_authentication_encoding};
use bennu_formats::manifest::{
    Architecture, BuildParameters, POLICY_PCRS, POLICY_REF, PredictedPcrs, RootImage, SlotManifest,
    TpmPolicy, UkiBinding, VerityParameters,
};
use bennu_formats::trust::ReleaseKey;
use bennu_formats::units::{Blocks4K, Bytes};
use bennu_formats::verity_sig::{BennuMember, VeritySig};
use bennu_formats::{ImageId, ImageVersion};
use bennu_policy::verify::{ReleaseTrust, SlotFacts, SlotRefusal, Verified, verify_slot};
use ed25519_dalek::{Signer as _, SigningKey};
use std::collections::BTreeMap;

pub const ROOT_HASH: RootHash = RootHash([0x5a; 32]);
pub const ROOT_BYTES: u64 = 256 * 4096;
pub const TREE_BYTES: u64 = 4 * 4096;

/// Throw-away keys: the same in every run.
pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub fn public(key: &SigningKey) -> ReleaseKey {
    ReleaseKey(key.verifying_key().to_bytes().to_vec())
}

pub fn manifest() -> SlotManifest {
    let digest = |n| Sha256Digest([n; 32]);
    SlotManifest {
        schema: SlotManifest::SCHEMA,
        critical: vec!["verity".into()],
        image_id: "demo".parse().unwrap(),
        version: "2".parse().unwrap(),
        security_version: 1,
        architecture: Architecture::X86_64,
        root: RootImage {
            bytes: Bytes(ROOT_BYTES),
            filesystem: "erofs".into(),
        },
        verity: VerityParameters {
            format: 1,
            hash: "sha256".into(),
            root_hash: ROOT_HASH,
            salt: vec![7; 32],
            data_block_bytes: 4096,
            hash_block_bytes: 4096,
            data_blocks: Blocks4K(ROOT_BYTES / 4096),
            hash_start: Blocks4K(1),
            tree_bytes: Bytes(TREE_BYTES),
        },
        uki: UkiBinding {
            sha256: digest(1),
            bytes: Bytes(20_000_000),
            stub_version: "257.13-1".into(),
        },
        pcrs: PredictedPcrs {
            sections: BTreeMap::new(),
            pcr11_sections: digest(2),
            pcr11_enter_initrd: digest(3),
            pcr11_leave_initrd: digest(4),
            pcr11_sysinit: digest(5),
            pcr11_ready: digest(6),
            pcr12: Sha256Digest::ZERO,
            pcr13: Sha256Digest::ZERO,
        },
        tpm_policy: TpmPolicy {
            policy_ref: POLICY_REF.into(),
            pcrs: POLICY_PCRS.to_vec(),
            key_name: vec![8; 34],
            approved_policy: digest(9),
            signature: vec![10; 256],
        },
        state_schema: 1,
        golden_index: None,
        build: BuildParameters {
            source_date_epoch: 1_700_000_000,
            builder: "bennu 0.1.0".into(),
        },
    }
}

pub fn sign(payload_type: &str, payload: &[u8], keys: &[&SigningKey]) -> Envelope {
    let message = pre_authentication_encoding(payload_type, payload);
    Envelope {
        payload_type: payload_type.into(),
        payload: payload.to_vec(),
        signatures: keys
            .iter()
            .map(|key| Signature {
                keyid: key_id(&key.verifying_key().to_bytes()),
                sig: key.sign(&message).to_bytes().to_vec(),
            })
            .collect(),
    }
}

/// A slot as it could lie on a disk, with what the verifier is told about it.
pub struct Slot {
    pub envelope: Envelope,
    pub outer_root_hash: RootHash,
    pub trusted: Vec<ReleaseKey>,
    pub threshold: u32,
    pub image_id: ImageId,
    pub architecture: Architecture,
    pub facts: SlotFacts,
}

impl Slot {
    /// A sound slot, signed by keys 1 and 2, both trusted, one of them enough.
    pub fn sound() -> Self {
        Self::of(&manifest())
    }

    pub fn of(manifest: &SlotManifest) -> Self {
        Self::of_payload(&serde_json::to_vec(manifest).unwrap())
    }

    pub fn of_payload(payload: &[u8]) -> Self {
        Self {
            envelope: sign(SLOT_PAYLOAD_TYPE, payload, &[&key(1), &key(2)]),
            outer_root_hash: ROOT_HASH,
            trusted: vec![public(&key(1)), public(&key(2))],
            threshold: 1,
            image_id: "demo".parse().unwrap(),
            architecture: Architecture::X86_64,
            facts: SlotFacts {
                root_hash: ROOT_HASH,
                root_partition: Bytes(ROOT_BYTES),
                verity_partition: Bytes(TREE_BYTES),
            },
        }
    }

    /// Signed anew by `keys`.
    pub fn signed_by(mut self, keys: &[&SigningKey]) -> Self {
        self.envelope = sign(&self.envelope.payload_type, &self.envelope.payload, keys);
        self
    }

    pub fn threshold(mut self, threshold: u32) -> Self {
        self.threshold = threshold;
        self
    }

    pub fn partition(&self) -> Vec<u8> {
        let sig = VeritySig {
            root_hash: self.outer_root_hash,
            signature: vec![0x30; 900],
            certificate_fingerprint: Sha256Digest([0xcf; 32]),
            bennu: BennuMember {
                manifest: self.envelope.clone(),
            },
        };
        sig.encode().unwrap()
    }

    pub fn verify(&self) -> Result<Verified<SlotManifest>, SlotRefusal> {
        self.verify_bytes(&self.partition())
    }

    pub fn verify_bytes(&self, partition: &[u8]) -> Result<Verified<SlotManifest>, SlotRefusal> {
        let trust = ReleaseTrust {
            keys: &self.trusted,
            threshold: self.threshold,
            image_id: &self.image_id,
            architecture: self.architecture,
        };
        verify_slot(partition, &trust, &self.facts)
    }

    pub fn version(&self) -> ImageVersion {
        "2".parse().unwrap()
    }
}
