//! X.509 certificates: reading any, and making self-signed ones.

use super::{KeyError, PublicKey, SigningKey, limit};
use der::asn1::Utf8StringRef;
use der::asn1::{
    BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString, PrintableString, SetOfVec, UtcTime,
};
use der::{Any, Decode, DecodePem, Encode, EncodePem};
use pkcs8::LineEnding;
use sha2::{Digest, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use std::time::Duration;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::ext::{AsExtension, Extension};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

/// Longest common name, in characters (RFC 5280, appendix A, ub-common-name).
pub const MAX_COMMON_NAME: usize = 64;

const OID_COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const OID_SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// 2050-01-01T00:00:00Z: from here on X.509 wants GeneralizedTime (RFC 5280 §4.1.2.5).
const YEAR_2050_UNIX_S: u64 = 2_524_608_000;

/// From when to when a certificate is valid. Firmware ignores it; openssl and the kernel's tools do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidityPeriod {
    /// First second, in seconds since 1970-01-01T00:00:00Z; usually SOURCE_DATE_EPOCH.
    pub not_before_unix_s: u64,
    /// Length, in days.
    pub days: u32,
}

impl ValidityPeriod {
    /// Ten years (3653 days) from the given second on.
    pub fn ten_years_from(not_before_unix_s: u64) -> Self {
        Self {
            not_before_unix_s,
            days: 3653,
        }
    }

    fn end_unix_s(self) -> u64 {
        self.not_before_unix_s
            .saturating_add(u64::from(self.days) * 86_400)
    }
}

/// An X.509 certificate, and the exact DER bytes that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    inner: x509_cert::Certificate,
    der: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate, PEM or DER. Any key algorithm is accepted: vendors' certificates are enrolled too.
    ///
    /// # Errors
    /// [`KeyError`] if it is too long, no certificate, or not canonical DER.
    pub fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        limit("the certificate", bytes)?;
        let pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
        let inner = if pem {
            x509_cert::Certificate::from_pem(bytes)
        } else {
            x509_cert::Certificate::from_der(bytes)
        };
        let inner = inner.map_err(KeyError::Certificate)?;
        let der = inner.to_der().map_err(KeyError::Certificate)?;
        if !pem && der != bytes {
            return Err(KeyError::CertificateNotDer);
        }
        Ok(Self { inner, der })
    }

    /// The DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM.
    ///
    /// # Errors
    /// [`KeyError::EncodeCertificate`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.inner
            .to_pem(LineEnding::LF)
            .map_err(KeyError::EncodeCertificate)
    }

    /// SHA-256 of the DER bytes.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The subject as RFC 4514 text, for messages: `CN=Bennu db`.
    pub fn subject(&self) -> String {
        self.inner.tbs_certificate.subject.to_string()
    }

    /// Its key.
    ///
    /// # Errors
    /// [`KeyError`] if the key is not RSA-2048 with exponent 65537.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let spki = self.inner.tbs_certificate.subject_public_key_info.to_der();
        PublicKey::from_spki(&spki.map_err(KeyError::Certificate)?)
    }

    /// The decoded certificate.
    pub(crate) fn x509(&self) -> &x509_cert::Certificate {
        &self.inner
    }
}

impl SigningKey {
    /// A self-signed X.509 v3 certificate for this key: CA, usable for signing and for certificates.
    ///
    /// The serial number is derived from key, name and validity, so the same input gives the same bytes.
    ///
    /// # Errors
    /// [`KeyError`] if the name or validity cannot be encoded.
    pub fn self_signed(&self, common_name: &str, validity: ValidityPeriod) -> Result<Certificate, KeyError> {
        let found = common_name.chars().count();
        if !(1..=MAX_COMMON_NAME).contains(&found) {
            return Err(KeyError::CommonName {
                limit: MAX_COMMON_NAME,
                found,
            });
        }
        let spki = self.public_key().to_spki_der()?;
        let tbs = tbs_certificate(&spki, common_name, validity).map_err(KeyError::EncodeCertificate)?;
        let signed = tbs.to_der().map_err(KeyError::EncodeCertificate)?;
        let signature = self.sign_sha256(&signed)?;
        let inner = x509_cert::Certificate {
            signature_algorithm: tbs.signature.clone(),
            tbs_certificate: tbs,
            signature: BitString::from_bytes(&signature).map_err(KeyError::EncodeCertificate)?,
        };
        let der = inner.to_der().map_err(KeyError::EncodeCertificate)?;
        Ok(Certificate { inner, der })
    }
}

fn tbs_certificate(
    spki_der: &[u8],
    common_name: &str,
    validity: ValidityPeriod,
) -> der::Result<TbsCertificate> {
    let subject = name(common_name)?;
    let spki = SubjectPublicKeyInfoOwned::from_der(spki_der)?;
    // RFC 5280 §4.2.1.2, method 1: SHA-1 of the key's bits. An identifier, not a security property.
    let key_id = sha1::Sha1::digest(spki.subject_public_key.raw_bytes());
    let key_id = SubjectKeyIdentifier(OctetString::new(key_id.as_slice())?);
    let constraints = BasicConstraints {
        ca: true,
        path_len_constraint: None,
    };
    let usage = KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign);
    let extensions: Vec<Extension> = vec![
        constraints.to_extension(&subject, &[])?,
        usage.to_extension(&subject, &[])?,
        key_id.to_extension(&subject, &[])?,
    ];
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: serial_number(spki_der, common_name, validity)?,
        signature: sha256_with_rsa(),
        issuer: subject.clone(),
        validity: Validity {
            not_before: time(validity.not_before_unix_s)?,
            not_after: time(validity.end_unix_s())?,
        },
        subject,
        subject_public_key_info: spki,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    })
}

/// `CN=<name>`: PrintableString where that suffices, else UTF-8 (RFC 5280 §4.1.2.4).
fn name(common_name: &str) -> der::Result<RdnSequence> {
    let value = match PrintableString::new(common_name) {
        Ok(printable) => Any::encode_from(&printable)?,
        Err(_) => Any::encode_from(&Utf8StringRef::new(common_name)?)?,
    };
    let attribute = AttributeTypeAndValue {
        oid: OID_COMMON_NAME,
        value,
    };
    let set = SetOfVec::try_from(vec![attribute])?;
    Ok(RdnSequence(vec![RelativeDistinguishedName(set)]))
}

/// Sixteen bytes, positive and of full length.
fn serial_number(spki: &[u8], common_name: &str, validity: ValidityPeriod) -> der::Result<SerialNumber> {
    let mut hash = Sha256::new();
    hash.update(spki);
    hash.update(validity.not_before_unix_s.to_be_bytes());
    hash.update(validity.days.to_be_bytes());
    hash.update(common_name.as_bytes());
    let mut serial = [0u8; 16];
    serial.copy_from_slice(&hash.finalize()[..16]);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    SerialNumber::new(&serial)
}

fn time(unix_s: u64) -> der::Result<Time> {
    let since_epoch = Duration::from_secs(unix_s);
    if unix_s < YEAR_2050_UNIX_S {
        return Ok(Time::UtcTime(UtcTime::from_unix_duration(since_epoch)?));
    }
    Ok(Time::GeneralTime(GeneralizedTime::from_unix_duration(
        since_epoch,
    )?))
}

fn sha256_with_rsa() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: OID_SHA256_WITH_RSA,
        parameters: Some(Any::from(Null)),
    }
}
