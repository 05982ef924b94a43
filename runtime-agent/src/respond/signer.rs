//! The TPM's signatures with a time limit: a TPM that blocks costs a signature, and nothing that is done about drift.

use super::Warden;
use super::carry_out::ESP_LIMIT;
use crate::limit::{Late, Lent, within};
use crate::records::{HeadKey, QuoteError, TpmSigner};
use crate::surroundings::Surroundings;
use bennu_formats::Sha256Digest;
use bennu_linux::kmsg::Level;
use bennu_records::{Signer, SignerError};
use bennu_tpm::Quote;
use serde_json::json;
use std::time::Duration;

/// Between two questions for its key to a TPM that does not give it.
const TPM_AGAIN: Duration = Duration::from_secs(60);
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
    key: HeadKey,
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
            key: signer.key(),
            algorithm: signer.algorithm().to_owned(),
            keyid: signer.keyid(),
            tpm: Lent::new(signer),
        })
    }

    /// What it signs is checked with this.
    pub fn key(&self) -> &HeadKey {
        &self.key
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

impl Warden {
    /// Asks the TPM for its key, once a minute while it does not give it, and takes over the certificates that it signed: a
    /// TPM that is kept busy while `bennud` starts must not keep everything unsigned.
    pub(super) fn ask_tpm(&mut self, world: &mut impl Surroundings) {
        let now = world.now();
        let waits = |last: Duration| now.saturating_sub(last) < TPM_AGAIN;
        if self.signer.is_some() || self.asked_tpm.is_some_and(waits) {
            return;
        }
        self.asked_tpm = Some(now);
        let key = match LimitedSigner::open(&mut || world.pause(Duration::ZERO)) {
            Ok(signer) => {
                let key = *signer.key();
                self.signer = Some(signer);
                key
            }
            Err(error) => {
                let words = format!("{error}; neither heads of the log nor certificates are signed");
                return world.say(Level::Error, &words);
            }
        };
        let store = self.store.clone();
        let mut alive = || world.pause(Duration::ZERO);
        let taken = within(ESP_LIMIT, &mut alive, move || {
            let found = store.read().trusted(&key);
            let carried = store.carry_over(&found);
            (found, carried)
        });
        let (found, carried) = match taken {
            Ok(taken) => taken,
            Err(late) => return world.say(Level::Error, &format!("action certificates: {late}")),
        };
        self.next = found.next();
        for trouble in &found.troubles {
            world.say(Level::Warning, &format!("action certificate: {trouble}"));
        }
        match carried {
            Ok(new) if new.is_empty() => {}
            Ok(new) => {
                self.note(json!({"event": "certificates", "numbers": new}), world);
                let words = format!(
                    "{} action certificates of an earlier start; see bennuctl certificates",
                    new.len()
                );
                world.say(Level::Notice, &words);
            }
            Err(error) => world.say(
                Level::Warning,
                &format!("action certificates are not kept: {error}"),
            ),
        }
    }
}
