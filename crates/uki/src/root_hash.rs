//! PKCS#7 signature over a dm-verity root hash, as the kernel's `root_hash_sig_key_desc` and the
//! root-verity-sig partition want it (`Documentation/admin-guide/device-mapper/verity.rst`, UAPI.2): detached,
//! over the lower-case hex text without a newline, without signed attributes.
//!
//! Written by the builder, read by the kernel, systemd and `bennu verify`.

use crate::keys::{Certificate, SigningKey};
use crate::pkcs7::{self, Content, OID_DATA};

/// Longest signature that is looked at, in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 16 * 1024;

/// Why there is no signature, or why it does not hold.
#[derive(Debug, thiserror::Error)]
pub enum RootHashSignatureError {
    /// Signing failed.
    #[error("sign the root hash: {0}")]
    Sign(String),
    /// Longer than any signature of ours.
    #[error("verify the root hash: expected a signature of at most {MAX_SIGNATURE_BYTES} bytes, found {0}")]
    TooLong(usize),
    /// Not PKCS#7 SignedData.
    #[error("verify the root hash: expected a DER ContentInfo with SignedData, found something else")]
    NotSignedData,
    /// Not by that certificate, or over another root hash.
    #[error("verify the root hash: the signature over {root_hash} is not by {subject}")]
    NotSignedBy {
        /// Root hash, hex.
        root_hash: String,
        /// Subject of the certificate.
        subject: String,
    },
}

/// Signs `root_hash_hex`; DER of a ContentInfo. The same input gives the same bytes.
///
/// # Errors
/// [`RootHashSignatureError::Sign`].
pub fn sign(
    root_hash_hex: &str,
    key: &SigningKey,
    certificate: &Certificate,
) -> Result<Vec<u8>, RootHashSignatureError> {
    let failed = |e: &dyn std::fmt::Display| RootHashSignatureError::Sign(e.to_string());
    let signed =
        pkcs7::sign(Content::Detached(root_hash_hex.as_bytes()), key, certificate).map_err(|e| failed(&e))?;
    pkcs7::to_content_info(&signed).map_err(|e| failed(&e))
}

/// Checks that `certificate` signed `root_hash_hex`.
///
/// # Errors
/// See [`RootHashSignatureError`].
pub fn verify(
    signature: &[u8],
    root_hash_hex: &str,
    certificate: &Certificate,
) -> Result<(), RootHashSignatureError> {
    if signature.len() > MAX_SIGNATURE_BYTES {
        return Err(RootHashSignatureError::TooLong(signature.len()));
    }
    let signed = pkcs7::from_content_info(signature).ok_or(RootHashSignatureError::NotSignedData)?;
    let message = root_hash_hex.as_bytes();
    let holds =
        signed.signer_infos.0.iter().any(|info| {
            pkcs7::names(info, certificate) && pkcs7::holds(info, certificate, OID_DATA, message)
        });
    if holds {
        Ok(())
    } else {
        Err(RootHashSignatureError::NotSignedBy {
            root_hash: root_hash_hex.to_owned(),
            subject: certificate.subject(),
        })
    }
}
