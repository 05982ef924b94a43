//! What the firmware measured at the last good start, so that a later one can say what changed. Normative text:
//! `docs/spec/firmware-record.md`.
//!
//! Written to the ESP ([`crate::paths::ESP_FIRMWARE_RECORD`]) by `bennud` when it marks a slot good; read by
//! `bennu-init` when a start fails and by `bennuctl why`. Everybody who has the disk can write it: it makes words and
//! decides nothing. One that is missing or damaged is said to be so and compared with nothing.

use crate::decode::{DecodeError, Document};
use crate::digest::Sha256Digest;
use crate::names::ImageVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most events that are kept; the first ones.
pub const MAX_EVENTS: usize = 256;
/// Most bytes of an event's name.
pub const MAX_WHAT_BYTES: usize = 112;
/// Hex digits of an event's digest: enough to see that two differ.
pub const DIGEST_DIGITS: usize = 16;
/// PCRs of the firmware are those below.
pub const PCRS: u32 = 8;

/// One event of PCRs 0 to 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareEvent {
    /// PCR.
    pub pcr: u32,
    /// What it was, printable ASCII.
    pub what: String,
    /// The first [`DIGEST_DIGITS`] hex digits of what was extended in the SHA-256 bank.
    pub digest: String,
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareRecord {
    /// Schema number; 1.
    pub schema: u32,
    /// The slot that was marked good.
    pub version: ImageVersion,
    /// PCRs 0 to 7, SHA-256 bank.
    pub pcrs: BTreeMap<u32, Sha256Digest>,
    /// Events of these PCRs, in their order.
    pub events: Vec<FirmwareEvent>,
}

impl FirmwareRecord {
    /// The JSON, one object, newline at the end.
    ///
    /// # Errors
    /// Never in practice; the JSON encoder's words.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| DecodeError::Malformed {
            document: Self::NAME,
            schema: Self::SCHEMA,
            detail: e.to_string(),
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Document for FirmwareRecord {
    const NAME: &'static str = "firmware record";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if self.events.len() > MAX_EVENTS {
            return Err(Self::bad_value("events", "at most 256", self.events.len()));
        }
        if let Some(pcr) = self.pcrs.keys().find(|pcr| **pcr >= PCRS) {
            return Err(Self::bad_value("pcrs", "0 to 7", pcr));
        }
        for event in &self.events {
            if event.pcr >= PCRS {
                return Err(Self::bad_value("events.pcr", "0 to 7", event.pcr));
            }
            // The words are printed on a console.
            let printable = event.what.bytes().all(|b| matches!(b, b' '..=b'~'));
            if event.what.len() > MAX_WHAT_BYTES || !printable {
                return Err(Self::bad_value(
                    "events.what",
                    "at most 112 printable ASCII characters",
                    format!("{} bytes", event.what.len()),
                ));
            }
            let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            if event.digest.len() != DIGEST_DIGITS || !event.digest.bytes().all(digit) {
                return Err(Self::bad_value(
                    "events.digest",
                    "16 lower-case hex digits",
                    format!("{} bytes", event.digest.len()),
                ));
            }
        }
        Ok(())
    }
}
