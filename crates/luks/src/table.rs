//! The device-mapper table of the opened volume: from the template's constants, never from the header.
//!
//! The line is meant to be the one of `cryptsetup open` for this template: `aes-xts-plain64 <key> 0 <device> 32768 1
//! sector_size:4096`. Linux 6.12 takes it (stories of the state volume, key from the keyring); what `cryptsetup open`
//! loads in a kernel has not been compared with it. There is no `iv_large_sectors`
//! (cryptsetup sets it for BitLocker and on demand for plain devices, not for LUKS2: the IV counts 512-byte sectors)
//! and no `allow_discards`. Source: kernel `Documentation/admin-guide/device-mapper/dm-crypt.rst`; cryptsetup
//! `lib/libdevmapper.c`.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::header::VerifiedHeader;
use crate::key::VolumeKey;
use crate::mac::HeaderKeys;
use crate::template::{ENCRYPTION, SEGMENT_OFFSET_BYTES, SEGMENT_SECTOR_BYTES, VOLUME_KEY_BYTES};

/// Bytes of device-mapper's sectors, whatever the device's.
const DM_SECTOR_BYTES: u64 = 512;
/// Length of a device's number at most, `4294967295:4294967295`.
const MAX_DEVICE_BYTES: usize = 21;

/// Why no table was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The key is another volume's.
    #[error("make dm-crypt table: the volume key is not the one that verified this header")]
    OtherKey,
    /// Not a description of a logon key.
    #[error("make dm-crypt table: expected a key description as prefix:name, found {found:?}")]
    Description {
        /// Found.
        found: String,
    },
    /// Not `major:minor`.
    #[error("make dm-crypt table: expected a device as major:minor, found {found:?}")]
    Device {
        /// Found.
        found: String,
    },
    /// No room behind the header.
    #[error(
        "make dm-crypt table: expected a device of at least {least} bytes, found {found}; enlarge the partition"
    )]
    DeviceTooSmall {
        /// Header and one sector, in bytes.
        least: u64,
        /// Bytes of the device.
        found: u64,
    },
    /// The last sector would be cut; cryptsetup refuses that, too.
    #[error(
        "make dm-crypt table: expected a device of a multiple of 4096 bytes, found {found}; align the partition"
    )]
    DeviceNotAligned {
        /// Bytes of the device.
        found: u64,
    },
}

/// One line of a table. Its parameters hold the key: no Debug, zeroised.
pub struct DmCryptTable {
    length_sectors512: u64,
    parameters: Zeroizing<String>,
}

impl DmCryptTable {
    /// Name of the target.
    pub const TARGET: &'static str = "crypt";

    /// Length in sectors of 512 bytes.
    pub fn length_sectors512(&self) -> u64 {
        self.length_sectors512
    }

    /// Parameters of the target, with the key in hexadecimal digits.
    pub fn parameters(&self) -> &Zeroizing<String> {
        &self.parameters
    }
}

impl VerifiedHeader {
    /// The table for `device` (`major:minor`) of `device_bytes` bytes, with the key in it.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn dm_crypt_table(
        &self,
        key: &VolumeKey,
        device: &str,
        device_bytes: u64,
    ) -> Result<DmCryptTable, TableError> {
        if !self.keys.same(&HeaderKeys::of(key)) {
            return Err(TableError::OtherKey);
        }
        table(hex_digits(key).as_slice(), device, device_bytes)
    }

    /// The same with the key taken from the kernel's keyring, where the caller has put it as a logon key under
    /// `description`: printable ASCII without blanks, with a prefix before a `:`. Nothing in it is secret.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn dm_crypt_table_by_keyring(
        &self,
        description: &str,
        device: &str,
        device_bytes: u64,
    ) -> Result<DmCryptTable, TableError> {
        let is_plain = description.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain || description.find(':').is_none_or(|at| at == 0) {
            return Err(TableError::Description {
                found: crate::error::shown(description),
            });
        }
        let key = format!(":{VOLUME_KEY_BYTES}:logon:{description}");
        table(key.as_bytes(), device, device_bytes)
    }
}

fn table(key: &[u8], device: &str, device_bytes: u64) -> Result<DmCryptTable, TableError> {
    if !is_device_number(device) {
        return Err(TableError::Device {
            found: crate::error::shown(device),
        });
    }
    let least = SEGMENT_OFFSET_BYTES + SEGMENT_SECTOR_BYTES;
    if device_bytes < least {
        let found = device_bytes;
        return Err(TableError::DeviceTooSmall { least, found });
    }
    if !device_bytes.is_multiple_of(SEGMENT_SECTOR_BYTES) {
        return Err(TableError::DeviceNotAligned { found: device_bytes });
    }
    Ok(DmCryptTable {
        length_sectors512: (device_bytes - SEGMENT_OFFSET_BYTES) / DM_SECTOR_BYTES,
        parameters: parameters(key, device),
    })
}

fn hex_digits(key: &VolumeKey) -> Zeroizing<[u8; 2 * VOLUME_KEY_BYTES]> {
    let mut digits = Zeroizing::new([0; 2 * VOLUME_KEY_BYTES]);
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(key.as_bytes()) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    digits
}

fn parameters(key: &[u8], device: &str) -> Zeroizing<String> {
    // Never reallocated, or a copy of the key would stay behind.
    let mut line = Zeroizing::new(String::with_capacity(512));
    line.push_str(ENCRYPTION);
    line.push(' ');
    line.extend(key.iter().map(|&byte| char::from(byte)));
    let start = SEGMENT_OFFSET_BYTES / DM_SECTOR_BYTES;
    // Writing to a String does not fail.
    let written = write!(line, " 0 {device} {start} 1 sector_size:{SEGMENT_SECTOR_BYTES}");
    debug_assert!(written.is_ok());
    line
}

fn digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

fn is_device_number(text: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= MAX_DEVICE_BYTES
        && text
            .split_once(':')
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}
