//! The anti-forensic splitter of LUKS1 with SHA-256: a key becomes 4000 stripes, of which all are needed.
//!
//! LUKS1 On-Disk Format Specification 1.2.3, section 2.4: `d(0) = 0`, `d(k) = H(d(k-1) ^ s(k))`, last stripe
//! `d(n-1) ^ key`. `H` hashes each 32 bytes with their number, big-endian, in front.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::key::{Random, RandomFailed};
use crate::template::{MATERIAL_BYTES, VOLUME_KEY_BYTES};

type Stripe = [u8; VOLUME_KEY_BYTES];
const HASH_BYTES: usize = 32;

/// A split key.
pub(crate) type Material = Zeroizing<Vec<u8>>;

/// Splits a key.
pub(crate) fn split(key: &Stripe, random: &mut Random<'_>) -> Result<Material, RandomFailed> {
    let mut material = Zeroizing::new(vec![0; MATERIAL_BYTES]);
    let (stripes, last) = material.split_at_mut(MATERIAL_BYTES - VOLUME_KEY_BYTES);
    random(stripes)?;
    let mut sum = diffused_sum(stripes);
    xor(&mut sum, key);
    last.copy_from_slice(&sum[..]);
    Ok(material)
}

/// Puts a key together again. Any bytes give some key: only the digest says whether it is the one.
pub(crate) fn merge(material: &[u8]) -> Zeroizing<Stripe> {
    let (stripes, last) = material.split_at(material.len().saturating_sub(VOLUME_KEY_BYTES));
    let mut sum = diffused_sum(stripes);
    xor(&mut sum, last);
    sum
}

fn diffused_sum(stripes: &[u8]) -> Zeroizing<Stripe> {
    let mut sum = Zeroizing::new([0; VOLUME_KEY_BYTES]);
    for stripe in stripes.as_chunks::<VOLUME_KEY_BYTES>().0 {
        xor(&mut sum, stripe);
        for (number, block) in (0u32..).zip(sum.as_chunks_mut::<HASH_BYTES>().0) {
            *block = Sha256::new()
                .chain_update(number.to_be_bytes())
                .chain_update(&block[..])
                .finalize()
                .into();
        }
    }
    sum
}

fn xor(sum: &mut Stripe, with: &[u8]) {
    for (byte, other) in sum.iter_mut().zip(with) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_key_merges_again_and_one_bit_less_gives_another_key() {
        let key = std::array::from_fn(|at| at as u8);
        let mut material = split(&key, &mut |bytes| {
            bytes.fill(0x5a);
            Ok(())
        })
        .unwrap();
        assert_eq!(*merge(&material), key);
        material[100_000] ^= 1;
        assert_ne!(*merge(&material), key);
    }

    #[test]
    fn without_random_bytes_nothing_is_split() {
        assert_eq!(
            split(&[0; 64], &mut |_| Err(RandomFailed)).err(),
            Some(RandomFailed)
        );
    }
}
