//! [`Tpm`]: what the rest of Bennu asks of a TPM. Implemented by [`Client`] and, for tests, by `FakeTpm`.

use zeroize::Zeroizing;

use crate::blob::SealedBlob;
use crate::client::Client;
use crate::error::TpmError;
use crate::eventlog::{EventKind, EventRecord};
use crate::hash::{Digest, HashAlg};
use crate::pcr::{PcrMask, PcrValues};
use crate::seal::{SealError, SealPolicy};
use crate::session::SessionKind;
use crate::transport::Transport;
use crate::unseal::{ReleasePolicy, UnsealError};

/// What is hashed into a PCR. Each bank hashes it with its own algorithm.
#[derive(Clone, Copy)]
pub enum Measured<'a> {
    /// The hash of public data.
    Data(&'a [u8]),
    /// The HMAC of public data under a secret key: says which key it was and does not tell the key.
    Keyed {
        /// The secret.
        key: &'a [u8],
        /// What it is used for.
        data: &'a [u8],
    },
}

impl Measured<'_> {
    /// The value to extend in a bank of `alg`.
    #[must_use]
    pub fn digest(&self, alg: HashAlg) -> Digest {
        match self {
            Self::Data(data) => alg.digest(data),
            Self::Keyed { key, data } => alg.keyed_digest(key, data),
        }
    }
}

/// A measurement to make.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// PCR, 0 to 23.
    pub pcr: u8,
    /// What to hash.
    pub measured: Measured<'a>,
    /// What sort of event it is, for the log.
    pub kind: EventKind,
    /// Words for the log. For [`Measured::Data`] of text, that text.
    pub text: &'a str,
}

impl Event<'_> {
    pub(crate) fn record(&self, digests: Vec<Digest>) -> EventRecord {
        EventRecord {
            pcr: self.pcr,
            digests,
            kind: self.kind,
            text: self.text.to_owned(),
        }
    }
}

/// A TPM as the initrd and provisioning use it.
pub trait Tpm {
    /// Extends one PCR in every active bank that holds it. Nothing is extended on an error that is known
    /// beforehand. The record is for the caller's log.
    ///
    /// # Errors
    ///
    /// [`TpmError::UnsupportedBank`], [`TpmError::NoActiveBank`], or that of the exchange.
    fn pcr_extend(&mut self, event: &Event<'_>) -> Result<EventRecord, TpmError>;

    /// Values of PCRs of one bank, all as of the same moment.
    ///
    /// # Errors
    ///
    /// [`TpmError::PcrNotAllocated`], or that of the exchange.
    fn pcr_read(&mut self, bank: HashAlg, pcrs: PcrMask) -> Result<PcrValues, TpmError>;

    /// Seals `secret` (1 to [`SealPolicy::SECRET_MAX`] bytes) to this TPM and a signed policy.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    fn seal(&mut self, secret: &[u8], policy: &SealPolicy<'_>) -> Result<SealedBlob, SealError>;

    /// Gives the secret if the machine is in the state that the release's policy describes.
    ///
    /// # Errors
    ///
    /// [`UnsealError`], which says whose fault it is.
    fn unseal(
        &mut self,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError>;

    /// `size` bytes from the TPM's generator. For mixing with the kernel's, not for use alone.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    fn random(&mut self, size: usize) -> Result<Zeroizing<Vec<u8>>, TpmError>;
}

impl<T: Transport> Tpm for Client<T> {
    fn pcr_extend(&mut self, event: &Event<'_>) -> Result<EventRecord, TpmError> {
        let algs = self.banks_of(event.pcr)?;
        let digests: Vec<Digest> = algs.into_iter().map(|alg| event.measured.digest(alg)).collect();
        self.pcr_extend_digests(event.pcr, &digests)?;
        Ok(event.record(digests))
    }

    fn pcr_read(&mut self, bank: HashAlg, pcrs: PcrMask) -> Result<PcrValues, TpmError> {
        self.pcr_values(bank, pcrs)
    }

    fn seal(&mut self, secret: &[u8], policy: &SealPolicy<'_>) -> Result<SealedBlob, SealError> {
        self.seal_secret(secret, policy)
    }

    fn unseal(
        &mut self,
        blob: &SealedBlob,
        policy: &ReleasePolicy,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        self.unseal_secret(blob, policy, None)
    }

    fn random(&mut self, size: usize) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let srk = self.storage_key()?;
        let act = self.random_under(&srk, size);
        self.release_storage_key(&srk, act)
    }
}

/// Bytes asked for at once; every TPM gives that many (its largest digest is at least 32 bytes).
const RANDOM_CHUNK: usize = 32;
/// Answers in a row that may be empty before we give up.
const RANDOM_EMPTY_MAX: u32 = 4;

impl<T: Transport> Client<T> {
    fn random_under(&mut self, srk: &crate::StorageKey, size: usize) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let mut session = self.start_session(srk, SessionKind::Hmac)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        let mut empty = 0;
        let act = loop {
            let want = (size - bytes.len()).min(RANDOM_CHUNK);
            if want == 0 {
                break Ok(bytes);
            }
            match self.get_random(&mut session, u16::try_from(want).unwrap_or(0)) {
                Ok(chunk) if chunk.is_empty() && empty == RANDOM_EMPTY_MAX => {
                    break Err(TpmError::NoRandom);
                }
                Ok(chunk) if chunk.is_empty() => empty += 1,
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(error) => break Err(error),
            }
        };
        self.flush_after(session.handle(), act)
    }
}
