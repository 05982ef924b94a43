//! Signed heads: what makes the log checkable without a segment's key, and a cut visible to whoever has seen one.

use crate::clock::SignerTime;
use bennu_formats::Sha256Digest;

/// The signer failed.
#[derive(Debug, thiserror::Error)]
#[error("record head: cannot be signed: {0}")]
pub struct SignerError(pub String);

/// Signs heads and certificates: the TPM on a machine, a key in memory in tests.
pub trait Signer {
    /// Name of the algorithm, for the reader.
    fn algorithm(&self) -> &str;

    /// SHA-256 that names the key.
    fn keyid(&self) -> Sha256Digest;

    /// Signs.
    ///
    /// # Errors
    /// [`SignerError`].
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// Checks what a [`Signer`] signed.
pub trait HeadVerifier {
    /// SHA-256 that names the key.
    fn keyid(&self) -> Sha256Digest;

    /// Whether the signature is good. Untrusted input.
    fn is_good(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool;

    /// When a signature that [is good](Self::is_good) was made, if its signer says so.
    fn signed_at(&self, _signature: &[u8]) -> Option<SignerTime> {
        None
    }
}

/// What a head signs: that after the line `seq` of the boot the chain was this.
pub fn head_message(boot: &str, seq: u64, chain: &Sha256Digest) -> Vec<u8> {
    format!("bennu-records-head-v1\n{boot}\n{seq}\n{chain}\n").into_bytes()
}
