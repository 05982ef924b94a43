//! Signatures by the TPM: a quote whose qualifying data is the SHA-256 of the message.
//!
//! The attestation key is restricted: it signs nothing but what the TPM says of itself. So a signature is a statement
//! (PCRs and the TPM's own clock at that moment) with the digest of the message in it, and what signs a line of the
//! log tells the PCRs as well. Layout: length of the statement (u16, big-endian), statement, r and s (64 bytes).

use bennu_formats::Sha256Digest;
use bennu_records::{HeadVerifier, Signer, SignerError, SignerTime};
use bennu_tpm::{
    AttestationPublic, Client, Device, PcrMask, Quote, QuoteStatement, TpmError, TransportError,
    verify_statement,
};
use std::path::Path;

/// The TPM with the kernel's resource manager.
pub const DEVICE: &str = "/dev/tpmrm0";
/// Name of the algorithm in a head.
pub const ALGORITHM: &str = "tpm2-quote-p256-sha256";
/// PCRs that a signature tells: firmware, loader, Secure Boot, IMA, UKI, command lines, extensions, latch.
const PCRS: [u8; 8] = [0, 4, 5, 7, 11, 12, 13, 15];

/// Why the TPM does not sign.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    /// It cannot be opened.
    #[error("attestation: {0}")]
    Open(#[from] TransportError),
    /// It refused.
    #[error("attestation: {0}")]
    Tpm(#[from] TpmError),
}

/// Signs by the TPM. Nothing stays loaded between two signatures.
pub struct TpmSigner {
    public: AttestationPublic,
}

fn client() -> Result<Client<Device>, QuoteError> {
    Ok(Client::new(Device::open(Path::new(DEVICE))?))
}

impl TpmSigner {
    /// Asks the TPM for its attestation key.
    ///
    /// # Errors
    /// [`QuoteError`].
    pub fn open() -> Result<Self, QuoteError> {
        let mut tpm = client()?;
        let key = tpm.attestation_key()?;
        tpm.flush(key.handle())?;
        Ok(Self { public: key.public })
    }

    /// What its signatures are checked with.
    pub fn key(&self) -> HeadKey {
        HeadKey(self.public.sec1())
    }

    /// A quote over `qualifying` (at most 32 bytes).
    ///
    /// # Errors
    /// [`QuoteError`].
    pub fn quote(&self, qualifying: &[u8]) -> Result<Quote, QuoteError> {
        let mut tpm = client()?;
        let key = tpm.attestation_key()?;
        let quote = PcrMask::of(&PCRS).and_then(|pcrs| tpm.quote(&key, pcrs, qualifying));
        tpm.flush(key.handle())?;
        Ok(quote?)
    }
}

impl Signer for TpmSigner {
    fn algorithm(&self) -> &str {
        ALGORITHM
    }

    fn keyid(&self) -> Sha256Digest {
        HeadVerifier::keyid(&self.key())
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let failed = |error: &dyn std::fmt::Display| SignerError(error.to_string());
        let quote = self
            .quote(Sha256Digest::of(message).as_bytes())
            .map_err(|e| failed(&e))?;
        let length = u16::try_from(quote.statement.len()).map_err(|e| failed(&e))?;
        Ok([&length.to_be_bytes()[..], &quote.statement, &quote.signature].concat())
    }
}

/// The point of an attestation key (SEC 1, uncompressed): checks what its TPM signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadKey(pub [u8; 65]);

impl HeadKey {
    /// From 130 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// As 130 hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

fn parse(signature: &[u8]) -> Option<Quote> {
    let (length, rest) = signature.split_first_chunk::<2>()?;
    let (statement, signature) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some(Quote {
        statement: statement.to_vec(),
        signature: signature.try_into().ok()?,
    })
}

impl HeadVerifier for HeadKey {
    fn keyid(&self) -> Sha256Digest {
        Sha256Digest::of(&self.0)
    }

    fn is_good(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        // A certificate's envelope names no algorithm.
        let known = algorithm == ALGORITHM || algorithm == "dsse";
        let qualifying = Sha256Digest::of(message);
        known
            && parse(signature)
                .is_some_and(|quote| verify_statement(&quote, &self.0, qualifying.as_bytes()).is_ok())
    }

    fn signed_at(&self, signature: &[u8]) -> Option<SignerTime> {
        let clock = QuoteStatement::decode(&parse(signature)?.statement).ok()?.clock;
        Some(SignerTime {
            clock_ms: clock.clock_ms,
            resets: clock.reset_count,
            restarts: clock.restart_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_has_one_form_in_text() {
        let key = HeadKey([4; 65]);
        assert_eq!(HeadKey::from_hex(&format!("{}\n", key.to_hex())), Some(key));
        for wrong in ["", "04", &"0".repeat(131), &"x".repeat(130)] {
            assert_eq!(HeadKey::from_hex(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_pass_for_a_signature_or_make_it_panic(bytes: Vec<u8>, message: Vec<u8>) {
            prop_assert!(!HeadKey([4; 65]).is_good(ALGORITHM, &message, &bytes));
        }
    }
}
