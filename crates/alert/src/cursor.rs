//! How far the log has been sent and confirmed.
//!
//! A file of one JSON object, replaced whole (new file, flush, rename, flush of the directory). A missing one begins at the
//! log's start; one that cannot be read does so too, and that is told: sending twice is better than never.

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest cursor file in bytes.
const MAX_BYTES: u64 = 256;

/// Why a cursor cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Reading.
    #[error("{path}: cursor cannot be read: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content.
    #[error("{path}: expected a cursor of version 1, found: {detail}")]
    Malformed {
        /// File.
        path: PathBuf,
        /// The words.
        detail: String,
    },
    /// Writing.
    #[error("{path}: cursor cannot be written: {source}")]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A place in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the record file.
    pub file: u64,
    /// Bytes of it that were confirmed.
    pub offset: u64,
    /// Number of the next line.
    pub number: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    v: u32,
    file: u64,
    offset: u64,
    number: u64,
}

impl Cursor {
    /// Reads it; `None` if there is none yet. Waits for nobody: root may have put a pipe there.
    ///
    /// # Errors
    /// [`CursorError::Read`], [`CursorError::Malformed`].
    pub fn read(path: &Path) -> Result<Option<Self>, CursorError> {
        let read = |source| CursorError::Read {
            path: path.to_owned(),
            source,
        };
        let malformed = |detail| CursorError::Malformed {
            path: path.to_owned(),
            detail,
        };
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(malformed(format!("more than {MAX_BYTES} bytes")));
        }
        let members: Members = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        if members.v != 1 {
            return Err(malformed(format!("version {}", members.v)));
        }
        Ok(Some(Self {
            file: members.file,
            offset: members.offset,
            number: members.number,
        }))
    }

    /// Replaces it; when this returns, it is on the medium.
    ///
    /// # Errors
    /// [`CursorError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), CursorError> {
        let text = format!(
            "{{\"v\":1,\"file\":{},\"offset\":{},\"number\":{}}}\n",
            self.file, self.offset, self.number
        );
        let write = || {
            let new = path.with_extension("new");
            let mut options = File::options();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            let directory = path.parent().unwrap_or(Path::new("/"));
            File::open(directory)?.sync_all()
        };
        write().map_err(|source| CursorError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor.json");
        assert_eq!(Cursor::read(&path).unwrap(), None);
        for number in [1, u64::MAX] {
            let cursor = Cursor {
                file: 3,
                offset: 77,
                number,
            };
            cursor.write(&path).unwrap();
            assert_eq!(Cursor::read(&path).unwrap(), Some(cursor));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_that_is_there_and_is_none_is_an_error_and_not_a_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor.json");
        let later = r#"{"v":2,"file":0,"offset":0,"number":0}"#.to_owned();
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, 0o600.into(), 0).unwrap();
        assert!(
            matches!(Cursor::read(&path), Err(CursorError::Malformed { .. })),
            "nobody waits"
        );
        fs::remove_file(&path).unwrap();
        for content in [String::new(), "{".into(), later, " ".repeat(257)] {
            fs::write(&path, content).unwrap();
            assert!(matches!(Cursor::read(&path), Err(CursorError::Malformed { .. })));
        }
    }
}
