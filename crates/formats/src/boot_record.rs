//! The boot record on the ESP: what happened at earlier starts, so that the next one can tell.
//!
//! Written by `bennu-init` and `bennud`, read by both. Everybody who can write the disk can write it, so it
//! decides only which slot is tried and what is shown; it never opens anything. A damaged record is replaced
//! by an empty one, and that is said.

use crate::codes::Code;
use crate::decode::{DecodeError, Document};
use crate::names::ImageVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// EFI variable with the number of restarts that `bennu-init` made without an ESP, one byte.
pub const RESTARTS_VARIABLE: &str = "BennuBlindRestarts";
/// EFI variable in which bootfallback counts power-ons, one byte. Not authenticated: who writes it can stop the machine at
/// bootfallback's screen or take its bound away, and no more.
pub const STARTS_VARIABLE: &str = "BennuStarts";
/// Most slots that are remembered.
pub const MAX_SLOTS: usize = 8;
/// Most bytes of a failure's words.
pub const MAX_REASON_BYTES: usize = 400;

/// How far a start got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// bennu-init began.
    Initrd,
    /// bennu-init handed over to the root's init.
    Pivoted,
    /// The health checks passed.
    Healthy,
}

/// Why a slot failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Code.
    pub code: Code,
    /// One sentence with what was expected and found.
    pub reason: String,
}

impl Failure {
    /// A failure with its words cut to [`MAX_REASON_BYTES`] and control characters replaced.
    pub fn new(code: Code, reason: &str) -> Self {
        let mut clean = String::new();
        for c in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if clean.len() + c.len_utf8() > MAX_REASON_BYTES {
                break;
            }
            clean.push(c);
        }
        Self { code, reason: clean }
    }

    /// Whether [`Failure::new`] could have made it: words from the ESP are printed on a console.
    fn is_clean(&self) -> bool {
        self.reason.len() <= MAX_REASON_BYTES && !self.reason.chars().any(char::is_control)
    }
}

/// What is known of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Starts since the last healthy one.
    pub attempts: u32,
    /// How far the last start got.
    pub stage: Stage,
    /// Set when the slot was marked bad, until it is marked good.
    pub bad: Option<Failure>,
    /// What went wrong last, whether or not it made the slot bad.
    #[serde(default)]
    pub last_failure: Option<Failure>,
    /// The slot's `state_schema`, once it has reached its root.
    #[serde(default)]
    pub state_schema: Option<u32>,
}

impl Default for SlotRecord {
    fn default() -> Self {
        Self {
            attempts: 0,
            stage: Stage::Initrd,
            bad: None,
            last_failure: None,
            state_schema: None,
        }
    }
}

/// The boot record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    /// Schema number; 1.
    pub schema: u32,
    /// Starts of bennu-init on this disk.
    pub starts: u64,
    /// By version.
    pub slots: BTreeMap<ImageVersion, SlotRecord>,
    /// The slot that started last.
    pub last: Option<ImageVersion>,
    /// The lowest `state_schema` that can read the state volume, as far as it is known.
    #[serde(default)]
    pub state_readable_from: Option<u32>,
    /// Slots given up for drift in a row, without a start in between that lasted.
    #[serde(default)]
    pub drift_flips: u32,
}

impl Default for BootRecord {
    fn default() -> Self {
        Self {
            schema: Self::SCHEMA,
            starts: 0,
            slots: BTreeMap::new(),
            last: None,
            state_readable_from: None,
            drift_flips: 0,
        }
    }
}

impl BootRecord {
    /// The record of `version`, made when missing; forgets the oldest version when there are too many.
    pub fn slot_mut(&mut self, version: &ImageVersion) -> &mut SlotRecord {
        while self.slots.len() >= MAX_SLOTS && !self.slots.contains_key(version) {
            self.slots.pop_first();
        }
        self.slots.entry(version.clone()).or_default()
    }

    /// The JSON, one object, newline at the end.
    ///
    /// # Errors
    /// Never in practice; the JSON encoder's words.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| DecodeError::Malformed {
            document: Self::NAME,
            schema: Self::SCHEMA,
            detail: e.to_string(),
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Document for BootRecord {
    const NAME: &'static str = "boot record";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 32 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if self.slots.len() > MAX_SLOTS {
            return Err(Self::bad_value("slots", "at most 8", self.slots.len()));
        }
        let failures = self
            .slots
            .values()
            .flat_map(|slot| slot.bad.iter().chain(&slot.last_failure));
        if let Some(wrong) = failures.into_iter().find(|failure| !failure.is_clean()) {
            return Err(Self::bad_value(
                "reason",
                "at most 400 bytes without control characters",
                format!("{} bytes", wrong.reason.len()),
            ));
        }
        Ok(())
    }
}
