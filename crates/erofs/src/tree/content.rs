//! Where the bytes of a regular file are: in memory, in a range of an open file (an archive), or in a
//! file of their own. A tree holds only this, never the bytes of a large file.
//!
//! Lengths are fixed when the content is made. A source that has changed since is an error when it is
//! read, never a short or padded file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ContentError;

/// A file kept open, with the name to show in errors.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
}

impl OpenFile {
    /// `path` is only shown; an unnamed temporary file may go under the name it was made from.
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Opens `path` for reading.
    ///
    /// # Errors
    /// [`ContentError::Open`].
    pub fn open(path: &Path) -> Result<Self, ContentError> {
        let file = File::open(path).map_err(|source| ContentError::Open {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::new(path.to_owned(), file))
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Bytes `offset .. offset + len` of an open file.
#[derive(Debug, Clone)]
pub struct FileRange {
    file: Arc<OpenFile>,
    offset: u64,
    len: u64,
}

/// A whole file, opened only while it is copied.
#[derive(Debug, Clone)]
pub struct WholeFile {
    path: PathBuf,
    len: u64,
}

/// The bytes of a regular file.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory; for small, generated files.
    Inline(Arc<[u8]>),
    /// Part of an open file.
    Range(FileRange),
    /// A file on disk.
    File(WholeFile),
}

impl Content {
    /// Content held in memory.
    pub fn inline(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Inline(bytes.into())
    }

    /// Part of an open file.
    ///
    /// # Errors
    /// [`ContentError::RangePastEnd`] when the file ends before the range does.
    pub fn range(file: &Arc<OpenFile>, offset: u64, len: u64) -> Result<Self, ContentError> {
        let path = || file.path.clone();
        let found = file
            .file
            .metadata()
            .map_err(|source| ContentError::Open { path: path(), source })?
            .len();
        if offset.checked_add(len).is_none_or(|end| end > found) {
            return Err(ContentError::RangePastEnd {
                path: path(),
                offset,
                length: len,
                found,
            });
        }
        Ok(Self::unchecked_range(file, offset, len))
    }

    /// As [`Content::range`], for a caller who has compared the range with the length of the file.
    pub(crate) fn unchecked_range(file: &Arc<OpenFile>, offset: u64, len: u64) -> Self {
        Self::Range(FileRange {
            file: Arc::clone(file),
            offset,
            len,
        })
    }

    /// The regular file at `path`, as long as it is now. Symlinks in `path` are resolved now.
    ///
    /// # Errors
    /// [`ContentError::Open`], [`ContentError::NotRegular`].
    pub fn whole_file(path: &Path) -> Result<Self, ContentError> {
        let open = |source| ContentError::Open {
            path: path.to_owned(),
            source,
        };
        let resolved = fs::canonicalize(path).map_err(open)?;
        let metadata = fs::symlink_metadata(&resolved).map_err(open)?;
        if !metadata.is_file() {
            return Err(ContentError::NotRegular { path: resolved });
        }
        Ok(Self::known_file(resolved, metadata.len()))
    }

    /// A file whose `lstat` the caller has.
    pub(super) fn known_file(path: PathBuf, len: u64) -> Self {
        Self::File(WholeFile { path, len })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Range(range) => range.len,
            Self::File(file) => file.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the content to `visit` in order, in pieces as long as `buffer` at most. An empty `buffer` gives
    /// nothing.
    ///
    /// # Errors
    /// [`ContentError`] for a source that cannot be read or has changed its length.
    pub fn for_each_piece(
        &self,
        buffer: &mut [u8],
        mut visit: impl FnMut(&[u8]),
    ) -> Result<(), ContentError> {
        let reader = self.open()?;
        let mut done = 0;
        while done < self.len() && !buffer.is_empty() {
            let count = (self.len() - done).min(buffer.len() as u64) as usize;
            reader.read_exact_at(&mut buffer[..count], done)?;
            visit(&buffer[..count]);
            done += count as u64;
        }
        Ok(())
    }

    /// Opens the content to read at any offset.
    pub(crate) fn open(&self) -> Result<ContentReader<'_>, ContentError> {
        match self {
            Self::Inline(bytes) => Ok(ContentReader::Bytes(bytes)),
            Self::Range(range) => Ok(ContentReader::Range(range)),
            Self::File(whole) => whole.open().map(|file| ContentReader::File(whole, file)),
        }
    }
}

impl WholeFile {
    /// Opens the file again without following a symlink that may have taken its place, without waiting
    /// for a pipe, and compares its length.
    fn open(&self) -> Result<File, ContentError> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let open = |source| ContentError::Open {
            path: self.path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(&self.path)
            .map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        if !metadata.is_file() {
            return Err(ContentError::NotRegular {
                path: self.path.clone(),
            });
        }
        if metadata.len() != self.len {
            return Err(ContentError::Changed {
                path: self.path.clone(),
                expected: self.len,
                found: metadata.len(),
            });
        }
        Ok(file)
    }
}

/// Content being read.
pub(crate) enum ContentReader<'c> {
    Bytes(&'c [u8]),
    Range(&'c FileRange),
    File(&'c WholeFile, File),
}

impl ContentReader<'_> {
    /// Fills `buffer` with the bytes at `offset`, which the caller keeps inside the content's length.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ContentError> {
        let (path, len, at, result) = match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
                if let Some(part) = part {
                    buffer.copy_from_slice(part);
                    return Ok(());
                }
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(ContentError::Read {
                    path: PathBuf::from("(memory)"),
                    offset,
                    length: buffer.len(),
                    source,
                });
            }
            Self::Range(range) => {
                let at = range.offset + offset;
                (
                    &range.file.path,
                    range.offset + range.len,
                    at,
                    range.file.file.read_exact_at(buffer, at),
                )
            }
            Self::File(whole, file) => (&whole.path, whole.len, offset, file.read_exact_at(buffer, offset)),
        };
        result.map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                let found = match self {
                    Self::Range(range) => range.file.file.metadata(),
                    Self::File(_, file) => file.metadata(),
                    Self::Bytes(_) => Err(io::ErrorKind::Unsupported.into()),
                };
                ContentError::Changed {
                    path: path.clone(),
                    expected: len,
                    found: found.map_or(at, |metadata| metadata.len()),
                }
            }
            _ => ContentError::Read {
                path: path.clone(),
                offset: at,
                length: buffer.len(),
                source,
            },
        })
    }
}
