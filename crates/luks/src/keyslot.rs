//! A keyslot's area: the volume key, split, encrypted under a key derived from a passphrase.

use zeroize::Zeroizing;

use crate::af;
use crate::kdf::{self, KdfCost, KdfError};
use crate::key::{Random, RandomFailed, VolumeKey};
use crate::template::{KEYSLOT_AREA_BYTES, MATERIAL_BYTES, SALT_BYTES, VOLUME_KEY_BYTES};
use crate::xts::{SECTOR_BYTES, Xts};

/// A keyslot's area could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyslotError {
    /// The passphrase gave no key.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomFailed),
}

/// The bytes of the area: [`MATERIAL_BYTES`] encrypted ones, then zeros.
pub(crate) fn seal(
    key: &VolumeKey,
    passphrase: &[u8],
    cost: KdfCost,
    salt: &[u8; SALT_BYTES],
    random: &mut Random<'_>,
) -> Result<Vec<u8>, KeyslotError> {
    let area_key = kdf::derive(passphrase, salt, cost)?;
    let mut material = af::split(key.as_bytes(), random)?;
    Xts::new(&area_key).encrypt(material.as_chunks_mut::<SECTOR_BYTES>().0);
    let mut area = material.to_vec();
    area.resize(KEYSLOT_AREA_BYTES, 0);
    Ok(area)
}

/// What a passphrase makes of an area. Only the digest says whether it is the volume key.
pub(crate) fn open(
    area: &[u8],
    passphrase: &[u8],
    cost: KdfCost,
    salt: &[u8; SALT_BYTES],
) -> Result<Zeroizing<[u8; VOLUME_KEY_BYTES]>, KdfError> {
    let area_key = kdf::derive(passphrase, salt, cost)?;
    let length = area.len().min(MATERIAL_BYTES);
    let mut material = Zeroizing::new(area[..length].to_vec());
    Xts::new(&area_key).decrypt(material.as_chunks_mut::<SECTOR_BYTES>().0);
    Ok(af::merge(&material))
}
