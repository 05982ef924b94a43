//! TPM 2.0 policy digests, public areas and Names, computed without a TPM.
//!
//! The builder computes a release's policy and signs it; `bennu-tpm` satisfies the same policy on the machine,
//! and the TPM compares. All after the TCG TPM 2.0 Library specification, Part 3 (commands) and Part 2
//! (structures), with SHA-256 as policy and Name algorithm. Integers are big-endian.
//!
//! | command | policyDigest becomes |
//! |---|---|
//! | PolicyPCR | H(old ‖ 0000017F ‖ TPML_PCR_SELECTION ‖ H(PCR values, ascending)) |
//! | PolicyNV | H(old ‖ 00000149 ‖ H(operandB ‖ offset ‖ operation) ‖ Name of the index) |
//! | PolicyOR | H(0³² ‖ 00000171 ‖ branches) |
//! | PolicyNvWritten | H(old ‖ 0000018F ‖ 00 or 01) |
//! | PolicyAuthorize | H(H(0³² ‖ 0000016A ‖ Name of the key) ‖ policyRef) |

use crate::keys::{KeyError, PublicKey, RSA_BYTES, SigningKey};
use sha2::{Digest, Sha256};

/// A SHA-256 policy digest.
pub type PolicyDigest = [u8; 32];

/// The digest of an empty policy session.
pub const EMPTY_POLICY: PolicyDigest = [0; 32];

/// Number of PCRs in a bank (TCG PC Client Platform TPM Profile 1.05, §4.6).
pub const PCR_COUNT: u8 = 24;

/// Longest policyRef, in bytes: a TPM2B_NONCE holds at most the largest digest; SHA-256 is always there.
pub const MAX_POLICY_REF_BYTES: usize = 32;

/// The policyRef of a release's sealing policy. `.pcrsig` uses an empty one, so systemd's signatures open none
/// of our blobs.
pub const STATE_POLICY_REF: &[u8] = b"bennu-state-v1";

const TPM_ALG_RSA: u16 = 0x0001;
const TPM_ALG_SHA256: u16 = 0x000b;
const TPM_ALG_NULL: u16 = 0x0010;
const TPM_ALG_ECC: u16 = 0x0023;
const TPM_ECC_NIST_P256: u16 = 0x0003;
const TPM_CC_POLICY_NV: u32 = 0x0000_0149;
const TPM_CC_POLICY_AUTHORIZE: u32 = 0x0000_016a;
const TPM_CC_POLICY_OR: u32 = 0x0000_0171;
const TPM_CC_POLICY_PCR: u32 = 0x0000_017f;
const TPM_CC_POLICY_NV_WRITTEN: u32 = 0x0000_018f;

/// TPMA_OBJECT of a key that is loaded to check signatures: sign (bit 18), decrypt (17), userWithAuth (6),
/// the attributes that systemd gives such a key.
pub const POLICY_KEY_ATTRIBUTES: u32 = 0x0006_0040;

/// Why a policy cannot be computed or approved.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No PCR was selected; such a policy would bind nothing.
    #[error("compute PolicyPCR: expected at least one PCR, found none")]
    NoPcr,
    /// A PCR that does not exist.
    #[error("compute PolicyPCR: expected PCRs 0 to 23, found {index}")]
    NoSuchPcr {
        /// The index given.
        index: u8,
    },
    /// A PCR was given twice.
    #[error("compute PolicyPCR: PCR {index} is given twice; give one value for each")]
    DuplicatePcr {
        /// The index given twice.
        index: u8,
    },
    /// The policyRef does not fit into a TPM2B_NONCE.
    #[error("approve the policy: expected a policyRef of at most {limit} bytes, found {found}")]
    PolicyRefTooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// The key failed.
    #[error("approve the policy")]
    Key(#[from] KeyError),
}

/// Comparisons of TPM2_PolicyNV (TPM_EO, Part 2 §6.8): the index's content, unsigned, against the operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum NvComparison {
    /// TPM_EO_EQ: content = operand.
    Equal = 0x0000,
    /// TPM_EO_UNSIGNED_GE: content ≥ operand.
    AtLeast = 0x0007,
    /// TPM_EO_UNSIGNED_LE: content ≤ operand; the floor against a release's `security_version`.
    AtMost = 0x0009,
}

