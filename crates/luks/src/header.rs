//! Reading: from bytes to a header of the template, and from that to one that the volume key vouches for.

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::binary::{self, BinaryHeader, Found, WholeCopy};
use crate::error::{HeaderError, LooksLike, OpenError, VerifyError};
use crate::key::{self, VolumeKey};
use crate::mac::HeaderKeys;
use crate::matching::match_template;
use crate::metadata::{Keyslot, Metadata};
use crate::template::{COPY_BYTES, HEADER_AREA_BYTES, KEYSLOT_AREA_BYTES, METADATA_BYTES};
use crate::{kdf, keyslot};

/// One of the two copies of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderCopy {
    /// At byte 0.
    Primary,
    /// At byte 16,384.
    Secondary,
}

impl HeaderCopy {
    /// Byte at which it begins.
    pub fn offset(self) -> u64 {
        match self {
            Self::Primary => 0,
            Self::Secondary => COPY_BYTES as u64,
        }
    }

    pub(crate) fn magic(self) -> &'static [u8; 6] {
        match self {
            Self::Primary => b"LUKS\xba\xbe",
            Self::Secondary => b"SKUL\xba\xbe",
        }
    }
}

/// How the copy that was not taken stands to the one that was. For the log: the next write makes both anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherCopy {
    /// It says the same.
    Same,
    /// It is whole and older: power was cut between two writes.
    Older,
    /// It is not whole: power was cut while it was written, or the medium fails.
    Damaged,
}

/// A header of the template's form. Who wrote it is not known.
#[derive(Debug, Clone)]
pub struct UnverifiedHeader {
    seqid: u64,
    taken: HeaderCopy,
    other: OtherCopy,
    metadata: Metadata,
}

impl UnverifiedHeader {
    /// Reads the first [`METADATA_BYTES`] bytes of a device; more are ignored. The newer copy whose checksum holds is
    /// compared with the template; if it differs, the older one is not tried.
    ///
    /// # Errors
    /// [`HeaderError`]: the first difference, worst first.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let too_short = HeaderError::TooShort {
            expected: METADATA_BYTES,
            found: bytes.len(),
        };
        let Some((primary, rest)) = bytes.split_first_chunk::<COPY_BYTES>() else {
            return Err(too_short);
        };
        let Some(secondary) = rest.first_chunk::<COPY_BYTES>() else {
            return Err(too_short);
        };
        let (copy, other) = newer(
            binary::find(HeaderCopy::Primary, primary),
            binary::find(HeaderCopy::Secondary, secondary),
            primary,
        )?;
        let uuid = copy.check()?;
        Ok(Self {
            seqid: copy.seqid,
            taken: copy.which(),
            other,
            metadata: match_template(uuid, copy.json()?)?,
        })
    }

    /// UUID that the header claims: for messages only.
    pub fn claimed_uuid(&self) -> Uuid {
        self.metadata.uuid
    }

    /// Generation that the header claims: for messages only.
    pub fn claimed_generation(&self) -> u64 {
        self.metadata.generation
    }

    /// Which copy was taken, and how the other one stands to it.
    pub fn copies(&self) -> (HeaderCopy, OtherCopy) {
        (self.taken, self.other)
    }

    /// Whether the header has this keyslot.
    pub fn has_keyslot(&self, keyslot: Keyslot) -> bool {
        self.metadata.keyslot(keyslot).is_some()
    }

    /// Proves with the volume key that UUID and generation were written by someone who had it. Whether they are the
    /// right ones (pinned in the TPM) is the caller's to compare.
    ///
    /// # Errors
    /// [`VerifyError::OtherKey`] for a key with another digest, [`VerifyError::Mac`] for a changed header.
    pub fn verify(self, key: &VolumeKey) -> Result<VerifiedHeader, VerifyError> {
        if !self.has_digest_of(key) {
            return Err(VerifyError::OtherKey);
        }
        let keys = HeaderKeys::of(key);
        let metadata = self.metadata;
        if !keys.is_mac(&metadata.mac, metadata.uuid, metadata.generation) {
            return Err(VerifyError::Mac);
        }
        Ok(VerifiedHeader {
            seqid: self.seqid,
            metadata,
            keys,
        })
    }

    /// Opens keyslot 0. `area` is the first [`HEADER_AREA_BYTES`] bytes of the device; more are ignored. The key must
    /// still [`Self::verify`] the header.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with_recovery(&self, area: &[u8], passphrase: &[u8]) -> Result<VolumeKey, OpenError> {
        self.open_keyslot(Keyslot::Recovery, area, passphrase)
    }

    /// Opens a keyslot; see [`Self::open_with_recovery`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_keyslot(
        &self,
        keyslot: Keyslot,
        area: &[u8],
        passphrase: &[u8],
    ) -> Result<VolumeKey, OpenError> {
        key::check_length(passphrase)?;
        if area.len() < HEADER_AREA_BYTES {
            return Err(OpenError::TooShort {
                expected: HEADER_AREA_BYTES,
                found: area.len(),
            });
        }
        let record = self
            .metadata
            .keyslot(keyslot)
            .ok_or(OpenError::NoKeyslot { keyslot })?;
        let start = record.position.offset() as usize;
        let material = &area[start..start + KEYSLOT_AREA_BYTES];
        let candidate = keyslot::open(material, passphrase, record.cost, &record.salt)?;
        let wrong = OpenError::WrongPassphrase { keyslot };
        let key = VolumeKey::new(&candidate[..]).map_err(|_| wrong)?;
        if self.has_digest_of(&key) {
            Ok(key)
        } else {
            Err(wrong)
        }
    }

    fn has_digest_of(&self, key: &VolumeKey) -> bool {
        let digest = kdf::digest(key, &self.metadata.digest_salt);
        digest.ct_eq(&self.metadata.digest).into()
    }
}

