//! Authenticode signatures of PE images, as UEFI firmware checks them before it starts one.
//!
//! The builder signs systemd-boot and UKIs with the db key; firmware verifies them at each boot; the updater
//! and the tests verify with [`verify`]. After "Windows Authenticode Portable Executable Signature Format"
//! 1.0 and UEFI 2.10 §32.2: SHA-256 only, RSA-2048, the certificate included, no time stamp.

mod digest;
mod sign;
mod verify;

pub use crate::pkcs7::Pkcs7Error;
pub use digest::image_digest;
pub use sign::sign;
pub use verify::verify;

use crate::pe::{PeError, SectionName, StripError};
use der::Sequence;
use der::asn1::{Any, ObjectIdentifier, OctetString};
use spki::AlgorithmIdentifierOwned;

/// Most bytes an attribute certificate table may have: 1 MiB. A signature with one certificate takes 1.5 KiB.
pub const MAX_CERTIFICATE_TABLE_BYTES: usize = 1 << 20;

/// WIN_CERTIFICATE.wRevision, WIN_CERT_REVISION_2_0.
const WIN_CERT_REVISION: u16 = 0x0200;

/// WIN_CERTIFICATE.wCertificateType, WIN_CERT_TYPE_PKCS_SIGNED_DATA.
const WIN_CERT_TYPE_PKCS: u16 = 0x0002;

/// Size of WIN_CERTIFICATE before its bCertificate, in bytes.
const WIN_CERTIFICATE_BYTES: usize = 8;

/// Entries of the certificate table start at multiples of this, in bytes.
const TABLE_ALIGNMENT: usize = 8;

const OID_SPC_INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
const OID_SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");

/// SpcPeImageData as signtool writes it: no flags, and the file name `<<<Obsolete>>>` in UTF-16.
const SPC_PE_IMAGE_DATA: &[u8] = b"\x30\x25\x03\x01\x00\xa0\x20\xa2\x1e\x80\x1c\
    \0<\0<\0<\0O\0b\0s\0o\0l\0e\0t\0e\0>\0>\0>";

/// Why an image cannot be signed, or its signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticodeError {
    /// The bytes are no PE32+ image.
    #[error("read the image to sign or verify")]
    Pe(#[from] PeError),
    /// The symbol table cannot be removed.
    #[error("prepare the image for signing")]
    Strip(#[from] StripError),
    /// Bytes between sections would not be covered by the digest.
    #[error(
        "digest the image: expected section {name} at {expected:#x}, found it at {found:#x}; link it without gaps"
    )]
    Gap {
        /// The section behind the gap.
        name: SectionName,
        /// Where the bytes before it end, as a file offset.
        expected: u32,
        /// Where it starts.
        found: u32,
    },
    /// It carries a signature already.
    #[error("sign the image: it is signed already; give the unsigned image")]
    AlreadySigned,
    /// The signature cannot be made.
    #[error("sign the image")]
    Sign(#[from] Pkcs7Error),
    /// The structure to sign cannot be encoded.
    #[error("encode the Authenticode content")]
    Encode(#[from] der::Error),
    /// The signed image would be too long.
    #[error("sign the image: expected it to stay below {limit} bytes; make the initrd smaller")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
    },
    /// No signature.
    #[error("verify the image: expected a signature, found none; sign it with the db key")]
    NotSigned,
    /// The certificate table is not exactly what lies behind the image's last byte.
    #[error(
        "verify the image: expected the certificate table to end the file of {len} bytes, found {start}+{size}"
    )]
    BadCertificateTable {
        /// File offset of the table.
        start: u32,
        /// Its size in bytes.
        size: u32,
        /// Length of the file in bytes.
        len: usize,
    },
    /// An entry of the certificate table is damaged.
    #[error("verify the image: entry {index} of the certificate table is damaged; sign the image again")]
    BadCertificateEntry {
        /// Index of the entry, from zero.
        index: usize,
    },
    /// A signature that is no Authenticode SignedData with SHA-256.
    #[error("verify the image: entry {index} of the certificate table is no SHA-256 Authenticode signature")]
    NotAuthenticode {
        /// Index of the entry, from zero.
        index: usize,
    },
    /// The image is not the one that was signed.
    #[error("verify the image: expected digest {signed}, found {actual}; it was changed after signing", signed = hex::encode(signed), actual = hex::encode(actual))]
    DigestMismatch {
        /// SHA-256 in the signature.
        signed: [u8; 32],
        /// SHA-256 of the image.
        actual: [u8; 32],
    },
    /// No signer is one of the trusted certificates.
    #[error("verify the image: none of its {signers} signers is one of the {trusted} trusted certificates")]
    UnknownSigner {
        /// Number of signers.
        signers: usize,
        /// Number of trusted certificates given.
        trusted: usize,
    },
    /// A signer names a trusted certificate, but the signature is not that key's.
    #[error("verify the image: the signature in the name of {subject} does not hold; sign the image again")]
    BadSignature {
        /// Subject of the trusted certificate.
        subject: String,
    },
}

/// SpcIndirectDataContent (Authenticode §"SpcIndirectDataContent").
#[derive(Sequence)]
struct SpcIndirectData {
    data: SpcAttribute,
    message_digest: DigestInfo,
}

/// SpcAttributeTypeAndOptionalValue.
#[derive(Sequence)]
struct SpcAttribute {
    kind: ObjectIdentifier,
    value: Any,
}

/// DigestInfo (RFC 2315 §9.4).
#[derive(Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}
