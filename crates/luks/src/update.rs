//! Writing a header that is there already, so that a power cut at any moment leaves one that opens.

use crate::header::{HeaderCopy, VerifiedHeader};
use crate::kdf::KdfCost;
use crate::key::{self, PassphraseError, Random, RandomFailed, VolumeKey};
use crate::keyslot::{self, KeyslotError};
use crate::mac::HeaderKeys;
use crate::metadata::{Keyslot, KeyslotRecord};
use crate::template::{KEYSLOT_AREA_BYTES, SALT_BYTES};

/// Why a header was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The generation would not rise.
    #[error("write LUKS header: expected a generation above {current}, found {wanted}")]
    GenerationNotRising {
        /// Generation of the header.
        current: u64,
        /// Generation wanted.
        wanted: u64,
    },
    /// The sequence id is the greatest there is. Only someone who writes the disk brings it there.
    #[error("write LUKS header: the sequence id is used up; restore a header backup")]
    SequenceUsedUp,
    /// The key is another volume's.
    #[error("change keyslot: the volume key is not the one that verified this header")]
    OtherKey,
    /// The passphrase is not taken.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Both places for keyslots are taken, and writing over one would lose it if power were cut.
    #[error("change keyslot {keyslot}: no free place in the keyslots area; remove the other keyslot first")]
    NoFreePlace {
        /// The keyslot.
        keyslot: Keyslot,
    },
    /// No random bytes.
    #[error("change keyslot: {0}")]
    Random(#[from] RandomFailed),
    /// The keyslot's area could not be made.
    #[error("change keyslot: {0}")]
    Keyslot(#[from] KeyslotError),
}

/// Bytes to put down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingWrite {
    /// Byte of the device at which to begin; a multiple of 4096.
    pub offset: u64,
    /// The bytes; a multiple of 4096.
    pub bytes: Vec<u8>,
}

/// A change of the header that is not on the disk yet.
#[must_use = "nothing is on the disk yet"]
pub struct Update {
    writes: Vec<PendingWrite>,
    header: VerifiedHeader,
}

impl Update {
    /// What to write, in this order, **each flushed to the medium before the next**.
    pub fn writes(&self) -> &[PendingWrite] {
        &self.writes
    }

    /// The header as it is when all is written.
    pub fn into_header(self) -> VerifiedHeader {
        self.header
    }
}

impl VerifiedHeader {
    /// The same volume with a higher generation, twice: second copy first, so that the first one, older, stays
    /// whole until then.
    ///
    /// # Errors
    /// [`UpdateError::GenerationNotRising`], [`UpdateError::SequenceUsedUp`].
    pub fn with_generation(&self, generation: u64) -> Result<Update, UpdateError> {
        let current = self.metadata.generation;
        if generation <= current {
            return Err(UpdateError::GenerationNotRising {
                current,
                wanted: generation,
            });
        }
        let mut header = self.successor()?;
        header.metadata.generation = generation;
        header.metadata.mac = header.keys.mac(header.metadata.uuid, generation);
        Ok(Update {
            writes: header.copies().into(),
            header,
        })
    }

    /// A new recovery key in place of the old one; see [`Self::set_keyslot`].
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn change_recovery(
        &self,
        key: &VolumeKey,
        passphrase: &[u8],
        cost: KdfCost,
        random: &mut Random<'_>,
    ) -> Result<Update, UpdateError> {
        self.set_keyslot(Keyslot::Recovery, key, passphrase, cost, random)
    }

    /// Makes a keyslot, or makes it anew: its area in a free place, both copies of the header, zeros over the old
    /// area. A passphrase has 16 to 512 bytes.
    ///
    /// # Errors
    /// [`UpdateError`]; [`UpdateError::NoFreePlace`] if both keyslots are there.
    pub fn set_keyslot(
        &self,
        keyslot: Keyslot,
        key: &VolumeKey,
        passphrase: &[u8],
        cost: KdfCost,
        random: &mut Random<'_>,
    ) -> Result<Update, UpdateError> {
        key::check_strength(passphrase)?;
        if !self.keys.same(&HeaderKeys::of(key)) {
            return Err(UpdateError::OtherKey);
        }
        let position = self
            .metadata
            .free_position()
            .ok_or(UpdateError::NoFreePlace { keyslot })?;
        let mut header = self.successor()?;
        let mut salt = [0; SALT_BYTES];
        random(&mut salt)?;
        let bytes = keyslot::seal(key, passphrase, cost, &salt, random)?;
        let record = KeyslotRecord { position, cost, salt };
        let old = header.metadata.keyslots[keyslot.index()].replace(record);
        let mut writes = vec![PendingWrite {
            offset: position.offset(),
            bytes,
        }];
        writes.extend(header.copies());
        writes.extend(old.map(|old| PendingWrite {
            offset: old.position.offset(),
            bytes: vec![0; KEYSLOT_AREA_BYTES],
        }));
        Ok(Update { writes, header })
    }

    fn successor(&self) -> Result<Self, UpdateError> {
        let seqid = self.seqid.checked_add(1).ok_or(UpdateError::SequenceUsedUp)?;
        Ok(Self {
            seqid,
            ..self.clone()
        })
    }

    fn copies(&self) -> [PendingWrite; 2] {
        [HeaderCopy::Secondary, HeaderCopy::Primary].map(|which| PendingWrite {
            offset: which.offset(),
            bytes: self.copy(which),
        })
    }
}
