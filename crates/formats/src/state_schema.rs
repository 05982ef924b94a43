//! Which releases can read what a machine keeps: `schema.json` at the top of the state volume's file system. Normative
//! text: `docs/spec/state-volume.md` §7.
//!
//! Written and read by `bennu-init`. Nothing but dm-crypt authenticates it: who can write the open volume can write it.

use crate::decode::{DecodeError, Document};
use serde::{Deserialize, Serialize};

/// Name of the file.
pub const FILE: &str = "schema.json";

/// What a volume was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSchema {
    /// Schema number of this record; 1.
    pub schema: u32,
    /// The highest `state_schema` of the releases that have used the volume.
    pub written: u32,
    /// The lowest `state_schema` whose releases can read it.
    pub readable_from: u32,
}

impl StateSchema {
    /// What a release of `state_schema` writes.
    pub const fn new(written: u32, readable_from: u32) -> Self {
        Self {
            schema: 1,
            written,
            readable_from,
        }
    }
}

impl Document for StateSchema {
    const NAME: &'static str = "state schema";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 4096;

    fn check(&self) -> Result<(), DecodeError> {
        if self.readable_from <= self.written {
            return Ok(());
        }
        Err(Self::bad_value(
            "readable_from",
            "at most `written`",
            format!("{} and {}", self.readable_from, self.written),
        ))
    }
}
