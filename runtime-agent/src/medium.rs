//! A block device read and written past the page cache: what is on the medium, not what the kernel remembers of it.
//!
//! Reads go through a buffer of their own, aligned to 4096 bytes, which suits every block size up to that; none is kept.

use bennu_formats::handover;
use bennu_linux::block::{BlockDevice, BlockError, DeviceNumber, OpenMode, Sysfs};
use bennu_verity::ReadAt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Alignment of offset, length and memory.
const ALIGNMENT: usize = 4096;

/// Why there is no medium.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// The hand-over record names no device.
    #[error("boot disk: expected major:minor, found {0}")]
    Number(String),
    /// The device is gone.
    #[error("boot disk: expected a block device {0}, found none")]
    Gone(DeviceNumber),
    /// Looking or opening.
    #[error("boot disk: {0}")]
    Block(#[from] BlockError),
}

/// An open device.
#[derive(Debug)]
pub struct Medium(File);

impl Medium {
    /// The device that `bennu-init` found, for reading.
    ///
    /// # Errors
    /// See [`MediumError`].
    pub fn of(device: &handover::BlockDevice) -> Result<Self, MediumError> {
        Ok(Self(find(device)?.open(OpenMode::ReadMedium)?))
    }

    /// A partition for writing: alone, and each write for good when it returns. The device-mapper holds the partitions
    /// of the running slot in the same way, so that this is refused for them.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn alone(partition: &BlockDevice) -> Result<Self, BlockError> {
        Ok(Self(partition.open(OpenMode::WriteMediumExclusive)?))
    }

    #[cfg(test)]
    pub(crate) fn of_file(file: File) -> Self {
        Self(file)
    }

    /// Writes whole blocks at a multiple of 4096.
    ///
    /// # Errors
    /// The device's; [`io::ErrorKind::InvalidInput`] for what is not aligned.
    pub fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let aligned = offset.is_multiple_of(ALIGNMENT as u64) && bytes.len().is_multiple_of(ALIGNMENT);
        if !aligned {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut buffer = Buffer::new(bytes.len());
        buffer.bytes().copy_from_slice(bytes);
        self.0.write_all_at(buffer.bytes(), offset)?;
        self.0.sync_data()
    }
}

/// The device as sysfs shows it now.
///
/// # Errors
/// See [`MediumError`].
pub fn find(device: &handover::BlockDevice) -> Result<BlockDevice, MediumError> {
    let number =
        DeviceNumber::parse(&device.number).ok_or_else(|| MediumError::Number(device.number.clone()))?;
    let all = Sysfs::default().block_devices()?;
    all.into_iter()
        .find(|found| found.number == number)
        .ok_or(MediumError::Gone(number))
}

impl ReadAt for Medium {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let before = (offset % ALIGNMENT as u64) as usize;
        let mut buffer = Buffer::new((before + buf.len()).next_multiple_of(ALIGNMENT));
        let bytes = buffer.bytes();
        let start = offset - before as u64;
        let mut filled = 0;
        // A device may end within the last 4096 bytes; what was asked for has to be there.
        while filled < before + buf.len() {
            match self.0.read_at(&mut bytes[filled..], start + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buf.copy_from_slice(&bytes[before..before + buf.len()]);
        Ok(())
    }
}

/// Zeros that begin at a multiple of [`ALIGNMENT`] in memory.
struct Buffer {
    whole: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new(length: usize) -> Self {
        let whole = vec![0; length + ALIGNMENT];
        let start = whole.as_ptr().align_offset(ALIGNMENT);
        Self { whole, start, length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // A vector that is not resized stays where it is.
        &mut self.whole[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt as _;

    /// A file that takes O_DIRECT where the file system of the checkout does; otherwise an ordinary one.
    fn file() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("medium");
        let bytes: Vec<u8> = (0..5 * 4096_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        let mut options = File::options();
        options.read(true).write(true);
        let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
        let direct = options.clone().custom_flags(flags).open(&path);
        (dir, direct.unwrap_or_else(|_| options.open(&path).unwrap()))
    }

    #[test]
    fn any_part_is_read_and_nothing_beyond_the_end() {
        let (_dir, file) = file();
        let medium = Medium::of_file(file);
        for (offset, length) in [(0, 4096), (1, 1), (4095, 2), (8191, 4097), (0, 5 * 4096)] {
            let mut found = vec![0; length];
            medium.read_exact_at(&mut found, offset).unwrap();
            let expected: Vec<u8> = (offset..offset + length as u64)
                .map(|i| (i % 251) as u8)
                .collect();
            assert_eq!(found, expected, "{offset} {length}");
        }
        let refused = medium.read_exact_at(&mut [0; 2], 5 * 4096 - 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn whole_blocks_are_written_and_others_refused() {
        let (_dir, file) = file();
        let medium = Medium::of_file(file);
        medium.write(&[9; 4096], 4096).unwrap();
        let mut found = vec![0; 3 * 4096];
        medium.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found[4095..4097], [(4095 % 251) as u8, 9]);
        assert_eq!(found[8191..8193], [9, (8192 % 251) as u8]);
        for (length, offset) in [(4095, 0), (4096, 1)] {
            let refused = medium.write(&vec![0; length], offset).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn memory_begins_where_the_device_wants_it() {
        for length in [0, 4096, 512 * 1024] {
            let mut buffer = Buffer::new(length);
            assert_eq!(buffer.bytes().len(), length);
            assert!((buffer.bytes().as_ptr() as usize).is_multiple_of(ALIGNMENT));
        }
    }
}
