//! The files that the agents hand each other, with their length limits.
//!
//! Read: `/run/bennu/boot.json`, `/run/bennu/health.json`, `/usr/lib/bennu/health.json`. Written:
//! `/run/bennu/health.json` (0644, whole or not at all) and the time `bennud` first started. On failure the
//! error names the file and the act.

use bennu_formats::decode::{DecodeError, Document};
use bennu_linux::bounded::{self, ReadError};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most bytes of a number in decimal with its newline.
const MAX_NUMBER_BYTES: usize = 24;
/// Most bytes of a line that is kept for a later `bennud` of the same boot.
const MAX_WORDS_BYTES: usize = 256;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Reading.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// Decoding.
    #[error("{path}: {source}")]
    Decode {
        /// File.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// Encoding.
    #[error("{path}: cannot be encoded: {source}")]
    Encode {
        /// File.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Writing.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DocumentError {
    /// True only when the file does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_absent())
    }
}

/// Reads a document: length, schema, shape, values.
///
/// # Errors
/// [`DocumentError::Read`], [`DocumentError::Decode`].
pub fn read<T: Document>(path: &Path) -> Result<T, DocumentError> {
    let bytes = bounded::read(path, T::MAX_BYTES)?;
    T::decode(&bytes).map_err(|source| DocumentError::Decode {
        path: path.to_owned(),
        source,
    })
}

/// Reads a document that may not be there yet.
///
/// # Errors
/// As [`read`], but not for a missing file.
pub fn read_if_there<T: Document>(path: &Path) -> Result<Option<T>, DocumentError> {
    match read(path) {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Text of the first call in this boot, kept in `path`: `words` where there is none yet.
///
/// # Errors
/// [`DocumentError::Read`] for a file that is there and cannot be read, [`DocumentError::Write`].
pub fn first_words(path: &Path, words: &str) -> Result<String, DocumentError> {
    match bounded::read_text(path, MAX_WORDS_BYTES) {
        Ok(text) => Ok(text),
        Err(error) if error.is_absent() => {
            replace(path, words.as_bytes())?;
            Ok(words.to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a document; a reader sees the old one or the new one.
///
/// # Errors
/// [`DocumentError::Encode`], [`DocumentError::Write`].
pub fn write(path: &Path, document: &impl serde::Serialize) -> Result<(), DocumentError> {
    replace(path, &encode(path, document)?)
}

/// A document as it is written to `path`.
///
/// # Errors
/// [`DocumentError::Encode`].
pub(crate) fn encode(path: &Path, document: &impl serde::Serialize) -> Result<Vec<u8>, DocumentError> {
    let mut bytes = serde_json::to_vec_pretty(document).map_err(|source| DocumentError::Encode {
        path: path.to_owned(),
        source,
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Replaces a file whole; a reader sees the old one or the new one.
///
/// # Errors
/// [`DocumentError::Write`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DocumentError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)?;
        // The umask takes bits away; everybody may read the report.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| DocumentError::Write {
        path: path.to_owned(),
        source,
    })
}

/// When `bennud` first started in this boot, on the monotonic clock. Kept in `path`, so that the deadline of
/// the health checks does not begin anew when `bennud` is started again.
///
/// # Errors
/// [`DocumentError::Read`] for a file that is there and cannot be read, [`DocumentError::Write`].
pub fn first_start(path: &Path, now: Duration) -> Result<Duration, DocumentError> {
    let kept = match bounded::read_text(path, MAX_NUMBER_BYTES) {
        Ok(text) => text.parse().ok().map(Duration::from_millis),
        Err(error) if error.is_absent() => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(kept) = kept.filter(|kept| *kept <= now) {
        return Ok(kept);
    }
    replace(path, format!("{}\n", now.as_millis()).as_bytes())?;
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::health::{HealthReport, HealthState};

    fn report(on: &str) -> HealthReport {
        let health = HealthState::Waiting { on: on.to_owned() };
        HealthReport {
            schema: 1,
            health,
            entry: "demo_2+2-1.efi".into(),
        }
    }

    #[test]
    fn a_report_is_replaced_whole_and_everybody_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.json");
        assert_eq!(read_if_there::<HealthReport>(&path).unwrap(), None);
        write(&path, &report("a")).unwrap();
        write(&path, &report("b")).unwrap();
        assert_eq!(read_if_there(&path).unwrap(), Some(report("b")));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_there_and_malformed_is_never_taken_for_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.json");
        fs::write(&path, b"{").unwrap();
        let refused = read_if_there::<HealthReport>(&path);
        assert!(matches!(refused, Err(DocumentError::Decode { .. })));
        fs::write(&path, vec![b' '; HealthReport::MAX_BYTES + 1]).unwrap();
        let refused = read_if_there::<HealthReport>(&path);
        assert!(matches!(
            refused,
            Err(DocumentError::Read(ReadError::TooLong { .. }))
        ));
    }

    #[test]
    fn the_first_start_is_kept_and_a_nonsensical_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("started");
        let at = Duration::from_millis;
        assert_eq!(first_start(&path, at(700)).unwrap(), at(700));
        assert_eq!(first_start(&path, at(9000)).unwrap(), at(700));
        for nonsense in ["", "x", "-1", "10000"] {
            fs::write(&path, nonsense).unwrap();
            assert_eq!(first_start(&path, at(9000)).unwrap(), at(9000), "{nonsense}");
        }
        fs::write(&path, "7".repeat(25)).unwrap();
        let refused = first_start(&path, at(9000));
        assert!(matches!(
            refused,
            Err(DocumentError::Read(ReadError::TooLong { .. }))
        ));
    }
}
