//! EFI_SIGNATURE_LIST (UEFI 2.10 §32.4.1):
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | SignatureType |
//! | 16 | 4 | SignatureListSize, header included |
//! | 20 | 4 | SignatureHeaderSize, zero |
//! | 24 | 4 | SignatureSize: 16 + length of each certificate |
//! | 28 | | entries: owner GUID (16), certificate in DER |

use super::EfiGuid;
use crate::bytes;
use crate::keys::{Certificate, KeyError};

/// SignatureType of X.509 certificates.
const EFI_CERT_X509: EfiGuid = EfiGuid::from_u128(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072);

/// Size of the list's header in bytes.
const HEADER_BYTES: usize = 28;

/// Most bytes of signature lists that are looked at: 256 KiB. A full variable store is smaller.
const MAX_LIST_BYTES: usize = 256 << 10;

/// Why bytes are no X.509 signature lists.
#[derive(Debug, thiserror::Error)]
pub enum SignatureListError {
    /// Too long.
    #[error("read the signature lists: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// Sizes in a list's header contradict each other or the length of the data.
    #[error("read the signature list at offset {at}: its sizes contradict each other")]
    BadSizes {
        /// Offset of the list, in bytes.
        at: usize,
    },
    /// A list of another type than X.509 certificates.
    #[error("read the signature list at offset {at}: expected type {EFI_CERT_X509} (X.509), found {found}")]
    NotX509 {
        /// Offset of the list, in bytes.
        at: usize,
        /// The type found.
        found: EfiGuid,
    },
    /// An entry that is no certificate.
    #[error("read the signature list at offset {at}")]
    Certificate {
        /// Offset of the list, in bytes.
        at: usize,
        /// Why not.
        #[source]
        source: KeyError,
    },
}

/// A signature list for each certificate, one behind the other. Lists hold entries of one size, so each
/// certificate gets its own. `owner` says who enrolled it; firmware does not interpret it.
pub fn x509_list(owner: EfiGuid, certificates: &[Certificate]) -> Vec<u8> {
    let mut out = Vec::new();
    for certificate in certificates {
        // A certificate is at most keys::MAX_KEY_FILE_BYTES long.
        let entry = (owner.0.len() + certificate.der().len()) as u32;
        out.extend_from_slice(&EFI_CERT_X509.0);
        out.extend_from_slice(&(HEADER_BYTES as u32 + entry).to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&entry.to_le_bytes());
        out.extend_from_slice(&owner.0);
        out.extend_from_slice(certificate.der());
    }
    out
}

/// Takes X.509 signature lists apart: owner and certificate of each entry.
///
/// # Errors
/// [`SignatureListError`] if the bytes are damaged or hold anything but certificates.
pub fn parse_x509_lists(lists: &[u8]) -> Result<Vec<(EfiGuid, Certificate)>, SignatureListError> {
    if lists.len() > MAX_LIST_BYTES {
        return Err(SignatureListError::TooLong {
            limit: MAX_LIST_BYTES,
            found: lists.len(),
        });
    }
    let mut out = Vec::new();
    let mut at = 0;
    while at < lists.len() {
        let bad = || SignatureListError::BadSizes { at };
        let kind = EfiGuid(bytes::array(lists, at).ok_or_else(bad)?);
        let field = |offset| {
            bytes::u32_le(lists, at + offset)
                .map(|v| v as usize)
                .ok_or_else(bad)
        };
        let (size, header, entry) = (field(16)?, field(20)?, field(24)?);
        let list = bytes::slice(lists, at, size).ok_or_else(bad)?;
        let entries = list.get(HEADER_BYTES..).ok_or_else(bad)?;
        if header != 0 || entry <= 16 || entries.is_empty() || entries.len() % entry != 0 {
            return Err(bad());
        }
        if kind != EFI_CERT_X509 {
            return Err(SignatureListError::NotX509 { at, found: kind });
        }
        for entry in entries.chunks_exact(entry) {
            let owner = EfiGuid(bytes::array(entry, 0).ok_or_else(bad)?);
            let certificate = Certificate::read(&entry[16..]);
            out.push((
                owner,
                certificate.map_err(|source| SignatureListError::Certificate { at, source })?,
            ));
        }
        at += size;
    }
    Ok(out)
}
