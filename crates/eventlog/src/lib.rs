//! TPM event logs: what they say, whether they account for the PCRs, and which event made a PCR unexpected.
//!
//! Read: the firmware's log as the kernel hands it out ([`firmware`], binary, TCG PC Client Platform Firmware
//! Profile 1.06, section 10) and the log of what user space measures, ours and systemd's ([`cel`], TCG Canonical
//! Event Log as JSON). Used by `bennu-init` when a start fails, by `bennuctl` and `bennud`. Made: the bytes of the
//! firmware's log with our extensions behind it ([`append()`]). No file is written, no TPM is asked.
//!
//! Trust: a log is a claim of whoever wrote it. [`replay`] turns it into the PCR values that it would give, and only
//! where these are the TPM's own is its text about digests true. What an event *says* (names, paths, words) is
//! covered by its digest for some kinds only, so a sentence made from it explains; nothing is decided by it. Every
//! length is checked before use, and no bytes make a reader panic.

mod append;
pub mod cel;
pub mod changes;
mod event;
pub mod firmware;
mod meaning;
pub mod replay;
mod verdict;

pub use append::append;
pub use event::{Event, Origin};
pub use meaning::{Companion, Meaning};
pub use verdict::{Cause, Deviation, Expected, Reach, judge, other_slot_meets};

/// Most bytes of either log that are read. Firmware logs of PCs have 10 to 200 KiB.
pub const MAX_LOG_BYTES: usize = 1024 * 1024;
/// Most events of either log that are looked at.
pub const MAX_EVENTS: usize = 4096;
/// PCRs that a PC's TPM has: 0 to 23.
pub const PCR_COUNT: u8 = 24;

/// Why a log cannot be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// More bytes than are looked at.
    #[error("event log: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Limit in bytes.
        limit: usize,
        /// Length in bytes.
        found: usize,
    },
    /// More events than are looked at.
    #[error("event log: expected at most {limit} events, found more")]
    TooMany {
        /// Limit.
        limit: usize,
    },
    /// The log ends within an event.
    #[error("event log: expected {field} at byte {at}, found the end; the log is truncated")]
    Truncated {
        /// What was to be read.
        field: &'static str,
        /// Where.
        at: usize,
    },
    /// The first event does not describe the log.
    #[error("event log: expected a crypto-agile log (Spec ID Event03), found {found}")]
    NotCryptoAgile {
        /// What stands there.
        found: String,
    },
    /// A value that makes no sense.
    #[error("event log: {field} at byte {at}: expected {expected}, found {found}")]
    Value {
        /// Field.
        field: &'static str,
        /// Where.
        at: usize,
        /// What is allowed.
        expected: &'static str,
        /// What was there.
        found: u64,
    },
    /// What was extended has no digest in any bank that the log knows.
    #[error(
        "event log: expected a digest of PCR {pcr}'s event for an algorithm that the log declares, found none"
    )]
    NoBank {
        /// PCR that was extended.
        pcr: u8,
    },
    /// A record of a CEL-JSON log is not one.
    #[error("event log: record {record}: {detail}")]
    Record {
        /// Number of the record, from 0.
        record: usize,
        /// What is wrong.
        detail: String,
    },
}

/// A log as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The events before the first one that cannot be read.
    pub events: Vec<Event>,
    /// Why the rest cannot be read; `None` when the log was read to its end.
    pub broken: Option<LogError>,
}

impl Log {
    /// A log of which nothing can be read.
    pub(crate) fn unreadable(error: LogError) -> Self {
        Self {
            events: Vec::new(),
            broken: Some(error),
        }
    }
}
