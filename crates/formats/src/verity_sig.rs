//! Content of the root-verity-sig partition (UAPI.2): JSON, padded with NUL to a multiple of 4096 bytes.
//!
//! `rootHash`, `signature` and `certificateFingerprint` are the standard's; `bennu` is ours and carries the
//! DSSE envelope of the slot manifest, so that systemd's tools still read the partition. Written by
//! `bennu build`, read once into memory by `bennu-init`. Normative text: `docs/spec/verity-sig.md`.

use crate::decode::DecodeError;
use crate::digest::{RootHash, Sha256Digest, base64_bytes};
use crate::dsse::Envelope;
use serde::{Deserialize, Serialize};

/// Bytes of the partition; also the most that is ever read from it.
pub const PARTITION_BYTES: usize = 128 * 1024;
/// Padding unit in bytes (UAPI.2).
pub const PAD_BYTES: usize = 4096;

const NAME: &str = "root-verity-sig partition";

/// Our member of the JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BennuMember {
    /// DSSE envelope around the slot manifest.
    pub manifest: Envelope,
}

/// The JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VeritySig {
    /// Root hash, lower-case hex.
    #[serde(rename = "rootHash")]
    pub root_hash: RootHash,
    /// PKCS#7 (DER, detached) over the lower-case hex root hash, as the kernel wants it.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
    /// SHA-256 of the signing certificate's DER.
    #[serde(rename = "certificateFingerprint")]
    pub certificate_fingerprint: Sha256Digest,
    /// Ours.
    pub bennu: BennuMember,
}

impl VeritySig {
    /// The bytes of the partition: JSON and NUL padding to a multiple of 4096.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] when it does not fit [`PARTITION_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| DecodeError::Malformed {
            document: NAME,
            schema: 1,
            detail: e.to_string(),
        })?;
        let padded = bytes.len().div_ceil(PAD_BYTES) * PAD_BYTES;
        if padded > PARTITION_BYTES {
            return Err(DecodeError::TooLong {
                document: NAME,
                limit: PARTITION_BYTES,
                found: padded,
            });
        }
        bytes.resize(padded, 0);
        Ok(bytes)
    }

    /// Decodes the partition's bytes; what follows the first NUL must be NUL.
    ///
    /// # Errors
    /// Too long, garbage after the JSON, or not the shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > PARTITION_BYTES {
            return Err(DecodeError::TooLong {
                document: NAME,
                limit: PARTITION_BYTES,
                found: bytes.len(),
            });
        }
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        if bytes[end..].iter().any(|&b| b != 0) {
            return Err(DecodeError::BadValue {
                document: NAME,
                member: "padding",
                expected: "NUL bytes only",
                found: "other bytes after the first NUL".into(),
            });
        }
        let value: Self = serde_json::from_slice(&bytes[..end]).map_err(|e| DecodeError::Malformed {
            document: NAME,
            schema: 1,
            detail: e.to_string(),
        })?;
        value.bennu.manifest.check_signature_count()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = VeritySig::decode(&bytes);
        }
    }

    #[test]
    fn bytes_after_the_padding_are_refused() {
        let found = VeritySig::decode(b"{}\0\0x");
        assert!(
            matches!(
                found,
                Err(DecodeError::BadValue {
                    member: "padding",
                    ..
                })
            ),
            "{found:?}"
        );
    }

    #[test]
    fn more_bytes_than_the_partition_are_refused_before_decoding() {
        let found = VeritySig::decode(&vec![b' '; PARTITION_BYTES + 1]);
        assert!(matches!(found, Err(DecodeError::TooLong { .. })), "{found:?}");
    }
}
