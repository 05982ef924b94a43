//! The TPM's signatures with a time limit: a TPM that blocks costs a signature, and nothing that is done about drift.

use super::limit::{Late, Lent, within};
use crate::records::{QuoteError, TpmSigner};
use bennu_formats::Sha256Digest;
use bennu_records::{Signer, SignerError};
use bennu_tpm::Quote;
use std::time::Duration;

/// Longest time for one key and one signature; slow TPMs need 3 s.
pub const TPM_LIMIT: Duration = Duration::from_secs(15);

/// Why the TPM does not sign.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It says so.
    #[error("{0}")]
    Quote(#[from] QuoteError),
    /// It says nothing.
    #[error("attestation: {0}")]
    Late(#[from] Late),
}

/// The TPM's key, with its names known, so that nobody waits for them.
#[derive(Clone)]
pub struct LimitedSigner {
    tpm: Lent<TpmSigner>,
    algorithm: String,
    keyid: Sha256Digest,
}

impl LimitedSigner {
    /// Asks the TPM for its attestation key.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn open(alive: &mut dyn FnMut()) -> Result<Self, SignError> {
        let signer = within(TPM_LIMIT, alive, TpmSigner::open)??;
        Ok(Self {
            algorithm: signer.algorithm().to_owned(),
            keyid: signer.keyid(),
            tpm: Lent::new(signer),
        })
    }

    /// A quote over `qualifying` (at most 32 bytes).
    ///
    /// # Errors
    /// [`SignError`].
    pub fn quote(&self, qualifying: &[u8]) -> Result<Quote, SignError> {
        let qualifying = qualifying.to_vec();
        let quoted = self
            .tpm
            .lend(TPM_LIMIT, &mut || (), move |tpm| tpm.quote(&qualifying))?;
        Ok(quoted?)
    }
}

impl Signer for LimitedSigner {
    fn algorithm(&self) -> &str {
        &self.algorithm
    }

    fn keyid(&self) -> Sha256Digest {
        self.keyid
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let message = message.to_vec();
        self.tpm
            .lend(TPM_LIMIT, &mut || (), move |tpm| tpm.sign(&message))
            .unwrap_or_else(|late| Err(SignerError(late.to_string())))
    }
}
