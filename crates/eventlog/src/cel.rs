//! The event log of user space: TCG Canonical Event Log as JSON, in the dialect of systemd.
//!
//! A JSON text sequence (RFC 7464): byte 1e, an object, newline. Written by `bennu-init`, which begins the file, and
//! by systemd's `systemd-pcrextend`, `systemd-cryptsetup` and others, which append to it
//! (`bennu_formats::paths::RUN_SYSTEMD_EVENT_LOG`); readable by root only.

use crate::event::{Event, Origin};
use crate::meaning::{Meaning, words};
use crate::{Log, LogError, MAX_EVENTS, MAX_LOG_BYTES};
use bennu_tpm::{Digest, HashAlg};
use serde::Deserialize;

/// Most bytes of one record.
pub const MAX_RECORD_BYTES: usize = 16 * 1024;
/// Most digests of one record: a PC's TPM has at most five banks.
const MAX_DIGESTS: usize = 16;
/// What begins a record.
const RECORD_SEPARATOR: u8 = 0x1e;

#[derive(Deserialize)]
struct Record {
    /// Absent where something else than a PCR was extended.
    pcr: Option<u32>,
    #[serde(default)]
    digests: Vec<DigestRecord>,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    content: serde_json::Value,
}

#[derive(Deserialize)]
struct DigestRecord {
    #[serde(rename = "hashAlg")]
    alg: String,
    digest: String,
}

/// Reads the log as far as it goes.
#[must_use]
pub fn read(bytes: &[u8]) -> Log {
    if bytes.len() > MAX_LOG_BYTES {
        return Log::unreadable(LogError::TooLong {
            limit: MAX_LOG_BYTES,
            found: bytes.len(),
        });
    }
    let mut log = Log::default();
    let mut parts = bytes.split(|b| *b == RECORD_SEPARATOR);
    let before = parts.next().unwrap_or_default();
    if !before.is_empty() {
        return Log::unreadable(bad(0, "expected byte 1e in front of it"));
    }
    for (at, part) in parts.enumerate() {
        let read = if at == MAX_EVENTS {
            Err(LogError::TooMany { limit: MAX_EVENTS })
        } else {
            event(at, part)
        };
        match read {
            Ok(event) => log.events.push(event),
            Err(error) => {
                log.broken = Some(error);
                break;
            }
        }
    }
    log
}

fn event(at: usize, part: &[u8]) -> Result<Event, LogError> {
    if part.len() > MAX_RECORD_BYTES {
        return Err(bad(at, "expected at most 16384 bytes, found more"));
    }
    // A line that was cut off may still be JSON up to there.
    let line = part
        .strip_suffix(b"\n")
        .ok_or_else(|| bad(at, "expected a newline at its end; the log is truncated"))?;
    let record: Record = serde_json::from_slice(line).map_err(|error| bad(at, &error.to_string()))?;
    if record.digests.len() > MAX_DIGESTS {
        return Err(bad(at, "expected at most 16 digests, found more"));
    }
    let mut digests = Vec::new();
    for DigestRecord { alg, digest } in &record.digests {
        let Some(alg) = HashAlg::ALL.into_iter().find(|known| known.name() == alg) else {
            continue;
        };
        let digest = hex::decode(digest)
            .ok()
            .and_then(|bytes| Digest::new(alg, &bytes));
        digests.push(digest.ok_or_else(|| bad(at, "expected a digest in hex of its algorithm's length"))?);
    }
    Ok(Event {
        origin: Origin::UserSpace,
        pcr: record.pcr.unwrap_or(u32::MAX),
        digests,
        meaning: meaning(&record),
    })
}

fn meaning(record: &Record) -> Meaning {
    let text = |member: &str| {
        let text = record.content.get(member).and_then(serde_json::Value::as_str);
        text.map(|text| words(text.chars()))
    };
    Meaning::Record {
        kind: text("eventType").unwrap_or_else(|| words(record.content_type.chars())),
        words: text("string").unwrap_or_default(),
    }
}

fn bad(record: usize, detail: &str) -> LogError {
    LogError::Record {
        record,
        detail: words(detail.chars()),
    }
}
