//! The binary header and its checksum: one 16 KiB copy of the metadata.
//!
//! "Binary Header" of the specification; numbers are big-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 6 | magic: `LUKS\xba\xbe` in the first copy, `SKUL\xba\xbe` in the second |
//! | 6 | 2 | version, 2 |
//! | 8 | 8 | bytes of a copy |
//! | 16 | 8 | sequence id: the greater is newer |
//! | 24 | 48 | label |
//! | 72 | 32 | checksum algorithm |
//! | 104 | 64 | salt |
//! | 168 | 40 | UUID, text |
//! | 208 | 48 | subsystem |
//! | 256 | 8 | offset of this copy |
//! | 264 | 184 | zero |
//! | 448 | 64 | checksum, zero-padded: over the copy with this field zero |
//! | 512 | 3584 | zero |

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::{HeaderError, shown};
use crate::header::HeaderCopy;
use crate::mac::HEADER_SALT_BYTES;
use crate::template::{BINARY_BYTES, COPY_BYTES, JSON_BYTES, LABEL};

const VERSION: u16 = 2;
const CHECKSUM_ALGORITHM: &str = "sha256";
const CHECKSUM_BYTES: usize = 32;

const MAGIC_AT: Range<usize> = 0..6;
const VERSION_AT: Range<usize> = 6..8;
const COPY_SIZE_AT: Range<usize> = 8..16;
const SEQID_AT: Range<usize> = 16..24;
const LABEL_AT: Range<usize> = 24..72;
const ALGORITHM_AT: Range<usize> = 72..104;
const SALT_AT: Range<usize> = 104..168;
const UUID_AT: Range<usize> = 168..208;
const SUBSYSTEM_AT: Range<usize> = 208..256;
const OFFSET_AT: Range<usize> = 256..264;
const PADDING_AT: Range<usize> = 264..448;
const CHECKSUM_AT: Range<usize> = 448..512;
const REST_AT: Range<usize> = 512..BINARY_BYTES;

/// What a copy says besides its JSON.
pub(crate) struct BinaryHeader {
    pub(crate) seqid: u64,
    pub(crate) uuid: Uuid,
    pub(crate) salt: [u8; HEADER_SALT_BYTES],
}

impl BinaryHeader {
    /// A whole copy: binary header, text, zeros. Text that leaves no zero is cut; ours has a tenth of the room.
    pub(crate) fn encode(&self, which: HeaderCopy, json: &str) -> Vec<u8> {
        let mut copy = vec![0; COPY_BYTES];
        let mut put = |at: Range<usize>, bytes: &[u8]| {
            for (to, from) in copy[at].iter_mut().zip(bytes) {
                *to = *from;
            }
        };
        put(MAGIC_AT, which.magic());
        put(VERSION_AT, &VERSION.to_be_bytes());
        put(COPY_SIZE_AT, &(COPY_BYTES as u64).to_be_bytes());
        put(SEQID_AT, &self.seqid.to_be_bytes());
        put(LABEL_AT, LABEL.as_bytes());
        put(ALGORITHM_AT, CHECKSUM_ALGORITHM.as_bytes());
        put(SALT_AT, &self.salt);
        put(UUID_AT, self.uuid.hyphenated().to_string().as_bytes());
        put(OFFSET_AT, &which.offset().to_be_bytes());
        put(BINARY_BYTES..COPY_BYTES - 1, json.as_bytes());
        let sum = checksum(&copy);
        copy[CHECKSUM_AT][..CHECKSUM_BYTES].copy_from_slice(&sum);
        copy
    }
}

/// What stands where a copy should stand.
pub(crate) enum Found<'a> {
    /// A copy with its checksum; nothing else is known of it.
    Whole(WholeCopy<'a>),
    /// Our magic, and something that we cannot check the checksum of.
    Deviates(HeaderError),
    /// Our magic, another checksum.
    Damaged,
    /// No magic.
    Nothing,
}

/// A copy with its checksum.
#[derive(Clone, Copy)]
pub(crate) struct WholeCopy<'a> {
    which: HeaderCopy,
    bytes: &'a [u8; COPY_BYTES],
    pub(crate) seqid: u64,
}

