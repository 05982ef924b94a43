//! Policy digests (Part 3, 23) computed without a TPM, all SHA-256 and beginning with an empty policy.
//!
//! The TPM computes the same sums within a policy session; tests compare them with TPM2_PolicyGetDigest and
//! with tpm2-tools. Written by the builder's side of a signature, checked by the initrd before it asks the TPM.

use std::fmt;

use crate::code::cc;
use crate::command::NvPublic;
use crate::hash::sha256;
use crate::pcr::PcrValues;
use crate::public::Name;

/// The digest of an empty policy.
pub(crate) const EMPTY: [u8; 32] = [0; 32];

/// A policy digest in an error's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PolicyDigest(pub [u8; 32]);

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyDigest({self})")
    }
}

/// Policy digest after TPM2_PolicyPCR as the first statement (Part 3, 23.7).
#[must_use]
pub fn policy_pcr_digest(values: &PcrValues) -> [u8; 32] {
    policy_pcr_after(&EMPTY, values)
}

/// The same when it follows a policy with digest `before`.
pub(crate) fn policy_pcr_after(before: &[u8; 32], values: &PcrValues) -> [u8; 32] {
    let selection = values.mask().selection(values.alg());
    sha256(&[
        before,
        &cc::POLICY_PCR.to_be_bytes(),
        &selection,
        &values.combined(),
    ])
}

/// Policy digest after TPM2_PolicyAuthorize, which replaces what stood before (Part 3, 23.16).
#[must_use]
pub fn policy_authorize_digest(key: &Name, policy_ref: &[u8]) -> [u8; 32] {
    let keyed = sha256(&[&EMPTY, &cc::POLICY_AUTHORIZE.to_be_bytes(), key.as_bytes()]);
    sha256(&[&keyed, policy_ref])
}

/// The SHA-256 that the policy key signs with RSASSA-PKCS1-v1.5 (Part 3, 23.16: aHash).
#[must_use]
pub fn signed_digest(approved_policy: &[u8; 32], policy_ref: &[u8]) -> [u8; 32] {
    sha256(&[approved_policy, policy_ref])
}

/// Policy digest after TPM2_PolicyNV follows a policy with digest `before` (Part 3, 23.9).
#[must_use]
pub fn policy_nv_digest(before: &[u8; 32], condition: &NvCondition) -> [u8; 32] {
    let offset = condition.offset.to_be_bytes();
    let operation = condition.compare.id().to_be_bytes();
    let arguments = sha256(&[&condition.operand, &offset, &operation]);
    sha256(&[
        before,
        &cc::POLICY_NV.to_be_bytes(),
        &arguments,
        condition.nv.name().as_bytes(),
    ])
}

/// Policy digest after TPM2_PolicyOR of `branches`, 2 to 8 of them; it replaces what stood before (Part 3, 23.6).
#[must_use]
pub fn policy_or_digest(branches: &[[u8; 32]]) -> [u8; 32] {
    let code = cc::POLICY_OR.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&EMPTY, &code];
    parts.extend(branches.iter().map(<[u8; 32]>::as_slice));
    sha256(&parts)
}

/// Policy digest after TPM2_PolicyNvWritten follows a policy with digest `before` (Part 3, 23.20).
#[must_use]
pub fn policy_nv_written_digest(before: &[u8; 32], written: NvWritten) -> [u8; 32] {
    sha256(&[before, &cc::POLICY_NV_WRITTEN.to_be_bytes(), &[written as u8]])
}

/// Whether an index must have been written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NvWritten {
    /// Never: this is its first write.
    No = 0,
    /// At least once.
    Yes = 1,
}

/// How TPM2_PolicyNV compares the index (operand A) with the given value (operand B), as unsigned big-endian
/// numbers: TPM_EO (Part 2, 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NvCompare {
    /// Index equals the value.
    Equal,
    /// Index is at most the value: the anti-rollback floor.
    AtMost,
    /// Index is at least the value.
    AtLeast,
}

impl NvCompare {
    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::Equal => 0x0000,
            Self::AtLeast => 0x0007,
            Self::AtMost => 0x0009,
        }
    }
}

/// A condition on an NV index's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvCondition {
    /// The index with its attributes (written); its Name is part of the policy.
    pub nv: NvPublic,
    /// The comparison.
    pub compare: NvCompare,
    /// Value compared with, big-endian, as long as the compared part of the index.
    pub operand: Vec<u8>,
    /// Where in the index the compared part begins, bytes.
    pub offset: u16,
}
