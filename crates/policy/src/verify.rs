//! Verification of a slot manifest, in the order of `docs/spec/slot-manifest.md` §4.
//!
//! This module is the only place that makes a [`Verified`]; mounting, unsealing and flipping take nothing else.

pub mod first_boot;

use bennu_formats::decode::{DecodeError, Document, Unverified};
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::dsse::{Envelope, SLOT_PAYLOAD_TYPE, key_id};
use bennu_formats::manifest::{Architecture, SlotManifest};
use bennu_formats::names::ImageId;
use bennu_formats::trust::{ReleaseKey, TrustConfig};
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::VeritySig;
use bennu_formats::{Code, codes};
use ed25519_dalek::{Signature, VerifyingKey};
use std::collections::BTreeSet;

/// A value whose origin was proven by [`verify_slot`] or [`first_boot::verify`]. It cannot be made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signed_by: Vec<Sha256Digest>,
    signed_bytes_sha256: Sha256Digest,
}

impl<T> Verified<T> {
    /// The proven value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Key ids of the keys whose signatures were checked and good, sorted.
    pub fn signed_by(&self) -> &[Sha256Digest] {
        &self.signed_by
    }

    /// SHA-256 of the bytes that were signed (the payload).
    pub fn signed_bytes_sha256(&self) -> Sha256Digest {
        self.signed_bytes_sha256
    }
}

/// Whom to believe: from the signed initrd, or from the keys that a user gives to `bennu verify`.
#[derive(Debug, Clone)]
pub struct ReleaseTrust<'a> {
    /// Keys.
    pub keys: &'a [ReleaseKey],
    /// How many different ones must have signed.
    pub threshold: u32,
    /// The image id.
    pub image_id: &'a ImageId,
    /// The architecture.
    pub architecture: Architecture,
}

impl<'a> From<&'a TrustConfig> for ReleaseTrust<'a> {
    fn from(trust: &'a TrustConfig) -> Self {
        Self {
            keys: &trust.release_keys,
            threshold: trust.release_threshold,
            image_id: &trust.image_id,
            architecture: trust.architecture,
        }
    }
}

/// What is known of the slot from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct SlotFacts {
    /// Root hash that the UKI names.
    pub root_hash: RootHash,
    /// Length of the root partition.
    pub root_partition: Bytes,
    /// Length of the root-verity partition.
    pub verity_partition: Bytes,
}

/// Why a slot's manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotRefusal {
    /// The partition, the envelope or the payload is not in the expected form.
    #[error("manifest: {0}")]
    Format(#[from] DecodeError),
    /// The envelope is for something else.
    #[error("manifest: expected payload type {SLOT_PAYLOAD_TYPE}, found {0}")]
    PayloadType(String),
    /// A trusted key of our own configuration is no ed25519 key.
    #[error("manifest: release key {0} in the trust configuration is not an ed25519 public key")]
    TrustedKey(usize),
    /// Not enough good signatures by trusted keys.
    #[error(
        "manifest: expected signatures by {threshold} of {trusted} trusted release keys, found {good}; \
         signatures claim the keys {claimed}"
    )]
    Signatures {
        /// Needed.
        threshold: u32,
        /// Keys in the trust configuration.
        trusted: usize,
        /// Different trusted keys with a good signature.
        good: usize,
        /// Key ids in the envelope, first 16 hex digits each.
        claimed: String,
    },
    /// Another image.
    #[error("manifest: expected image id {expected}, found {found}")]
    ImageId {
        /// Of this machine.
        expected: ImageId,
        /// Of the manifest.
        found: ImageId,
    },
    /// Another architecture.
    #[error("manifest: expected architecture {expected}, found {found}")]
    Architecture {
        /// Of this machine.
        expected: Architecture,
        /// Of the manifest.
        found: Architecture,
    },
    /// Another root hash than the UKI's.
    #[error("manifest: expected the UKI's root hash {expected}, found {found}")]
    RootHash {
        /// Of the UKI.
        expected: RootHash,
        /// Of the manifest (or of the JSON around it).
        found: RootHash,
    },
    /// The root does not fit its partition.
    #[error("manifest: root file system of {found} expected to fit its partition of {partition}")]
    RootSize {
        /// Of the partition.
        partition: Bytes,
        /// Of the manifest.
        found: Bytes,
    },
    /// The hash tree does not fit its partition.
    #[error("manifest: hash tree of {found} expected to fit its partition of {partition}")]
    TreeSize {
        /// Of the partition.
        partition: Bytes,
        /// Of the manifest.
        found: Bytes,
    },
}

