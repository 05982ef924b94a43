//! Reading an index: each answer takes some twenty reads of 64 bytes and a path, whatever the index' length.

use crate::build::{fits_kind, is_regular};
use crate::entry::{Entry, FileKind, XattrSet, check_path};
use crate::layout::{
    HEADER_BYTES, Header, MAGIC, MAX_PATH_BYTES, MAX_RECORDS, MAX_STRING_BYTES, MAX_XATTR_SETS, ORDER_BYTES,
    RECORD_BYTES, RawRecord, VERSION, XATTR_SET_BYTES, decode_xattr_set, u32_at, u64_at,
};
use crate::source::ReadAt;
use bennu_formats::Sha256Digest;
use std::collections::HashSet;
use std::io;

/// Why an index gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The source failed, or ends too early.
    #[error("golden-file index: read {bytes} bytes at {offset}: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// How many.
        bytes: usize,
        /// What the source said.
        source: io::Error,
    },
    /// Not an index.
    #[error("golden-file index: expected the magic BENNUGLD, found other bytes")]
    Magic,
    /// A version or record length that is not known here.
    #[error(
        "golden-file index: expected version 1 with records of 64 bytes, found version {version}; use a newer bennu"
    )]
    Version {
        /// Found.
        version: u32,
    },
    /// A count above its limit, or a reserved field in use.
    #[error("golden-file index: header, {field}: expected at most {limit}, found {found}")]
    Limit {
        /// Which field.
        field: &'static str,
        /// Limit.
        limit: u64,
        /// Found.
        found: u64,
    },
    /// The counts do not add up to the length.
    #[error("golden-file index: expected {expected} bytes by its header, found {found}")]
    Length {
        /// By the header.
        expected: u64,
        /// Of the source.
        found: u64,
    },
    /// A record that makes no sense.
    #[error("golden-file index: record {number}: {field} makes no sense")]
    Record {
        /// Number, from 0.
        number: u32,
        /// Which field.
        field: &'static str,
    },
    /// Not the one encoding of its entries.
    #[error("golden-file index: {what} {number}: not in its place")]
    Order {
        /// What.
        what: &'static str,
        /// Number, from 0.
        number: u32,
    },
    /// A set of extended attributes that makes no sense.
    #[error("golden-file index: set of extended attributes {number}: a field makes no sense")]
    XattrSet {
        /// Number, from 1.
        number: u32,
    },
}

/// How many of what there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Names.
    pub entries: u32,
    /// Regular files among them.
    pub regular: u32,
    /// Different sets of extended attributes.
    pub xattr_sets: u32,
    /// Bytes of the index.
    pub bytes: u64,
}

/// An opened index. Nothing is kept of it but the header.
#[derive(Debug)]
pub struct Index<R> {
    source: R,
    header: Header,
}

impl<R: ReadAt> Index<R> {
    /// Reads the header of the index that `source` is from its first to its last of `length` bytes.
    ///
    /// # Errors
    /// [`IndexError`] for what is no index of this version, or not `length` bytes long.
    pub fn open(source: R, length: u64) -> Result<Self, IndexError> {
        let mut raw = [0; HEADER_BYTES as usize];
        read(&source, 0, &mut raw)?;
        let header = decode_header(&raw)?;
        if header.length() != length {
            return Err(IndexError::Length {
                expected: header.length(),
                found: length,
            });
        }
        Ok(Self { source, header })
    }

    /// How many of what there are.
    pub fn counts(&self) -> Counts {
        Counts {
            entries: self.header.records,
            regular: self.header.by_digest,
            xattr_sets: self.header.xattr_sets,
            bytes: self.header.length(),
        }
    }

