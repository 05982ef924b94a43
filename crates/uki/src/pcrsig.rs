//! The `.pcrsig` section: systemd's JSON of signed PCR 11 policies, one for each boot phase.
//!
//! The builder writes it; the stub hands it to the initrd as `/.extra/tpm2-pcr-signature.json`, where systemd's
//! own tools use it. It opens none of our blobs (its policyRef is empty). Shape, as `systemd-measure sign` of
//! systemd 257 prints it:
//!
//! `{"sha256":[{"pcrs":[11],"pkfp":"…","pol":"…","sig":"…"}, …]}`
//!
//! `pkfp` is SHA-256 of the key as DER RSAPublicKey (PKCS#1, not SubjectPublicKeyInfo; systemd hashes what
//! OpenSSL's `i2d_PublicKey` gives), `pol` the policy digest after TPM2_PolicyPCR, both in lower-case hex; `sig` is RSASSA-PKCS1-v1_5 over the hash of `pol`'s 32 bytes, in base64. The hash is the
//! bank's own, so only the SHA-256 bank is signed here.

use crate::keys::{KeyError, PublicKey, SigningKey};
use crate::measure::{Bank, Pcr11Prediction};
use crate::tpm_policy::{PolicyDigest, PolicyError, policy_pcr_digest_bank};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Longest `.pcrsig` that is looked at, in bytes. Four phases in one bank take 2.2 KiB.
pub const MAX_PCRSIG_BYTES: usize = 64 << 10;

/// PCR of the stub's measurements and the phases.
const KERNEL_BOOT_PCR: u8 = 11;