impl SlotRefusal {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Format(_) | Self::PayloadType(_) => codes::Code::ManifestFormat,
            Self::TrustedKey(_) => codes::Code::Trust,
            Self::Signatures { .. } => codes::Code::ManifestSignature,
            Self::ImageId { .. } => codes::Code::ManifestImageId,
            Self::Architecture { .. } => codes::Code::ManifestArchitecture,
            Self::RootHash { .. } => codes::Code::ManifestRootHash,
            Self::RootSize { .. } | Self::TreeSize { .. } => codes::Code::ManifestGeometry,
        }
    }
}

/// Verifies the bytes of a root-verity-sig partition against what is trusted and known.
///
/// # Errors
/// One [`SlotRefusal`] per step, in the order of the specification.
pub fn verify_slot(
    partition: &[u8],
    trust: &ReleaseTrust<'_>,
    facts: &SlotFacts,
) -> Result<Verified<SlotManifest>, SlotRefusal> {
    // §4.1 length and shape of the partition and of the envelope.
    let sig = Unverified::new(VeritySig::decode(partition)?);
    let envelope = &sig.peek().bennu.manifest;
    // §4.2 payload type.
    if envelope.payload_type != SLOT_PAYLOAD_TYPE {
        return Err(SlotRefusal::PayloadType(
            envelope.payload_type.chars().take(80).collect(),
        ));
    }
    // §4.3 signatures over the bytes as they are.
    let signed_by = check_signatures(envelope, trust)?;
    // §4.4 only now the payload is decoded.
    let manifest = SlotManifest::decode(&envelope.payload)?;
    // §4.5 identity.
    check_identity(&manifest, trust)?;
    // §4.6 root hash: the UKI's, the manifest's and the one in the JSON around it.
    for found in [manifest.verity.root_hash, sig.peek().root_hash] {
        if found != facts.root_hash {
            return Err(SlotRefusal::RootHash {
                expected: facts.root_hash,
                found,
            });
        }
    }
    // §4.7 sizes.
    check_sizes(&manifest, facts)?;
    let signed_bytes_sha256 = Sha256Digest::of(&envelope.payload);
    Ok(Verified {
        value: manifest,
        signed_by,
        signed_bytes_sha256,
    })
}

fn check_signatures(envelope: &Envelope, trust: &ReleaseTrust<'_>) -> Result<Vec<Sha256Digest>, SlotRefusal> {
    let good = good_signers(envelope, trust.keys).map_err(SlotRefusal::TrustedKey)?;
    if good.len() < trust.threshold.max(1) as usize {
        return Err(SlotRefusal::Signatures {
            threshold: trust.threshold,
            trusted: trust.keys.len(),
            good: good.len(),
            claimed: claimed_keys(envelope),
        });
    }
    Ok(good.into_iter().collect())
}

/// Which of `keys` have signed; `Err` is the number of one that is no ed25519 key.
fn good_signers(envelope: &Envelope, keys: &[ReleaseKey]) -> Result<BTreeSet<Sha256Digest>, usize> {
    let message = envelope.pre_authentication_encoding();
    let mut good = BTreeSet::new();
    for (index, key) in keys.iter().enumerate() {
        let raw: [u8; 32] = key.0.as_slice().try_into().map_err(|_| index)?;
        let verifying = VerifyingKey::from_bytes(&raw).map_err(|_| index)?;
        // The key id is a hint that anyone can write, so every signature is tried with every trusted key.
        let signed = envelope.signatures.iter().any(|s| {
            Signature::from_slice(&s.sig).is_ok_and(|sig| verifying.verify_strict(&message, &sig).is_ok())
        });
        if signed {
            good.insert(key_id(&raw));
        }
    }
    Ok(good)
}

fn claimed_keys(envelope: &Envelope) -> String {
    let claimed: Vec<String> = envelope
        .signatures
        .iter()
        .map(|s| s.keyid.to_string()[..16].to_owned())
        .collect();
    claimed.join(", ")
}

fn check_identity(manifest: &SlotManifest, trust: &ReleaseTrust<'_>) -> Result<(), SlotRefusal> {
    if manifest.image_id != *trust.image_id {
        return Err(SlotRefusal::ImageId {
            expected: trust.image_id.clone(),
            found: manifest.image_id.clone(),
        });
    }
    if manifest.architecture != trust.architecture {
        return Err(SlotRefusal::Architecture {
            expected: trust.architecture,
            found: manifest.architecture,
        });
    }
    Ok(())
}

fn check_sizes(manifest: &SlotManifest, facts: &SlotFacts) -> Result<(), SlotRefusal> {
    if manifest.root.bytes > facts.root_partition {
        return Err(SlotRefusal::RootSize {
            partition: facts.root_partition,
            found: manifest.root.bytes,
        });
    }
    if manifest.verity.tree_bytes > facts.verity_partition {
        return Err(SlotRefusal::TreeSize {
            partition: facts.verity_partition,
            found: manifest.verity.tree_bytes,
        });
    }
    Ok(())
}