    /// The entry of `path` (no slash at the start); `None` when there is none.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn by_path(&self, path: &[u8]) -> Result<Option<Entry>, IndexError> {
        let (mut low, mut high) = (0, self.header.records);
        while low < high {
            let middle = low + (high - low) / 2;
            let record = self.record(middle)?;
            match self.path(middle, &record)?.as_slice().cmp(path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.entry(middle).map(Some),
            }
        }
        Ok(None)
    }

    /// The regular files with this digest, by path, at most `limit` of them.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn by_digest(&self, digest: &Sha256Digest, limit: usize) -> Result<Vec<Entry>, IndexError> {
        let (mut low, mut high) = (0, self.header.by_digest);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(self.ordered(middle)?)?.digest < *digest.as_bytes() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut found = Vec::new();
        while low < self.header.by_digest && found.len() < limit {
            let number = self.ordered(low)?;
            let entry = self.entry(number)?;
            if entry.digest != *digest {
                break;
            }
            if entry.kind != FileKind::Regular {
                return Err(IndexError::Order {
                    what: "digest",
                    number: low,
                });
            }
            found.push(entry);
            low += 1;
        }
        Ok(found)
    }

    /// Entry `number`, in the order of the paths.
    ///
    /// # Errors
    /// [`IndexError`], also for a number that is not below [`Counts::entries`].
    pub fn entry(&self, number: u32) -> Result<Entry, IndexError> {
        let record = self.record(number)?;
        let wrong = |field| IndexError::Record { number, field };
        let kind = FileKind::of_mode(record.mode).ok_or(wrong("the kind"))?;
        let digest = Sha256Digest(record.digest);
        if !fits_kind(kind, record.size, &digest) {
            return Err(wrong("a digest or length for its kind"));
        }
        if record.reserved != 0 {
            return Err(wrong("the reserved field"));
        }
        let path = self.path(number, &record)?;
        if !check_path(&path) {
            return Err(wrong("the path"));
        }
        Ok(Entry {
            path,
            kind,
            mode: record.mode & 0o7777,
            uid: record.uid,
            gid: record.gid,
            size: record.size,
            digest,
            xattrs: match record.xattr_set {
                0 => None,
                set => Some(self.xattr_set(set)?),
            },
        })
    }

    /// Reads all of it once and holds it to the one encoding: every entry good, paths ascending and without gaps,
    /// the digest order complete, every set of extended attributes used and in its place.
    ///
    /// # Errors
    /// [`IndexError`]: the first thing that is not so.
    pub fn check(&self) -> Result<(), IndexError> {
        let wrong = |what, number| Err(IndexError::Order { what, number });
        let (mut path_at, mut sets, mut regular) = (0u64, 0, 0);
        let mut last: Option<Vec<u8>> = None;
        for number in 0..self.header.records {
            let record = self.record(number)?;
            let entry = self.entry(number)?;
            if u64::from(record.path_at) != path_at || last.is_some_and(|last| last >= entry.path) {
                return wrong("path of record", number);
            }
            if record.xattr_set > sets + 1 {
                return wrong("extended attributes of record", number);
            }
            path_at += u64::from(record.path_bytes);
            sets = sets.max(record.xattr_set);
            regular += u32::from(is_regular(&record));
            last = Some(entry.path);
        }
        if path_at != self.header.string_bytes {
            return wrong("path behind record", self.header.records);
        }
        if sets != self.header.xattr_sets {
            return wrong("unused set of extended attributes", sets);
        }
        if regular != self.header.by_digest {
            return wrong("digest", regular);
        }
        let mut known = HashSet::new();
        for number in 1..=sets {
            if !known.insert(self.xattr_set(number)?) {
                return wrong("set of extended attributes that is there already", number);
            }
        }
        self.check_digest_order()
    }

    /// Ascending pairs of digest and number, of regular files only: as many as there are, so each stands there once.
    fn check_digest_order(&self) -> Result<(), IndexError> {
        let mut last = None;
        for place in 0..self.header.by_digest {
            let number = self.ordered(place)?;
            let record = self.record(number)?;
            let this = (record.digest, number);
            if !is_regular(&record) || last.is_some_and(|last| last >= this) {
                return Err(IndexError::Order {
                    what: "digest",
                    number: place,
                });
            }
            last = Some(this);
        }
        Ok(())
    }

    fn record(&self, number: u32) -> Result<RawRecord, IndexError> {
        if number >= self.header.records {
            let field = "its number";
            return Err(IndexError::Record { number, field });
        }
        let mut raw = [0; RECORD_BYTES as usize];
        read(
            &self.source,
            HEADER_BYTES + u64::from(number) * RECORD_BYTES,
            &mut raw,
        )?;
        Ok(RawRecord::decode(&raw))
    }

    fn path(&self, number: u32, record: &RawRecord) -> Result<Vec<u8>, IndexError> {
        let length = usize::from(record.path_bytes);
        let end = u64::from(record.path_at) + length as u64;
        if length > MAX_PATH_BYTES || end > self.header.string_bytes {
            let field = "the place of the path";
            return Err(IndexError::Record { number, field });
        }
        let mut path = vec![0; length];
        read(
            &self.source,
            self.header.strings_at() + u64::from(record.path_at),
            &mut path,
        )?;
        Ok(path)
    }

    /// Number of the record in `place` of the digest order.
    fn ordered(&self, place: u32) -> Result<u32, IndexError> {
        let mut raw = [0; ORDER_BYTES as usize];
        read(
            &self.source,
            self.header.order_at() + u64::from(place) * ORDER_BYTES,
            &mut raw,
        )?;
        Ok(u32::from_le_bytes(raw))
    }

    fn xattr_set(&self, number: u32) -> Result<XattrSet, IndexError> {
        if number > self.header.xattr_sets {
            return Err(IndexError::XattrSet { number });
        }
        let mut raw = [0; XATTR_SET_BYTES as usize];
        let at = self.header.xattrs_at() + u64::from(number - 1) * XATTR_SET_BYTES;
        read(&self.source, at, &mut raw)?;
        decode_xattr_set(&raw).ok_or(IndexError::XattrSet { number })
    }
}

fn read(source: &(impl ReadAt + ?Sized), offset: u64, buffer: &mut [u8]) -> Result<(), IndexError> {
    let bytes = buffer.len();
    source
        .read_exact_at(buffer, offset)
        .map_err(|source| IndexError::Read {
            offset,
            bytes,
            source,
        })
}

fn decode_header(raw: &[u8; HEADER_BYTES as usize]) -> Result<Header, IndexError> {
    if raw[..8] != MAGIC {
        return Err(IndexError::Magic);
    }
    let version = u32_at(raw, 8);
    if version != VERSION || u64::from(u32_at(raw, 12)) != RECORD_BYTES {
        return Err(IndexError::Version { version });
    }
    let header = Header {
        records: u32_at(raw, 16),
        by_digest: u32_at(raw, 20),
        xattr_sets: u32_at(raw, 24),
        string_bytes: u64_at(raw, 32),
    };
    let reserved = u64::from(raw[28..32].iter().chain(&raw[40..]).any(|byte| *byte != 0));
    for (field, limit, found) in [
        ("records", u64::from(MAX_RECORDS), u64::from(header.records)),
        ("digests", u64::from(header.records), u64::from(header.by_digest)),
        (
            "sets of extended attributes",
            u64::from(MAX_XATTR_SETS),
            u64::from(header.xattr_sets),
        ),
        ("bytes of paths", MAX_STRING_BYTES, header.string_bytes),
        ("reserved", 0, reserved),
    ] {
        if found > limit {
            return Err(IndexError::Limit { field, limit, found });
        }
    }
    Ok(header)
}
