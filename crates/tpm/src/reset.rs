//! Factory reset: the TPM is cleared, and shown not to open what was sealed before.

use crate::blob::SealedBlob;
use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::StorageKey;
use crate::error::TpmError;
use crate::public::Name;
use crate::session::SessionKind;
use crate::transport::Transport;

/// The TPM has refused an old sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSecret {
    /// What it answered: [`ResponseCode::INTEGRITY`], with the number of a parameter.
    pub code: ResponseCode,
    /// Storage key that the object was sealed under.
    pub sealed_under: Name,
    /// Storage key of the TPM now.
    pub storage_key: Name,
}

/// It was not shown that an old sealed object is dead.
#[derive(Debug, thiserror::Error)]
pub enum StillAlive {
    /// The TPM still has the storage key that it was sealed under.
    #[error("the tpm still has the storage key {0} that it was sealed under")]
    SameStorageKey(Name),
    /// The TPM loads it.
    #[error("the tpm still loads it")]
    Loads,
    /// The TPM answered something that is no proof.
    #[error("expected the tpm to refuse it as not its own, found: {0}")]
    Unclear(#[from] TpmError),
}

impl<T: Transport> Client<T> {
    /// TPM2_Clear by the lockout authorisation, which a salted session proves without sending it.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; until it succeeds the TPM is as it was.
    pub fn clear_owner(&mut self, lockout_auth: &[u8]) -> Result<(), TpmError> {
        let srk = self.storage_key()?;
        let mut session = match self.start_session(&srk, SessionKind::Hmac) {
            Ok(session) => session,
            Err(error) => return self.release_storage_key(&srk, Err(error)),
        };
        // A transient storage key would be gone with its hierarchy: dropped before, not after.
        self.release_storage_key(&srk, Ok::<(), TpmError>(()))?;
        let act = self.clear(&mut session, lockout_auth);
        self.flush_after(session.handle(), act)
    }

    /// Gives `blob` to the TPM and demands that it is refused as the work of another TPM.
    ///
    /// # Errors
    ///
    /// [`StillAlive`].
    pub fn show_dead(&mut self, blob: &SealedBlob) -> Result<DeadSecret, StillAlive> {
        let srk = self.storage_key()?;
        let act = self.show_dead_under(&srk, blob);
        self.release_storage_key(&srk, act)
    }

    fn show_dead_under(&mut self, srk: &StorageKey, blob: &SealedBlob) -> Result<DeadSecret, StillAlive> {
        match self.load(srk, &blob.public, &blob.private) {
            Ok(loaded) => self.flush_after(loaded.handle, Err(StillAlive::Loads)),
            Err(TpmError::Refused { code, .. }) if code.base() == ResponseCode::INTEGRITY => {
                if srk.name() == blob.srk_name {
                    return Err(StillAlive::SameStorageKey(blob.srk_name));
                }
                Ok(DeadSecret {
                    code,
                    sealed_under: blob.srk_name,
                    storage_key: srk.name(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}
