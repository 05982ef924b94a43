//! The kernel's IMA measurement log in its binary form, and its replay against PCR 10 of the SHA-256 bank.
//!
//! Written by the kernel (`/sys/kernel/security/ima/binary_runtime_measurements`, or `…_sha256` from Linux 6.10 on);
//! read by `bennud`, piece by piece. Format: Linux `security/integrity/ima/ima_fs.c` and
//! `Documentation/security/IMA-templates.rst`, little-endian as on every machine of ours. The log is a claim until a
//! replay gives the TPM's PCR; then it is what the TPM was told. On failure: a typed error that says at which entry.
//!
//! The template `ima` of old is refused: its digests are SHA-1, and no policy of ours asks for it.

use crate::digest::Sha256Digest;
use sha2::{Digest as _, Sha256};

/// The PCR that IMA extends.
pub const IMA_PCR: u32 = 10;
/// Longest template name in bytes (Linux `MAX_TEMPLATE_NAME_LEN` is 15; names made of fields are longer).
pub const MAX_NAME_BYTES: usize = 255;
/// Most bytes of an entry's data: a path, a signature, a key or a command line.
pub const MAX_DATA_BYTES: usize = 1 << 20;

/// Which of the kernel's files the bytes are from: what digest of the data stands in each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedDigest {
    /// SHA-1, 20 bytes: not compared, the PCR of the SHA-256 bank is.
    Sha1,
    /// SHA-256, 32 bytes: compared.
    Sha256,
}

impl ListedDigest {
    const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Why a log cannot be read further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImaError {
    /// A length above its limit.
    #[error("IMA log: entry {entry}: {what}: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Number of the entry, from 0.
        entry: u64,
        /// What is too long.
        what: &'static str,
        /// Limit.
        limit: usize,
        /// Found.
        found: u64,
    },
    /// A template that is not read.
    #[error(
        "IMA log: entry {entry}: expected a template name of letters, digits, `-` and `|` other than `ima`"
    )]
    Template {
        /// Number of the entry.
        entry: u64,
    },
    /// Fields that do not fill the data.
    #[error("IMA log: entry {entry}: the fields do not fill the data")]
    Fields {
        /// Number of the entry.
        entry: u64,
    },
    /// The digest in the entry is not that of its data.
    #[error("IMA log: entry {entry}: expected the digest {expected} of its data, found {found}")]
    Digest {
        /// Number of the entry.
        entry: u64,
        /// Of the data.
        expected: Sha256Digest,
        /// In the entry.
        found: Sha256Digest,
    },
    /// No beginning of the log gives the PCR.
    #[error("IMA log: expected PCR 10 {found} after some entry, and {entries} entries do not give it")]
    Replay {
        /// Entries that were tried.
        entries: u64,
        /// PCR of the TPM.
        found: Sha256Digest,
    },
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// PCR that was extended.
    pub pcr: u32,
    /// Whether the kernel could not measure: the file was open for writing, or written while it was measured.
    pub violation: bool,
    /// Name of the template.
    pub template: &'a str,
    /// Its fields, each with its length.
    pub data: &'a [u8],
}

/// A file that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredFile<'a> {
    /// SHA-256 of its content; `None` for another algorithm.
    pub digest: Option<Sha256Digest>,
    /// Path as the kernel saw it, in the name space of whoever opened it: a hint.
    pub path: &'a [u8],
}

impl<'a> Entry<'a> {
    /// What is extended into the SHA-256 bank: the digest of the data, or all ones for a violation.
    pub fn extended(&self) -> Sha256Digest {
        if self.violation {
            return Sha256Digest([0xff; 32]);
        }
        Sha256Digest::of(self.data)
    }

    /// The fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.data;
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let field = behind.get(..length)?;
            rest = &behind[length..];
            Some(field)
        })
    }

    /// The file of an entry whose template begins with a digest and a path (`ima-ng`, `ima-sig`, `ima-buf`, `…v2`).
    pub fn file(&self) -> Option<MeasuredFile<'a>> {
        let mut fields = self.fields();
        let (digest, path) = (fields.next()?, fields.next()?);
        // `sha256:` NUL digest, or `ima:sha256:` NUL digest in the second version.
        let end = digest.iter().position(|byte| *byte == 0)?;
        let name = digest[..end].strip_prefix(b"ima:").unwrap_or(&digest[..end]);
        let digest = (name == b"sha256:")
            .then(|| <[u8; 32]>::try_from(&digest[end + 1..]).ok())
            .flatten();
        Some(MeasuredFile {
            digest: digest.map(Sha256Digest),
            path: path.strip_suffix(b"\0").unwrap_or(path),
        })
    }
}

