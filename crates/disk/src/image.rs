//! Puts partitions into a sparse disk image.
//!
//! The builder makes the image empty, copies each partition's bytes to its place and writes the table last. Blocks of
//! zeros are not written: a fresh file is zero there already, so the image has holes and compresses to little.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are written or skipped together; the block of the usual file systems.
const BLOCK_BYTES: usize = 4096;
const COPY_BYTES: usize = 1 << 20;

/// Why an image was not made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The image could not be created or sized.
    #[error("create disk image {path:?}: {source}")]
    Create {
        /// The image.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source could not be opened or read.
    #[error("read {path:?} for disk image: {source}")]
    ReadSource {
        /// The source.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source is larger than its room.
    #[error("copy {path:?} to disk image: {found} bytes or more; room for {room}")]
    NoRoom {
        /// The source.
        path: PathBuf,
        /// Bytes of the source.
        found: u64,
        /// Bytes of the room.
        room: u64,
    },
    /// The room lies outside the image.
    #[error("copy to disk image: {room} bytes at {offset} in an image of {image} bytes")]
    Outside {
        /// First byte of the room.
        offset: u64,
        /// Bytes of the room.
        room: u64,
        /// Bytes of the image.
        image: u64,
    },
    /// The image could not be written.
    #[error("write disk image at byte {offset}: {source}")]
    Write {
        /// Byte of the image.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// A disk image that was zero when it was made.
#[derive(Debug)]
pub struct SparseImage {
    file: File,
    bytes: u64,
}

impl SparseImage {
    /// Makes an image of `bytes` zeros. A file that is already there is emptied.
    pub fn create(path: &Path, bytes: u64) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Create {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(failed)?;
        file.set_len(bytes).map_err(failed)?;
        Ok(Self { file, bytes })
    }

    /// Bytes of the image.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file, for writers that place their own bytes (table, FAT volume, [`crate::Window`]).
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Copies `source` to the room of `room` bytes at `offset`, where nothing was written before. Skips blocks of
    /// zeros. `progress` gets the bytes of the source done. Returns the bytes written.
    pub fn copy_file(
        &mut self,
        source: &Path,
        offset: u64,
        room: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, ImageError> {
        let end = offset.checked_add(room).filter(|end| *end <= self.bytes);
        if end.is_none() {
            return Err(ImageError::Outside {
                offset,
                room,
                image: self.bytes,
            });
        }
        let failed = |error| ImageError::ReadSource {
            path: source.to_owned(),
            source: error,
        };
        let input = File::open(source).map_err(failed)?;
        let found = input.metadata().map_err(failed)?.len();
        if found > room {
            return Err(ImageError::NoRoom {
                path: source.to_owned(),
                found,
                room,
            });
        }
        let mut buffer = vec![0; COPY_BYTES];
        let (mut done, mut written) = (0u64, 0u64);
        loop {
            let got = read_full(&input, &mut buffer, done).map_err(failed)?;
            if got as u64 > room - done {
                return Err(ImageError::NoRoom {
                    path: source.to_owned(),
                    found: done + got as u64,
                    room,
                });
            }
            written += self.write_data(&buffer[..got], offset + done)?;
            done += got as u64;
            progress(done);
            if got < buffer.len() {
                return Ok(written);
            }
        }
    }

    /// Flushes the image to the medium.
    pub fn sync(&self) -> Result<(), ImageError> {
        self.file.sync_all().map_err(|source| ImageError::Write {
            offset: self.bytes,
            source,
        })
    }

    /// Writes runs of blocks that are not zero.
    fn write_data(&self, bytes: &[u8], offset: u64) -> Result<u64, ImageError> {
        let mut written = 0;
        let mut put = |from: usize, to: usize| {
            written += (to - from) as u64;
            let at = offset + from as u64;
            self.file
                .write_all_at(&bytes[from..to], at)
                .map_err(|source| ImageError::Write { offset: at, source })
        };
        let mut run = None;
        for (index, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let at = index * BLOCK_BYTES;
            if is_zero(block) {
                if let Some(from) = run.take() {
                    put(from, at)?;
                }
            } else if run.is_none() {
                run = Some(at);
            }
        }
        if let Some(from) = run {
            put(from, bytes.len())?;
        }
        Ok(written)
    }
}

fn is_zero(block: &[u8]) -> bool {
    let (words, tail) = block.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && tail.iter().all(|&byte| byte == 0)
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
