//! The lockout: TPM2_DictionaryAttackParameters (Part 3, 25.3), TPM2_DictionaryAttackLockReset (25.2).

use crate::client::{Call, Client, Handle};
use crate::code::{cc, rh};
use crate::error::TpmError;
use crate::session::{Auth, Encrypted, SessionKind};
use crate::transport::Transport;
use crate::wire::Writer;

/// How the TPM counts wrong authValues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutRule {
    /// Wrong ones until it refuses all.
    pub tries: u32,
    /// Seconds after which one of them is forgotten, while the machine is on.
    pub forget_one_after_s: u32,
    /// Seconds for which a wrong lockout authorisation locks that one out.
    pub recovery_s: u32,
}

impl<T: Transport> Client<T> {
    /// Sets the rule, by the lockout authorisation.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn set_lockout_rule(&mut self, lockout_auth: &[u8], rule: &LockoutRule) -> Result<(), TpmError> {
        let parameters = Writer::new()
            .u32(rule.tries)
            .u32(rule.forget_one_after_s)
            .u32(rule.recovery_s);
        self.by_lockout(
            "TPM2_DictionaryAttackParameters",
            cc::DICTIONARY_ATTACK_PARAMETERS,
            lockout_auth,
            parameters,
        )
    }

    /// Forgets the wrong authValues so far, by the lockout authorisation.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn reset_lockout(&mut self, lockout_auth: &[u8]) -> Result<(), TpmError> {
        self.by_lockout(
            "TPM2_DictionaryAttackLockReset",
            cc::DICTIONARY_ATTACK_LOCK_RESET,
            lockout_auth,
            Writer::new(),
        )
    }

    fn by_lockout(
        &mut self,
        name: &'static str,
        code: u32,
        lockout_auth: &[u8],
        parameters: Writer,
    ) -> Result<(), TpmError> {
        let srk = self.storage_key()?;
        let act = self
            .start_session(&srk, SessionKind::Hmac)
            .and_then(|mut session| {
                let handles = [Handle::plain(rh::LOCKOUT)];
                let auth = Auth::Session {
                    session: &mut session,
                    auth_value: lockout_auth,
                };
                let call = Call::new(name, code, &handles, parameters).auth(auth, Encrypted::NONE);
                let act = self.run(call).and_then(|reply| reply.nothing());
                self.flush_after(session.handle(), act)
            });
        self.release_storage_key(&srk, act)
    }
}
