//! Telling the kernel that a partition has another length, while others of the disk are in use.

use std::fs::File;
use std::io;

use rustix::ioctl::{self, Opcode, Setter};

use super::{BlockDevice, BlockError, OpenMode, Sysfs};

/// `BLKPG` of linux/blkpg.h.
const BLKPG: Opcode = 0x1269;
/// `BLKPG_RESIZE_PARTITION`.
const RESIZE_PARTITION: libc::c_int = 3;

/// `struct blkpg_partition`: places in bytes.
#[repr(C)]
struct Place {
    start: i64,
    length: i64,
    number: libc::c_int,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Argument {
    operation: libc::c_int,
    flags: libc::c_int,
    data_length: libc::c_int,
    data: *const Place,
}

impl BlockDevice {
    /// Tells the kernel that this partition has `sectors512` sectors of 512 bytes now; gives the device as it is
    /// afterwards. The table on the disk is not touched.
    ///
    /// # Errors
    /// [`BlockError::Resize`], also for a whole disk; [`BlockError`] when the disk cannot be opened or sysfs read.
    pub fn resized(&self, sectors512: u64) -> Result<Self, BlockError> {
        let failed = |source| BlockError::Resize {
            name: self.name.clone(),
            sectors512,
            source,
        };
        let partition = self
            .partition
            .as_ref()
            .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let sysfs = Sysfs::default();
        let disk = sysfs.block_device(&partition.disk)?.open(OpenMode::ReadWrite)?;
        let bytes = |sectors: u64| {
            let bytes = sectors.checked_mul(512).and_then(|b| i64::try_from(b).ok());
            bytes.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))
        };
        let place = Place {
            start: bytes(partition.start_sectors512)?,
            length: bytes(sectors512)?,
            number: partition.number as libc::c_int,
            device_name: [0; 64],
            volume_name: [0; 64],
        };
        resize(&disk, &place).map_err(failed)?;
        sysfs.block_device(&self.name)
    }
}

#[allow(unsafe_code)]
fn resize(disk: &File, place: &Place) -> io::Result<()> {
    let argument = Argument {
        operation: RESIZE_PARTITION,
        flags: 0,
        data_length: size_of::<Place>() as libc::c_int,
        data: place,
    };
    // SAFETY: BLKPG reads one `struct blkpg_ioctl_arg`, and through it `data_length` bytes of `struct
    // blkpg_partition`; both are laid out as in linux/blkpg.h and outlive the call, which writes nothing back. A file
    // that is no block device answers ENOTTY and reads nothing.
    unsafe { ioctl::ioctl(disk, Setter::<BLKPG, Argument>::new(argument)) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_linux_blkpg_h() {
        assert_eq!(size_of::<Place>(), 152);
        assert_eq!(size_of::<Argument>(), 24);
    }

    #[test]
    fn what_is_no_disk_refuses() {
        let file = File::open("/dev/null").unwrap();
        let place = Place {
            start: 0,
            length: 512,
            number: 1,
            device_name: [0; 64],
            volume_name: [0; 64],
        };
        assert!(resize(&file, &place).is_err());
    }
}
