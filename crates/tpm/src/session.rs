//! Authorization sessions (Part 1, 19): nonces, HMACs and parameter encryption.
//!
//! Every session is salted to the storage key, so its key is known to that TPM and to us only: what is on
//! the bus can be neither read nor changed without being noticed. A session lives in the TPM until
//! `Client::flush`; its key is wiped here on drop.

use hmac::Mac;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::TpmError;
use crate::hash::{hmac, sha256};
use crate::kdf::{Cipher, cfb, fill_random, join_keys};

/// Attribute bits (Part 2, 8.4): continueSession is always set; sessions end by TPM2_FlushContext.
const CONTINUE: u8 = 0x01;
/// First command parameter is encrypted.
const DECRYPT: u8 = 0x20;
/// First response parameter is encrypted.
const ENCRYPT: u8 = 0x40;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Proves knowledge of authValues and carries encrypted parameters.
    Hmac,
    /// Collects policy statements; authorizes with them, and with an authValue where one of them says so.
    Policy,
}

impl SessionKind {
    /// TPM_SE (Part 2, 6.11).
    pub(crate) const fn id(self) -> u8 {
        match self {
            Self::Hmac => 0,
            Self::Policy => 1,
        }
    }
}

/// A salted session. Has no `Debug`: it holds a key.
pub struct Session {
    handle: u32,
    kind: SessionKind,
    key: Zeroizing<[u8; 32]>,
    nonce_tpm: Vec<u8>,
    nonce_caller: [u8; 32],
    /// A policy session that PolicyAuthValue was added to.
    proves_auth_value: bool,
}

/// Which parameters of a command are TPM2Bs that get encrypted. A property of the command, not a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encrypted {
    pub(crate) command: bool,
    pub(crate) response: bool,
}

impl Encrypted {
    pub(crate) const NONE: Self = Self {
        command: false,
        response: false,
    };
    pub(crate) const COMMAND: Self = Self {
        command: true,
        response: false,
    };
    pub(crate) const RESPONSE: Self = Self {
        command: false,
        response: true,
    };
    pub(crate) const BOTH: Self = Self {
        command: true,
        response: true,
    };

    const fn attributes(self) -> u8 {
        CONTINUE | if self.command { DECRYPT } else { 0 } | if self.response { ENCRYPT } else { 0 }
    }
}

/// How a command's first handle is authorized.
pub enum Auth<'a> {
    /// The authValue in the clear. Empty for the storage key and PCRs, where there is nothing to hide.
    Password(&'a [u8]),
    /// A session; `auth_value` is that of the object (empty with a policy session), and is not sent.
    Session {
        /// The session; its nonces roll on.
        session: &'a mut Session,
        /// authValue of the authorized handle.
        auth_value: &'a [u8],
    },
}

impl<'a> Auth<'a> {
    /// A session for a handle with empty authValue.
    pub fn session(session: &'a mut Session) -> Self {
        Self::Session {
            session,
            auth_value: &[],
        }
    }
}

/// The authValue as the TPM uses it: without trailing zeros (Part 1, 19.6.4.3).
pub(crate) fn strip(mut auth_value: &[u8]) -> &[u8] {
    while let [head @ .., 0] = auth_value {
        auth_value = head;
    }
    auth_value
}

impl Session {
    pub(crate) fn new(
        handle: u32,
        kind: SessionKind,
        key: Zeroizing<[u8; 32]>,
        nonce_tpm: &[u8],
        nonce_caller: [u8; 32],
    ) -> Self {
        Self {
            handle,
            kind,
            key,
            nonce_tpm: nonce_tpm.to_vec(),
            nonce_caller,
            proves_auth_value: false,
        }
    }

    /// From now on the HMAC of this policy session contains the authValue of what it authorizes.
    pub(crate) fn prove_auth_value(&mut self) {
        self.proves_auth_value = true;
    }

    /// Handle within the TPM.
    #[must_use]
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> SessionKind {
        self.kind
    }

    pub(crate) fn nonce_caller(&self) -> &[u8] {
        &self.nonce_caller
    }

