//! Refusals: each difference from the template by its name.
//!
//! Words from the header are shown escaped and cut to 40 bytes.

use crate::kdf::{KdfCostError, KdfError};
use crate::key::PassphraseError;
use crate::metadata::Keyslot;

/// What the start of a device without a LUKS header looks like; a guess for people, never for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    /// Zeros only: new, or erased.
    Zeros,
    /// ext2, ext3 or ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// EROFS.
    Erofs,
    /// Squashfs.
    Squashfs,
    /// LVM2 physical volume.
    Lvm,
    /// A partition table or a FAT boot sector.
    BootSector,
    /// None of these.
    Unknown,
}

impl std::fmt::Display for LooksLike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zeros => "zeros: a device never formatted, or erased",
            Self::Ext4 => "an ext4 file system that is not encrypted",
            Self::Xfs => "an XFS file system that is not encrypted",
            Self::Erofs => "an EROFS file system",
            Self::Squashfs => "a squashfs file system",
            Self::Lvm => "an LVM physical volume",
            Self::BootSector => "a partition table or boot sector",
            Self::Unknown => "nothing that is known here",
        })
    }
}

/// Why bytes are not a header of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than both copies have.
    #[error(
        "read LUKS header: expected at least {expected} bytes, found {found}; hand over the device's start"
    )]
    TooShort {
        /// Bytes of both copies.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Neither copy begins with a magic of LUKS.
    #[error(
        "read LUKS header: no LUKS magic, found {looks_like}; the state volume was replaced or never made"
    )]
    NotLuks {
        /// What it looks like instead.
        looks_like: LooksLike,
    },
    /// LUKS of another version.
    #[error("read LUKS header: expected version 2, found {found}; not written by bennu")]
    Version {
        /// Version found.
        found: u16,
    },
    /// Copies of another size, so that the second lies elsewhere.
    #[error("read LUKS header: expected copies of {expected} bytes, found {found}; not written by bennu")]
    CopySize {
        /// Bytes of our copies.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// Another checksum.
    #[error("read LUKS header: expected checksum sha256, found {found:?}; not written by bennu")]
    ChecksumAlgorithm {
        /// Algorithm found.
        found: String,
    },
    /// A magic is there, but no copy has the checksum it names.
    #[error("read LUKS header: neither copy has its checksum; restore a header backup")]
    BothCopiesDamaged,
    /// Both copies are whole and equally new, and differ. Our writer never leaves that behind.
    #[error("read LUKS header: two different copies with sequence id {seqid}; restore a header backup")]
    CopiesDisagree {
        /// Sequence id of both.
        seqid: u64,
    },
    /// A copy says that it lies elsewhere.
    #[error("read LUKS header: expected a copy made for offset {expected}, found {found}; it was moved")]
    CopyOffset {
        /// Where it lies.
        expected: u64,
        /// Where it says it lies.
        found: u64,
    },
    /// Something in the binary header's padding.
    #[error("read LUKS header: byte {offset} of the binary header must be zero")]
    Padding {
        /// Offset within the copy.
        offset: usize,
    },
    /// Another label.
    #[error("read LUKS header: expected label {expected:?}, found {found:?}; is this another volume?")]
    Label {
        /// Ours.
        expected: &'static str,
        /// Found.
        found: String,
    },
    /// A subsystem label; ours is empty.
    #[error("read LUKS header: expected no subsystem, found {found:?}; is this another volume?")]
    Subsystem {
        /// Found.
        found: String,
    },
    /// No UUID in lower case with hyphens.
    #[error("read LUKS header: expected a UUID, found {found:?}")]
    Uuid {
        /// Found.
        found: String,
    },
    /// No JSON object at the start of the JSON area, or no JSON.
    #[error("read LUKS header: expected JSON metadata, found: {detail}")]
    Json {
        /// The decoder's words.
        detail: String,
    },
    /// Something behind the JSON text.
    #[error("read LUKS header: byte {offset} of the JSON area, behind the text, must be zero")]
    JsonPadding {
        /// Offset within the JSON area.
        offset: usize,
    },
    /// A member stands twice: readers would disagree on which counts.
    #[error("read LUKS metadata: member {path} stands twice")]
    RepeatedMember {
        /// Path.
        path: String,
    },
    /// Re-encryption in progress or prepared: segments in two states, an attacker's choice of which.
    #[error(
        "read LUKS metadata: expected no re-encryption, found {found:?} in {path}; this is an attack or another tool's work"
    )]
    Reencryption {
        /// Path.
        path: &'static str,
        /// Found.
        found: String,
    },
    /// A segment that is not encrypted.
    #[error(
        "read LUKS metadata: expected an encrypted segment (crypt), found {found:?}; nothing is written to it"
    )]
    NotEncrypted {
        /// Type of the segment.
        found: String,
    },
    /// A cipher that does not encrypt (CVE-2025-59054).
    #[error("read LUKS metadata: {path}: expected {expected}, found the null cipher {found:?}; this is an attack", expected = crate::template::ENCRYPTION)]
    NullCipher {
        /// Path.
        path: String,
        /// Found.
        found: String,
    },
    /// Another cipher.
    #[error("read LUKS metadata: {path}: expected {expected}, found {found:?}; not written by bennu", expected = crate::template::ENCRYPTION)]
    OtherCipher {
        /// Path.
        path: String,
        /// Found.
        found: String,
    },
    /// More than one segment, or none.
    #[error("read LUKS metadata: expected one segment, found {found}; not written by bennu")]
    Segments {
        /// Number of segments.
        found: usize,
    },
    /// Segment or keyslot area elsewhere.
    #[error("read LUKS metadata: {path}: expected {expected}, found {found:?}; not written by bennu")]
    OtherOffset {
        /// Path.
        path: String,
        /// Offsets in bytes that are allowed.
        expected: &'static str,
        /// Found.
        found: String,
    },
    /// Another sector size.
    #[error("read LUKS metadata: expected sectors of {expected} bytes, found {found}; not written by bennu")]
    SectorSize {
        /// Ours, in bytes.
        expected: u64,
        /// Found, in bytes.
        found: u64,
    },
    /// A segment with authenticated encryption, which this template has not.
    #[error(
        "read LUKS metadata: expected a segment without dm-integrity, found one with; not written by bennu"
    )]
    Integrity,
    /// Flags, of the volume or of a segment; ours have none. `allow-discards` would tell which blocks are free.
    #[error(
        "read LUKS metadata: {path}: expected no flags; remove them with `cryptsetup refresh --persistent`"
    )]
    Flags {
        /// Path.
        path: String,
    },
    /// Requirements other than re-encryption.
    #[error("read LUKS metadata: expected no requirements; not written by bennu")]
    Requirements,
    /// Another key derivation than Argon2id.
    #[error("read LUKS metadata: {path}: expected argon2id, found {found:?}; not written by bennu")]
    OtherKdf {
        /// Path.
        path: String,
        /// Found.
        found: String,
    },
    /// A key derivation whose cost is out of bounds; nothing was allocated.
    #[error("read LUKS metadata: keyslot {keyslot}: {cost}")]
    KdfCost {
        /// The keyslot.
        keyslot: Keyslot,
        /// What is out of bounds.
        cost: KdfCostError,
    },
    /// Two keyslots in one place.
    #[error("read LUKS metadata: both keyslots lie at byte {offset}; not written by bennu")]
    KeyslotsOverlap {
        /// Offset in bytes.
        offset: u64,
    },
    /// More than one digest, or none.
    #[error("read LUKS metadata: expected one digest, found {found}; not written by bennu")]
    Digests {
        /// Number of digests.
        found: usize,
    },
    /// The digest is not bound to the keyslots that are there.
    #[error("read LUKS metadata: digest: expected keyslots {expected}, found {found}; not written by bennu")]
    DigestKeyslots {
        /// Names of the keyslots that are there.
        expected: String,
        /// Names found.
        found: String,
    },
    /// No token of ours and no other.
    #[error(
        "read LUKS metadata: expected a token of type bennu-state, found no token; was this made by cryptsetup?"
    )]
    NoToken,
    /// More tokens than ours.
    #[error(
        "read LUKS metadata: expected one token, found {found}; remove the others with `cryptsetup token remove`"
    )]
    MoreThanOneToken {
        /// Number of tokens.
        found: usize,
    },
    /// Another token.
    #[error("read LUKS metadata: expected a token of type bennu-state, found {found:?}")]
    OtherToken {
        /// Type found.
        found: String,
    },
    /// A member that the template has not.
    #[error("read LUKS metadata: member {path} is not known; not written by bennu")]
    UnknownMember {
        /// Path.
        path: String,
    },
    /// A member that the template has.
    #[error("read LUKS metadata: member {path} is missing; not written by bennu")]
    MissingMember {
        /// Path.
        path: String,
    },
    /// A member of another kind.
    #[error("read LUKS metadata: {path}: expected {expected}, found {found}")]
    Kind {
        /// Path.
        path: String,
        /// Kind expected.
        expected: &'static str,
        /// Kind found.
        found: &'static str,
    },
    /// Any other member with another value.
    #[error("read LUKS metadata: {path}: expected {expected}, found {found:?}; not written by bennu")]
    OtherValue {
        /// Path.
        path: String,
        /// Value or form expected.
        expected: String,
        /// Found.
        found: String,
    },
}

/// Why a header that has the template's form is not the header of this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The key is not that of this volume.
    #[error(
        "verify LUKS header: the volume key has another digest; the volume was replaced, or the key is another's"
    )]
    OtherKey,
    /// UUID or generation were changed by someone without the key.
    #[error("verify LUKS header: the token's MAC does not fit UUID and generation; the header was changed")]
    Mac,
}

/// Why a keyslot was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too long.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The header has no such keyslot.
    #[error("open keyslot {keyslot}: the header has no such keyslot; it was removed")]
    NoKeyslot {
        /// The keyslot.
        keyslot: Keyslot,
    },
    /// Fewer bytes than the header area has.
    #[error("open keyslot: expected at least {expected} bytes of the device's start, found {found}")]
    TooShort {
        /// Bytes of the header area.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The passphrase gave no key.
    #[error("open keyslot: {0}")]
    Kdf(#[from] KdfError),
    /// What comes out is not the volume key.
    #[error(
        "open keyslot {keyslot}: the passphrase does not open it, or its area is damaged; check the passphrase"
    )]
    WrongPassphrase {
        /// The keyslot.
        keyslot: Keyslot,
    },
}

/// Words of a header, fit to be shown.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].escape_default().to_string()
}
