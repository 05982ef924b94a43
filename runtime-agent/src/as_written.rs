//! Whether a file still is what one program wrote: the record log's and the trace's, which `bennud` alone writes.
//!
//! A file that is closed is known by inode, length and time of change, which nobody sets without moving the clock; one that
//! is written, by the digest of what was written to it. Writes nothing.

use bennu_formats::Sha256Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// A write that takes longer is told.
const LONGEST_WRITE: Duration = Duration::from_secs(60);

/// Device, inode, length in bytes, seconds and nanoseconds of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    file: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Mark {
    /// Of what has this name now.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            file: (found.dev(), found.ino()),
            length: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// A sentence about what is not as it was; none where all is.
    ///
    /// # Errors
    /// What the system says of a file that is there.
    pub fn look(&self, path: &Path) -> io::Result<Option<String>> {
        let (name, length) = (name(path), self.length);
        Ok(match if_there(Self::of(path))? {
            Some(found) if found == *self => None,
            None => Some(format!("{name}: expected {length} bytes, found no file")),
            Some(found) => Some(format!(
                "{name}: expected {length} bytes as they were written, found {} bytes, changed since",
                found.length
            )),
        })
    }
}

/// A file that is written.
#[derive(Debug, Clone, Default)]
pub struct AsWritten {
    digest: Sha256,
    length: u64,
    /// As it was when its bytes were last found right.
    right: Option<Mark>,
    /// A write failed: any part of its bytes may be there.
    torn: bool,
}

impl AsWritten {
    /// What `file` has from its start to its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn found(file: &mut File) -> io::Result<Self> {
        let mut this = Self::default();
        this.length = io::copy(file, &mut this.digest)?;
        Ok(this)
    }

    /// These bytes were written to its end.
    pub fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }

    /// A write failed.
    pub fn tear(&mut self) {
        self.torn = true;
    }

    /// With this mark its bytes are right.
    pub fn is_right_as(&mut self, mark: Mark) {
        self.right = Some(mark).filter(|mark| mark.length == self.length);
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 of all bytes.
    pub fn sha256(&self) -> Sha256Digest {
        Sha256Digest(self.digest.clone().finalize().into())
    }

    /// A sentence about what is not as it was written; none where all is. Reads the file where its mark is another than
    /// when it was last right.
    ///
    /// # Errors
    /// What the system says of a file that is there.
    pub fn look(&mut self, path: &Path) -> io::Result<Option<String>> {
        let (name, length) = (name(path), self.length);
        let Some(found) = if_there(Mark::of(path))? else {
            return Ok(Some(format!("{name}: expected {length} bytes, found no file")));
        };
        let length_is_right = match self.torn {
            true => found.length >= length,
            false => found.length == length,
        };
        if !length_is_right {
            let words = format!("{name}: expected {length} bytes, found {}", found.length);
            return Ok(Some(words));
        }
        if self.right == Some(found) {
            return Ok(None);
        }
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(path)?.take(length), &mut hasher)?;
        if Sha256Digest(hasher.finalize().into()) != self.sha256() {
            let words = format!("{name}: expected the {length} bytes that were written, found others");
            return Ok(Some(words));
        }
        self.right = Some(found);
        Ok(None)
    }
}

/// A write that is on its way: no look can say meanwhile what is there.
#[derive(Debug, Default)]
pub struct Writing(Option<Instant>);

impl Writing {
    /// It begins.
    pub fn begin(&mut self) {
        self.0 = Some(Instant::now());
    }

    /// It has ended.
    pub fn end(&mut self) {
        self.0 = None;
    }

    /// Whether one is on its way.
    ///
    /// # Errors
    /// It takes longer than a minute; `what` is written.
    pub fn is_on_its_way(&self, what: &str) -> io::Result<bool> {
        match self.0 {
            None => Ok(false),
            Some(since) if since.elapsed() < LONGEST_WRITE => Ok(true),
            Some(_) => Err(io::Error::other(format!(
                "{what} has not come back from the medium"
            ))),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.display().to_string())
}

/// None where there is no such file.
///
/// # Errors
/// Everything else that the system says.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