    /// Takes a new caller's nonce and encrypts the first parameter, in place: step 1 of a command.
    pub(crate) fn begin(
        &mut self,
        encrypted: Encrypted,
        auth_value: &[u8],
        parameters: &mut [u8],
    ) -> Result<(), TpmError> {
        fill_random(&mut self.nonce_caller)?;
        if encrypted.command {
            let key = join_keys(self.key.as_ref(), strip(auth_value));
            let first = first_parameter(parameters);
            cfb(Cipher::Encrypt, &key, &self.nonce_caller, &self.nonce_tpm, first);
        }
        Ok(())
    }

    /// Session attributes and HMAC over the finished command: step 2.
    pub(crate) fn authorize(
        &self,
        encrypted: Encrypted,
        auth_value: &[u8],
        cp_hash: &[u8; 32],
    ) -> (u8, [u8; 32]) {
        let attributes = encrypted.attributes();
        let key = join_keys(self.key.as_ref(), self.hmac_auth(auth_value));
        let mac = hmac::<Sha256>(
            &key,
            &[cp_hash, &self.nonce_caller, &self.nonce_tpm, &[attributes]],
        );
        (attributes, mac.finalize().into_bytes().into())
    }

    /// Checks the response's HMAC, rolls the nonce, decrypts the first parameter in place: step 3.
    pub(crate) fn accept(
        &mut self,
        command: &'static str,
        answer: &Answer<'_>,
        encrypted: Encrypted,
        auth_value: &[u8],
        parameters: &mut [u8],
    ) -> Result<(), TpmError> {
        let rp_hash = sha256(&[&0u32.to_be_bytes(), &answer.code.to_be_bytes(), parameters]);
        let key = join_keys(self.key.as_ref(), self.hmac_auth(auth_value));
        let mac = hmac::<Sha256>(
            &key,
            &[&rp_hash, answer.nonce, &self.nonce_caller, &[answer.attributes]],
        );
        // The nonce is the TPM's contribution against replay: at least half a digest long.
        let fresh = answer.nonce.len() >= 16 && answer.attributes == encrypted.attributes();
        if mac.verify_slice(answer.hmac).is_err() || !fresh {
            return Err(TpmError::ResponseForged { command });
        }
        self.nonce_tpm = answer.nonce.to_vec();
        if encrypted.response {
            let key = join_keys(self.key.as_ref(), strip(auth_value));
            let first = first_parameter(parameters);
            cfb(Cipher::Decrypt, &key, &self.nonce_tpm, &self.nonce_caller, first);
        }
        Ok(())
    }

    /// A policy session proves its policy; the authValue only where the policy says so (Part 1, 19.6.5).
    fn hmac_auth<'a>(&self, auth_value: &'a [u8]) -> &'a [u8] {
        match self.kind {
            SessionKind::Hmac => strip(auth_value),
            SessionKind::Policy if self.proves_auth_value => strip(auth_value),
            SessionKind::Policy => &[],
        }
    }
}

/// The session part of a response.
pub(crate) struct Answer<'a> {
    /// Command code answered.
    pub(crate) code: u32,
    pub(crate) nonce: &'a [u8],
    pub(crate) attributes: u8,
    pub(crate) hmac: &'a [u8],
}

/// Contents of the TPM2B that parameters begin with; empty when there is none.
fn first_parameter(parameters: &mut [u8]) -> &mut [u8] {
    let Some((size, rest)) = parameters.split_first_chunk_mut::<2>() else {
        return &mut [];
    };
    let size = usize::from(u16::from_be_bytes(*size)).min(rest.len());
    &mut rest[..size]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_are_no_part_of_an_auth_value() {
        assert_eq!(strip(&[1, 0, 2, 0, 0]), [1, 0, 2]);
        assert_eq!(strip(&[0, 0]), [0u8; 0]);
    }

    #[test]
    fn a_lying_length_of_the_first_parameter_stays_inside() {
        assert_eq!(first_parameter(&mut [0, 9, 1, 2]), [1, 2]);
        assert_eq!(first_parameter(&mut [0]), [0u8; 0]);
    }
}
