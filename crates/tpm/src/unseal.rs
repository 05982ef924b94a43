//! Unsealing: the initrd, once per boot, before the latch.
//!
//! What can be judged without the TPM is judged first, so that a refusal has a name: does the release's
//! policy add up, and is it for this blob. Then the TPM: right storage key, signature, PCRs, condition on NV,
//! Unseal. A PCR extended by somebody else in between voids the policy session; we begin again with a new one,
//! a bounded number of times.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::blob::SealedBlob;
use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::{Loaded, StorageKey, VerifiedTicket};
use crate::error::{TpmError, TransportError};
use crate::hash::Digest;
use crate::kdf::fill_random;
use crate::pcr::PcrValues;
use crate::policy::{
    NvCondition, PolicyDigest, policy_authorize_digest, policy_nv_digest, policy_pcr_digest, signed_digest,
};
use crate::public::{Name, RsaPublic};
use crate::seal::{PAYLOAD_HEAD, PAYLOAD_VERSION};
use crate::session::{Session, SessionKind};
use crate::transport::Transport;

/// Policy sessions tried while PCRs change under us. One takes 0.1 to 0.5 s on a discrete TPM.
const UNSEAL_ATTEMPTS: u32 = 12;

/// What a release says about the machine it runs on, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePolicy {
    /// PCR values as signed (11, 12, 13, 15 of bank SHA-256).
    pub pcrs: PcrValues,
    /// Condition on the anti-rollback floor, if the policy has one.
    pub nv: Option<NvCondition>,
    /// Policy digest that was signed.
    pub approved_policy: [u8; 32],
    /// RSASSA-PKCS1-v1.5 with SHA-256 over `approved_policy ‖ policy_ref`.
    pub signature: [u8; RsaPublic::SIZE],
    /// Signer.
    pub key: RsaPublic,
    /// Purpose, at most 32 bytes.
    pub policy_ref: Vec<u8>,
}

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

impl ReleasePolicy {
    /// The policy digest that values and condition give.
    #[must_use]
    pub fn computed_policy(&self) -> [u8; 32] {
        let pcrs = policy_pcr_digest(&self.pcrs);
        self.nv
            .as_ref()
            .map_or(pcrs, |condition| policy_nv_digest(&pcrs, condition))
    }

    /// Judges what can be judged without a TPM.
    pub(crate) fn check(&self, blob: &SealedBlob) -> Result<(), UnsealError> {
        let computed = self.computed_policy();
        if computed != self.approved_policy {
            return Err(UnsealError::PolicyInconsistent {
                computed: PolicyDigest(computed),
                signed: PolicyDigest(self.approved_policy),
            });
        }
        let release = policy_authorize_digest(&self.key.name(), &self.policy_ref);
        if release != blob.public.auth_policy {
            return Err(UnsealError::PolicyNotForBlob {
                blob: PolicyDigest(blob.public.auth_policy),
                release: PolicyDigest(release),
            });
        }
        Ok(())
    }

    /// PCRs whose value is not the signed one. A value that is missing counts as zeros.
    pub(crate) fn differences(&self, actual: &PcrValues) -> Vec<PcrDifference> {
        self.pcrs
            .iter()
            .map(|(pcr, &signed)| {
                let actual = actual.get(pcr).copied().unwrap_or(Digest::zero(self.pcrs.alg()));
                PcrDifference { pcr, signed, actual }
            })
            .filter(|difference| difference.signed != difference.actual)
            .collect()
    }
}

/// Takes version and storage key's Name off, compares them, gives the secret.
pub(crate) fn open_payload(srk: &Name, payload: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
    let Some((head, secret)) = payload.split_at_checked(PAYLOAD_HEAD) else {
        return Err(UnsealError::PayloadForeign);
    };
    if head[0] != PAYLOAD_VERSION || head[1..] != srk.as_bytes()[..] || secret.is_empty() {
        return Err(UnsealError::PayloadForeign);
    }
    Ok(Zeroizing::new(secret.to_vec()))
}

impl<T: Transport> Client<T> {
    pub(crate) fn unseal_secret(
        &mut self,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        policy.check(blob)?;
        let srk = self.storage_key()?;
        let act = self.unseal_under(&srk, blob, policy);
        self.release_storage_key(&srk, act)
    }

