//! Unsealing: the initrd, once per boot, before the latch.
//!
//! What can be judged without the TPM is judged first, so that a refusal has a name: does the release's
//! policy add up, and is it for this blob. Then the TPM: right storage key, signature, PCRs, condition on NV,
//! Unseal. A PCR extended by somebody else in between voids the policy session; we begin again with a new one,
//! a bounded number of times.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::blob::SealedBlob;
use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::{Loaded, StorageKey, VerifiedTicket};
use crate::error::TpmError;
use crate::hash::Digest;
use crate::kdf::fill_random;
use crate::local::{AuthRule, LocalAuth, LocalConditions, SECURE_BOOT_PCR};
use crate::pcr::PcrValues;
use crate::policy::{
    NvCondition, PolicyDigest, policy_authorize_digest, policy_nv_digest, policy_pcr_digest, signed_digest,
};
use crate::public::{Name, RsaPublic};
use crate::seal::{PAYLOAD_HEAD, PAYLOAD_VERSION};
use crate::session::{Session, SessionKind};
use crate::transport::Transport;

mod error;
mod look;

pub use error::{PcrDifference, UnsealError};

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
        let authorized = policy_authorize_digest(&self.key.name(), &self.policy_ref);
        let release = blob.local.policy(&authorized)?;
        if release == blob.public.auth_policy {
            Ok(())
        } else {
            Err(UnsealError::PolicyNotForBlob {
                blob: PolicyDigest(blob.public.auth_policy),
                release: PolicyDigest(release),
            })
        }
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
        auth: Option<&LocalAuth>,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        policy.check(blob)?;
        // Not even tried: a missing one is not to be counted as a wrong one.
        if blob.local.auth != AuthRule::None && auth.is_none() {
            return Err(UnsealError::AuthNeeded);
        }
        let srk = self.storage_key()?;
        let act = self.unseal_under(&srk, blob, policy, auth);
        self.release_storage_key(&srk, act)
    }

    /// As [`crate::Tpm::unseal`], with the authValue for an object that takes one. It stays here: the session proves it.
    ///
    /// # Errors
    ///
    /// [`UnsealError`]; [`UnsealError::WrongPin`] counts under the TPM's lockout.
    pub fn unseal_with(
        &mut self,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
        auth: &LocalAuth,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        self.unseal_secret(blob, policy, Some(auth))
    }

    /// Right storage key, signature, object loaded.
    fn prepare(
        &mut self,
        srk: &StorageKey,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<(VerifiedTicket, Loaded), UnsealError> {
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
        Ok((ticket, object))
    }

    fn unseal_under(
        &mut self,
        srk: &StorageKey,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
        auth: Option<&LocalAuth>,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let (ticket, object) = self.prepare(srk, blob, policy)?;
        let how = How {
            policy,
            ticket: &ticket,
            local: &blob.local,
            auth,
        };
        let act = self.unseal_loaded(srk, &object, &how);
        let payload = self.flush_after(object.handle, act)?;
        open_payload(&srk.name(), &payload)
    }

    fn unseal_loaded(
        &mut self,
        srk: &StorageKey,
        object: &Loaded,
        how: &How<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        for attempt in 1..=UNSEAL_ATTEMPTS {
            let mut session = self.start_release_session(srk, how.policy, how.ticket)?;
            let act = self
                .fulfil_local(&mut session, how.local)
                .and_then(|()| Ok(self.unseal_object(object, &mut session, how.auth)?));
            match self.flush_after(session.handle(), act) {
                Err(UnsealError::Tpm(error)) if error.base_code() == Some(ResponseCode::PCR_CHANGED) => {
                    pause(attempt)?;
                }
                Err(UnsealError::Tpm(TpmError::Refused { code, .. }))
                    if code.base() == ResponseCode::POLICY_FAIL =>
                {
                    return Err(UnsealError::PolicyRefused { code });
                }
                Err(UnsealError::Tpm(error)) if error.base_code() == Some(ResponseCode::AUTH_FAIL) => {
                    return Err(UnsealError::WrongPin);
                }
                Err(UnsealError::Tpm(error))
                    if how.local.auth == AuthRule::Derived
                        && error.base_code() == Some(ResponseCode::BAD_AUTH) =>
                {
                    return Err(UnsealError::OfAnotherVolume);
                }
                result => return result,
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

    /// The machine's own conditions, behind PolicyAuthorize.
    fn fulfil_local(&mut self, session: &mut Session, local: &LocalConditions) -> Result<(), UnsealError> {
        if let Some(sealed) = local.pcr_values()? {
            let (alg, mask) = (sealed.alg(), sealed.mask());
            match self.policy_pcr(session, alg, mask, &sealed.combined()) {
                Err(error) if error.base_code() == Some(ResponseCode::VALUE) => {
                    let actual = self.pcr_values(alg, mask)?;
                    let of = |values: &PcrValues| {
                        let value = values.get(SECURE_BOOT_PCR).copied();
                        value.unwrap_or(Digest::zero(alg))
                    };
                    let (sealed, actual) = (of(&sealed), of(&actual));
                    return Err(if sealed == actual {
                        error.into()
                    } else {
                        UnsealError::SecureBootChanged {
                            sealed: Box::new(sealed),
                            actual: Box::new(actual),
                        }
                    });
                }
                result => result?,
            }
        }
        match local.auth {
            AuthRule::None => Ok(()),
            AuthRule::Pin | AuthRule::Derived => Ok(self.policy_auth_value(session)?),
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

/// What an object is unsealed with.
struct How<'a> {
    policy: &'a ReleasePolicy,
    ticket: &'a VerifiedTicket,
    local: &'a LocalConditions,
    auth: Option<&'a LocalAuth>,
}

/// Waits a little longer each time, by a random amount, so as not to keep step with whoever extends.
pub(crate) fn pause(attempt: u32) -> Result<(), TpmError> {
    let mut jitter = [0];
    fill_random(&mut jitter)?;
    let millis = u64::from(attempt) * 2 + u64::from(jitter[0] % 8);
    std::thread::sleep(Duration::from_millis(millis));
    Ok(())
}
