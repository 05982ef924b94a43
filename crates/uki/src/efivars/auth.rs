//! Signed updates of time-based authenticated variables (UEFI 2.10 §8.2.2), the content of an `.auth` file:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | TimeStamp (EFI_TIME) |
//! | 16 | 4 | dwLength: 24 + length of the signature |
//! | 20 | 2 | wRevision 0x0200 |
//! | 22 | 2 | wCertificateType 0x0EF1 (WIN_CERT_TYPE_EFI_GUID) |
//! | 24 | 16 | CertType EFI_CERT_TYPE_PKCS7_GUID |
//! | 40 | | SignedData in DER, detached, without ContentInfo |
//! | | | the variable's new data |
//!
//! Signed are name (UCS-2, no terminator) ‖ vendor GUID ‖ attributes ‖ TimeStamp ‖ data.

use super::{EfiGuid, EfiTime, KEY_VARIABLE_ATTRIBUTES, KeyVariable, ucs2};
use crate::bytes;
use crate::keys::{Certificate, SigningKey};
use crate::pkcs7::{self, Content, OID_DATA, Pkcs7Error};
use cms::signed_data::SignedData;
use der::{Decode, Encode};

const EFI_CERT_TYPE_PKCS7: EfiGuid = EfiGuid::from_u128(0x4aafd29d_68df_49ee_8aa9_347d375665a7);
const WIN_CERT_REVISION: u16 = 0x0200;
const WIN_CERT_TYPE_EFI_GUID: u16 = 0x0ef1;

/// WIN_CERTIFICATE_UEFI_GUID without its data, in bytes.
const CERTIFICATE_HEADER_BYTES: usize = 24;

/// Offset of the signature in bytes.
const SIGNATURE_AT: usize = 40;

/// Most bytes of an `.auth` file that are looked at: 512 KiB.
const MAX_AUTH_BYTES: usize = 512 << 10;

/// Why an update cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The signature cannot be made.
    #[error("sign the update of {variable}")]
    Sign {
        /// Name of the variable.
        variable: &'static str,
        /// Why not.
        #[source]
        source: Pkcs7Error,
    },
}

/// Why bytes are no signed update, or its signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAuthError {
    /// Too long.
    #[error("read the variable update: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// Cut short, or not an EFI_VARIABLE_AUTHENTICATION_2 with PKCS#7.
    #[error("read the variable update: expected an EFI_VARIABLE_AUTHENTICATION_2 header with PKCS#7")]
    BadHeader,
    /// The signature is no SignedData.
    #[error("read the variable update: expected a DER SignedData as signature")]
    BadSignedData,
    /// No signer is the certificate that has to authorise the change.
    #[error("verify the update of {variable}: it is not signed by {subject}")]
    NotSignedBy {
        /// Name of the variable.
        variable: &'static str,
        /// Subject of the certificate.
        subject: String,
    },
}

/// Signs a new value of a key variable; the result is the content of `<variable>.auth`.
///
/// `key` and `certificate` are PK's for [`KeyVariable::Pk`] and [`KeyVariable::Kek`], KEK's for
/// [`KeyVariable::Db`] and [`KeyVariable::Dbx`]. The same input gives the same bytes.
///
/// # Errors
/// [`AuthError`] if `certificate` is not `key`'s.
pub fn sign_update(
    variable: KeyVariable,
    data: &[u8],
    time: EfiTime,
    key: &SigningKey,
    certificate: &Certificate,
) -> Result<Vec<u8>, AuthError> {
    let message = message(variable, data, time);
    let signed = pkcs7::sign(Content::Detached(&message), key, certificate);
    let der = signed.and_then(|signed| Ok(signed.to_der()?));
    let der = der.map_err(|source| AuthError::Sign {
        variable: variable.name(),
        source,
    })?;
    let mut out = Vec::with_capacity(SIGNATURE_AT + der.len() + data.len());
    out.extend_from_slice(&time.0);
    out.extend_from_slice(&((CERTIFICATE_HEADER_BYTES + der.len()) as u32).to_le_bytes());
    out.extend_from_slice(&WIN_CERT_REVISION.to_le_bytes());
    out.extend_from_slice(&WIN_CERT_TYPE_EFI_GUID.to_le_bytes());
    out.extend_from_slice(&EFI_CERT_TYPE_PKCS7.0);
    out.extend_from_slice(&der);
    out.extend_from_slice(data);
    Ok(out)
}

/// The bytes that the signature is over.
fn message(variable: KeyVariable, data: &[u8], time: EfiTime) -> Vec<u8> {
    let mut out = ucs2(variable.name());
    out.extend_from_slice(&variable.vendor().0);
    out.extend_from_slice(&KEY_VARIABLE_ATTRIBUTES.to_le_bytes());
    out.extend_from_slice(&time.0);
    out.extend_from_slice(data);
    out
}

/// A signed update that was taken apart; nothing is verified before [`AuthenticatedUpdate::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedUpdate<'a> {
    /// When it was signed; firmware refuses anything not newer than what it has.
    pub time: EfiTime,
    /// The signature: SignedData in DER.
    pub signed_data: &'a [u8],
    /// The new data of the variable: signature lists.
    pub data: &'a [u8],
}

impl<'a> AuthenticatedUpdate<'a> {
    /// Takes the content of an `.auth` file apart.
    ///
    /// # Errors
    /// [`ParseAuthError`] if it is too long or has another shape.
    pub fn parse(auth: &'a [u8]) -> Result<Self, ParseAuthError> {
        if auth.len() > MAX_AUTH_BYTES {
            return Err(ParseAuthError::TooLong {
                limit: MAX_AUTH_BYTES,
                found: auth.len(),
            });
        }
        let time = EfiTime(bytes::array(auth, 0).ok_or(ParseAuthError::BadHeader)?);
        let length = bytes::u32_le(auth, 16).ok_or(ParseAuthError::BadHeader)? as usize;
        let shape = bytes::u16_le(auth, 20) == Some(WIN_CERT_REVISION)
            && bytes::u16_le(auth, 22) == Some(WIN_CERT_TYPE_EFI_GUID)
            && bytes::array(auth, 24) == Some(EFI_CERT_TYPE_PKCS7.0);
        let signature = length.checked_sub(CERTIFICATE_HEADER_BYTES).filter(|_| shape);
        let signature = signature.ok_or(ParseAuthError::BadHeader)?;
        let signed_data = bytes::slice(auth, SIGNATURE_AT, signature).ok_or(ParseAuthError::BadHeader)?;
        Ok(Self {
            time,
            signed_data,
            data: &auth[SIGNATURE_AT + signature..],
        })
    }

    /// The bytes that the signature has to be over if this updates `variable`.
    pub fn signed_message(&self, variable: KeyVariable) -> Vec<u8> {
        message(variable, self.data, self.time)
    }

    /// Checks that `signer` authorised this as an update of `variable`.
    ///
    /// # Errors
    /// [`ParseAuthError`] if the signature is damaged or not `signer`'s over this variable and data.
    pub fn verify(&self, variable: KeyVariable, signer: &Certificate) -> Result<(), ParseAuthError> {
        let signed = SignedData::from_der(self.signed_data).map_err(|_| ParseAuthError::BadSignedData)?;
        let message = self.signed_message(variable);
        let holds = signed
            .signer_infos
            .0
            .iter()
            .any(|info| pkcs7::names(info, signer) && pkcs7::holds(info, signer, OID_DATA, &message));
        if !holds {
            return Err(ParseAuthError::NotSignedBy {
                variable: variable.name(),
                subject: signer.subject(),
            });
        }
        Ok(())
    }
}
