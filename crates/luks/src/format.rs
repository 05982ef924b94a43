//! A new header.

use uuid::Uuid;

use crate::header::{HeaderCopy, VerifiedHeader};
use crate::kdf::{self, KdfCost};
use crate::key::{self, PassphraseError, Random, RandomFailed, VolumeKey};
use crate::keyslot::{self, KeyslotError};
use crate::mac::HeaderKeys;
use crate::metadata::{KeyslotRecord, Metadata, Position};
use crate::template::{COPY_BYTES, HEADER_AREA_BYTES, METADATA_BYTES, SALT_BYTES};
use crate::update::PendingWrite;

/// Sequence id of a new header.
const FIRST_SEQID: u64 = 1;

/// What a new header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatParameters {
    /// UUID of the volume: a new random one, pinned by the caller.
    pub uuid: Uuid,
    /// First generation, pinned by the caller.
    pub generation: u64,
    /// Cost of the recovery key; [`KdfCost::STANDARD`] but for tests.
    pub kdf: KdfCost,
}

/// Why no header was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The recovery key is not taken.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// No random bytes.
    #[error("make LUKS header: {0}")]
    Random(#[from] RandomFailed),
    /// The keyslot's area could not be made.
    #[error("make LUKS header: {0}")]
    Keyslot(#[from] KeyslotError),
}

/// The first [`HEADER_AREA_BYTES`] bytes of a new volume: both copies of the metadata, keyslots area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderArea {
    bytes: Vec<u8>,
}

impl HeaderArea {
    /// The bytes, for byte 0 of the device. Nothing in them is secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same in the order in which to write it, **each flushed to the medium before the next**: zeros over an
    /// older header, keyslots area, second copy, first copy. So there is no header without its keyslot. Pin UUID
    /// and generation when all is written.
    pub fn writes(&self) -> [PendingWrite; 4] {
        let part = |start: usize, end: usize| PendingWrite {
            offset: start as u64,
            bytes: self.bytes[start..end].to_vec(),
        };
        let erased = PendingWrite {
            offset: 0,
            bytes: vec![0; METADATA_BYTES],
        };
        [
            erased,
            part(METADATA_BYTES, HEADER_AREA_BYTES),
            part(COPY_BYTES, METADATA_BYTES),
            part(0, COPY_BYTES),
        ]
    }
}

/// Makes the header of a new volume with a recovery key of 16 to 512 bytes in keyslot 0.
///
/// # Errors
/// [`FormatError`].
pub fn format(
    parameters: &FormatParameters,
    key: &VolumeKey,
    recovery: &[u8],
    random: &mut Random<'_>,
) -> Result<HeaderArea, FormatError> {
    key::check_strength(recovery)?;
    let mut digest_salt = [0; SALT_BYTES];
    random(&mut digest_salt)?;
    let mut salt = [0; SALT_BYTES];
    random(&mut salt)?;
    let record = KeyslotRecord {
        position: Position::First,
        cost: parameters.kdf,
        salt,
    };
    let area = keyslot::seal(key, recovery, record.cost, &salt, random)?;
    let keys = HeaderKeys::of(key);
    let header = VerifiedHeader {
        seqid: FIRST_SEQID,
        metadata: Metadata {
            uuid: parameters.uuid,
            generation: parameters.generation,
            mac: keys.mac(parameters.uuid, parameters.generation),
            keyslots: [Some(record), None],
            digest_salt,
            digest: kdf::digest(key, &digest_salt),
        },
        keys,
    };
    let mut bytes = Vec::with_capacity(HEADER_AREA_BYTES);
    bytes.extend(header.copy(HeaderCopy::Primary));
    bytes.extend(header.copy(HeaderCopy::Secondary));
    bytes.extend(area);
    bytes.resize(HEADER_AREA_BYTES, 0);
    Ok(HeaderArea { bytes })
}
