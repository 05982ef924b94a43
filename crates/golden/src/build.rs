//! Making an index: entries in any order, one encoding.

use crate::entry::{Entry, FileKind, XattrSet, check_path};
use crate::layout::{Header, MAX_RECORDS, MAX_STRING_BYTES, MAX_XATTR_SETS, RawRecord, encode_xattr_set};
use bennu_formats::Sha256Digest;
use std::collections::HashMap;

/// Why there is no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A path that cannot be one.
    #[error(
        "golden-file index: path {path}: expected components of a path below the root, 4096 bytes at most"
    )]
    Path {
        /// As found, escaped.
        path: String,
    },
    /// The same path twice.
    #[error("golden-file index: path {path}: expected once, found twice")]
    Twice {
        /// Escaped.
        path: String,
    },
    /// Mode bits that are no permissions.
    #[error("golden-file index: path {path}: expected a mode of at most 0o7777, found {found:#o}")]
    Mode {
        /// Escaped.
        path: String,
        /// Found.
        found: u16,
    },
    /// A digest or size where its kind has none.
    #[error("golden-file index: path {path}: a {} has no digest and no length", kind.word())]
    Digest {
        /// Escaped.
        path: String,
        /// Kind.
        kind: FileKind,
    },
    /// More files than an index holds.
    #[error("golden-file index: expected at most {MAX_RECORDS} files, found more")]
    TooManyFiles,
    /// More different sets of extended attributes than an index holds.
    #[error("golden-file index: expected at most {MAX_XATTR_SETS} sets of extended attributes, found more")]
    TooManyXattrSets,
    /// Longer paths than an index holds.
    #[error("golden-file index: expected at most {MAX_STRING_BYTES} bytes of paths, found more")]
    TooManyPathBytes,
}

/// Collects entries and encodes them. Memory: about 100 bytes and the path for each entry; contents are never here.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    entries: Vec<Entry>,
    path_bytes: u64,
}

impl IndexBuilder {
    /// An index without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`BuildError`] for an entry that no index can hold.
    pub fn push(&mut self, entry: Entry) -> Result<(), BuildError> {
        let path = || entry.path.escape_ascii().to_string();
        if !check_path(&entry.path) {
            return Err(BuildError::Path { path: path() });
        }
        if entry.mode > 0o7777 {
            return Err(BuildError::Mode {
                path: path(),
                found: entry.mode,
            });
        }
        if !fits_kind(entry.kind, entry.size, &entry.digest) {
            return Err(BuildError::Digest {
                path: path(),
                kind: entry.kind,
            });
        }
        if self.entries.len() >= MAX_RECORDS as usize {
            return Err(BuildError::TooManyFiles);
        }
        self.path_bytes += entry.path.len() as u64;
        if self.path_bytes > MAX_STRING_BYTES {
            return Err(BuildError::TooManyPathBytes);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The index.
    ///
    /// # Errors
    /// [`BuildError::Twice`], [`BuildError::TooManyXattrSets`].
    pub fn finish(mut self) -> Result<Vec<u8>, BuildError> {
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = self.entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(BuildError::Twice {
                path: pair[0].path.escape_ascii().to_string(),
            });
        }
        let (records, sets) = self.records()?;
        let mut order: Vec<u32> = (0..records.len() as u32)
            .filter(|n| is_regular(&records[*n as usize]))
            .collect();
        order.sort_by_key(|n| (records[*n as usize].digest, *n));
        let header = Header {
            records: records.len() as u32,
            by_digest: order.len() as u32,
            xattr_sets: sets.len() as u32,
            string_bytes: self.path_bytes,
        };
        let mut out = Vec::with_capacity(usize::try_from(header.length()).unwrap_or(0));
        out.extend(header.encode());
        records.iter().for_each(|record| out.extend(record.encode()));
        order.iter().for_each(|number| out.extend(number.to_le_bytes()));
        sets.iter().for_each(|set| out.extend(encode_xattr_set(set)));
        self.entries.iter().for_each(|entry| out.extend(&entry.path));
        Ok(out)
    }

    /// The records of the sorted entries, and the sets of extended attributes in the order of their first use.
    fn records(&self) -> Result<(Vec<RawRecord>, Vec<XattrSet>), BuildError> {
        let mut sets: Vec<XattrSet> = Vec::new();
        let mut known: HashMap<XattrSet, u32> = HashMap::new();
        let mut records = Vec::with_capacity(self.entries.len());
        let mut path_at = 0u32;
        for entry in &self.entries {
            let xattr_set = match &entry.xattrs {
                None => 0,
                Some(set) => *known.entry(*set).or_insert_with(|| {
                    sets.push(*set);
                    sets.len() as u32
                }),
            };
            if sets.len() > MAX_XATTR_SETS as usize {
                return Err(BuildError::TooManyXattrSets);
            }
            records.push(RawRecord {
                digest: *entry.digest.as_bytes(),
                size: entry.size,
                path_at,
                path_bytes: entry.path.len() as u16,
                mode: (entry.kind as u16) << 12 | entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                xattr_set,
                reserved: 0,
            });
            path_at += entry.path.len() as u32;
        }
        Ok((records, sets))
    }
}

/// Whether the record stands in the digest order.
pub(crate) fn is_regular(record: &RawRecord) -> bool {
    record.mode >> 12 == FileKind::Regular as u16
}

/// Whether size and digest are such as the kind can have.
pub(crate) fn fits_kind(kind: FileKind, size: u64, digest: &Sha256Digest) -> bool {
    match kind {
        FileKind::Regular | FileKind::Symlink => true,
        FileKind::CharDevice | FileKind::BlockDevice => *digest == Sha256Digest::ZERO,
        FileKind::Directory | FileKind::Fifo | FileKind::Socket => *digest == Sha256Digest::ZERO && size == 0,
    }
}
