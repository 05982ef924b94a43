//! DSSE envelope (Dead Simple Signing Envelope, protocol v1): the signed bytes are kept as they are.
//!
//! Written by `bennu`, read by every verifier. Verification itself is in `bennu-policy`.

use crate::decode::DecodeError;
use crate::digest::{Sha256Digest, base64_bytes};
use serde::{Deserialize, Serialize};

/// `payloadType` of the slot manifest.
pub const SLOT_PAYLOAD_TYPE: &str = "application/vnd.bennu.slot+json";
/// Largest envelope in bytes that is decoded at all.
pub const MAX_ENVELOPE_BYTES: usize = 96 * 1024;
/// Most signatures that are looked at; more is a refusal, so that checking stays cheap.
pub const MAX_SIGNATURES: usize = 16;

/// One signature over the pre-authentication encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A hint only: SHA-256 of the raw 32-byte ed25519 public key, lower-case hex.
    pub keyid: Sha256Digest,
    /// 64-byte ed25519 signature (RFC 8032).
    #[serde(with = "base64_bytes")]
    pub sig: Vec<u8>,
}

/// The envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Media type of the payload, part of what is signed.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The signed bytes.
    #[serde(with = "base64_bytes")]
    pub payload: Vec<u8>,
    /// One or more signatures.
    pub signatures: Vec<Signature>,
}

impl Envelope {
    /// Decodes an envelope from its JSON.
    ///
    /// # Errors
    /// Too long, not the shape, or more than [`MAX_SIGNATURES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const NAME: &str = "DSSE envelope";
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(DecodeError::TooLong {
                document: NAME,
                limit: MAX_ENVELOPE_BYTES,
                found: bytes.len(),
            });
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(|e| DecodeError::Malformed {
            document: NAME,
            schema: 1,
            detail: e.to_string(),
        })?;
        envelope.check_signature_count()?;
        Ok(envelope)
    }

    /// Refuses an envelope with no or too many signatures.
    ///
    /// # Errors
    /// [`DecodeError::BadValue`].
    pub fn check_signature_count(&self) -> Result<(), DecodeError> {
        if (1..=MAX_SIGNATURES).contains(&self.signatures.len()) {
            return Ok(());
        }
        Err(DecodeError::BadValue {
            document: "DSSE envelope",
            member: "signatures",
            expected: "1 to 16 signatures",
            found: self.signatures.len().to_string(),
        })
    }

    /// The bytes that are signed (DSSE protocol, PAE).
    pub fn pre_authentication_encoding(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }
}

/// PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body, lengths in decimal ASCII.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "DSSEv1 {} {} {} ",
        payload_type.len(),
        payload_type,
        payload.len()
    )
    .into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The key id that belongs to a raw ed25519 public key.
pub fn key_id(public_key: &[u8; 32]) -> Sha256Digest {
    Sha256Digest::of(public_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_dsse_protocol_document_holds() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_without_signatures_is_refused() {
        let bytes = br#"{"payloadType":"x","payload":"","signatures":[]}"#;
        assert!(matches!(
            Envelope::decode(bytes),
            Err(DecodeError::BadValue {
                member: "signatures",
                ..
            })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::decode(&bytes);
        }
    }
}
