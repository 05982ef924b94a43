//! RSA-2048 keys and self-signed X.509 certificates for Secure Boot (PK, KEK, db) and for TPM policies.
//!
//! The builder makes and reads them; firmware, stub and TPM read the public halves. RSA-2048 with SHA-256 is
//! what UEFI firmware must support and what every TPM 2.0 can check. Only [`SigningKey::generate`] is random:
//! a certificate is a function of key, name and validity, a signature (PKCS#1 v1.5) of key and message.

mod certificate;
mod error;

pub use certificate::{Certificate, MAX_COMMON_NAME, ValidityPeriod};
pub use error::KeyError;

use pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs1v15;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};
use spki::{DecodePublicKey, EncodePublicKey};
use zeroize::Zeroizing;

/// Size of the modulus and of a signature, in bytes: RSA-2048.
pub const RSA_BYTES: usize = 256;

/// Public exponent, F4. A TPM knows it as its default (written as zero in a public area).
pub const RSA_EXPONENT: u32 = 65_537;

/// Longest key or certificate that is looked at, in bytes.
pub const MAX_KEY_FILE_BYTES: usize = 64 << 10;

/// An RSA-2048 private key. It has no `Debug`; its memory is wiped when it is dropped.
pub struct SigningKey(RsaPrivateKey);

impl SigningKey {
    /// Makes a new key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut random = rsa::rand_core::OsRng;
        RsaPrivateKey::new(&mut random, RSA_BYTES * 8)
            .map(Self)
            .map_err(KeyError::Generate)
    }

    /// Reads an unencrypted PKCS#8 key, PEM or DER.
    ///
    /// # Errors
    /// [`KeyError`] if it is too long, not PKCS#8, or not RSA-2048 with exponent 65537.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        limit("the private key", bytes)?;
        let key = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN") => RsaPrivateKey::from_pkcs8_pem(text),
            _ => RsaPrivateKey::from_pkcs8_der(bytes),
        };
        let key = key.map_err(KeyError::PrivateKey)?;
        check_rsa_2048(&key)?;
        Ok(Self(key))
    }

    /// The key as unencrypted PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError::EncodePrivateKey`].
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(KeyError::EncodePrivateKey)
    }

    /// The key as unencrypted PKCS#8 DER.
    ///
    /// # Errors
    /// [`KeyError::EncodePrivateKey`].
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0
            .to_pkcs8_der()
            .map(|der| der.to_bytes())
            .map_err(KeyError::EncodePrivateKey)
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.to_public_key())
    }

    /// RSASSA-PKCS1-v1_5 over SHA-256 of `message`: 256 bytes, deterministic.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign_sha256(&self, message: &[u8]) -> Result<[u8; RSA_BYTES], KeyError> {
        let padding = rsa::Pkcs1v15Sign::new::<Sha256>();
        let signature = self.0.sign(padding, &Sha256::digest(message));
        let signature =
            signature.map_err(|error| KeyError::Sign(rsa::signature::Error::from_source(error)))?;
        signature.try_into().map_err(|_| KeyError::NotRsa2048 {
            bits: self.0.size() * 8,
        })
    }
}

/// An RSA-2048 public key with exponent 65537.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(RsaPublicKey);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo, PEM (`BEGIN PUBLIC KEY`, as in `.pcrpkey`) or DER.
    ///
    /// # Errors
    /// [`KeyError`] if it is too long, no RSA key, or not RSA-2048 with exponent 65537.
    pub fn from_spki(bytes: &[u8]) -> Result<Self, KeyError> {
        limit("the public key", bytes)?;
        let key = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN") => RsaPublicKey::from_public_key_pem(text),
            _ => RsaPublicKey::from_public_key_der(bytes),
        };
        let key = key.map_err(KeyError::PublicKey)?;
        check_rsa_2048(&key)?;
        Ok(Self(key))
    }

    /// The key as DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`].
    pub fn to_spki_der(&self) -> Result<Vec<u8>, KeyError> {
        self.0
            .to_public_key_der()
            .map(|d| d.into_vec())
            .map_err(KeyError::PublicKey)
    }

    /// The key as DER RSAPublicKey (PKCS#1); its SHA-256 is the fingerprint in `.pcrsig`.
    ///
    /// # Errors
    /// [`KeyError::EncodePublicKey`].
    pub fn to_pkcs1_der(&self) -> Result<Vec<u8>, KeyError> {
        self.0
            .to_pkcs1_der()
            .map(|d| d.into_vec())
            .map_err(KeyError::EncodePublicKey)
    }

    /// The key as PEM, the content of `.pcrpkey`.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`].
    pub fn to_spki_pem(&self) -> Result<String, KeyError> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(KeyError::PublicKey)
    }

    /// The modulus, big-endian.
    ///
    /// # Errors
    /// [`KeyError::NotRsa2048`]; never for a key that this module made.
    pub fn modulus(&self) -> Result<[u8; RSA_BYTES], KeyError> {
        let bits = self.0.n().bits();
        self.0
            .n()
            .to_bytes_be()
            .try_into()
            .map_err(|_| KeyError::NotRsa2048 { bits })
    }

    /// Checks an RSASSA-PKCS1-v1_5 signature over SHA-256 of `message`.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`].
    pub fn verify_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        use rsa::signature::Verifier;
        let signature = pkcs1v15::Signature::try_from(signature).map_err(|_| KeyError::BadSignature)?;
        let key = pkcs1v15::VerifyingKey::<Sha256>::new(self.0.clone());
        key.verify(message, &signature)
            .map_err(|_| KeyError::BadSignature)
    }
}

fn limit(what: &'static str, bytes: &[u8]) -> Result<(), KeyError> {
    if bytes.len() > MAX_KEY_FILE_BYTES {
        return Err(KeyError::TooLong {
            what,
            limit: MAX_KEY_FILE_BYTES,
            found: bytes.len(),
        });
    }
    Ok(())
}

fn check_rsa_2048(key: &impl PublicKeyParts) -> Result<(), KeyError> {
    let bits = key.n().bits();
    if bits != RSA_BYTES * 8 || key.e() != &rsa::BigUint::from(RSA_EXPONENT) {
        return Err(KeyError::NotRsa2048 { bits });
    }
    Ok(())
}
