//! One line: its bytes, its shape, its place in the chain.

use crate::key::{Ratchet, SegmentId};
use bennu_formats::Sha256Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Longest line in bytes, without its line feed.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// Format version.
const VERSION: u32 = 1;
/// Bytes from `,"mac":"` to the end of the line.
const TAIL_BYTES: usize = 8 + 64 + 2;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A segment begins: first line of a file.
    Start,
    /// A segment goes on in this file: first line of a file.
    Continue,
    /// Something happened.
    Event,
    /// Events were lost.
    Gap,
    /// The chain so far, signed.
    Head,
    /// The writer ended in good order: last line of a segment.
    Stop,
}

/// When a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since 1970 by the wall clock.
    pub at_ms: u64,
    /// Milliseconds since the machine started.
    pub up_ms: u64,
}

/// Bytes at the end of a file that are no whole line: what a power cut left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Torn {
    /// Number of the file.
    pub file: u64,
    /// Where in it they begin.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Sha256Digest,
}

/// Body of [`Kind::Start`] and [`Kind::Continue`]: how this file joins what was before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joint {
    /// Chain before this line.
    pub(crate) chain: Sha256Digest,
    /// Files before this one that end in a torn line.
    pub(crate) torn: Vec<Torn>,
    /// Program that writes, for people.
    pub(crate) program: String,
}

/// Body of [`Kind::Gap`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GapMark {
    /// Which stream.
    pub(crate) what: String,
    /// How many events.
    pub(crate) lost: u64,
}

/// Body of [`Kind::Head`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadMark {
    /// Chain before this line.
    pub(crate) chain: Sha256Digest,
    /// The signer's algorithm.
    pub(crate) algorithm: String,
    /// SHA-256 that names the signer's key.
    pub(crate) keyid: Sha256Digest,
    /// Signature over [`crate::head_message`].
    #[serde(with = "bennu_formats::digest::base64_bytes")]
    pub(crate) signature: Vec<u8>,
}

/// Why bytes are no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More bytes than a line may have.
    #[error("record: expected at most {MAX_LINE_BYTES} bytes, found {found}")]
    TooLong {
        /// Found.
        found: usize,
    },
    /// The bytes do not end in the MAC.
    #[error("record: expected a line that ends in its MAC, found {found} bytes that do not")]
    NoMac {
        /// Length.
        found: usize,
    },
    /// Not JSON of the shape.
    #[error("record: expected JSON of version 1, found: {detail}")]
    Malformed {
        /// The decoder's words.
        detail: String,
    },
    /// A version that is not known here.
    #[error("record: expected version 1, found {found}; use a newer bennuctl")]
    Version {
        /// Found.
        found: u32,
    },
    /// A body that cannot be encoded or is not that of its kind.
    #[error("record: body of a {kind:?} line: {detail}")]
    Body {
        /// Kind.
        kind: Kind,
        /// The words.
        detail: String,
    },
}

/// A decoded line. Nothing of it is proven until its MAC or a head has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Number in the log, from 0.
    pub seq: u64,
    /// Segment.
    pub segment: SegmentId,
    /// Number in the segment, from 0.
    pub step: u64,
    /// Boot id of the kernel.
    pub boot: String,
    /// When.
    pub stamp: Stamp,
    /// What.
    pub kind: Kind,
    /// The rest.
    pub body: Value,
    pub(crate) mac: [u8; 32],
}

/// The members of a line, in their order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    v: u32,
    seq: u64,
    seg: String,
    step: u64,
    boot: String,
    at: u64,
    up: u64,
    kind: Kind,
    body: Value,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
}

/// What a line is made of besides its place.
pub(crate) struct Draft<'a> {
    pub(crate) seq: u64,
    pub(crate) segment: SegmentId,
    pub(crate) boot: &'a str,
    pub(crate) stamp: Stamp,
    pub(crate) kind: Kind,
    pub(crate) body: Value,
}

impl Draft<'_> {
    /// The bytes of the line, with its MAC, without a line feed.
    pub(crate) fn encode(self, key: &Ratchet) -> Result<Vec<u8>, LineError> {
        let kind = self.kind;
        let members = Members {
            v: VERSION,
            seq: self.seq,
            seg: self.segment.to_string(),
            step: key.step(),
            boot: self.boot.to_owned(),
            at: self.stamp.at_ms,
            up: self.stamp.up_ms,
            kind,
            body: self.body,
            mac: String::new(),
        };
        let mut line = serde_json::to_vec(&members).map_err(|e| LineError::Body {
            kind,
            detail: e.to_string(),
        })?;
        line.pop();
        let mac = hex::encode(key.mac(&line));
        line.extend(format!(",\"mac\":\"{mac}\"}}").into_bytes());
        if line.len() > MAX_LINE_BYTES {
            return Err(LineError::TooLong { found: line.len() });
        }
        Ok(line)
    }
}

/// The bytes that the MAC of a line is over.
pub(crate) fn authenticated(line: &[u8]) -> &[u8] {
    &line[..line.len().saturating_sub(TAIL_BYTES)]
}

impl Line {
    /// Decodes the bytes of a line, without its line feed.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn decode(line: &[u8]) -> Result<Self, LineError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(LineError::TooLong { found: line.len() });
        }
        let no_mac = || LineError::NoMac { found: line.len() };
        let tail = &line[authenticated(line).len()..];
        let digits = tail
            .strip_prefix(b",\"mac\":\"")
            .and_then(|rest| rest.strip_suffix(b"\"}"))
            .filter(|digits| {
                digits
                    .iter()
                    .all(|d| d.is_ascii_digit() || (b'a'..=b'f').contains(d))
            })
            .ok_or_else(no_mac)?;
        let mut mac = [0; 32];
        hex::decode_to_slice(digits, &mut mac).map_err(|_| no_mac())?;
        let malformed = |detail: String| LineError::Malformed { detail };
        let members: Members = serde_json::from_slice(line).map_err(|e| malformed(e.to_string()))?;
        if members.v != VERSION {
            return Err(LineError::Version { found: members.v });
        }
        let mut segment = [0; 8];
        hex::decode_to_slice(&members.seg, &mut segment).map_err(|e| malformed(e.to_string()))?;
        Ok(Self {
            seq: members.seq,
            segment: SegmentId(segment),
            step: members.step,
            boot: members.boot,
            stamp: Stamp {
                at_ms: members.at,
                up_ms: members.up,
            },
            kind: members.kind,
            body: members.body,
            mac,
        })
    }

    /// The body of a line of a kind that has one shape.
    pub(crate) fn body_as<T: for<'de> Deserialize<'de>>(&self) -> Result<T, LineError> {
        T::deserialize(&self.body).map_err(|e| LineError::Body {
            kind: self.kind,
            detail: e.to_string(),
        })
    }
}

/// Chain of a log without lines.
pub(crate) const CHAIN_BEGIN: Sha256Digest = Sha256Digest::ZERO;

/// The chain after a line: SHA-256(chain ‖ SHA-256(line)).
pub(crate) fn chained(chain: &Sha256Digest, line: &[u8]) -> Sha256Digest {
    let digest = Sha256::new()
        .chain_update(chain.as_bytes())
        .chain_update(Sha256Digest::of(line).as_bytes())
        .finalize();
    Sha256Digest(digest.into())
}
