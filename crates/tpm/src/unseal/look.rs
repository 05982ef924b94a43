//! What an unseal would find, without one: nothing is counted, and no secret comes out.

use super::{ReleasePolicy, UNSEAL_ATTEMPTS, UnsealError, pause};
use crate::blob::SealedBlob;
use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::StorageKey;
use crate::transport::Transport;

impl<T: Transport> Client<T> {
    /// Whether `blob` would open but for its authValue: everything else is looked at as [`crate::Tpm::unseal`] does, and
    /// nothing is counted. Called before a person is asked for a PIN.
    ///
    /// # Errors
    ///
    /// [`UnsealError`].
    pub fn would_open(&mut self, blob: &SealedBlob, policy: &ReleasePolicy) -> Result<(), UnsealError> {
        policy.check(blob)?;
        let srk = self.storage_key()?;
        let act = self.would_open_under(&srk, blob, policy);
        self.release_storage_key(&srk, act)
    }

    /// Whether the machine is, as far as its PCRs say, the one that `policy` was signed for. Asks no session: what enforces
    /// it is the TPM's own comparison at each unseal.
    ///
    /// # Errors
    ///
    /// [`UnsealError::PcrMismatch`], or that of an exchange.
    pub fn expect_pcrs(&mut self, policy: &ReleasePolicy) -> Result<(), UnsealError> {
        let (alg, mask) = (policy.pcrs.alg(), policy.pcrs.mask());
        let differing = policy.differences(&self.pcr_values(alg, mask)?);
        match differing[..] {
            [] => Ok(()),
            [_, ..] => Err(UnsealError::PcrMismatch { differing }),
        }
    }

    /// Whether the TPM would fulfil `policy` in a session now: what every object that is sealed under it needs. No object
    /// is looked at, so this also says it of a machine that has sealed nothing yet, and nothing is salted to the storage key,
    /// which may be a stranger's.
    ///
    /// # Errors
    ///
    /// [`UnsealError::PcrMismatch`] behind the latch; else as [`Self::would_open`].
    pub fn would_authorize(&mut self, policy: &ReleasePolicy) -> Result<(), UnsealError> {
        let ticket = self.verify_release(policy)?;
        let session = self.start_questions()?;
        let act = self.fulfil(&session, policy, &ticket);
        self.flush_after(session.handle(), act)
    }

    fn would_open_under(
        &mut self,
        srk: &StorageKey,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<(), UnsealError> {
        let (ticket, object) = self.prepare(srk, blob, policy)?;
        self.flush(object.handle)?;
        for attempt in 1..=UNSEAL_ATTEMPTS {
            let mut session = self.start_release_session(srk, policy, &ticket)?;
            let act = self.fulfil_local(&mut session, &blob.local);
            match self.flush_after(session.handle(), act) {
                Err(UnsealError::Tpm(error)) if error.base_code() == Some(ResponseCode::PCR_CHANGED) => {
                    pause(attempt)?;
                }
                result => return result,
            }
        }
        Err(UnsealError::PcrsKeepChanging {
            attempts: UNSEAL_ATTEMPTS,
        })
    }
}
