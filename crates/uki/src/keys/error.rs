//! Why keys and certificates are refused.

/// Why a key or certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file far too long to be a key.
    #[error("read {what}: expected at most {limit} bytes, found {found}; give a PEM or DER file")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// The random number generator or the prime search failed.
    #[error("generate an RSA-2048 key")]
    Generate(#[source] rsa::Error),
    /// Not a PKCS#8 RSA private key.
    #[error(
        "read the private key: expected an RSA key in PKCS#8; convert it with `openssl pkcs8 -topk8 -nocrypt`"
    )]
    PrivateKey(#[source] pkcs8::Error),
    /// A private key cannot be encoded.
    #[error("encode the private key as PKCS#8")]
    EncodePrivateKey(#[source] pkcs8::Error),
    /// Not a SubjectPublicKeyInfo with an RSA key.
    #[error("read the public key: expected an RSA key as SubjectPublicKeyInfo")]
    PublicKey(#[source] spki::Error),
    /// A public key cannot be encoded.
    #[error("encode the public key as PKCS#1")]
    EncodePublicKey(#[source] rsa::pkcs1::Error),
    /// The key is not RSA-2048 with exponent 65537.
    #[error("check the RSA key: expected 2048 bits and exponent 65537, found {bits} bits; make a new key")]
    NotRsa2048 {
        /// Size of its modulus in bits.
        bits: usize,
    },
    /// Not an X.509 certificate.
    #[error("read the certificate: expected X.509 in DER or PEM")]
    Certificate(#[source] der::Error),
    /// A certificate whose encoding is not DER: embedding it would change its bytes.
    #[error("read the certificate: expected canonical DER, found another encoding; issue it again")]
    CertificateNotDer,
    /// The subject name cannot be encoded.
    #[error("make a certificate: expected a name of 1 to {limit} characters, found {found}")]
    CommonName {
        /// Largest permitted number of characters.
        limit: usize,
        /// Number found.
        found: usize,
    },
    /// The certificate cannot be encoded, for instance because its validity ends after the year 9999.
    #[error("encode the certificate")]
    EncodeCertificate(#[source] der::Error),
    /// Signing failed.
    #[error("sign with the RSA-2048 key")]
    Sign(#[source] rsa::signature::Error),
    /// The signature is not the key's over these bytes.
    #[error("verify the RSA-2048 signature: it is not this key's over these bytes")]
    BadSignature,
}
