//! What the writers ask of the mounted ESP, as a trait: the order of these acts is what a power cut tests, so that
//! unit tests record it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A file system that keeps only what was flushed.
pub(crate) trait Volume {
    /// A file without a name.
    type Unlinked;
    /// At most `limit` bytes of the file; `None` where there is none.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>>;
    /// Bytes of the file; `None` where there is none.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Makes a directory and those above it, and flushes it, where there is none.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes an empty file, which must not exist.
    fn create(&self, path: &Path) -> io::Result<()>;
    /// Writes from the file's first byte on; frees nothing.
    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Renames.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes the name away. What the file occupies is freed by [`Volume::release`].
    fn unlink(&self, path: &Path) -> io::Result<Self::Unlinked>;
    /// Lets a file go that has no name any more.
    fn release(&self, file: Self::Unlinked);
    /// fsync(2) of a file or a directory.
    fn sync(&self, path: &Path) -> io::Result<()>;
}

/// The kernel's.
pub(crate) struct Mounted;

impl Volume for Mounted {
    type Unlinked = File;

    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Err(io::Error::other("expected a file, found something else")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path)?;
        self.sync(path)?;
        path.parent().map_or(Ok(()), |parent| self.sync(parent))
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        File::create_new(path).map(drop)
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.write_all_at(bytes, 0)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<File> {
        let file = File::open(path)?;
        fs::remove_file(path)?;
        Ok(file)
    }

    fn release(&self, file: File) {
        drop(file);
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
