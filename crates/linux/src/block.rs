//! Block devices as sysfs shows them, and their nodes in `/dev`.
//!
//! Written by: the kernel. Read by: `bennu-init` (finding the boot disk's partitions) and `bennud`
//! (naming the devices that it guards). Partition GUIDs are not in sysfs on the kernels that we
//! support (6.1, 6.12): callers read the GPT themselves. A device that vanishes while it is being
//! looked at is left out; anything else unexpected is an error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bounded::{self, ReadError};
use crate::time;

mod node;
mod resize;

pub use node::{OpenMode, ensure_node};

/// Longest sysfs attribute that is read here: one page.
const ATTRIBUTE_LIMIT: usize = 4096;
/// Most block devices that are looked at. A machine with more is refused, not searched in part.
const DEVICES_LIMIT: usize = 4096;
/// Pause between two looks while waiting for a device.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Why a block device could not be found or opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum BlockError {
    #[error("cannot list block devices in {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("more than {limit} block devices in {path}; detach disks that are not needed")]
    TooMany { path: PathBuf, limit: usize },
    #[error("cannot resolve sysfs entry of block device {name}: {source}")]
    Resolve { name: String, source: io::Error },
    #[error("cannot read attribute {attribute} of block device {name}: {source}")]
    Attribute {
        name: String,
        attribute: &'static str,
        source: ReadError,
    },
    #[error("attribute {attribute} of block device {name} reads {text:?}, expected {expected}")]
    Malformed {
        name: String,
        attribute: &'static str,
        text: String,
        expected: &'static str,
    },
    #[error("block device {name:?} refused: not a plain device name")]
    BadName { name: String },
    #[error("cannot look at {path}: {source}")]
    Stat { path: PathBuf, source: io::Error },
    #[error("cannot make node {path} for block device {number}: {source}")]
    MakeNode {
        path: PathBuf,
        number: DeviceNumber,
        source: io::Error,
    },
    #[error("{path} is not block device {number}, found {found}")]
    WrongNode {
        path: PathBuf,
        number: DeviceNumber,
        found: String,
    },
    #[error("cannot open {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot tell the kernel that partition {name} has {sectors512} sectors: {source}")]
    Resize {
        name: String,
        sectors512: u64,
        source: io::Error,
    },
    #[error("nothing suitable appeared among the block devices within {waited_ms} ms")]
    Deadline { waited_ms: u64 },
}

/// Major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// 12 bits.
    pub major: u32,
    /// 20 bits.
    pub minor: u32,
}

impl DeviceNumber {
    /// Reads `major:minor` in decimal, as sysfs and device-mapper tables write it. Numbers above 12
    /// and 20 bits, signs, blanks and leading zeros are refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        let number = Self {
            major: decimal(major)?,
            minor: decimal(minor)?,
        };
        (number.major < 1 << 12 && number.minor < 1 << 20).then_some(number)
    }

    fn of(rdev: u64) -> Self {
        Self {
            major: rustix::fs::major(rdev),
            minor: rustix::fs::minor(rdev),
        }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Decimal digits only, no leading zero, in range.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A disk or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The kernel's name, such as `vda1`.
    pub name: String,
    /// Its number.
    pub number: DeviceNumber,
    /// Size in sectors of 512 bytes, whatever the device's own block size is.
    pub size_sectors512: u64,
    /// Read-only for the kernel.
    pub read_only: bool,
    /// True for devices without hardware behind them: loop, ram, zram, device-mapper.
    pub is_virtual: bool,
    /// What makes it a partition; none for a whole disk.
    pub partition: Option<Partition>,
}

/// A partition's place on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number in the partition table, from 1.
    pub number: u32,
    /// First sector of 512 bytes on the disk.
    pub start_sectors512: u64,
    /// The kernel's name of the disk.
    pub disk: String,
}

/// A mounted sysfs.
#[derive(Debug, Clone)]
pub struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self(PathBuf::from("/sys"))
    }
}

impl Sysfs {
    /// A sysfs that is mounted elsewhere, or a made-up one in a test.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// All disks and partitions, sorted by name.
    ///
    /// # Errors
    /// [`BlockError`]; a device that vanishes meanwhile is left out.
    pub fn block_devices(&self) -> Result<Vec<BlockDevice>, BlockError> {
        let class = self.0.join("class/block");
        let list_error = |source| BlockError::List {
            path: class.clone(),
            source,
        };
        let mut devices = Vec::new();
        for (count, entry) in std::fs::read_dir(&class).map_err(list_error)?.enumerate() {
            if count >= DEVICES_LIMIT {
                return Err(BlockError::TooMany {
                    path: class.clone(),
                    limit: DEVICES_LIMIT,
                });
            }
            let file_name = entry.map_err(list_error)?.file_name();
            let name = file_name.to_string_lossy().into_owned();
            match self.block_device(&name) {
                Ok(device) => devices.push(device),
                Err(error) if is_vanished(&error) => {}
                Err(error) => return Err(error),
            }
        }
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(devices)
    }

