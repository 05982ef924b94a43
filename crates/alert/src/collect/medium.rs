//! Files that grow at their end, and when they are on the medium.
//!
//! What was appended is in the files at once, so that it outlives the process, and on the medium after
//! [`Medium::sync`]. A write or flush that fails takes back what it was about: nothing stands behind a hole, and no
//! line that may not be on the medium is taken for one that is.

use super::CollectError;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Most files that wait for a flush; one more makes all be flushed.
const MAX_OPEN: usize = 32;

/// A file that was written to.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    /// Bytes that are on the medium.
    synced: u64,
    length: u64,
}

/// The files that are being written.
#[derive(Debug, Default)]
pub(super) struct Medium {
    open: Vec<Open>,
}

impl Medium {
    /// Appends to a file of `length` bytes.
    ///
    /// # Errors
    /// [`CollectError::Io`]; then the file is as long as before.
    pub(super) fn append(&mut self, path: &Path, length: u64, bytes: &[u8]) -> Result<(), CollectError> {
        let at = match self.open.iter().position(|open| open.path == path) {
            Some(at) => at,
            None => self.reopen(path)?,
        };
        let open = &mut self.open[at];
        if open.length != length {
            let source = io::Error::other(format!("expected {length} bytes, found {}", open.length));
            // Somebody else wrote to it: it is opened anew for the next line.
            self.sync()?;
            self.open.swap_remove(at);
            return Err(io_error("append to", path)(source));
        }
        if let Err(source) = open.file.write_all_at(bytes, length) {
            // If this fails too, the next look at the file cuts it off.
            let _cut = open.file.set_len(length);
            return Err(io_error("append to", path)(source));
        }
        open.length += bytes.len() as u64;
        Ok(())
    }

    fn reopen(&mut self, path: &Path) -> Result<usize, CollectError> {
        if self.open.len() == MAX_OPEN {
            self.sync()?;
            self.open.clear();
        }
        let opened = File::options().write(true).open(path);
        let file = opened.map_err(io_error("open", path))?;
        let length = file.metadata().map_err(io_error("look at", path))?.len();
        self.open.push(Open {
            path: path.to_owned(),
            file,
            synced: length,
            length,
        });
        Ok(self.open.len() - 1)
    }

    /// Makes a file that begins with `bytes`: whole under its name and on the medium, or not there. One that is there stays.
    ///
    /// # Errors
    /// [`CollectError::Io`].
    pub(super) fn create(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CollectError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let new = directory.join("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(io_error("make", &new))?;
        file.write_all(bytes).map_err(io_error("write", &new))?;
        file.sync_all().map_err(io_error("flush", &new))?;
        renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE)
            .map_err(|error| io_error("make", path)(error.into()))?;
        sync_directory(directory)
    }

    /// Flushes everything that was appended.
    ///
    /// # Errors
    /// [`CollectError::Io`]; then the files that could not be flushed are as they were at the last flush.
    pub(super) fn sync(&mut self) -> Result<(), CollectError> {
        let mut failed = None;
        for open in &mut self.open {
            if open.length == open.synced {
                continue;
            }
            match open.file.sync_data() {
                Ok(()) => open.synced = open.length,
                Err(source) => {
                    // What is in memory now may never reach the medium, whatever a later flush says.
                    let _cut = open.file.set_len(open.synced);
                    failed = Some(io_error("flush", &open.path)(source));
                }
            }
        }
        match failed {
            None => Ok(()),
            Some(error) => {
                self.open.clear();
                Err(error)
            }
        }
    }
}

/// Makes a directory, on the medium; one that is there is made sure of.
pub(super) fn make_directory(path: &Path) -> Result<(), CollectError> {
    let made = DirBuilder::new().mode(0o700).create(path);
    match made {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(source) => return Err(io_error("make", path)(source)),
    }
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), CollectError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("flush", path))
}

/// Cuts a file off and flushes it, and what was in it before.
pub(super) fn cut(path: &Path, length: u64) -> Result<(), CollectError> {
    let file = File::options().write(true).open(path);
    let file = file.map_err(io_error("open", path))?;
    let found = file.metadata().map_err(io_error("look at", path))?.len();
    if found > length {
        file.set_len(length).map_err(io_error("cut", path))?;
    }
    file.sync_all().map_err(io_error("flush", path))
}

/// What failed.
pub(super) fn io_error<'p>(act: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> CollectError + 'p {
    move |source| CollectError::Io {
        act,
        path: path.to_owned(),
        source,
    }
}
