//! Nodes in `/dev`, checked to be the device that is meant.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

use super::{BlockDevice, BlockError, DeviceNumber, check_name};

/// Gives the path of a device's node in `/dev`, checked to be that device. A missing node is made
/// (mode 0600); a node that is another device is refused.
///
/// # Errors
/// [`BlockError::BadName`], `Stat`, `MakeNode`, `WrongNode`.
pub fn ensure_node(name: &str, number: DeviceNumber) -> Result<PathBuf, BlockError> {
    check_name(name)?;
    // A '/' in a device's name is '!' in sysfs (kobject_set_name_vargs).
    let path = Path::new("/dev").join(name.replace('!', "/"));
    match std::fs::symlink_metadata(&path) {
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => make_node(&path, number)?,
        Err(source) => return Err(BlockError::Stat { path, source }),
    }
    let metadata = std::fs::symlink_metadata(&path).map_err(|source| BlockError::Stat {
        path: path.clone(),
        source,
    })?;
    check_is(&path, number, &metadata)?;
    Ok(path)
}

fn make_node(path: &Path, number: DeviceNumber) -> Result<(), BlockError> {
    let device = rustix::fs::makedev(number.major, number.minor);
    match rustix::fs::mknodat(CWD, path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(BlockError::MakeNode {
            path: path.to_owned(),
            number,
            source: errno.into(),
        }),
    }
}

fn check_is(path: &Path, number: DeviceNumber, metadata: &std::fs::Metadata) -> Result<(), BlockError> {
    let found = DeviceNumber::of(metadata.rdev());
    if metadata.file_type().is_block_device() && found == number {
        return Ok(());
    }
    let found = if metadata.file_type().is_block_device() {
        found.to_string()
    } else {
        "another file type".into()
    };
    Err(BlockError::WrongNode {
        path: path.to_owned(),
        number,
        found,
    })
}

/// How to open a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only.
    Read,
    /// Reading and writing, beside others.
    ReadWrite,
    /// Reading and writing, and alone (`O_EXCL`): refused while it is mounted or part of another
    /// device.
    ReadWriteExclusive,
    /// Reading only, from the medium and not from the page cache (`O_DIRECT`): offset, length and
    /// memory are multiples of the device's block size.
    ReadMedium,
    /// Writing, alone and straight to the medium (`O_EXCL`, `O_DIRECT`, `O_DSYNC`).
    WriteMediumExclusive,
}

impl OpenMode {
    fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::ReadMedium)
    }

    fn flags(self) -> i32 {
        match self {
            Self::Read | Self::ReadWrite => 0,
            Self::ReadWriteExclusive => libc::O_EXCL,
            Self::ReadMedium => libc::O_DIRECT,
            Self::WriteMediumExclusive => libc::O_EXCL | libc::O_DIRECT | libc::O_DSYNC,
        }
    }
}

impl BlockDevice {
    /// Opens the device's node and checks on the open file that it is this device.
    ///
    /// # Errors
    /// As [`ensure_node`], and [`BlockError::Open`].
    pub fn open(&self, mode: OpenMode) -> Result<File, BlockError> {
        let path = ensure_node(&self.name, self.number)?;
        let mut options = File::options();
        options.read(true).write(mode.writes());
        options.custom_flags(libc::O_NOFOLLOW | mode.flags());
        let file = options.open(&path).map_err(|source| BlockError::Open {
            path: path.clone(),
            source,
        })?;
        let metadata = file.metadata().map_err(|source| BlockError::Stat {
            path: path.clone(),
            source,
        })?;
        check_is(&path, self.number, &metadata)?;
        Ok(file)
    }
}
