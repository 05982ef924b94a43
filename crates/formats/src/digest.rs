//! Digests as types: 32 bytes, lower-case hex in JSON and text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("digest: expected 64 lower-case hex digits, found {found} characters{detail}")]
pub struct DigestParseError {
    found: usize,
    detail: &'static str,
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = DigestParseError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = text.chars().count();
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(DigestParseError { found, detail: ", some of them upper-case" });
                }
                let mut bytes = [0u8; 32];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| DigestParseError { found, detail: "" })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type! {
    /// A SHA-256 digest of bytes (FIPS 180-4), of a PCR in the SHA-256 bank, or of a TPM policy.
    Sha256Digest
}
digest_type! {
    /// The dm-verity root hash of a slot (format 1, SHA-256): names the slot's root file system.
    RootHash
}

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A PCR that nobody has extended.
    pub const ZERO: Self = Self([0; 32]);
}

impl RootHash {
    /// PARTUUID of the root partition: the first 128 bits (UAPI.2, Discoverable Partitions).
    pub fn data_partition_uuid(&self) -> [u8; 16] {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&self.0[..16]);
        uuid
    }

    /// PARTUUID of the root-verity partition: the last 128 bits (UAPI.2).
    pub fn verity_partition_uuid(&self) -> [u8; 16] {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&self.0[16..]);
        uuid
    }

    /// PARTUUID of the root-verity-sig partition. UAPI.2 leaves it free; we derive it from the root hash so
    /// that the three partitions of a slot are found from one signed value:
    /// SHA-256("bennu-verity-sig" ‖ root hash), first 128 bits.
    pub fn verity_sig_partition_uuid(&self) -> [u8; 16] {
        let mut hasher = Sha256::new();
        hasher.update(b"bennu-verity-sig");
        hasher.update(self.0);
        let digest = hasher.finalize();
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&digest[..16]);
        uuid
    }
}

/// 16 bytes in the order of their text form, as `8-4-4-4-12` lower-case hex.
pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let h = hex::encode(bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &h[..8],
        &h[8..12],
        &h[12..16],
        &h[16..20],
        &h[20..]
    )
}

/// Serde adapter: bytes as lower-case hex.
pub mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes lower-case hex.
    ///
    /// # Errors
    /// Whatever the serialiser says.
    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    /// Reads hex.
    ///
    /// # Errors
    /// Text that is not hex.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        hex::decode(text).map_err(serde::de::Error::custom)
    }
}

/// Serde adapter: bytes as standard base64 with padding (RFC 4648 §4).
pub mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes base64.
    ///
    /// # Errors
    /// Whatever the serialiser says.
    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64.
    ///
    /// # Errors
    /// Text that is not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
