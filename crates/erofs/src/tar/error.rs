//! Why an archive is refused.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::tree::TreeError;

/// An archive could not become a tree. `offset` is that of the entry's header in the uncompressed
/// archive, in bytes.
#[derive(Debug, Error)]
pub enum TarError {
    /// The archive would not open.
    #[error("open archive {}: {source}", path.display())]
    Open {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a regular file, so it cannot be read again when the image is written.
    #[error("open archive {}: it is not a regular file; store the archive first", path.display())]
    NotRegular {
        /// The archive.
        path: PathBuf,
    },
    /// Compressed with something that is not read.
    #[error("open archive {}: it is compressed with {found}; only zstd is read, recompress it or give it plain", path.display())]
    Compression {
        /// The archive.
        path: PathBuf,
        /// Name of the compression.
        found: &'static str,
    },
    /// The scratch file could not be made.
    #[error("make a scratch file in {}: {source}", path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Decompression failed.
    #[error("decompress archive {}: {source}", path.display())]
    Unpack {
        /// The archive.
        path: PathBuf,
        /// What the decoder or the system said.
        source: io::Error,
    },
    /// The archive decompresses to more than allowed.
    #[error("decompress archive {}: more than {limit} bytes came out; raise the limit if that is meant", path.display())]
    UnpackedTooLong {
        /// The archive.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The archive would not read.
    #[error("read {length} bytes at {offset} of the archive: {source}")]
    Read {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The archive ends inside an entry or without the zero block that ends every archive.
    #[error(
        "read the archive at {offset}: it ends at {length}, expected {expected} more bytes; it is cut short"
    )]
    Truncated {
        /// Where the missing part begins.
        offset: u64,
        /// Length of the archive in bytes.
        length: u64,
        /// How many bytes were wanted at `offset`.
        expected: u64,
    },
    /// A header whose checksum is wrong.
    #[error(
        "decode the header at {offset}: checksum {expected} recorded, {found} computed; not a tar archive, or damaged"
    )]
    HeaderChecksum {
        /// Offset of the header.
        offset: u64,
        /// As recorded.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A number in a header that is none or out of range.
    #[error("decode field {field} at {offset}: it is no number, or out of range")]
    HeaderNumber {
        /// Offset of the header.
        offset: u64,
        /// Name of the field.
        field: &'static str,
    },
    /// A long name or pax header larger than its limit.
    #[error("read the extended header at {offset}: {found} bytes, at most {limit} are allowed")]
    ExtensionTooLong {
        /// Offset of the header.
        offset: u64,
        /// Size in bytes.
        found: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// A pax record that is not `length key=value\n`.
    #[error("decode the pax header at {offset}: record at byte {at} is malformed")]
    PaxRecord {
        /// Offset of the header.
        offset: u64,
        /// Where in its data.
        at: usize,
    },
    /// A pax value that does not decode.
    #[error("decode the pax header at {offset}: value of {key} is malformed")]
    PaxValue {
        /// Offset of the header.
        offset: u64,
        /// The record's key.
        key: String,
    },
    /// A record or entry type whose meaning would be lost.
    #[error("take the entry at {offset}: it uses {feature}, which is not supported; {remedy}")]
    Unsupported {
        /// Offset of the header.
        offset: u64,
        /// What it uses.
        feature: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Data behind an entry that has none by its type.
    #[error(
        "take the entry at {offset}: {found} bytes of data behind a link, directory or device; its size is ambiguous"
    )]
    UnexpectedData {
        /// Offset of the header.
        offset: u64,
        /// Size recorded.
        found: u64,
    },
    /// The end of the archive came where an entry was announced.
    #[error("take the entry at {offset}: an extended header is not followed by an entry")]
    DanglingExtension {
        /// Offset of the end.
        offset: u64,
    },
    /// An absolute path.
    #[error("take the entry at {offset}: path {path} is absolute; make the archive with relative names")]
    AbsolutePath {
        /// Offset of the header.
        offset: u64,
        /// The path.
        path: String,
    },
    /// The root, given as something other than a directory.
    #[error("take the entry at {offset}: it would replace the root by something that is not a directory")]
    RootNotDirectory {
        /// Offset of the header.
        offset: u64,
    },
    /// More entries than allowed.
    #[error("read the archive: more than {limit} entries; raise the limit if that is meant")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// The entry does not fit the tree (a path with `..`, a name that is too long, a missing link target …).
    #[error("take the entry at {offset}, {path}: {source}")]
    Tree {
        /// Offset of the header.
        offset: u64,
        /// The entry's path.
        path: String,
        /// Why.
        source: TreeError,
    },
}
