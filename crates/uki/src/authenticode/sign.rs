//! Signing a PE image.

use super::digest::{digest_of, padding};
use super::{AuthenticodeError, DigestInfo, SPC_PE_IMAGE_DATA, SpcAttribute, SpcIndirectData};
use super::{OID_SPC_INDIRECT_DATA, OID_SPC_PE_IMAGE_DATA, WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS};
use super::{TABLE_ALIGNMENT, WIN_CERTIFICATE_BYTES};
use crate::bytes;
use crate::keys::{Certificate, SigningKey};
use crate::pe::{MAX_IMAGE_BYTES, PeImage, optional, strip_coff_symbols};
use crate::pkcs7::{self, Content, OID_SHA256};
use der::asn1::OctetString;
use der::{Any, Decode};

/// Signs a PE image and returns it with the signature and a correct PE checksum.
///
/// A trailing COFF symbol table is removed first, and the image is padded to a multiple of eight bytes. The
/// same input always gives the same bytes.
///
/// # Errors
/// [`AuthenticodeError`] if the bytes are no PE image, are signed already, or if `certificate` is not `key`'s.
pub fn sign(image: &[u8], key: &SigningKey, certificate: &Certificate) -> Result<Vec<u8>, AuthenticodeError> {
    if PeImage::parse(image)?.certificate_table() != (0, 0) {
        return Err(AuthenticodeError::AlreadySigned);
    }
    let mut out = strip_coff_symbols(image)?;
    out.resize(out.len() + padding(out.len()), 0);
    let too_long = || AuthenticodeError::TooLong {
        limit: MAX_IMAGE_BYTES,
    };

    let pe = PeImage::parse(&out)?;
    let optional_at = pe.optional_offset();
    let table = certificate_table(&digest_of(&pe)?, key, certificate)?;
    let start = u32::try_from(out.len()).map_err(|_| too_long())?;
    let size = u32::try_from(table.len()).map_err(|_| too_long())?;
    out.extend_from_slice(&table);
    if out.len() > MAX_IMAGE_BYTES {
        return Err(too_long());
    }
    let directory = [start.to_le_bytes(), size.to_le_bytes()].concat();
    bytes::put(
        &mut out,
        optional_at + optional::CERTIFICATE_DIRECTORY,
        &directory,
    )
    .ok_or_else(too_long)?;
    let checksum_at = optional_at + optional::CHECKSUM;
    bytes::put(&mut out, checksum_at, &[0; 4]).ok_or_else(too_long)?;
    let checksum = pe_checksum(&out);
    bytes::put(&mut out, checksum_at, &checksum.to_le_bytes()).ok_or_else(too_long)?;
    Ok(out)
}

/// A certificate table of one WIN_CERTIFICATE, padded.
fn certificate_table(
    digest: &[u8; 32],
    key: &SigningKey,
    certificate: &Certificate,
) -> Result<Vec<u8>, AuthenticodeError> {
    let content = SpcIndirectData {
        data: SpcAttribute {
            kind: OID_SPC_PE_IMAGE_DATA,
            value: Any::from_der(SPC_PE_IMAGE_DATA)?,
        },
        message_digest: DigestInfo {
            algorithm: pkcs7::algorithm(OID_SHA256),
            digest: OctetString::new(digest.as_slice())?,
        },
    };
    let content = Content::Embedded {
        content_type: OID_SPC_INDIRECT_DATA,
        value: Any::encode_from(&content)?,
    };
    let signed = pkcs7::to_content_info(&pkcs7::sign(content, key, certificate)?)?;
    let length = (WIN_CERTIFICATE_BYTES + signed.len()).next_multiple_of(TABLE_ALIGNMENT);
    let mut table = Vec::with_capacity(length);
    table.extend_from_slice(&(length as u32).to_le_bytes());
    table.extend_from_slice(&WIN_CERT_REVISION.to_le_bytes());
    table.extend_from_slice(&WIN_CERT_TYPE_PKCS.to_le_bytes());
    table.extend_from_slice(&signed);
    table.resize(length, 0);
    Ok(table)
}

/// The PE checksum of an image whose checksum field is zero: the 16-bit one's complement sum, plus the length.
fn pe_checksum(image: &[u8]) -> u32 {
    let words = image
        .chunks(2)
        .map(|w| u64::from(w[0]) | u64::from(w.get(1).copied().unwrap_or(0)) << 8);
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (sum as u32).wrapping_add(image.len() as u32)
}
