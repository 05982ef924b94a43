//! Reading small files with a length limit.
//!
//! Written by: the kernel (sysfs, procfs, efivarfs, pstore) or the image builder. Read by: every
//! module of this crate. A file that is longer than its limit is an error, never a truncated value.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why a small file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// `open(2)` failed.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// `read(2)` failed.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file goes on after the limit.
    #[error("file {path} is longer than the {limit} bytes allowed for it")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The file holds bytes that are not UTF-8.
    #[error("file {path} is not UTF-8 text")]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl ReadError {
    /// True only when the file does not exist: the one failure that means "absent".
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// True when the object behind a sysfs file went away while it was being looked at (ENOENT on
    /// open, ENODEV on open or read).
    #[must_use]
    pub fn is_vanished(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Read { source, .. } => is_vanished(source),
            Self::TooLong { .. } | Self::NotText { .. } => false,
        }
    }
}

/// True for the two errors that sysfs gives for a device that has just gone.
pub(crate) fn is_vanished(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// [`ReadError`], each variant naming the path.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    // A pipe that somebody put there hangs nobody.
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = opened.map_err(|source| ReadError::Open {
        path: path.to_owned(),
        source,
    })?;
    read_file(&file, path, limit)
}

/// Reads an open file of at most `limit` bytes from its current position to its end; `path` is only named in errors.
///
/// # Errors
/// [`ReadError::Read`], [`ReadError::TooLong`].
pub fn read_file(file: &File, path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let ceiling = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(ceiling)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() > limit {
        return Err(ReadError::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes and cuts the white space at its end.
///
/// # Errors
/// [`ReadError`], each variant naming the path.
pub fn read_text(path: &Path, limit: usize) -> Result<String, ReadError> {
    text(read(path, limit)?, path)
}

/// The bytes of a file as text, without the white space at its end; `path` is only named in errors.
///
/// # Errors
/// [`ReadError::NotText`].
pub fn text(bytes: Vec<u8>, path: &Path) -> Result<String, ReadError> {
    let mut text = String::from_utf8(bytes).map_err(|_| ReadError::NotText {
        path: path.to_owned(),
    })?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(matches!(read(&path, 4), Err(ReadError::TooLong { limit: 4, .. })));
    }

    #[test]
    fn only_a_missing_file_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none"), 1).unwrap_err().is_absent());
        let error = read(dir.path(), 1).unwrap_err();
        assert!(matches!(error, ReadError::Read { .. }) && !error.is_absent() && !error.is_vanished());
    }

    #[test]
    fn text_loses_its_final_newline_and_other_encodings_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b" 254:0\n").unwrap();
        assert_eq!(read_text(&path, 64).unwrap(), " 254:0");
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read_text(&path, 64), Err(ReadError::NotText { .. })));
    }
}
