//! Key derivation and parameter encryption of TPM 2.0 Part 1: KDFa (11.4.10.2), KDFe (11.4.10.3),
//! the ECDH salt (annex C.6.1) and AES-128-CFB (21.3).

use aes::Aes128;
use cfb_mode::cipher::generic_array::GenericArray;
use cfb_mode::cipher::{AsyncStreamCipher, KeyIvInit};
use hmac::Mac;
use p256::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
use p256::{EncodedPoint, PublicKey, SecretKey};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::error::TpmError;
use crate::hash::{hmac, sha256};
use crate::wire::Writer;

/// A point of P-256 as a TPM gives it, coordinates left-padded to 32 bytes. Not yet known to be on the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) x: [u8; 32],
    pub(crate) y: [u8; 32],
}

/// KDFa with SHA-256, 256 bits, which is one round.
pub(crate) fn kdf_a(key: &[u8], label: &[u8], context_u: &[u8], context_v: &[u8]) -> Zeroizing<[u8; 32]> {
    let round = 1u32.to_be_bytes();
    let bits = 256u32.to_be_bytes();
    let mac = hmac::<Sha256>(key, &[&round, label, &[0], context_u, context_v, &bits]);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// KDFe with SHA-256, 256 bits, which is one round.
fn kdf_e(z: &[u8], label: &[u8], party_u: &[u8], party_v: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(sha256(&[&1u32.to_be_bytes(), z, label, &[0], party_u, party_v]))
}

/// A salt for a session, and how to tell it to the TPM.
pub(crate) struct Salt {
    /// The shared secret.
    pub(crate) value: Zeroizing<[u8; 32]>,
    /// Contents of TPM2B_ENCRYPTED_SECRET: our ephemeral point.
    pub(crate) encrypted: Zeroizing<Vec<u8>>,
}

/// A fresh salt and its TPM2B_ENCRYPTED_SECRET contents (a TPMS_ECC_POINT), which only the holder of
/// `peer`'s private key can turn back into the salt.
pub(crate) fn salt_for(peer: &Point) -> Result<Salt, TpmError> {
    salt_with(&ephemeral_key()?, peer)
}

fn salt_with(ephemeral: &SecretKey, peer: &Point) -> Result<Salt, TpmError> {
    let encoded = EncodedPoint::from_affine_coordinates(&peer.x.into(), &peer.y.into(), false);
    // Checks that the point is on the curve: a point elsewhere would leak bits of the ephemeral key.
    let peer_key =
        Option::<PublicKey>::from(PublicKey::from_encoded_point(&encoded)).ok_or(TpmError::SrkNotOnCurve)?;
    let shared = p256::ecdh::diffie_hellman(ephemeral.to_nonzero_scalar(), peer_key.as_affine());
    let own = ephemeral.public_key().to_encoded_point(false);
    let (Some(x), Some(y)) = (own.x(), own.y()) else {
        return Err(TpmError::SrkNotOnCurve);
    };
    let value = kdf_e(shared.raw_secret_bytes(), b"SECRET", x, &peer.x);
    let encrypted = Writer::new()
        .sized(x)
        .sized(y)
        .finish()
        .map_err(TpmError::Encode)?;
    Ok(Salt { value, encrypted })
}

/// A uniformly random P-256 key, by rejection.
fn ephemeral_key() -> Result<SecretKey, TpmError> {
    // A candidate is out of range with probability 2^-32: eight in a row means a broken generator.
    for _ in 0..8 {
        let mut candidate = Zeroizing::new([0; 32]);
        fill_random(candidate.as_mut())?;
        if let Ok(key) = SecretKey::from_slice(candidate.as_ref()) {
            return Ok(key);
        }
    }
    Err(TpmError::Random {
        source: getrandom::Error::UNEXPECTED,
    })
}

/// Fills `buffer` from the kernel's generator.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), TpmError> {
    getrandom::fill(buffer).map_err(|source| TpmError::Random { source })
}

/// Direction of parameter encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    Encrypt,
    Decrypt,
}

/// AES-128-CFB of a command's or response's first parameter, in place (Part 1, 21.3).
/// `key` is session key ‖ authValue.
pub(crate) fn cfb(cipher: Cipher, key: &[u8], nonce_newer: &[u8], nonce_older: &[u8], data: &mut [u8]) {
    let derived = kdf_a(key, b"CFB", nonce_newer, nonce_older);
    let (mut key, mut iv) = (GenericArray::default(), GenericArray::default());
    key.copy_from_slice(&derived[..16]);
    iv.copy_from_slice(&derived[16..]);
    match cipher {
        Cipher::Encrypt => cfb_mode::Encryptor::<Aes128>::new(&key, &iv).encrypt(data),
        Cipher::Decrypt => cfb_mode::Decryptor::<Aes128>::new(&key, &iv).decrypt(data),
    }
    key.as_mut_slice().zeroize();
    iv.as_mut_slice().zeroize();
}

/// Joins session key and authValue into one wiped buffer.
pub(crate) fn join_keys(session_key: &[u8], auth_value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut joined = Zeroizing::new(Vec::with_capacity(session_key.len() + auth_value.len()));
    joined.extend_from_slice(session_key);
    joined.extend_from_slice(auth_value);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_off_the_curve_gets_no_salt() {
        let off = Point {
            x: [1; 32],
            y: [2; 32],
        };
        assert!(matches!(salt_for(&off), Err(TpmError::SrkNotOnCurve)));
        let key = ephemeral_key().unwrap().public_key().to_encoded_point(false);
        let on = Point {
            x: (*key.x().unwrap()).into(),
            y: (*key.y().unwrap()).into(),
        };
        assert!(salt_for(&on).is_ok());
    }

    #[test]
    fn cfb_round_trips_and_depends_on_the_order_of_nonces() {
        let mut data = *b"a secret of no whole block size";
        cfb(Cipher::Encrypt, b"key", b"new", b"old", &mut data);
        let mut swapped = data;
        cfb(Cipher::Decrypt, b"key", b"old", b"new", &mut swapped);
        assert_ne!(&swapped, b"a secret of no whole block size");
        cfb(Cipher::Decrypt, b"key", b"new", b"old", &mut data);
        assert_eq!(&data, b"a secret of no whole block size");
    }
}
