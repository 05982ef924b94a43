//! EFI variables through efivarfs.
//!
//! Written by: the firmware, systemd-boot, anybody with access to the firmware, and us. So every value
//! is untrusted: limited in length, then decoded, and what it says is only a hint until something
//! signed agrees. An absent variable is told from one that cannot be read.
//!
//! An efivarfs file is a 4-byte little-endian attribute word followed by the value (kernel:
//! Documentation/filesystems/efivarfs.rst). Files are immutable unless on the kernel's short list; the
//! flag is cleared for a write or a removal.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::IFlags;
use rustix::io::Errno;

use crate::bounded::{self, ReadError};

mod loader;

pub use loader::{LoaderStringError, SecureBoot, SetupMode, decode_utf16, encode_utf16};

/// `EFI_VARIABLE_NON_VOLATILE` (UEFI 2.10, 8.2.1).
pub const NON_VOLATILE: u32 = 1;
/// `EFI_VARIABLE_BOOTSERVICE_ACCESS`.
pub const BOOT_SERVICE_ACCESS: u32 = 2;
/// `EFI_VARIABLE_RUNTIME_ACCESS`.
pub const RUNTIME_ACCESS: u32 = 4;
/// Attributes of a variable that outlives a reset and that the running system can read.
pub const PERSISTENT: u32 = NON_VOLATILE | BOOT_SERVICE_ACCESS | RUNTIME_ACCESS;

/// systemd's vendor GUID for `Loader…` and `Stub…` variables (Boot Loader Interface).
pub const LOADER: VendorGuid = VendorGuid("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f");
/// `EFI_GLOBAL_VARIABLE` (UEFI 2.10, 3.3).
pub const GLOBAL: VendorGuid = VendorGuid("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// Vendor of Bennu's own variables.
pub const BENNU: VendorGuid = VendorGuid("b5a7c1f2-0d4e-4f0c-9d55-6e62656e6e75");

/// Longest variable name in characters that we use.
const NAME_LIMIT: usize = 128;

/// Why an EFI variable could not be read, written or deleted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum EfiVarError {
    #[error("EFI variable name {name:?} refused: expected 1 to {NAME_LIMIT} of [A-Za-z0-9_]")]
    BadName { name: String },
    #[error("cannot read EFI variable {name}: {source}")]
    Read { name: String, source: ReadError },
    #[error("EFI variable {name} has {found} bytes, expected at least the 4 of its attributes")]
    NoAttributes { name: String, found: usize },
    #[error("value for EFI variable {name} has {found} bytes, at most {limit} are allowed")]
    ValueTooLong {
        name: String,
        found: usize,
        limit: usize,
    },
    #[error("cannot clear the immutable flag of EFI variable {name}: {source}")]
    ClearImmutable { name: String, source: io::Error },
    #[error("cannot open EFI variable {name} for writing: {source}")]
    OpenForWriting { name: String, source: io::Error },
    #[error("cannot write EFI variable {name}: {source}")]
    Write { name: String, source: io::Error },
    #[error("EFI variable {name} was written in part: {written} of {length} bytes")]
    ShortWrite {
        name: String,
        written: usize,
        length: usize,
    },
    #[error("cannot delete EFI variable {name}: {source}")]
    Delete { name: String, source: io::Error },
    #[error("EFI variable {name} is malformed: {source}")]
    Text { name: String, source: LoaderStringError },
    #[error("EFI variable {name} has {found:?} as its value, expected one byte, 0 or 1")]
    Flag { name: String, found: Vec<u8> },
    #[error("EFI variable {name} does not hold a GUID: {text:?}")]
    NotAGuid { name: String, text: String },
}

/// A vendor GUID in lower-case text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorGuid(&'static str);

impl fmt::Display for VendorGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A variable's attributes and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Bits of UEFI 2.10, 8.2.1.
    pub attributes: u32,
    /// The value, without attributes.
    pub value: Vec<u8>,
}

