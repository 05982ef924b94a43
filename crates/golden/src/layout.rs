//! The bytes: header, record, set of extended attributes. Nothing else in the crate knows a field's offset.
//!
//! All integers are little-endian. The parts stand behind each other without gaps: header, records, numbers of the
//! records by digest, sets of extended attributes, paths.

use crate::entry::{Capabilities, XattrSet};
use bennu_formats::Sha256Digest;

/// First bytes of an index.
pub(crate) const MAGIC: [u8; 8] = *b"BENNUGLD";
/// Format version.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER_BYTES: u64 = 64;
/// Bytes of a record.
pub(crate) const RECORD_BYTES: u64 = 64;
/// Bytes of an entry of the digest order: the number of a record.
pub(crate) const ORDER_BYTES: u64 = 4;
/// Bytes of a set of extended attributes.
pub(crate) const XATTR_SET_BYTES: u64 = 64;

/// Most records: a hundred times what a Debian root has.
pub const MAX_RECORDS: u32 = 1 << 22;
/// Most different sets of extended attributes.
pub const MAX_XATTR_SETS: u32 = 1 << 16;
/// Most bytes of all paths together.
pub const MAX_STRING_BYTES: u64 = 1 << 30;
/// Longest path in bytes (Linux `PATH_MAX`).
pub const MAX_PATH_BYTES: usize = 4096;

/// Flag of a set of extended attributes: it has capabilities.
const HAS_CAPABILITIES: u32 = 1;
/// Flag of a set of extended attributes: the capabilities are effective.
const EFFECTIVE: u32 = 2;

/// How many of what there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) records: u32,
    pub(crate) by_digest: u32,
    pub(crate) xattr_sets: u32,
    pub(crate) string_bytes: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut raw = [0; HEADER_BYTES as usize];
        raw[..8].copy_from_slice(&MAGIC);
        raw[8..12].copy_from_slice(&VERSION.to_le_bytes());
        raw[12..16].copy_from_slice(&(RECORD_BYTES as u32).to_le_bytes());
        raw[16..20].copy_from_slice(&self.records.to_le_bytes());
        raw[20..24].copy_from_slice(&self.by_digest.to_le_bytes());
        raw[24..28].copy_from_slice(&self.xattr_sets.to_le_bytes());
        raw[32..40].copy_from_slice(&self.string_bytes.to_le_bytes());
        raw
    }

    /// Offset of the digest order. Within 2³⁶: the counts are bounded.
    pub(crate) fn order_at(&self) -> u64 {
        HEADER_BYTES + u64::from(self.records) * RECORD_BYTES
    }

    /// Offset of the sets of extended attributes.
    pub(crate) fn xattrs_at(&self) -> u64 {
        self.order_at() + u64::from(self.by_digest) * ORDER_BYTES
    }

    /// Offset of the paths.
    pub(crate) fn strings_at(&self) -> u64 {
        self.xattrs_at() + u64::from(self.xattr_sets) * XATTR_SET_BYTES
    }

    /// Bytes of the whole index.
    pub(crate) fn length(&self) -> u64 {
        self.strings_at() + self.string_bytes
    }
}

/// A record as it lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawRecord {
    pub(crate) digest: [u8; 32],
    pub(crate) size: u64,
    pub(crate) path_at: u32,
    pub(crate) path_bytes: u16,
    /// Kind in the upper four bits, permissions in the lower twelve.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Number of the set of extended attributes, from 1; 0 for none.
    pub(crate) xattr_set: u32,
    pub(crate) reserved: u32,
}

impl RawRecord {
    pub(crate) fn encode(&self) -> [u8; RECORD_BYTES as usize] {
        let mut raw = [0; RECORD_BYTES as usize];
        raw[..32].copy_from_slice(&self.digest);
        raw[32..40].copy_from_slice(&self.size.to_le_bytes());
        raw[40..44].copy_from_slice(&self.path_at.to_le_bytes());
        raw[44..46].copy_from_slice(&self.path_bytes.to_le_bytes());
        raw[46..48].copy_from_slice(&self.mode.to_le_bytes());
        raw[48..52].copy_from_slice(&self.uid.to_le_bytes());
        raw[52..56].copy_from_slice(&self.gid.to_le_bytes());
        raw[56..60].copy_from_slice(&self.xattr_set.to_le_bytes());
        raw[60..].copy_from_slice(&self.reserved.to_le_bytes());
        raw
    }

    pub(crate) fn decode(raw: &[u8; RECORD_BYTES as usize]) -> Self {
        Self {
            digest: array_at(raw, 0),
            size: u64::from_le_bytes(array_at(raw, 32)),
            path_at: u32_at(raw, 40),
            path_bytes: u16::from_le_bytes(array_at(raw, 44)),
            mode: u16::from_le_bytes(array_at(raw, 46)),
            uid: u32_at(raw, 48),
            gid: u32_at(raw, 52),
            xattr_set: u32_at(raw, 56),
            reserved: u32_at(raw, 60),
        }
    }
}

/// Encodes a set of extended attributes.
pub(crate) fn encode_xattr_set(set: &XattrSet) -> [u8; XATTR_SET_BYTES as usize] {
    let mut raw = [0; XATTR_SET_BYTES as usize];
    raw[..32].copy_from_slice(set.digest.as_bytes());
    if let Some(capabilities) = &set.capabilities {
        let effective = if capabilities.effective { EFFECTIVE } else { 0 };
        raw[32..40].copy_from_slice(&capabilities.permitted.to_le_bytes());
        raw[40..48].copy_from_slice(&capabilities.inheritable.to_le_bytes());
        raw[48..52].copy_from_slice(&capabilities.root_uid.to_le_bytes());
        raw[52..56].copy_from_slice(&(HAS_CAPABILITIES | effective).to_le_bytes());
    }
    raw
}

/// Decodes a set of extended attributes; `None` for one that [`encode_xattr_set`] would not write.
pub(crate) fn decode_xattr_set(raw: &[u8; XATTR_SET_BYTES as usize]) -> Option<XattrSet> {
    let flags = u32_at(raw, 52);
    let capabilities = (flags & HAS_CAPABILITIES != 0).then(|| Capabilities {
        permitted: u64::from_le_bytes(array_at(raw, 32)),
        inheritable: u64::from_le_bytes(array_at(raw, 40)),
        root_uid: u32_at(raw, 48),
        effective: flags & EFFECTIVE != 0,
    });
    let set = XattrSet {
        digest: Sha256Digest(array_at(raw, 0)),
        capabilities,
    };
    (encode_xattr_set(&set) == *raw).then_some(set)
}

pub(crate) fn u32_at(raw: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(raw, offset))
}

pub(crate) fn u64_at(raw: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(raw, offset))
}

/// `N` bytes at `offset`, which the caller knows to be inside.
pub(crate) fn array_at<const N: usize>(raw: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&raw[offset..offset + N]);
    array
}