/// Why a `.pcrsig` cannot be made, read, or is refused.
#[derive(Debug, thiserror::Error)]
pub enum PcrSigError {
    /// A prediction for another bank than SHA-256.
    #[error("sign the PCR policies: expected a prediction for bank sha256, found {found}; predict that bank")]
    WrongBank {
        /// Name of the bank found.
        found: &'static str,
    },
    /// The policy digest cannot be computed.
    #[error("sign the PCR policies: compute the policy")]
    Policy(#[from] PolicyError),
    /// The key failed.
    #[error("sign the PCR policies")]
    Key(#[from] KeyError),
    /// The JSON cannot be written.
    #[error("write the .pcrsig JSON")]
    Encode(#[source] serde_json::Error),
    /// Too long.
    #[error("read .pcrsig: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// Not the JSON described above.
    #[error("read .pcrsig: expected systemd's JSON of signed PCR policies")]
    Malformed(#[source] serde_json::Error),
    /// A field that is no hex, no base64, or not of its length.
    #[error("read .pcrsig: field {field} of a signature is no valid value")]
    BadField {
        /// Name of the field.
        field: &'static str,
    },
    /// No signature for the SHA-256 bank.
    #[error("verify .pcrsig: expected signatures for bank sha256, found none")]
    NoSha256Signature,
    /// A signature made with another key.
    #[error("verify .pcrsig: expected key {expected}, found {found}; the UKI carries another .pcrpkey", expected = hex::encode(expected), found = hex::encode(found))]
    OtherKey {
        /// Fingerprint of the key given.
        expected: [u8; 32],
        /// Fingerprint in the signature.
        found: [u8; 32],
    },
    /// A signature with a policyRef, as systemd 261 and later write for the initrd.
    #[error("verify .pcrsig: expected an empty policyRef, found {found:?}")]
    PolicyRef {
        /// The reference.
        found: String,
    },
    /// A signature that is not the key's over its policy.
    #[error("verify .pcrsig: the signature of policy {policy} does not hold", policy = hex::encode(policy))]
    BadSignature {
        /// The policy digest.
        policy: PolicyDigest,
    },
}

/// One signed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrSignature {
    /// PCRs of the policy.
    pub pcrs: Vec<u32>,
    /// SHA-256 of the signing key as DER RSAPublicKey (PKCS#1).
    pub key_fingerprint: [u8; 32],
    /// Policy reference (`ref`), absent in everything that we write.
    pub policy_ref: Option<String>,
    /// Policy digest.
    pub policy: PolicyDigest,
    /// The signature.
    pub signature: Vec<u8>,
}

/// The content of a `.pcrsig` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PcrSignatures {
    /// Signatures by name of the bank.
    pub banks: BTreeMap<String, Vec<PcrSignature>>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    pcrs: Vec<u32>,
    pkfp: String,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    policy_ref: Option<String>,
    pol: String,
    sig: String,
}

/// The policy digest of PCR 11 having this value: what `pol` holds.
///
/// # Errors
/// [`PcrSigError::Policy`]; never for a value that [`crate::measure`] made.
pub fn pcr11_policy(value: &crate::measure::PcrValue) -> Result<PolicyDigest, PcrSigError> {
    Ok(policy_pcr_digest_bank(
        value.bank().tpm_algorithm(),
        &[(KERNEL_BOOT_PCR, value.as_bytes())],
    )?)
}

impl PcrSignatures {
    /// Signs the state after each phase. The same input gives the same signatures.
    ///
    /// # Errors
    /// [`PcrSigError`] if the prediction is not for SHA-256, or the key fails.
    pub fn sign(prediction: &Pcr11Prediction, key: &SigningKey) -> Result<Self, PcrSigError> {
        let bank = prediction.after_sections.bank();
        if bank != Bank::Sha256 {
            return Err(PcrSigError::WrongBank { found: bank.name() });
        }
        let key_fingerprint = fingerprint(&key.public_key())?;
        let mut signatures = Vec::new();
        for (_, value) in &prediction.by_phase {
            let policy = pcr11_policy(value)?;
            signatures.push(PcrSignature {
                pcrs: vec![u32::from(KERNEL_BOOT_PCR)],
                key_fingerprint,
                policy_ref: None,
                signature: key.sign_sha256(&policy)?.to_vec(),
                policy,
            });
        }
        Ok(Self {
            banks: BTreeMap::from([(bank.name().to_owned(), signatures)]),
        })
    }

    /// The JSON on one line, without terminator: the content of the section.
    ///
    /// # Errors
    /// [`PcrSigError::Encode`].
    pub fn to_json(&self) -> Result<String, PcrSigError> {
        let wire = |signature: &PcrSignature| Wire {
            pcrs: signature.pcrs.clone(),
            pkfp: hex::encode(signature.key_fingerprint),
            policy_ref: signature.policy_ref.clone(),
            pol: hex::encode(signature.policy),
            sig: STANDARD.encode(&signature.signature),
        };
        let banks = self
            .banks
            .iter()
            .map(|(bank, all)| (bank, all.iter().map(wire).collect::<Vec<_>>()));
        serde_json::to_string(&banks.collect::<BTreeMap<_, _>>()).map_err(PcrSigError::Encode)
    }

    /// Reads a section's content; NULs at its end are ignored. Nothing is verified.
    ///
    /// # Errors
    /// [`PcrSigError`] if it is too long or no such JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, PcrSigError> {
        if bytes.len() > MAX_PCRSIG_BYTES {
            return Err(PcrSigError::TooLong {
                limit: MAX_PCRSIG_BYTES,
                found: bytes.len(),
            });
        }
        let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let wire: BTreeMap<String, Vec<Wire>> =
            serde_json::from_slice(&bytes[..end]).map_err(PcrSigError::Malformed)?;
        let mut banks = BTreeMap::new();
        for (bank, signatures) in wire {
            banks.insert(
                bank,
                signatures.into_iter().map(decode).collect::<Result<_, _>>()?,
            );
        }
        Ok(Self { banks })
    }

    /// Checks that every signature of the SHA-256 bank is the key's. Other banks are not looked at.
    ///
    /// # Errors
    /// [`PcrSigError`] naming the first signature that is not.
    pub fn verify(&self, key: &PublicKey) -> Result<(), PcrSigError> {
        let signatures = self
            .banks
            .get(Bank::Sha256.name())
            .filter(|signatures| !signatures.is_empty());
        let expected = fingerprint(key)?;
        for signature in signatures.ok_or(PcrSigError::NoSha256Signature)? {
            if let Some(found) = &signature.policy_ref {
                return Err(PcrSigError::PolicyRef { found: found.clone() });
            }
            let (found, policy) = (signature.key_fingerprint, signature.policy);
            if found != expected {
                return Err(PcrSigError::OtherKey { expected, found });
            }
            key.verify_sha256(&policy, &signature.signature)
                .map_err(|_| PcrSigError::BadSignature { policy })?;
        }
        Ok(())
    }
}

fn fingerprint(key: &PublicKey) -> Result<[u8; 32], PcrSigError> {
    Ok(Sha256::digest(key.to_pkcs1_der()?).into())
}

fn decode(wire: Wire) -> Result<PcrSignature, PcrSigError> {
    let digest = |field, text: &str| {
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out).map_err(|_| PcrSigError::BadField { field })?;
        Ok::<_, PcrSigError>(out)
    };
    Ok(PcrSignature {
        pcrs: wire.pcrs,
        key_fingerprint: digest("pkfp", &wire.pkfp)?,
        policy_ref: wire.policy_ref,
        policy: digest("pol", &wire.pol)?,
        signature: STANDARD
            .decode(&wire.sig)
            .map_err(|_| PcrSigError::BadField { field: "sig" })?,
    })
}
