//! Hash algorithms of PCR banks and the values they give.

use std::fmt;

use hmac::digest::KeyInit;
use hmac::digest::core_api::BlockSizeUser;
use hmac::digest::generic_array::GenericArray;
use hmac::{Mac, SimpleHmac};
use sha2::Digest as _;
use zeroize::Zeroize;

use crate::code::alg;

/// Hash algorithm of a PCR bank that this client can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlg {
    /// SHA-1: extended so that no active bank is left open, never relied upon.
    Sha1,
    /// SHA-256: the bank of our policies.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlg {
    /// All algorithms, in ascending order of identifier.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// TPM_ALG_ID (TPM 2.0 Part 2, 6.3).
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Sha1 => alg::SHA1,
            Self::Sha256 => alg::SHA256,
            Self::Sha384 => alg::SHA384,
            Self::Sha512 => alg::SHA512,
        }
    }

    /// The algorithm with this TPM_ALG_ID, if this client can compute it.
    #[must_use]
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.id() == id)
    }

    /// Name as in the TCG's CEL-JSON and in tpm2-tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Size of a digest in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Hashes `data`.
    #[must_use]
    pub fn digest(self, data: &[u8]) -> Digest {
        match self {
            Self::Sha1 => Digest::from_slice(self, &sha1::Sha1::digest(data)),
            Self::Sha256 => Digest::from_slice(self, &sha2::Sha256::digest(data)),
            Self::Sha384 => Digest::from_slice(self, &sha2::Sha384::digest(data)),
            Self::Sha512 => Digest::from_slice(self, &sha2::Sha512::digest(data)),
        }
    }

    /// HMAC (RFC 2104) of `data` under `key`.
    #[must_use]
    pub fn keyed_digest(self, key: &[u8], data: &[u8]) -> Digest {
        match self {
            Self::Sha1 => Digest::from_slice(self, &hmac::<sha1::Sha1>(key, &[data]).finalize().into_bytes()),
            Self::Sha256 => {
                Digest::from_slice(self, &hmac::<sha2::Sha256>(key, &[data]).finalize().into_bytes())
            }
            Self::Sha384 => {
                Digest::from_slice(self, &hmac::<sha2::Sha384>(key, &[data]).finalize().into_bytes())
            }
            Self::Sha512 => {
                Digest::from_slice(self, &hmac::<sha2::Sha512>(key, &[data]).finalize().into_bytes())
            }
        }
    }
}

/// HMAC over several pieces, for keys of any length: those longer than a block are hashed first (RFC 2104).
/// `Mac::new_from_slice` does the same but returns a `Result` that has no error to report.
pub(crate) fn hmac<H: sha2::Digest + BlockSizeUser>(key: &[u8], parts: &[&[u8]]) -> SimpleHmac<H> {
    let mut block = GenericArray::<u8, H::BlockSize>::default();
    if key.len() <= block.len() {
        block[..key.len()].copy_from_slice(key);
    } else {
        let hashed = H::digest(key);
        block[..hashed.len()].copy_from_slice(&hashed);
    }
    let mut mac = <SimpleHmac<H> as KeyInit>::new(&block);
    block.as_mut_slice().zeroize();
    for part in parts {
        mac.update(part);
    }
    mac
}

impl fmt::Display for HashAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest together with its algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    alg: HashAlg,
    bytes: [u8; 64],
}

impl Digest {
    /// A digest from its bytes; `None` when the length is not the algorithm's.
    #[must_use]
    pub fn new(alg: HashAlg, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == alg.size()).then(|| Self::from_slice(alg, bytes))
    }

    /// The value of a PCR that was never extended (most PCRs).
    #[must_use]
    pub const fn zero(alg: HashAlg) -> Self {
        Self { alg, bytes: [0; 64] }
    }

    fn from_slice(alg: HashAlg, source: &[u8]) -> Self {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(source) {
            *to = *from;
        }
        Self { alg, bytes }
    }

    /// Its algorithm.
    #[must_use]
    pub const fn alg(&self) -> HashAlg {
        self.alg
    }

    /// Its bytes, as many as the algorithm says.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.alg.size()]
    }

    /// The value of a PCR holding `self` after `event` was extended into it (Part 1, 17.2).
    #[must_use]
    pub fn extended_with(&self, event: &Self) -> Self {
        self.alg.digest(&[self.as_bytes(), event.as_bytes()].concat())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.alg)
    }
}

/// SHA-256 over several pieces: the name algorithm and session hash of all our objects.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_sizes_agree_with_the_digests() {
        for alg in HashAlg::ALL {
            assert_eq!(HashAlg::from_id(alg.id()), Some(alg));
            assert_eq!(alg.digest(b"x").as_bytes().len(), alg.size());
            assert_eq!(Digest::new(alg, &[0; 63]), None);
        }
        assert_eq!(HashAlg::from_id(0x12), None, "sm3 is not computed here");
    }

    #[test]
    fn hmac_with_a_key_longer_than_a_block_matches_rfc_4231_case_6() {
        let data = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let mac = HashAlg::Sha256.keyed_digest(&[0xAA; 131], data);
        assert_eq!(
            mac.to_string(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn hmac_matches_rfc_4231_case_2() {
        let mac = HashAlg::Sha256.keyed_digest(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            mac.to_string(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
