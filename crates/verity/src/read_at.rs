//! Positioned reads that several threads can share.
//!
//! Implemented for files, byte slices and [`Section`] (one partition inside a disk image). A read never moves a
//! cursor, so workers need no lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A source of bytes that can be read at any offset through a shared reference.
pub trait ReadAt: Sync {
    /// Fills `buf` from `offset` (bytes). A source that ends before gives [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

/// A part of another source, for example one partition of a disk image.
#[derive(Debug, Clone, Copy)]
pub struct Section<T> {
    source: T,
    start: u64,
    len: u64,
}

impl<T> Section<T> {
    /// The `len` bytes of `source` that begin at byte `start`.
    pub fn new(source: T, start: u64, len: u64) -> Self {
        Self { source, start, len }
    }
}

impl<T: ReadAt> ReadAt for Section<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = self
            .start
            .checked_add(offset)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.source.read_exact_at(buf, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reads_its_own_bytes_and_none_beyond() {
        let bytes: Vec<u8> = (0..=9).collect();
        let section = Section::new(&bytes, 3, 4);
        let mut buf = [0; 2];
        section.read_exact_at(&mut buf, 2).unwrap();
        assert_eq!(buf, [5, 6]);
        let refused = section.read_exact_at(&mut buf, 3).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
        let refused = section.read_exact_at(&mut buf, u64::MAX).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
    }
}