/// Looks for a copy.
pub(crate) fn find(which: HeaderCopy, bytes: &[u8; COPY_BYTES]) -> Found<'_> {
    if &bytes[MAGIC_AT] != which.magic() {
        return Found::Nothing;
    }
    let version = u16::from_be_bytes([bytes[6], bytes[7]]);
    if version != VERSION {
        return Found::Deviates(HeaderError::Version { found: version });
    }
    let size = number(bytes, COPY_SIZE_AT);
    if size != COPY_BYTES as u64 {
        return Found::Deviates(HeaderError::CopySize {
            expected: COPY_BYTES as u64,
            found: size,
        });
    }
    if !is_text(&bytes[ALGORITHM_AT], CHECKSUM_ALGORITHM) {
        return Found::Deviates(HeaderError::ChecksumAlgorithm {
            found: text(&bytes[ALGORITHM_AT]),
        });
    }
    if bytes[CHECKSUM_AT][..CHECKSUM_BYTES] != checksum(bytes) {
        return Found::Damaged;
    }
    Found::Whole(WholeCopy {
        which,
        bytes,
        seqid: number(bytes, SEQID_AT),
    })
}

impl<'a> WholeCopy<'a> {
    pub(crate) fn which(&self) -> HeaderCopy {
        self.which
    }

    /// Compares the binary header with the template; the UUID is what it leaves open.
    pub(crate) fn check(&self) -> Result<Uuid, HeaderError> {
        let (expected, found) = (self.which.offset(), number(self.bytes, OFFSET_AT));
        if found != expected {
            return Err(HeaderError::CopyOffset { expected, found });
        }
        let label = &self.bytes[LABEL_AT];
        if !is_text(label, LABEL) {
            let found = text(label);
            return Err(HeaderError::Label {
                expected: LABEL,
                found,
            });
        }
        let subsystem = &self.bytes[SUBSYSTEM_AT];
        if !is_text(subsystem, "") {
            let found = text(subsystem);
            return Err(HeaderError::Subsystem { found });
        }
        let checksum_padding = CHECKSUM_AT.start + CHECKSUM_BYTES..CHECKSUM_AT.end;
        for mut padding in [PADDING_AT, checksum_padding, REST_AT] {
            if let Some(offset) = padding.find(|&at| self.bytes[at] != 0) {
                return Err(HeaderError::Padding { offset });
            }
        }
        let field = &self.bytes[UUID_AT];
        let found = text(field);
        match Uuid::try_parse(&found) {
            Ok(uuid) if is_text(field, &uuid.hyphenated().to_string()) => Ok(uuid),
            _ => Err(HeaderError::Uuid { found }),
        }
    }

    /// The JSON text: up to the first zero, and zeros behind.
    pub(crate) fn json(&self) -> Result<&'a [u8], HeaderError> {
        let area = &self.bytes[BINARY_BYTES..];
        if area.first() != Some(&b'{') {
            return Err(HeaderError::Json {
                detail: "no `{` at the start".to_owned(),
            });
        }
        let end = area.iter().position(|&byte| byte == 0).unwrap_or(JSON_BYTES);
        if end == JSON_BYTES {
            return Err(HeaderError::Json {
                detail: "no end within the JSON area".to_owned(),
            });
        }
        let (json, padding) = area.split_at(end);
        match padding.iter().position(|&byte| byte != 0) {
            Some(at) => Err(HeaderError::JsonPadding { offset: end + at }),
            None => Ok(json),
        }
    }

    /// Whether both say the same; salts, magic and offset differ between copies.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        [LABEL_AT, UUID_AT, SUBSYSTEM_AT, BINARY_BYTES..COPY_BYTES]
            .into_iter()
            .all(|range| self.bytes[range.clone()] == other.bytes[range])
    }
}

fn checksum(copy: &[u8]) -> [u8; CHECKSUM_BYTES] {
    Sha256::new()
        .chain_update(&copy[..CHECKSUM_AT.start])
        .chain_update([0; 64])
        .chain_update(&copy[CHECKSUM_AT.end..])
        .finalize()
        .into()
}

fn number(bytes: &[u8; COPY_BYTES], at: Range<usize>) -> u64 {
    bytes[at]
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Whether a field is `expected` and zeros, at least one.
fn is_text(field: &[u8], expected: &str) -> bool {
    field.len() > expected.len()
        && field.starts_with(expected.as_bytes())
        && field[expected.len()..].iter().all(|&byte| byte == 0)
}

fn text(field: &[u8]) -> String {
    let end = field
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    shown(&String::from_utf8_lossy(&field[..end]))
}
