//! The wish for a factory reset on the ESP, [`crate::paths::ESP_FACTORY_RESET`]. Normative text:
//! `docs/spec/factory-reset.md`.
//!
//! Written by `bennuctl` after both confirmations, read by `bennu-init` at the next start. Whoever has the disk can
//! write it: it counts only with a MAC under a key that comes out of the TPM. A file of zeros is none.

use crate::decode::DecodeError;

/// Bytes of the file, always.
pub const REQUEST_BYTES: usize = 64;
/// Bytes that tell one wish from another.
pub const NONCE_BYTES: usize = 16;
/// Bytes that the MAC is over.
pub const HEAD_BYTES: usize = 32;
/// Bytes of the key and of the MAC: HMAC-SHA-256.
pub const KEY_BYTES: usize = 32;
/// The key is the HMAC-SHA-256 of these words under the TPM's owner and lockout authorisations.
pub const KEY_WORDS: &[u8] = b"bennu-factory-reset-v1";
/// EFI variable that keeps the floor while the TPM has none: 8 bytes, big-endian.
pub const FLOOR_VARIABLE: &str = "BennuResetFloor";

const MAGIC: &[u8; 8] = b"BennuRst";
const VERSION: u16 = 1;
const NAME: &str = "factory reset request";

/// A wish as found; whether it counts is for `bennu_policy::reset` to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetRequest {
    /// Random; its first four bytes are the code that the user typed.
    pub nonce: [u8; NONCE_BYTES],
    /// MAC over [`Self::head`].
    pub mac: [u8; KEY_BYTES],
}

impl ResetRequest {
    /// Magic, version (big-endian), six zeros, nonce.
    pub fn head(nonce: &[u8; NONCE_BYTES]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(MAGIC);
        head[8..10].copy_from_slice(&VERSION.to_be_bytes());
        head[16..].copy_from_slice(nonce);
        head
    }

    /// The file.
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut bytes = [0; REQUEST_BYTES];
        bytes[..HEAD_BYTES].copy_from_slice(&Self::head(&self.nonce));
        bytes[HEAD_BYTES..].copy_from_slice(&self.mac);
        bytes
    }

    /// Decodes the file; `None` for one of zeros, or an empty one.
    ///
    /// # Errors
    /// Another length, magic, version, or something in the reserved bytes.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        if bytes.len() > REQUEST_BYTES {
            return Err(DecodeError::TooLong {
                document: NAME,
                limit: REQUEST_BYTES,
                found: bytes.len(),
            });
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let Ok(bytes) = <&[u8; REQUEST_BYTES]>::try_from(bytes) else {
            return Err(bad("length", "64 bytes", bytes.len().to_string()));
        };
        if &bytes[..8] != MAGIC {
            return Err(bad("magic", "BennuRst", hex::encode(&bytes[..8])));
        }
        let mut this = Self {
            nonce: [0; NONCE_BYTES],
            mac: [0; KEY_BYTES],
        };
        this.nonce.copy_from_slice(&bytes[16..HEAD_BYTES]);
        this.mac.copy_from_slice(&bytes[HEAD_BYTES..]);
        if bytes[..16] != Self::head(&this.nonce)[..16] {
            return Err(bad("version", "1, then six zeros", hex::encode(&bytes[8..16])));
        }
        Ok(Some(this))
    }

    /// The code that stands for it: eight hexadecimal digits.
    pub fn code(&self) -> String {
        code(&self.nonce)
    }
}

/// The code that the user types for a nonce.
pub fn code(nonce: &[u8; NONCE_BYTES]) -> String {
    hex::encode(&nonce[..4])
}

fn bad(member: &'static str, expected: &'static str, found: String) -> DecodeError {
    DecodeError::BadValue {
        document: NAME,
        member,
        expected,
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: ResetRequest = ResetRequest {
        nonce: [0xab; NONCE_BYTES],
        mac: [0xcd; KEY_BYTES],
    };

    #[test]
    fn a_request_round_trips_and_has_these_bytes() {
        let golden = format!(
            "42656e6e755273740001000000000000{}{}",
            "ab".repeat(16),
            "cd".repeat(32)
        );
        assert_eq!(hex::encode(REQUEST.encode()), golden);
        assert_eq!(ResetRequest::decode(&REQUEST.encode()), Ok(Some(REQUEST)));
        assert_eq!(REQUEST.code(), "abababab");
    }

    #[test]
    fn zeros_and_nothing_are_no_request() {
        assert_eq!(ResetRequest::decode(&[0; REQUEST_BYTES]), Ok(None));
        assert_eq!(ResetRequest::decode(&[]), Ok(None));
    }

    #[test]
    fn each_wrong_request_is_refused_by_the_member_at_fault() {
        let refused = |at: usize| {
            let mut bytes = REQUEST.encode();
            bytes[at] ^= 1;
            match ResetRequest::decode(&bytes) {
                Err(DecodeError::BadValue { member, .. }) => member,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(0), "magic");
        assert_eq!(refused(9), "version");
        assert_eq!(refused(15), "version");
        let short = ResetRequest::decode(&REQUEST.encode()[..63]);
        assert!(matches!(
            short,
            Err(DecodeError::BadValue { member: "length", .. })
        ));
        let long = ResetRequest::decode(&[1; REQUEST_BYTES + 1]);
        assert!(matches!(long, Err(DecodeError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ResetRequest::decode(&bytes);
        }
    }
}