/// Of two whole copies the one with the greater sequence id.
fn newer<'a>(
    primary: Found<'a>,
    secondary: Found<'a>,
    start: &[u8; COPY_BYTES],
) -> Result<(WholeCopy<'a>, OtherCopy), HeaderError> {
    match (primary, secondary) {
        (Found::Whole(one), Found::Whole(two)) if one.seqid == two.seqid => {
            if one.says_the_same_as(&two) {
                Ok((one, OtherCopy::Same))
            } else {
                Err(HeaderError::CopiesDisagree { seqid: one.seqid })
            }
        }
        (Found::Whole(one), Found::Whole(two)) => {
            let newer = if one.seqid > two.seqid { one } else { two };
            Ok((newer, OtherCopy::Older))
        }
        (Found::Whole(copy), _) | (_, Found::Whole(copy)) => Ok((copy, OtherCopy::Damaged)),
        (Found::Deviates(error), _) | (_, Found::Deviates(error)) => Err(error),
        (Found::Damaged, _) | (_, Found::Damaged) => Err(HeaderError::BothCopiesDamaged),
        (Found::Nothing, Found::Nothing) => Err(HeaderError::NotLuks {
            looks_like: guess(start),
        }),
    }
}

/// What else begins like this; magics of the kernel's `include/uapi/linux/magic.h` and of LVM2.
fn guess(start: &[u8; COPY_BYTES]) -> LooksLike {
    let at = |offset: usize, magic: &[u8]| start[offset..].starts_with(magic);
    if start.iter().all(|&byte| byte == 0) {
        LooksLike::Zeros
    } else if at(1080, &[0x53, 0xef]) {
        LooksLike::Ext4
    } else if at(0, b"XFSB") {
        LooksLike::Xfs
    } else if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        LooksLike::Erofs
    } else if at(0, b"hsqs") {
        LooksLike::Squashfs
    } else if at(512, b"LABELONE") {
        LooksLike::Lvm
    } else if at(510, &[0x55, 0xaa]) || at(512, b"EFI PART") {
        LooksLike::BootSector
    } else {
        LooksLike::Unknown
    }
}

/// A header whose UUID and generation the volume key vouches for. Only [`UnverifiedHeader::verify`] makes one.
///
/// Keyslots are not vouched for: whoever writes the disk can destroy them, and gains nothing else by it.
#[derive(Clone)]
pub struct VerifiedHeader {
    pub(crate) seqid: u64,
    pub(crate) metadata: Metadata,
    pub(crate) keys: HeaderKeys,
}

impl VerifiedHeader {
    /// UUID of the volume.
    pub fn uuid(&self) -> Uuid {
        self.metadata.uuid
    }

    /// Generation: rises with each boot.
    pub fn generation(&self) -> u64 {
        self.metadata.generation
    }

    /// Whether the header has this keyslot.
    pub fn has_keyslot(&self, keyslot: Keyslot) -> bool {
        self.metadata.keyslot(keyslot).is_some()
    }

    pub(crate) fn copy(&self, which: HeaderCopy) -> Vec<u8> {
        let binary = BinaryHeader {
            seqid: self.seqid,
            uuid: self.metadata.uuid,
            salt: self
                .keys
                .header_salt(which.offset(), self.seqid, self.metadata.generation),
        };
        binary.encode(which, &self.metadata.to_json())
    }
}
