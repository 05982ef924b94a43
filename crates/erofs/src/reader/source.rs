//! What an image can be read from.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are not enough, or what the source says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// Part of a source, such as a partition of a disk image.
#[derive(Debug, Clone)]
pub struct Window<R> {
    inner: R,
    offset: u64,
    length: u64,
}

impl<R> Window<R> {
    /// The `length` bytes from `offset` on.
    pub fn new(inner: R, offset: u64, length: u64) -> Self {
        Self {
            inner,
            offset,
            length,
        }
    }
}

impl<R: ReadAt> ReadAt for Window<R> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inside = offset
            .checked_add(buffer.len() as u64)
            .is_some_and(|end| end <= self.length);
        match self.offset.checked_add(offset) {
            Some(from) if inside => self.inner.read_exact_at(buffer, from),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Makes a source of whatever reads and seeks.
#[derive(Debug)]
pub struct Seekable<S>(Mutex<S>);

impl<S: Read + Seek> Seekable<S> {
    /// Offsets count from the start of `inner`, wherever it stands now.
    pub fn new(inner: S) -> Self {
        Self(Mutex::new(inner))
    }
}

impl<S: Read + Seek> ReadAt for Seekable<S> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        // A panic elsewhere leaves at worst another position, and each read sets its own.
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seek(SeekFrom::Start(offset))?;
        inner.read_exact(buffer)
    }
}
