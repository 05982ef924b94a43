//! Why a secret was not released.

use std::fmt;

use crate::code::ResponseCode;
use crate::error::{TpmError, TransportError};
use crate::hash::Digest;
use crate::policy::PolicyDigest;
use crate::public::Name;

/// A PCR that has another value than the signed one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PcrDifference {
    /// The PCR.
    pub pcr: u8,
    /// Value the release was signed for.
    pub signed: Digest,
    /// Value it has.
    pub actual: Digest,
}

impl fmt::Debug for PcrDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pcr {}: expected {}, found {}",
            self.pcr, self.signed, self.actual
        )
    }
}

/// The secret was not released.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// The release's own numbers contradict each other: a broken or forged release.
    #[error(
        "unseal: the release's values give policy {computed}, its signature is for {signed}; rebuild the release"
    )]
    PolicyInconsistent {
        /// Digest of values and condition.
        computed: PolicyDigest,
        /// Digest that is signed.
        signed: PolicyDigest,
    },
    /// The blob is for another policy key or purpose.
    #[error(
        "unseal: the blob takes policy {blob}, key and purpose of the release give {release}; use a release of the same signer and purpose"
    )]
    PolicyNotForBlob {
        /// Policy in the blob.
        blob: PolicyDigest,
        /// Policy of the release's key and purpose.
        release: PolicyDigest,
    },
    /// The signature is not that of the release's key.
    #[error("unseal: the tpm finds the release's policy signature invalid; use an unchanged release")]
    SignatureRefused,
    /// The machine is not in the signed state.
    #[error("unseal: pcrs differ from the signed values: {differing:?}; boot what was signed, once")]
    PcrMismatch {
        /// Which and how.
        differing: Vec<PcrDifference>,
    },
    /// The object takes an authValue and none was given.
    #[error("unseal: the blob takes a pin, or what follows from the state volume's key")]
    AuthNeeded,
    /// Another PIN; the TPM has counted it.
    #[error("unseal: that is not the pin")]
    WrongPin,
    /// Another authValue than the one that follows from this volume's key.
    #[error("unseal: the blob was sealed beside another state volume's key")]
    OfAnotherVolume,
    /// PCR 7 is not what it was when the object was made.
    #[error(
        "unseal: pcr 7, the state of secure boot (keys, db, dbx): expected {sealed} as when it was sealed, found {actual}"
    )]
    SecureBootChanged {
        /// Value when sealed.
        sealed: Box<Digest>,
        /// Value it has.
        actual: Box<Digest>,
    },
    /// The condition on NV does not hold: the release is older than the floor.
    #[error("unseal: nv index {index:#x} does not meet the release's condition; boot a newer release")]
    NvConditionFailed {
        /// The index.
        index: u32,
    },
    /// The TPM shows another storage key than the blob was sealed under.
    #[error(
        "unseal: the blob is for storage key {recorded}, this tpm has {found}; restore from backup or provision anew"
    )]
    SrkDiffers {
        /// Name in the blob.
        recorded: Name,
        /// Name the TPM shows.
        found: Name,
    },
    /// The TPM does not load the blob: it was changed, or made by another TPM.
    #[error(
        "unseal: the tpm does not load the blob ({code}): not made by this tpm, or damaged; restore from backup"
    )]
    BlobNotLoadable {
        /// The TPM's reason.
        code: ResponseCode,
    },
    /// What came out does not begin as our payloads do, or names another storage key.
    #[error("unseal: what was sealed is not a secret of this storage key; the blob was planted")]
    PayloadForeign,
    /// The TPM finds that the session's policy is not the blob's.
    #[error("unseal: the tpm refused the policy ({code}); the blob is for another policy")]
    PolicyRefused {
        /// The TPM's reason.
        code: ResponseCode,
    },
    /// Somebody keeps extending PCRs.
    #[error("unseal: pcrs changed during each of {attempts} attempts; load the ima policy later")]
    PcrsKeepChanging {
        /// Sessions tried.
        attempts: u32,
    },
    /// Authorisations are refused for now.
    #[error(
        "unseal: the tpm is locked out; wait for its lockout time or reset it with the lockout authorisation"
    )]
    Lockout,
    /// The TPM cannot be reached.
    #[error("unseal: {0}")]
    Transport(#[source] TransportError),
    /// Another failure of an exchange.
    #[error("unseal: {0}")]
    Tpm(#[source] TpmError),
}

impl From<TpmError> for UnsealError {
    fn from(error: TpmError) -> Self {
        match error {
            TpmError::Transport(error) => Self::Transport(error),
            error if error.base_code() == Some(ResponseCode::LOCKOUT) => Self::Lockout,
            error => Self::Tpm(error),
        }
    }
}
