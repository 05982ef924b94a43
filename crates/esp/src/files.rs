//! Bounded reads and whole writes in a directory that others may write.

use bennu_formats::decode::DecodeError;
use bennu_formats::{ImageId, ImageVersion};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Most files that are looked at in one directory of the ESP.
pub const MAX_DIRECTORY_ENTRIES: usize = 512;

/// What could not be done on the ESP.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// Listing.
    #[error("ESP: {path}: cannot be listed: {source}")]
    List {
        /// Directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many files.
    #[error("ESP: {path}: expected at most {MAX_DIRECTORY_ENTRIES} files; remove what does not belong there")]
    TooManyFiles {
        /// Directory.
        path: PathBuf,
    },
    /// Reading.
    #[error("ESP: {path}: cannot be read: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too long.
    #[error("ESP: {path}: expected at most {limit} bytes, found more")]
    TooLong {
        /// File.
        path: PathBuf,
        /// Limit in bytes.
        limit: usize,
    },
    /// Writing.
    #[error("ESP: {path}: cannot be written: {source}")]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Renaming.
    #[error("ESP: {from}: cannot be renamed to {to}: {source}")]
    Rename {
        /// Old name.
        from: PathBuf,
        /// New name.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No entry of that version.
    #[error("ESP: expected a boot entry of {id} {version} in EFI/Linux, found none")]
    NoEntry {
        /// Image id.
        id: ImageId,
        /// Version.
        version: ImageVersion,
    },
    /// The record cannot be encoded.
    #[error("ESP: {0}")]
    Encode(DecodeError),
}

/// Names of the files in `path` that are text.
pub(crate) fn list(path: &Path) -> Result<Vec<String>, EspError> {
    let failed = |source| EspError::List {
        path: path.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        if names.len() == MAX_DIRECTORY_ENTRIES {
            return Err(EspError::TooManyFiles {
                path: path.to_owned(),
            });
        }
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// At most `limit` bytes of `path`; `None` where there is no such file. Any other error is an error.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, EspError> {
    let failed = |source| EspError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Writes `bytes` under `path`: temporary name, flush, rename, flush of the directory.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), EspError> {
    let failed = |source| EspError::Write {
        path: path.to_owned(),
        source,
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed)?;
    let temporary = temporary(path);
    let mut file = File::create(&temporary).map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    drop(file);
    rename(&temporary, path)
}

/// Frees what a [`write`] that failed may have left under the temporary name, so that it takes no room from what
/// the next start must write. That it cannot be removed changes nothing: the next write begins it anew.
pub(crate) fn remove_unfinished(path: &Path) {
    let _still_there = fs::remove_file(temporary(path));
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Renames and flushes the directory.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), EspError> {
    let failed = |source| EspError::Rename {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    };
    fs::rename(from, to).map_err(failed)?;
    let directory = to.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|d| d.sync_all()).map_err(failed)
}
