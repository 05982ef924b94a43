//! What could not be done on the ESP.

use crate::files::MAX_DIRECTORY_ENTRIES;
use bennu_formats::decode::DecodeError;
use bennu_formats::{ImageId, ImageVersion};
use std::io;
use std::path::PathBuf;

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
    /// A document is not one.
    #[error("ESP: {path}: {source}")]
    Decode {
        /// File.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// The record cannot be encoded.
    #[error("ESP: {0}")]
    Encode(DecodeError),
}
