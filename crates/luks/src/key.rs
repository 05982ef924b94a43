//! Secrets and where their bytes come from. Nothing here has Debug; everything is zeroised.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::template::VOLUME_KEY_BYTES;

/// Fewest bytes of a passphrase that a keyslot is made for. A recovery key is made by a program; a word is none.
pub const MIN_PASSPHRASE_BYTES: usize = 16;
/// Most bytes of a passphrase: cryptsetup's limit for what is typed.
pub const MAX_PASSPHRASE_BYTES: usize = 512;

/// The source of random bytes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes from the caller's source; it knows why")]
pub struct RandomFailed;

/// Fills a buffer with bytes that nobody can guess: the kernel's, not a generator of the caller's. At most
/// 256,000 are asked for at once.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), RandomFailed> + 'a;

/// Why bytes are no volume key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VolumeKeyError {
    /// Not 64 bytes.
    #[error("take volume key: expected {VOLUME_KEY_BYTES} bytes, found {found}; is this another secret?")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// Both halves are equal, which takes XTS's strength away (FIPS 140-2 IG A.9) and which no random key has.
    #[error("take volume key: both halves are equal; this key was not drawn at random")]
    EqualHalves,
    /// No random bytes.
    #[error("draw volume key: {0}")]
    Random(#[from] RandomFailed),
}

/// Key of the data: two AES-256 keys, the second for the tweak.
#[derive(Clone)]
pub struct VolumeKey(Box<Zeroizing<[u8; VOLUME_KEY_BYTES]>>);

impl VolumeKey {
    /// Takes an unsealed key; the caller's copy stays the caller's to zeroise.
    ///
    /// # Errors
    /// [`VolumeKeyError::Length`], [`VolumeKeyError::EqualHalves`].
    pub fn new(bytes: &[u8]) -> Result<Self, VolumeKeyError> {
        let mut key = Self::zero();
        if bytes.len() != VOLUME_KEY_BYTES {
            return Err(VolumeKeyError::Length { found: bytes.len() });
        }
        key.0.copy_from_slice(bytes);
        key.checked()
    }

    /// Draws a new key.
    ///
    /// # Errors
    /// [`VolumeKeyError::Random`]; [`VolumeKeyError::EqualHalves`] if the source does not deserve its name.
    pub fn generate(random: &mut Random<'_>) -> Result<Self, VolumeKeyError> {
        let mut key = Self::zero();
        random(&mut key.0[..])?;
        key.checked()
    }

    /// The bytes, for sealing. Zeroise what they are copied to.
    pub fn as_bytes(&self) -> &[u8; VOLUME_KEY_BYTES] {
        &self.0
    }

    fn zero() -> Self {
        Self(Box::new(Zeroizing::new([0; VOLUME_KEY_BYTES])))
    }

    fn checked(self) -> Result<Self, VolumeKeyError> {
        let (data, tweak) = self.0.split_at(VOLUME_KEY_BYTES / 2);
        if bool::from(data.ct_eq(tweak)) {
            return Err(VolumeKeyError::EqualHalves);
        }
        Ok(self)
    }
}

/// Why a passphrase is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Too short to make a keyslot for.
    #[error(
        "make keyslot: expected a passphrase of at least {MIN_PASSPHRASE_BYTES} bytes, found {found}; generate one"
    )]
    TooShort {
        /// Bytes found.
        found: usize,
    },
    /// Longer than cryptsetup would take.
    #[error(
        "use passphrase: expected at most {MAX_PASSPHRASE_BYTES} bytes, found {found}; is this the right file?"
    )]
    TooLong {
        /// Bytes found.
        found: usize,
    },
}

/// Before a passphrase opens a keyslot.
pub(crate) fn check_length(passphrase: &[u8]) -> Result<(), PassphraseError> {
    let found = passphrase.len();
    if found > MAX_PASSPHRASE_BYTES {
        return Err(PassphraseError::TooLong { found });
    }
    Ok(())
}

/// Before a keyslot is made for a passphrase.
pub(crate) fn check_strength(passphrase: &[u8]) -> Result<(), PassphraseError> {
    check_length(passphrase)?;
    let found = passphrase.len();
    if found < MIN_PASSPHRASE_BYTES {
        return Err(PassphraseError::TooShort { found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_or_with_equal_halves_is_refused() {
        let mut bytes = [7; VOLUME_KEY_BYTES];
        assert_eq!(VolumeKey::new(&bytes).err(), Some(VolumeKeyError::EqualHalves));
        bytes[63] = 8;
        assert!(VolumeKey::new(&bytes).is_ok(), "positive control");
        for found in [0, 32, 63] {
            assert_eq!(
                VolumeKey::new(&bytes[..found]).err(),
                Some(VolumeKeyError::Length { found })
            );
        }
    }

    #[test]
    fn a_source_that_fails_or_repeats_itself_gives_no_key() {
        let failed = VolumeKey::generate(&mut |_| Err(RandomFailed)).err();
        assert_eq!(failed, Some(VolumeKeyError::Random(RandomFailed)));
        let constant = VolumeKey::generate(&mut |_| Ok(())).err();
        assert_eq!(constant, Some(VolumeKeyError::EqualHalves));
    }

    #[test]
    fn a_passphrase_has_16_to_512_bytes() {
        assert_eq!(
            check_strength(&[1; 15]),
            Err(PassphraseError::TooShort { found: 15 })
        );
        assert_eq!(check_strength(&[1; 16]), Ok(()));
        assert_eq!(check_strength(&[1; 512]), Ok(()));
        assert_eq!(
            check_strength(&[1; 513]),
            Err(PassphraseError::TooLong { found: 513 })
        );
        assert_eq!(check_length(&[]), Ok(()));
    }
}
