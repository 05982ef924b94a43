//! What the volume key proves about a header: HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104).

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::key::VolumeKey;
use crate::template::{MAC_DOMAIN, MAC_KEY_INFO, SALT_KEY_INFO};

/// Bytes of the salt in a binary header.
pub(crate) const HEADER_SALT_BYTES: usize = 64;

/// Two keys derived from the volume key, neither of which says anything about it.
#[derive(Clone)]
pub(crate) struct HeaderKeys {
    mac: Zeroizing<[u8; 32]>,
    salt: Zeroizing<[u8; 32]>,
}

impl HeaderKeys {
    pub(crate) fn of(key: &VolumeKey) -> Self {
        // RFC 5869 without a salt; 32 bytes are one round of the expansion.
        let extracted = Zeroizing::new(hmac(&[0; 32], &[key.as_bytes()]));
        let expand = |info: &[u8]| Zeroizing::new(hmac(&extracted, &[info, &[1]]));
        Self {
            mac: expand(MAC_KEY_INFO),
            salt: expand(SALT_KEY_INFO),
        }
    }

    /// The token's MAC.
    pub(crate) fn mac(&self, uuid: Uuid, generation: u64) -> [u8; 32] {
        hmac(
            &self.mac,
            &[uuid.as_bytes(), &generation.to_le_bytes(), MAC_DOMAIN],
        )
    }

    /// Whether `mac` is the token's; in constant time.
    pub(crate) fn is_mac(&self, mac: &[u8; 32], uuid: Uuid, generation: u64) -> bool {
        self.mac(uuid, generation).ct_eq(mac).into()
    }

    /// Whether both are of the same volume key; in constant time.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.mac.ct_eq(&*other.mac).into()
    }

    /// Salt of a binary header. Its only use is to make checksums differ, so it need not be random:
    /// each boot writes a header, and random bytes are scarce that early.
    pub(crate) fn header_salt(
        &self,
        header_offset: u64,
        seqid: u64,
        generation: u64,
    ) -> [u8; HEADER_SALT_BYTES] {
        let mut salt = [0; HEADER_SALT_BYTES];
        for (number, part) in (0u8..).zip(salt.as_chunks_mut::<32>().0) {
            *part = hmac(
                &self.salt,
                &[
                    &[number],
                    &header_offset.to_le_bytes(),
                    &seqid.to_le_bytes(),
                    &generation.to_le_bytes(),
                ],
            );
        }
        salt
    }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC pads a key with zeros to the hash's block.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extract_and_expand_give_the_vector_of_rfc_5869() {
        let extracted = hmac(&[0; 32], &[&[0x0b; 22]]);
        let expanded = hmac(&extracted, &[&[], &[1]]);
        assert_eq!(
            hex::encode(expanded),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
            "A.3: the first round"
        );
    }

    #[test]
    fn each_thing_that_a_salt_is_made_of_changes_it() {
        let key = VolumeKey::new(&std::array::from_fn::<u8, 64, _>(|at| at as u8)).unwrap();
        let keys = HeaderKeys::of(&key);
        let salt = keys.header_salt(0, 1, 1);
        assert_ne!(salt[..32], salt[32..]);
        for other in [
            keys.header_salt(16_384, 1, 1),
            keys.header_salt(0, 2, 1),
            keys.header_salt(0, 1, 2),
        ] {
            assert_ne!(salt, other);
        }
    }
}
