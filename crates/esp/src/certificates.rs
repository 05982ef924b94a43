//! Action certificates on the ESP: where a purge, which takes the key of the state volume, does not reach them.
//!
//! Written and read by `bennud`, read by `bennuctl`. Eight files, by number modulo four: the newest four of those that end
//! a start stay, and the newest four of the others, which are cheap to provoke. They are bytes here; who believes them is
//! the reader's business (`docs/spec/action-certificate.md`).

use crate::error::EspError;
use crate::files;
use crate::volume::Mounted;
use bennu_formats::dsse::MAX_ENVELOPE_BYTES;
use bennu_formats::paths;
use std::path::{Path, PathBuf};

/// Files.
pub const PLACES: u64 = 8;
/// Those of each kind.
const OF_A_KIND: u64 = PLACES / 2;

/// What a certificate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// What destroys something or restarts the machine.
    TheEnd,
    /// Everything else.
    TheRest,
}

fn place(number: u64, about: About) -> u64 {
    number % OF_A_KIND
        + match about {
            About::TheEnd => 0,
            About::TheRest => OF_A_KIND,
        }
}

fn path(root: &Path, place: u64) -> PathBuf {
    root.join(format!("{}{place}.json", paths::ESP_CERTIFICATE_PREFIX))
}

/// Writes certificate `number` over one of its kind, and flushes.
pub(crate) fn write(root: &Path, number: u64, about: About, envelope: &[u8]) -> Result<(), EspError> {
    let path = path(root, place(number, about));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_others_takes_the_place_of_one_that_ends_a_start() {
        let ends: Vec<u64> = (0..8).map(|number| place(number, About::TheEnd)).collect();
        let others: Vec<u64> = (0..8).map(|number| place(number, About::TheRest)).collect();
        assert_eq!(ends, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(others, [4, 5, 6, 7, 4, 5, 6, 7]);
    }
}
