//! Whether a quote was signed by a given key and says what is expected. Needs no TPM.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};

use super::statement::QuoteStatement;
use super::{AttestationPublic, Quote};
use crate::hash::sha256;
use crate::pcr::PcrValues;
use crate::policy::PolicyDigest;
use crate::wire::WireError;

/// A quote does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The key is no point of P-256.
    #[error("verify a quote: the attestation key is not on P-256")]
    Key,
    /// Somebody else signed, or the statement was changed.
    #[error("verify a quote: the signature is not by this attestation key")]
    Signature,
    /// The statement is no quote over the SHA-256 bank.
    #[error("verify a quote: {0}")]
    Statement(#[from] WireError),
    /// It was made for something else.
    #[error("verify a quote: it was made for other data; an old one was put in its place")]
    Qualifying,
    /// It speaks of other values.
    #[error("verify a quote: expected pcr values with digest {expected}, found {found}")]
    Pcrs {
        /// Digest of the values given.
        expected: PolicyDigest,
        /// Digest in the statement.
        found: PolicyDigest,
    },
}

/// Verifies the signature first, then what the statement says: `qualifying` was signed along, and the PCRs had `pcrs`.
///
/// # Errors
///
/// [`QuoteError`].
pub fn verify_quote(
    quote: &Quote,
    key: &AttestationPublic,
    qualifying: &[u8],
    pcrs: &PcrValues,
) -> Result<QuoteStatement, QuoteError> {
    let statement = verify_statement(quote, &key.sec1(), qualifying)?;
    let expected = pcrs.combined();
    if statement.pcrs != pcrs.mask() || statement.pcr_digest != expected {
        return Err(QuoteError::Pcrs {
            expected: PolicyDigest(expected),
            found: PolicyDigest(statement.pcr_digest),
        });
    }
    Ok(statement)
}

/// Verifies the signature by the key with this point (SEC 1, uncompressed), then that `qualifying` was signed along.
/// What PCRs the statement names is the caller's to judge.
///
/// # Errors
///
/// [`QuoteError::Key`], [`QuoteError::Signature`], [`QuoteError::Statement`], [`QuoteError::Qualifying`].
pub fn verify_statement(
    quote: &Quote,
    point: &[u8; 65],
    qualifying: &[u8],
) -> Result<QuoteStatement, QuoteError> {
    let verifying = VerifyingKey::from_sec1_bytes(point).map_err(|_| QuoteError::Key)?;
    let signature = Signature::from_slice(&quote.signature).map_err(|_| QuoteError::Signature)?;
    verifying
        .verify_prehash(&sha256(&[&quote.statement]), &signature)
        .map_err(|_| QuoteError::Signature)?;
    let statement = QuoteStatement::decode(&quote.statement)?;
    if statement.qualifying != qualifying {
        return Err(QuoteError::Qualifying);
    }
    Ok(statement)
}
