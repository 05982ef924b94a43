//! Action certificates on the ESP: where a purge, which takes the key of the state volume, does not reach them.
//!
//! Written and read by `bennud`, read by `bennuctl`. Eight files, by number modulo eight: the newest eight stay. They
//! are bytes here; who believes them is the reader's business (`docs/spec/action-certificate.md`).

use crate::error::EspError;
use crate::files;
use crate::volume::Mounted;
use bennu_formats::dsse::MAX_ENVELOPE_BYTES;
use bennu_formats::paths;
use std::path::{Path, PathBuf};

/// How many are kept.
pub const PLACES: u64 = 8;

fn path(root: &Path, place: u64) -> PathBuf {
    root.join(format!("{}{place}.json", paths::ESP_CERTIFICATE_PREFIX))
}

/// Writes certificate `number` over the one eight numbers before it, and flushes.
pub(crate) fn write(root: &Path, number: u64, envelope: &[u8]) -> Result<(), EspError> {
    let path = path(root, number % PLACES);
    if envelope.len() > MAX_ENVELOPE_BYTES {
        return Err(EspError::TooLong {
            path,
            limit: MAX_ENVELOPE_BYTES,
        });
    }
    files::write(&Mounted, &path, envelope)
}

/// Those that are there, in no order: at most [`PLACES`], each with at most one byte more than an envelope may have.
pub(crate) fn read(root: &Path) -> Result<Vec<Vec<u8>>, EspError> {
    let mut found = Vec::new();
    for place in 0..PLACES {
        let bytes = files::read(&Mounted, &path(root, place), MAX_ENVELOPE_BYTES + 1)?;
        found.extend(bytes.filter(|bytes| !bytes.is_empty()));
    }
    Ok(found)
}
