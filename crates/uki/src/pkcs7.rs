//! The one shape of PKCS#7 SignedData that UEFI reads: version 1, one signer named by issuer and serial number,
//! SHA-256, RSASSA-PKCS1-v1_5 (UEFI 2.10 §32.2.4; RFC 2315). Authenticode and the variable files share it.

use crate::keys::{Certificate, KeyError, SigningKey};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo};
use cms::signed_data::{SignedAttributes, SignerInfos};
use der::asn1::{Null, ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;

pub(crate) const OID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
pub(crate) const OID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
pub(crate) const OID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const OID_CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const OID_MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const OID_SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// Why a SignedData cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs7Error {
    /// DER encoding failed.
    #[error("encode the PKCS#7 signature")]
    Encode(#[from] der::Error),
    /// The key failed.
    #[error("sign the PKCS#7 content")]
    Key(#[from] KeyError),
    /// The certificate is another key's: nobody could verify the signature with it.
    #[error(
        "sign with certificate {subject}: it is not the private key's; give the pair that belongs together"
    )]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
}

/// What a signature is made over.
pub(crate) enum Content<'a> {
    /// A structure inside the SignedData, with authenticated attributes (Authenticode).
    Embedded {
        content_type: ObjectIdentifier,
        value: Any,
    },
    /// Bytes that lie elsewhere, signed directly, without attributes (EFI variables).
    Detached(&'a [u8]),
}

pub(crate) fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::from(Null)),
    }
}

/// Signs; deterministic.
pub(crate) fn sign(
    content: Content<'_>,
    key: &SigningKey,
    cert: &Certificate,
) -> Result<SignedData, Pkcs7Error> {
    if cert.public_key().ok().as_ref() != Some(&key.public_key()) {
        return Err(Pkcs7Error::KeyMismatch {
            subject: cert.subject(),
        });
    }
    let (encap_content_info, signed_attrs, signature) = match content {
        Content::Embedded { content_type, value } => {
            let attributes = attributes(content_type, &Sha256::digest(value.value()))?;
            let signature = key.sign_sha256(&attributes.to_der()?)?;
            let info = EncapsulatedContentInfo {
                econtent_type: content_type,
                econtent: Some(value),
            };
            (info, Some(attributes), signature)
        }
        Content::Detached(message) => {
            let info = EncapsulatedContentInfo {
                econtent_type: OID_DATA,
                econtent: None,
            };
            (info, None, key.sign_sha256(message)?)
        }
    };
    let tbs = &cert.x509().tbs_certificate;
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: tbs.issuer.clone(),
            serial_number: tbs.serial_number.clone(),
        }),
        digest_alg: algorithm(OID_SHA256),
        signed_attrs,
        signature_algorithm: algorithm(OID_RSA),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let certificate = CertificateChoices::Certificate(cert.x509().clone());
    Ok(SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![algorithm(OID_SHA256)])?,
        encap_content_info,
        certificates: Some(CertificateSet(SetOfVec::try_from(vec![certificate])?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
    })
}

/// Wraps SignedData as ContentInfo, DER.
pub(crate) fn to_content_info(signed: &SignedData) -> der::Result<Vec<u8>> {
    ContentInfo {
        content_type: OID_SIGNED_DATA,
        content: Any::encode_from(signed)?,
    }
    .to_der()
}

/// Unwraps a DER ContentInfo; `None` for anything but SignedData.
pub(crate) fn from_content_info(der: &[u8]) -> Option<SignedData> {
    let info = ContentInfo::from_der(der).ok()?;
    if info.content_type != OID_SIGNED_DATA {
        return None;
    }
    info.content.decode_as().ok()
}

/// Whether `signer` names `cert` by issuer and serial number.
pub(crate) fn names(signer: &SignerInfo, cert: &Certificate) -> bool {
    let tbs = &cert.x509().tbs_certificate;
    match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            id.issuer == tbs.issuer && id.serial_number == tbs.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(_) => false,
    }
}

/// Whether `signer` is a valid SHA-256 signature by `cert` over `content`: directly, or over authenticated
/// attributes that hold exactly one content type and exactly one matching digest.
pub(crate) fn holds(
    signer: &SignerInfo,
    cert: &Certificate,
    content_type: ObjectIdentifier,
    content: &[u8],
) -> bool {
    let algorithm_known = signer.digest_alg.oid == OID_SHA256
        && [OID_RSA, OID_SHA256_WITH_RSA].contains(&signer.signature_algorithm.oid);
    let Ok(key) = cert.public_key() else { return false };
    if !algorithm_known {
        return false;
    }
    let signature = signer.signature.as_bytes();
    let Some(attributes) = &signer.signed_attrs else {
        return key.verify_sha256(content, signature).is_ok();
    };
    let wanted_type = Any::encode_from(&content_type);
    let wanted_digest =
        OctetString::new(Sha256::digest(content).as_slice()).and_then(|digest| Any::encode_from(&digest));
    let (Ok(wanted_type), Ok(wanted_digest)) = (wanted_type, wanted_digest) else {
        return false;
    };
    only_value(attributes, OID_CONTENT_TYPE) == Some(&wanted_type)
        && only_value(attributes, OID_MESSAGE_DIGEST) == Some(&wanted_digest)
        && attributes
            .to_der()
            .is_ok_and(|signed| key.verify_sha256(&signed, signature).is_ok())
}

/// The single value of the single attribute of this type.
fn only_value(attributes: &SignedAttributes, oid: ObjectIdentifier) -> Option<&Any> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let (attribute, None) = (found.next()?, found.next()) else {
        return None;
    };
    let mut values = attribute.values.iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    Some(value)
}

fn attributes(content_type: ObjectIdentifier, digest: &[u8]) -> der::Result<SignedAttributes> {
    let digest = Any::encode_from(&OctetString::new(digest)?)?;
    let attribute = |oid, value| {
        der::Result::Ok(Attribute {
            oid,
            values: SetOfVec::try_from(vec![value])?,
        })
    };
    SetOfVec::try_from(vec![
        attribute(OID_CONTENT_TYPE, Any::encode_from(&content_type)?)?,
        attribute(OID_MESSAGE_DIGEST, digest)?,
    ])
}
