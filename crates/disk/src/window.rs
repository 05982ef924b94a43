//! A part of a file (or of anything that seeks), used as if it were a whole one.
//!
//! The builder hands partitions of an image to writers that know nothing of offsets, such as the hash tree's.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// Something whose writes can be forced to the medium.
pub trait Durable {
    /// Returns when all earlier writes have reached the medium.
    fn sync(&mut self) -> io::Result<()>;
}

impl Durable for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Durable for Cursor<Vec<u8>> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Durable + ?Sized> Durable for &mut T {
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

/// The `len` bytes of `inner` that begin at `start`. Reads end there; writes beyond fail with `WriteZero`.
#[derive(Debug)]
pub struct Window<T> {
    inner: T,
    start: u64,
    len: u64,
    position: u64,
}

impl<T> Window<T> {
    /// A window of `len` bytes from byte `start` on. Its position is its own; `inner` is moved about.
    pub fn new(inner: T, start: u64, len: u64) -> Self {
        Self {
            inner,
            start,
            len,
            position: 0,
        }
    }

    /// Gives the inner thing back.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn left(&self, wanted: usize) -> usize {
        let left = self.len.saturating_sub(self.position);
        usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
    }
}

impl<T: Seek> Window<T> {
    fn place_inner(&mut self) -> io::Result<()> {
        let at = self
            .start
            .checked_add(self.position)
            .ok_or(io::ErrorKind::InvalidInput)?;
        self.inner.seek(SeekFrom::Start(at)).map(|_| ())
    }
}

impl<T: Read + Seek> Read for Window<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        self.place_inner()?;
        let done = self.inner.read(&mut buf[..wanted])?;
        self.position += done as u64;
        Ok(done)
    }
}

impl<T: Write + Seek> Write for Window<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let wanted = self.left(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        self.place_inner()?;
        let done = self.inner.write(&buf[..wanted])?;
        self.position += done as u64;
        Ok(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T> Seek for Window<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl<T: Durable> Durable for Window<T> {
    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_neither_reads_nor_writes_outside() {
        let mut window = Window::new(Cursor::new((0..10).collect::<Vec<u8>>()), 3, 4);
        let mut all = Vec::new();
        window.read_to_end(&mut all).unwrap();
        assert_eq!(all, [3, 4, 5, 6]);
        window.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(
            window.write_all(&[9, 9]).unwrap_err().kind(),
            io::ErrorKind::WriteZero
        );
        assert_eq!(
            window.seek(SeekFrom::End(-5)).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        window.seek(SeekFrom::Start(u64::MAX)).unwrap();
        assert_eq!(window.read(&mut [0]).unwrap(), 0);
        assert_eq!(window.into_inner().into_inner(), [0, 1, 2, 3, 4, 5, 9, 7, 8, 9]);
    }
}