/// TPM2_PolicyPCR over values of the SHA-256 bank, in a fresh session.
///
/// # Errors
/// [`PolicyError`] if no PCR, an impossible one, or one twice is given.
pub fn policy_pcr_digest(pcrs: &[(u8, [u8; 32])]) -> Result<PolicyDigest, PolicyError> {
    policy_pcr_digest_bank(TPM_ALG_SHA256, pcrs)
}

/// The same for any bank, whose values need not be 32 bytes long. `bank` is a TPM_ALG_ID.
pub(crate) fn policy_pcr_digest_bank<V: AsRef<[u8]>>(
    bank: u16,
    pcrs: &[(u8, V)],
) -> Result<PolicyDigest, PolicyError> {
    let mut sorted: Vec<_> = pcrs.iter().collect();
    sorted.sort_by_key(|(index, _)| *index);
    let mut select = [0u8; 3];
    let mut values = Sha256::new();
    for &(index, value) in &sorted {
        let byte = select
            .get_mut(usize::from(index / 8))
            .ok_or(PolicyError::NoSuchPcr { index: *index })?;
        let bit = 1 << (index % 8);
        if *byte & bit != 0 {
            return Err(PolicyError::DuplicatePcr { index: *index });
        }
        *byte |= bit;
        values.update(value);
    }
    if sorted.is_empty() {
        return Err(PolicyError::NoPcr);
    }
    let mut selection = 1u32.to_be_bytes().to_vec();
    selection.extend_from_slice(&bank.to_be_bytes());
    selection.push(select.len() as u8);
    selection.extend_from_slice(&select);
    let command = TPM_CC_POLICY_PCR.to_be_bytes();
    Ok(hash(&[&EMPTY_POLICY, &command, &selection, &values.finalize()]))
}

/// TPM2_PolicyNV after `policy`: the NV index named `index_name` compared with `operand` from offset 0 on.
pub fn policy_nv_digest(
    policy: &PolicyDigest,
    index_name: &[u8],
    operand: &[u8],
    comparison: NvComparison,
) -> PolicyDigest {
    let arguments = hash(&[operand, &0u16.to_be_bytes(), &(comparison as u16).to_be_bytes()]);
    hash(&[policy, &TPM_CC_POLICY_NV.to_be_bytes(), &arguments, index_name])
}

/// TPM2_PolicyOR of `branches` (2 to 8), which replaces what stood before.
pub fn policy_or_digest(branches: &[PolicyDigest]) -> PolicyDigest {
    let command = TPM_CC_POLICY_OR.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&EMPTY_POLICY, &command];
    parts.extend(branches.iter().map(PolicyDigest::as_slice));
    hash(&parts)
}

/// TPM2_PolicyNvWritten(NO) in a fresh session: for the first write of an NV index only.
pub fn policy_nv_never_written_digest() -> PolicyDigest {
    hash(&[&EMPTY_POLICY, &TPM_CC_POLICY_NV_WRITTEN.to_be_bytes(), &[0]])
}

/// The Name of an NV index (Part 2 §13.5) with nameAlg SHA-256: handle ‖ nameAlg ‖ attributes (TPMA_NV) ‖
/// authPolicy ‖ size in bytes.
pub fn nv_index_name(index: u32, attributes: u32, auth_policy: &PolicyDigest, size: u16) -> [u8; 34] {
    let mut area = index.to_be_bytes().to_vec();
    area.extend_from_slice(&TPM_ALG_SHA256.to_be_bytes());
    area.extend_from_slice(&attributes.to_be_bytes());
    area.extend_from_slice(&(auth_policy.len() as u16).to_be_bytes());
    area.extend_from_slice(auth_policy);
    area.extend_from_slice(&size.to_be_bytes());
    tpm_public_name(&area)
}

/// TPM2_PolicyAuthorize: what a blob is sealed to so that any policy approved by the key opens it.
pub fn policy_authorize_digest(key_name: &[u8], policy_ref: &[u8]) -> PolicyDigest {
    let inner = hash(&[&EMPTY_POLICY, &TPM_CC_POLICY_AUTHORIZE.to_be_bytes(), key_name]);
    hash(&[&inner, policy_ref])
}

