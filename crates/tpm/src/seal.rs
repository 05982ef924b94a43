//! Sealing: done at provisioning and when the policy key changes.

use zeroize::Zeroizing;

use crate::blob::SealedBlob;
use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::StorageKey;
use crate::error::{TpmError, TransportError};
use crate::local::SealLocal;
use crate::policy::policy_authorize_digest;
use crate::public::{Name, RsaPublic};
use crate::session::SessionKind;
use crate::transport::Transport;

/// First byte of what is sealed.
pub(crate) const PAYLOAD_VERSION: u8 = 1;
/// Bytes before the secret: version and storage key's Name.
pub(crate) const PAYLOAD_HEAD: usize = 1 + Name::SIZE;
/// Bytes that every TPM can seal: MAX_SYM_DATA (Part 2, annex A; PC Client profile).
const SEALED_MAX: usize = 128;

/// Which storage key to seal under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrkTrust {
    /// Only this one: sealing anew on a machine that has sealed before.
    Pinned(Name),
    /// Whatever the TPM shows: first provisioning. Something between us and the TPM could show its own key
    /// at this moment and read the secret.
    FirstUse,
}

/// Who decides when the secret is released: the holder of a key, for one purpose.
#[derive(Clone, Copy)]
pub struct SealPolicy<'a> {
    /// Key that signs release policies.
    pub authorize_key: &'a RsaPublic,
    /// Purpose that the signature must name (`bennu-state-v1`), at most 32 bytes.
    pub policy_ref: &'a [u8],
    /// Which storage key to seal under.
    pub srk: SrkTrust,
    /// What this machine demands besides.
    pub local: SealLocal<'a>,
}

impl SealPolicy<'_> {
    /// Longest secret in bytes.
    pub const SECRET_MAX: usize = SEALED_MAX - PAYLOAD_HEAD;

    /// The sealed object's policy digest.
    ///
    /// # Errors
    ///
    /// None in practice: PCR 7 exists.
    pub fn auth_policy(&self) -> Result<[u8; 32], TpmError> {
        let authorized = policy_authorize_digest(&self.authorize_key.name(), self.policy_ref);
        self.local.conditions().policy(&authorized)
    }
}

/// A secret could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Empty or too long.
    #[error("seal: expected a secret of 1 to {limit} bytes, found {found}")]
    SecretSize {
        /// [`SealPolicy::SECRET_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// The TPM shows another storage key than the pinned one.
    #[error("seal: expected storage key {expected}, found {found}; the tpm was cleared or replaced")]
    SrkDiffers {
        /// Pinned Name.
        expected: Name,
        /// Name the TPM shows.
        found: Name,
    },
    /// Authorisations are refused for now.
    #[error(
        "seal: the tpm is locked out; wait for its lockout time or reset it with the lockout authorisation"
    )]
    Lockout,
    /// The TPM cannot be reached.
    #[error("seal: {0}")]
    Transport(#[source] TransportError),
    /// Another failure of an exchange.
    #[error("seal: {0}")]
    Tpm(#[source] TpmError),
}

impl From<TpmError> for SealError {
    fn from(error: TpmError) -> Self {
        match error {
            TpmError::Transport(error) => Self::Transport(error),
            error if error.base_code() == Some(ResponseCode::LOCKOUT) => Self::Lockout,
            error => Self::Tpm(error),
        }
    }
}

/// Version, storage key's Name, secret.
pub(crate) fn payload(srk: &Name, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if !(1..=SealPolicy::SECRET_MAX).contains(&secret.len()) {
        return Err(SealError::SecretSize {
            limit: SealPolicy::SECRET_MAX,
            found: secret.len(),
        });
    }
    let mut payload = Zeroizing::new(Vec::with_capacity(SEALED_MAX));
    payload.push(PAYLOAD_VERSION);
    payload.extend_from_slice(srk.as_bytes());
    payload.extend_from_slice(secret);
    Ok(payload)
}

pub(crate) fn check_srk(trust: SrkTrust, found: Name) -> Result<(), SealError> {
    match trust {
        SrkTrust::Pinned(expected) if expected != found => Err(SealError::SrkDiffers { expected, found }),
        SrkTrust::Pinned(_) | SrkTrust::FirstUse => Ok(()),
    }
}

impl<T: Transport> Client<T> {
    pub(crate) fn seal_secret(
        &mut self,
        secret: &[u8],
        policy: &SealPolicy<'_>,
    ) -> Result<SealedBlob, SealError> {
        let srk = self.storage_key()?;
        let act = self.seal_under(&srk, secret, policy);
        self.release_storage_key(&srk, act)
    }

    fn seal_under(
        &mut self,
        srk: &StorageKey,
        secret: &[u8],
        policy: &SealPolicy<'_>,
    ) -> Result<SealedBlob, SealError> {
        check_srk(policy.srk, srk.name())?;
        let payload = payload(&srk.name(), secret)?;
        let auth_policy = policy.auth_policy()?;
        let mut session = self.start_session(srk, SessionKind::Hmac)?;
        let act = self.create_sealed(srk, &mut session, &payload, &auth_policy, policy.local.auth);
        let (public, private) = self.flush_after(session.handle(), act)?;
        Ok(SealedBlob {
            srk_name: srk.name(),
            local: policy.local.conditions(),
            public,
            private,
        })
    }
}
