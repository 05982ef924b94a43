//! Verifying a PE image's signature against pinned certificates.

use super::digest::{digest_of, signed_end};
use super::{AuthenticodeError, MAX_CERTIFICATE_TABLE_BYTES, OID_SPC_INDIRECT_DATA, SpcIndirectData};
use super::{TABLE_ALIGNMENT, WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS, WIN_CERTIFICATE_BYTES};
use crate::bytes;
use crate::keys::Certificate;
use crate::pe::PeImage;
use crate::pkcs7::{self, OID_SHA256};
use cms::signed_data::SignedData;

/// Verifies the image and returns which of the trusted certificates signed it.
///
/// Every signature in the image must be a well-formed Authenticode one over this image's digest; at least one
/// must be by a trusted certificate. OFF-SPEC: a signer must *be* one of `trusted`; certificates issued by a
/// trusted one are not followed, although firmware would: our images are signed by the db key itself.
///
/// # Errors
/// [`AuthenticodeError`], one variant for each reason of refusal.
pub fn verify<'t>(image: &[u8], trusted: &'t [Certificate]) -> Result<&'t Certificate, AuthenticodeError> {
    let pe = PeImage::parse(image)?;
    if pe.certificate_table() == (0, 0) {
        return Err(AuthenticodeError::NotSigned);
    }
    let table = &image[signed_end(&pe)?..];
    let actual = digest_of(&pe)?;
    let mut signers = 0;
    let mut found = None;
    for (index, signed) in signatures(table)?.iter().enumerate() {
        let content = signed.encap_content_info.econtent.as_ref();
        let content = content.ok_or(AuthenticodeError::NotAuthenticode { index })?;
        check_digest(signed, index, &actual)?;
        for signer in signed.signer_infos.0.iter() {
            signers += 1;
            let Some(cert) = trusted.iter().find(|cert| pkcs7::names(signer, cert)) else {
                continue;
            };
            if !pkcs7::holds(signer, cert, OID_SPC_INDIRECT_DATA, content.value()) {
                return Err(AuthenticodeError::BadSignature {
                    subject: cert.subject(),
                });
            }
            found = found.or(Some(cert));
        }
    }
    found.ok_or(AuthenticodeError::UnknownSigner {
        signers,
        trusted: trusted.len(),
    })
}

/// Takes the certificate table apart. Each entry is padded to eight bytes; `dwLength` may or may not count the
/// padding, and either way it must be zero.
fn signatures(table: &[u8]) -> Result<Vec<SignedData>, AuthenticodeError> {
    let mut out = Vec::new();
    let mut at = 0;
    if table.len() > MAX_CERTIFICATE_TABLE_BYTES {
        return Err(AuthenticodeError::BadCertificateEntry { index: 0 });
    }
    while at < table.len() {
        let index = out.len();
        let damaged = || AuthenticodeError::BadCertificateEntry { index };
        let length = bytes::u32_le(table, at).ok_or_else(damaged)? as usize;
        let entry = bytes::slice(table, at, length).filter(|_| length > WIN_CERTIFICATE_BYTES);
        let entry = entry.ok_or_else(damaged)?;
        if bytes::u16_le(entry, 4) != Some(WIN_CERT_REVISION) {
            return Err(damaged());
        }
        if bytes::u16_le(entry, 6) != Some(WIN_CERT_TYPE_PKCS) {
            return Err(AuthenticodeError::NotAuthenticode { index });
        }
        let next = at + length.next_multiple_of(TABLE_ALIGNMENT);
        let between = table.get(at + length..next).ok_or_else(damaged)?;
        let (der, rest) = split_der(&entry[WIN_CERTIFICATE_BYTES..]).ok_or_else(damaged)?;
        if rest.len() >= TABLE_ALIGNMENT || rest.iter().chain(between).any(|&b| b != 0) {
            return Err(damaged());
        }
        out.push(pkcs7::from_content_info(der).ok_or(AuthenticodeError::NotAuthenticode { index })?);
        at = next;
    }
    Ok(out)
}

/// Splits off the DER value that `bytes` starts with.
fn split_der(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    use der::{Decode, Header, Reader, SliceReader};
    let mut reader = SliceReader::new(bytes).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    reader.read_slice(header.length).ok()?;
    bytes.split_at_checked(usize::try_from(reader.position()).ok()?)
}

/// The signed content must be an SpcIndirectDataContent with this image's SHA-256.
fn check_digest(signed: &SignedData, index: usize, actual: &[u8; 32]) -> Result<(), AuthenticodeError> {
    let not_authenticode = || AuthenticodeError::NotAuthenticode { index };
    let info = &signed.encap_content_info;
    if info.econtent_type != OID_SPC_INDIRECT_DATA {
        return Err(not_authenticode());
    }
    let content = info.econtent.as_ref().ok_or_else(not_authenticode)?;
    let spc: SpcIndirectData = content.decode_as().map_err(|_| not_authenticode())?;
    if spc.message_digest.algorithm.oid != OID_SHA256 {
        return Err(not_authenticode());
    }
    let signed: [u8; 32] = spc
        .message_digest
        .digest
        .as_bytes()
        .try_into()
        .map_err(|_| not_authenticode())?;
    if signed != *actual {
        return Err(AuthenticodeError::DigestMismatch {
            signed,
            actual: *actual,
        });
    }
    Ok(())
}
