//! Growing a mounted ext4 file system.
//!
//! Used by: `bennu-init`, after it has put down the prebuilt one. On failure the file system is as it was.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::ioctl::{self, Opcode, Setter, opcode};

/// `EXT4_IOC_RESIZE_FS` of linux/ext4.h: takes the new number of blocks.
const RESIZE_FS: Opcode = opcode::write::<u64>(b'f', 16);

/// Why it did not grow.
#[derive(Debug, thiserror::Error)]
#[error("cannot grow the ext4 file system at {path} to {blocks} blocks: {source}")]
pub struct GrowError {
    path: PathBuf,
    blocks: u64,
    source: io::Error,
}

/// Grows the file system mounted at `path` to `blocks` blocks of its own size, at most those of its device. One that
/// is that large already stays as it is.
///
/// # Errors
/// [`GrowError`].
pub fn grow(path: &Path, blocks: u64) -> Result<(), GrowError> {
    let failed = |source| GrowError {
        path: path.to_owned(),
        blocks,
        source,
    };
    let directory = File::open(path).map_err(failed)?;
    resize(&directory, blocks).map_err(failed)
}

#[allow(unsafe_code)]
fn resize(directory: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64, which `Setter` holds for the length of the call; any other file
    // system answers ENOTTY and reads nothing.
    unsafe { ioctl::ioctl(directory, Setter::<RESIZE_FS, u64>::new(blocks)) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ioctl_number_is_that_of_linux_ext4_h() {
        assert_eq!(RESIZE_FS, 0x4008_6610);
    }

    #[test]
    fn what_is_not_ext4_or_not_there_is_told_with_its_path() {
        let error = grow(Path::new("/proc"), 1).unwrap_err().to_string();
        assert!(error.contains("/proc"), "{error}");
        assert!(grow(Path::new("/nowhere"), 1).is_err());
    }
}
