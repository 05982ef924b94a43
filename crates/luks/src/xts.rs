//! AES-256-XTS with the IV `plain64` over sectors of 512 bytes: how a keyslot's area is encrypted.
//!
//! XTS is IEEE 1619-2007, 5.3 and 5.4, without ciphertext stealing: sectors are whole blocks. `plain64` is the
//! sector's number, counted from the start of the area, little-endian (kernel, `drivers/md/dm-crypt.c`).

use aes::Aes256;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};

use crate::template::VOLUME_KEY_BYTES;

/// Bytes of a sector of a keyslot's area.
pub(crate) const SECTOR_BYTES: usize = 512;
const BLOCK_BYTES: usize = 16;
/// x^128 = x^7 + x^2 + x + 1 in the field of the tweaks (IEEE 1619-2007, 5.2).
const FEEDBACK: u128 = 0x87;

/// Both key schedules; zeroised by `aes` when dropped.
pub(crate) struct Xts {
    data: Aes256,
    tweak: Aes256,
}

impl Xts {
    pub(crate) fn new(key: &[u8; VOLUME_KEY_BYTES]) -> Self {
        let (data, tweak) = key.split_at(VOLUME_KEY_BYTES / 2);
        Self {
            data: Aes256::new(GenericArray::from_slice(data)),
            tweak: Aes256::new(GenericArray::from_slice(tweak)),
        }
    }

    /// Encrypts sectors 0, 1, ….
    pub(crate) fn encrypt(&self, sectors: &mut [[u8; SECTOR_BYTES]]) {
        self.each_block(sectors, |block| {
            self.data.encrypt_block(GenericArray::from_mut_slice(block));
        });
    }

    /// Decrypts sectors 0, 1, ….
    pub(crate) fn decrypt(&self, sectors: &mut [[u8; SECTOR_BYTES]]) {
        self.each_block(sectors, |block| {
            self.data.decrypt_block(GenericArray::from_mut_slice(block));
        });
    }

    fn each_block(&self, sectors: &mut [[u8; SECTOR_BYTES]], cipher: impl Fn(&mut [u8; BLOCK_BYTES])) {
        for (number, sector) in sectors.iter_mut().enumerate() {
            let mut tweak = self.first_tweak(number as u64);
            for block in sector.as_chunks_mut::<BLOCK_BYTES>().0 {
                *block = (u128::from_le_bytes(*block) ^ tweak).to_le_bytes();
                cipher(block);
                *block = (u128::from_le_bytes(*block) ^ tweak).to_le_bytes();
                tweak = (tweak << 1) ^ (FEEDBACK * (tweak >> 127));
            }
        }
    }

    fn first_tweak(&self, sector: u64) -> u128 {
        let mut tweak = GenericArray::from(u128::from(sector).to_le_bytes());
        self.tweak.encrypt_block(&mut tweak);
        u128::from_le_bytes(tweak.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 1619-2007, annex B, vector 10 (AES-256, data unit 0xff): its first and last blocks.
    #[test]
    fn the_vector_of_the_standard_comes_out() {
        let mut key = [0; VOLUME_KEY_BYTES];
        key.copy_from_slice(&hex::decode(KEY).unwrap());
        let mut sectors = vec![[0u8; SECTOR_BYTES]; 256];
        sectors[255] = std::array::from_fn(|at| at as u8);
        let plain = sectors.clone();
        let xts = Xts::new(&key);
        xts.encrypt(&mut sectors);
        let cipher = &sectors[255];
        assert_eq!(hex::encode(&cipher[..16]), "1c3b3a102f770386e4836c99e370cf9b");
        assert_eq!(hex::encode(&cipher[496..]), "c4f36ffda9fcea70b9c6e693e148c151");
        xts.decrypt(&mut sectors);
        assert!(sectors == plain);
    }

    const KEY: &str = "2718281828459045235360287471352662497757247093699959574966967627\
                       3141592653589793238462643383279502884197169399375105820974944592";
}