/// Approves a policy: RSASSA-PKCS1-v1_5 with SHA-256 over aHash = SHA-256(approvedPolicy ‖ policyRef), as
/// TPM2_PolicyAuthorize wants it (Part 3 §23.16). Hand it to TPM2_VerifySignature with that aHash.
///
/// # Errors
/// [`PolicyError`] if the policyRef is too long or the key fails.
pub fn sign_policy(
    key: &SigningKey,
    approved_policy: &PolicyDigest,
    policy_ref: &[u8],
) -> Result<[u8; RSA_BYTES], PolicyError> {
    Ok(key.sign_sha256(&approval(approved_policy, policy_ref)?)?)
}

/// Checks an approval made by [`sign_policy`].
///
/// # Errors
/// [`PolicyError::Key`] with [`KeyError::BadSignature`] if it is not the key's over this policy and policyRef.
pub fn verify_policy(
    key: &PublicKey,
    approved_policy: &PolicyDigest,
    policy_ref: &[u8],
    signature: &[u8],
) -> Result<(), PolicyError> {
    Ok(key.verify_sha256(&approval(approved_policy, policy_ref)?, signature)?)
}

fn approval(policy: &PolicyDigest, policy_ref: &[u8]) -> Result<Vec<u8>, PolicyError> {
    if policy_ref.len() > MAX_POLICY_REF_BYTES {
        return Err(PolicyError::PolicyRefTooLong {
            limit: MAX_POLICY_REF_BYTES,
            found: policy_ref.len(),
        });
    }
    Ok([policy, policy_ref].concat())
}

/// The TPMT_PUBLIC of an RSA-2048 policy key as TPM2_LoadExternal takes it, 278 bytes:
///
/// | offset | size | field | value |
/// |---|---|---|---|
/// | 0 | 2 | type | 0001 RSA |
/// | 2 | 2 | nameAlg | 000B SHA-256 |
/// | 4 | 4 | objectAttributes | [`POLICY_KEY_ATTRIBUTES`] |
/// | 8 | 2 | authPolicy size | 0 |
/// | 10 | 2 | symmetric | 0010 NULL |
/// | 12 | 2 | scheme | 0010 NULL |
/// | 14 | 2 | keyBits | 0800 |
/// | 16 | 4 | exponent | 0, the default 65537 |
/// | 20 | 2 | unique size | 0100 |
/// | 22 | 256 | unique: modulus | big-endian |
///
/// The exponent is part of the Name: 0 is what every TPM must take. systemd writes 00010001 into public areas
/// that it makes from a PEM file, so its Name of the same key is another one.
pub fn tpmt_public_rsa2048(modulus: &[u8; RSA_BYTES]) -> Vec<u8> {
    let mut out = public_header(TPM_ALG_RSA);
    out.extend_from_slice(&((RSA_BYTES * 8) as u16).to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&(RSA_BYTES as u16).to_be_bytes());
    out.extend_from_slice(modulus);
    out
}

/// The TPMT_PUBLIC of a NIST P-256 policy key, 86 bytes: as for RSA up to offset 14 (type 0023 ECC), then
/// curve 0003, kdf 0010 NULL, and both coordinates, each with a size of 0020 before it.
pub fn tpmt_public_p256(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    let mut out = public_header(TPM_ALG_ECC);
    out.extend_from_slice(&TPM_ECC_NIST_P256.to_be_bytes());
    out.extend_from_slice(&TPM_ALG_NULL.to_be_bytes());
    for coordinate in [x, y] {
        out.extend_from_slice(&32u16.to_be_bytes());
        out.extend_from_slice(coordinate);
    }
    out
}

/// The Name of a public area (or of an NV public area) with nameAlg SHA-256: 000B ‖ SHA-256, 34 bytes
/// (Part 1 §16).
pub fn tpm_public_name(public_area: &[u8]) -> [u8; 34] {
    let mut name = [0; 34];
    name[..2].copy_from_slice(&TPM_ALG_SHA256.to_be_bytes());
    name[2..].copy_from_slice(&Sha256::digest(public_area));
    name
}

fn public_header(kind: u16) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&TPM_ALG_SHA256.to_be_bytes());
    out.extend_from_slice(&POLICY_KEY_ATTRIBUTES.to_be_bytes());
    out.extend_from_slice(&0u16.to_be_bytes());
    out.extend_from_slice(&TPM_ALG_NULL.to_be_bytes());
    out.extend_from_slice(&TPM_ALG_NULL.to_be_bytes());
    out
}

fn hash(parts: &[&[u8]]) -> PolicyDigest {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