    /// One device by its kernel name.
    ///
    /// # Errors
    /// [`BlockError`], also if there is no such device.
    pub fn block_device(&self, name: &str) -> Result<BlockDevice, BlockError> {
        check_name(name)?;
        let link = self.0.join("class/block").join(name);
        let resolve_error = |source| BlockError::Resolve {
            name: name.to_owned(),
            source,
        };
        let place = std::fs::canonicalize(&link).map_err(resolve_error)?;
        let root = std::fs::canonicalize(&self.0).map_err(resolve_error)?;
        let attributes = Attributes { name, place: &place };
        let partition = match attributes.optional("partition")? {
            None => None,
            Some(text) => Some(attributes.partition(&text)?),
        };
        Ok(BlockDevice {
            name: name.to_owned(),
            number: attributes.number()?,
            size_sectors512: attributes.decimal("size")?,
            read_only: attributes.decimal::<u32>("ro")? != 0,
            is_virtual: place.starts_with(root.join("devices/virtual")),
            partition,
        })
    }

    /// The partitions of a disk, sorted by number.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn partitions_of(&self, disk: &str) -> Result<Vec<BlockDevice>, BlockError> {
        check_name(disk)?;
        let mut found = self.block_devices()?;
        found.retain(|device| device.partition.as_ref().is_some_and(|p| p.disk == disk));
        found.sort_by_key(|device| device.partition.as_ref().map(|p| p.number));
        Ok(found)
    }

    /// Whole disks with hardware behind them and a medium in them, sorted by name.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn disks(&self) -> Result<Vec<BlockDevice>, BlockError> {
        let mut found = self.block_devices()?;
        found.retain(|d| d.partition.is_none() && !d.is_virtual && d.size_sectors512 > 0);
        Ok(found)
    }

    /// Looks at the block devices every 10 ms until `choose` picks something from them.
    ///
    /// # Errors
    /// [`BlockError::Deadline`] when `limit` has passed; whatever `choose` or the listing gives.
    pub fn wait_for<T, E: From<BlockError>>(
        &self,
        limit: Duration,
        mut choose: impl FnMut(&[BlockDevice]) -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        let start = time::monotonic();
        loop {
            if let Some(chosen) = choose(&self.block_devices()?)? {
                return Ok(chosen);
            }
            let waited = time::monotonic().saturating_sub(start);
            if waited >= limit {
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                return Err(BlockError::Deadline { waited_ms }.into());
            }
            std::thread::sleep(POLL_INTERVAL.min(limit - waited));
        }
    }
}

fn check_name(name: &str) -> Result<(), BlockError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'!' | b'.' | b':');
    let good = (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.');
    if good {
        Ok(())
    } else {
        Err(BlockError::BadName {
            name: name.chars().take(64).collect(),
        })
    }
}

fn is_vanished(error: &BlockError) -> bool {
    match error {
        BlockError::Resolve { source, .. } => bounded::is_vanished(source),
        BlockError::Attribute { source, .. } => source.is_vanished(),
        _ => false,
    }
}

/// The attributes of one device.
struct Attributes<'a> {
    name: &'a str,
    place: &'a Path,
}

impl Attributes<'_> {
    fn text(&self, attribute: &'static str) -> Result<String, BlockError> {
        bounded::read_text(&self.place.join(attribute), ATTRIBUTE_LIMIT).map_err(|source| {
            BlockError::Attribute {
                name: self.name.to_owned(),
                attribute,
                source,
            }
        })
    }

    fn optional(&self, attribute: &'static str) -> Result<Option<String>, BlockError> {
        match self.text(attribute) {
            Ok(text) => Ok(Some(text)),
            Err(BlockError::Attribute { source, .. }) if source.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn malformed(&self, attribute: &'static str, text: &str, expected: &'static str) -> BlockError {
        let text = text.chars().take(64).collect();
        BlockError::Malformed {
            name: self.name.to_owned(),
            attribute,
            text,
            expected,
        }
    }

    fn decimal<T: std::str::FromStr>(&self, attribute: &'static str) -> Result<T, BlockError> {
        let text = self.text(attribute)?;
        decimal(&text).ok_or_else(|| self.malformed(attribute, &text, "a decimal number"))
    }

    fn number(&self) -> Result<DeviceNumber, BlockError> {
        let text = self.text("dev")?;
        DeviceNumber::parse(&text).ok_or_else(|| self.malformed("dev", &text, "major:minor"))
    }

    fn partition(&self, text: &str) -> Result<Partition, BlockError> {
        let bad_number = || self.malformed("partition", text, "a partition number from 1");
        let number = decimal(text).filter(|n| *n > 0).ok_or_else(bad_number)?;
        let disk = self
            .place
            .parent()
            .and_then(Path::file_name)
            .and_then(|n| n.to_str());
        let disk = disk.ok_or_else(|| self.malformed("partition", text, "a partition below its disk"))?;
        Ok(Partition {
            number,
            start_sectors512: self.decimal("start")?,
            disk: disk.to_owned(),
        })
    }
}