/// Takes the entry that `bytes` begin with; gives it and its length. `None` for an entry that goes on beyond `bytes`.
/// `number` is for messages.
///
/// # Errors
/// [`ImaError`].
pub fn take_entry(
    bytes: &[u8],
    listed: ListedDigest,
    number: u64,
) -> Result<Option<(Entry<'_>, usize)>, ImaError> {
    let mut cursor = Cursor { bytes, at: 0 };
    let Some(pcr) = cursor.number() else {
        return Ok(None);
    };
    let Some(digest) = cursor.bytes(listed.bytes()) else {
        return Ok(None);
    };
    let Some(name_bytes) = cursor.number() else {
        return Ok(None);
    };
    let name_bytes = limited(name_bytes, MAX_NAME_BYTES, "the template's name", number)?;
    let Some(name) = cursor.bytes(name_bytes) else {
        return Ok(None);
    };
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'|';
    let template = std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && *name != "ima" && name.as_bytes().iter().all(allowed))
        .ok_or(ImaError::Template { entry: number })?;
    let Some(data_bytes) = cursor.number() else {
        return Ok(None);
    };
    let data_bytes = limited(data_bytes, MAX_DATA_BYTES, "the data", number)?;
    let Some(data) = cursor.bytes(data_bytes) else {
        return Ok(None);
    };
    let entry = Entry {
        pcr,
        violation: digest.iter().all(|byte| *byte == 0),
        template,
        data,
    };
    let filled: usize = entry.fields().map(|field| field.len() + 4).sum();
    if filled != data.len() {
        return Err(ImaError::Fields { entry: number });
    }
    if let (ListedDigest::Sha256, false) = (listed, entry.violation) {
        let mut found = [0; 32];
        found.copy_from_slice(digest);
        let (expected, found) = (Sha256Digest::of(data), Sha256Digest(found));
        if expected != found {
            return Err(ImaError::Digest {
                entry: number,
                expected,
                found,
            });
        }
    }
    Ok(Some((entry, cursor.at)))
}

fn limited(length: u32, limit: usize, what: &'static str, entry: u64) -> Result<usize, ImaError> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= limit)
        .ok_or(ImaError::TooLong {
            entry,
            what,
            limit,
            found: length.into(),
        })
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(part)
    }

    fn number(&mut self) -> Option<u32> {
        let raw = self.bytes(4)?;
        raw.try_into().ok().map(u32::from_le_bytes)
    }
}

/// How far a log has been replayed and found to give the PCR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// PCR 10 after what was replayed.
    pub pcr: Sha256Digest,
    /// Bytes of the log that were replayed: where to read on.
    pub offset: u64,
    /// Entries that were replayed.
    pub entries: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            pcr: Sha256Digest::ZERO,
            offset: 0,
            entries: 0,
        }
    }
}

impl Replay {
    /// Goes on with the bytes of the log from [`Replay::offset`] to the entry after which the PCR is `pcr10`, and
    /// gives every entry on the way to `visit`. The kernel writes an entry down before it extends the PCR: read
    /// `pcr10` **first**, then the log, and entries that are in the log only are left for the next time.
    ///
    /// # Errors
    /// [`ImaError::Replay`] when no entry leads to `pcr10`: the log was changed, or somebody else extended the PCR;
    /// and what [`take_entry`] refuses. The replay stays where it was, though `visit` has seen entries that nothing
    /// proves.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        listed: ListedDigest,
        pcr10: &Sha256Digest,
        mut visit: impl FnMut(&Entry<'_>),
    ) -> Result<(), ImaError> {
        let mut next = *self;
        let mut at = 0;
        while next.pcr != *pcr10 {
            let Some((entry, length)) = take_entry(&bytes[at..], listed, next.entries)? else {
                return Err(ImaError::Replay {
                    entries: next.entries,
                    found: *pcr10,
                });
            };
            at += length;
            next.offset += length as u64;
            next.entries += 1;
            if entry.pcr == IMA_PCR {
                let extended = Sha256::new()
                    .chain_update(next.pcr.as_bytes())
                    .chain_update(entry.extended().as_bytes());
                next.pcr = Sha256Digest(extended.finalize().into());
            }
            visit(&entry);
        }
        *self = next;
        Ok(())
    }
}