    fn unseal_under(
        &mut self,
        srk: &StorageKey,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        // Before anything is salted to it: a stranger's key protects nothing.
        if srk.name() != blob.srk_name {
            return Err(UnsealError::SrkDiffers {
                recorded: blob.srk_name,
                found: srk.name(),
            });
        }
        let ticket = self.verify_release(policy)?;
        let object = self
            .load(srk, &blob.public, &blob.private)
            .map_err(|error| match error {
                TpmError::Refused { code, .. } if code.is_format_one() => {
                    UnsealError::BlobNotLoadable { code }
                }
                error => error.into(),
            })?;
        let act = self.unseal_loaded(srk, &object, policy, &ticket);
        let payload = self.flush_after(object.handle, act)?;
        open_payload(&srk.name(), &payload)
    }

    fn unseal_loaded(
        &mut self,
        srk: &StorageKey,
        object: &Loaded,
        policy: &ReleasePolicy,
        ticket: &VerifiedTicket,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        for attempt in 1..=UNSEAL_ATTEMPTS {
            let mut session = self.start_release_session(srk, policy, ticket)?;
            let act = self.unseal_object(object, &mut session);
            match self.flush_after(session.handle(), act) {
                Err(error) if error.base_code() == Some(ResponseCode::PCR_CHANGED) => pause(attempt)?,
                Err(TpmError::Refused { code, .. }) if code.base() == ResponseCode::POLICY_FAIL => {
                    return Err(UnsealError::PolicyRefused { code });
                }
                result => return Ok(result?),
            }
        }
        Err(UnsealError::PcrsKeepChanging {
            attempts: UNSEAL_ATTEMPTS,
        })
    }

    /// A policy session that fulfils `policy`, for Unseal and for NV indices with the same policy. Flush it
    /// when done. A PCR extended after this call makes its use fail with [`ResponseCode::PCR_CHANGED`].
    ///
    /// # Errors
    ///
    /// [`UnsealError`].
    pub fn release_session(
        &mut self,
        srk: &StorageKey,
        policy: &ReleasePolicy,
    ) -> Result<Session, UnsealError> {
        let ticket = self.verify_release(policy)?;
        self.start_release_session(srk, policy, &ticket)
    }

    /// The ticket does not depend on the session, and is good until the TPM is reset. Taken first, so that
    /// as little as possible stands between PolicyPCR and Unseal.
    fn verify_release(&mut self, policy: &ReleasePolicy) -> Result<VerifiedTicket, UnsealError> {
        let key = self.load_policy_key(&policy.key)?;
        let digest = signed_digest(&policy.approved_policy, &policy.policy_ref);
        let act = self.verify_signature(&key, &digest, &policy.signature);
        self.flush_after(key.handle, act)
            .map_err(|error| match error.base_code() {
                Some(ResponseCode::SIGNATURE) => UnsealError::SignatureRefused,
                _ => error.into(),
            })
    }

    fn start_release_session(
        &mut self,
        srk: &StorageKey,
        policy: &ReleasePolicy,
        ticket: &VerifiedTicket,
    ) -> Result<Session, UnsealError> {
        let session = self.start_session(srk, SessionKind::Policy)?;
        match self.fulfil(&session, policy, ticket) {
            Ok(()) => Ok(session),
            Err(error) => self.flush_after(session.handle(), Err(error)),
        }
    }

    fn fulfil(
        &mut self,
        session: &Session,
        policy: &ReleasePolicy,
        ticket: &VerifiedTicket,
    ) -> Result<(), UnsealError> {
        let (alg, mask) = (policy.pcrs.alg(), policy.pcrs.mask());
        match self.policy_pcr(session, alg, mask, &policy.pcrs.combined()) {
            Err(error) if error.base_code() == Some(ResponseCode::VALUE) => {
                let differing = policy.differences(&self.pcr_values(alg, mask)?);
                return Err(match differing[..] {
                    [] => error.into(),
                    [_, ..] => UnsealError::PcrMismatch { differing },
                });
            }
            result => result?,
        }
        if let Some(condition) = &policy.nv {
            self.policy_nv(session, condition)
                .map_err(|error| match error.base_code() {
                    Some(ResponseCode::POLICY) => UnsealError::NvConditionFailed {
                        index: condition.nv.index,
                    },
                    _ => error.into(),
                })?;
        }
        let (approved, reference) = (&policy.approved_policy, &policy.policy_ref);
        Ok(self.policy_authorize(session, approved, reference, &policy.key.name(), ticket)?)
    }
}

/// Waits a little longer each time, by a random amount, so as not to keep step with whoever extends.
pub(crate) fn pause(attempt: u32) -> Result<(), TpmError> {
    let mut jitter = [0];
    fill_random(&mut jitter)?;
    let millis = u64::from(attempt) * 2 + u64::from(jitter[0] % 8);
    std::thread::sleep(Duration::from_millis(millis));
    Ok(())
}