impl Variable {
    /// Splits the bytes of an efivarfs file; none if there are fewer than 4.
    #[must_use]
    pub fn decode(file: &[u8]) -> Option<Self> {
        let (attributes, value) = file.split_first_chunk::<4>()?;
        Some(Self {
            attributes: u32::from_le_bytes(*attributes),
            value: value.to_vec(),
        })
    }

    /// The bytes to write to an efivarfs file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&self.attributes.to_le_bytes(), self.value.as_slice()].concat()
    }
}

/// A mounted efivarfs.
#[derive(Debug, Clone)]
pub struct EfiVars(PathBuf);

impl Default for EfiVars {
    fn default() -> Self {
        Self(PathBuf::from("/sys/firmware/efi/efivars"))
    }
}

impl EfiVars {
    /// An efivarfs that is mounted elsewhere, or a directory in a test.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    fn path(&self, vendor: VendorGuid, name: &str) -> Result<PathBuf, EfiVarError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(plain) {
            return Ok(self.0.join(format!("{name}-{vendor}")));
        }
        Err(EfiVarError::BadName {
            name: name.chars().take(NAME_LIMIT).collect(),
        })
    }

    /// Reads a variable whose value has at most `limit` bytes; none only if it does not exist.
    ///
    /// # Errors
    /// [`EfiVarError::Read`] (also for a longer value), [`EfiVarError::NoAttributes`].
    pub fn read(
        &self,
        vendor: VendorGuid,
        name: &str,
        limit: usize,
    ) -> Result<Option<Variable>, EfiVarError> {
        let path = self.path(vendor, name)?;
        let bytes = match bounded::read(&path, limit.saturating_add(4)) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(source) => {
                return Err(EfiVarError::Read {
                    name: name.to_owned(),
                    source,
                });
            }
        };
        match Variable::decode(&bytes) {
            Some(variable) => Ok(Some(variable)),
            None => Err(EfiVarError::NoAttributes {
                name: name.to_owned(),
                found: bytes.len(),
            }),
        }
    }

    /// Creates or replaces a variable, whose value may have at most `limit` bytes. The kernel takes
    /// attributes and value in one write, or nothing.
    ///
    /// # Errors
    /// [`EfiVarError`]; after `Write` the variable is as it was before.
    pub fn write(
        &self,
        vendor: VendorGuid,
        name: &str,
        variable: &Variable,
        limit: usize,
    ) -> Result<(), EfiVarError> {
        let path = self.path(vendor, name)?;
        let length = variable.value.len();
        if length > limit {
            return Err(EfiVarError::ValueTooLong {
                name: name.to_owned(),
                found: length,
                limit,
            });
        }
        clear_immutable(&path, name)?;
        let open_error = |source| EfiVarError::OpenForWriting {
            name: name.to_owned(),
            source,
        };
        let mut options = File::options();
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&path).map_err(open_error)?;
        let bytes = variable.encode();
        let written = file.write(&bytes).map_err(|source| EfiVarError::Write {
            name: name.to_owned(),
            source,
        })?;
        if written != bytes.len() {
            return Err(EfiVarError::ShortWrite {
                name: name.to_owned(),
                written,
                length: bytes.len(),
            });
        }
        Ok(())
    }

    /// Deletes a variable; false if there was none.
    ///
    /// # Errors
    /// [`EfiVarError::ClearImmutable`], [`EfiVarError::Delete`].
    pub fn delete(&self, vendor: VendorGuid, name: &str) -> Result<bool, EfiVarError> {
        let path = self.path(vendor, name)?;
        clear_immutable(&path, name)?;
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(EfiVarError::Delete {
                name: name.to_owned(),
                source,
            }),
        }
    }
}

/// Clears the immutable flag of a variable's file, if there are both.
fn clear_immutable(path: &Path, name: &str) -> Result<(), EfiVarError> {
    let failed = |source: io::Error| EfiVarError::ClearImmutable {
        name: name.to_owned(),
        source,
    };
    let file = match File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let flags = match rustix::fs::ioctl_getflags(&file) {
        Ok(flags) => flags,
        // A file system without inode flags has no immutable files.
        Err(Errno::NOTTY | Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(failed(errno.into())),
    };
    if flags.contains(IFlags::IMMUTABLE) {
        rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE).map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}
