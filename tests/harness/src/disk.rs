//! A machine's raw disk image, edited while its power is off.
//!
//! Attack stories change bytes, GPT entries and files on the ESP here, with tools that are none of the
//! product's: `sfdisk` and `sgdisk` for the table, mtools for the ESP.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::esp::Esp;
use crate::partitions::{self, Partition, PartitionRef};
use crate::tool::{self, ToolError};

/// Most that is read at once, in bytes: a test that wants more has a wrong length.
const READ_LIMIT: usize = 64 << 20;
/// Type GUID of the ESP (UEFI 2.10, table 5.7).
const ESP_TYPE: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// Why a disk could not be read or edited.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A tool is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The image cannot be opened, read or written.
    #[error("{act} {}: {source}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The image.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// sfdisk's answer is not the JSON we know.
    #[error("read sfdisk's partition listing: {0}")]
    Listing(serde_json::Error),
    /// The disk's table is of another kind.
    #[error("read the partition table: expected gpt, found {found}")]
    NotGpt {
        /// sfdisk's word for it.
        found: String,
    },
    /// A partition's node has no number.
    #[error("read sfdisk's partition listing: expected the image's name and a number, found {found:?}")]
    Node {
        /// The node.
        found: String,
    },
    /// A partition lies beyond what 64 bits of bytes can say.
    #[error("read partition {number}: {sectors} sectors are more than any disk has")]
    Sectors {
        /// Entry number.
        number: u32,
        /// Start or size, in 512-byte sectors.
        sectors: u64,
    },
    /// None or several partitions answer to the name.
    #[error("find the partition with {wanted}: expected one, found {found}")]
    NotOne {
        /// What was looked for.
        wanted: PartitionRef,
        /// How many there are.
        found: usize,
    },
    /// The range does not lie inside the partition.
    #[error("reach bytes {offset}+{length} of partition {number}: it has {bytes} bytes")]
    OutOfRange {
        /// Entry number.
        number: u32,
        /// First byte, from the partition's start.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// The partition's length in bytes.
        bytes: u64,
    },
    /// More than 64 MiB were to be read at once.
    #[error("read {length} bytes at once: read at most 67108864")]
    TooMuch {
        /// Length in bytes.
        length: usize,
    },
}

/// A raw disk image with a GPT. No guest runs on it while this is reachable through its machine.
#[derive(Debug, Clone)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// An existing image.
    ///
    /// # Errors
    /// There is none, or it is not writable.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DiskError> {
        let disk = Self { path: path.into() };
        disk.file("open disk image")?;
        Ok(disk)
    }

    /// A new, empty, sparse image of `bytes` bytes.
    ///
    /// # Errors
    /// The file exists or cannot be made.
    pub fn create(path: impl Into<PathBuf>, bytes: u64) -> Result<Self, DiskError> {
        let disk = Self { path: path.into() };
        let made = File::create_new(&disk.path).and_then(|file| file.set_len(bytes));
        made.map_err(|source| disk.io("make disk image", source))?;
        Ok(disk)
    }

    /// Where the image lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new table: `script` is sfdisk's input format.
    ///
    /// # Errors
    /// sfdisk refuses the script.
    pub fn write_table(&self, script: &str) -> Result<(), DiskError> {
        let args = ["--quiet".as_ref(), "--no-reread".as_ref(), self.path.as_os_str()];
        tool::run("sfdisk", &args, script.as_bytes())?;
        Ok(())
    }

    /// All used entries of the GPT, in entry order.
    ///
    /// # Errors
    /// No GPT, or sfdisk fails.
    pub fn partitions(&self) -> Result<Vec<Partition>, DiskError> {
        partitions::read(&self.path)
    }

    /// The one partition with this number, label or GUID.
    ///
    /// # Errors
    /// [`DiskError::NotOne`] if none or several match.
    pub fn partition(&self, wanted: impl Into<PartitionRef>) -> Result<Partition, DiskError> {
        partitions::select(self.partitions()?, &wanted.into())
    }

    /// Reads `length` bytes from byte `offset` of a partition.
    ///
    /// # Errors
    /// Out of range, or more than 64 MiB.
    pub fn read(
        &self,
        from: impl Into<PartitionRef>,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, DiskError> {
        if length > READ_LIMIT {
            return Err(DiskError::TooMuch { length });
        }
        let start = self.locate(from, offset, length)?;
        let mut bytes = vec![0; length];
        let read = self.file("open")?.read_exact_at(&mut bytes, start);
        read.map_err(|source| self.io("read", source))?;
        Ok(bytes)
    }

    /// Writes `bytes` at byte `offset` of a partition.
    ///
    /// # Errors
    /// Out of range.
    pub fn write(&self, to: impl Into<PartitionRef>, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let start = self.locate(to, offset, bytes.len())?;
        self.file("open")?
            .write_all_at(bytes, start)
            .map_err(|source| self.io("write", source))
    }

    /// Inverts all bits of one byte; returns what it was and what it is.
    ///
    /// # Errors
    /// Out of range.
    pub fn flip_byte(&self, of: impl Into<PartitionRef>, offset: u64) -> Result<(u8, u8), DiskError> {
        let partition = of.into();
        let before = self.read(partition.clone(), offset, 1)?[0];
        self.write(partition, offset, &[!before])?;
        Ok((before, !before))
    }

    /// Exchanges the GPT entries (numbers) of two partitions; their content, labels and GUIDs stay with them.
    ///
    /// # Errors
    /// One of them does not exist, or sgdisk fails.
    pub fn swap_entries(
        &self,
        a: impl Into<PartitionRef>,
        b: impl Into<PartitionRef>,
    ) -> Result<(), DiskError> {
        let (a, b) = (self.partition(a)?.number, self.partition(b)?.number);
        self.sgdisk(format!("--transpose={a}:{b}"))
    }

    /// Gives a partition another label.
    ///
    /// # Errors
    /// It does not exist, or sgdisk fails.
    pub fn set_label(&self, of: impl Into<PartitionRef>, label: &str) -> Result<(), DiskError> {
        let number = self.partition(of)?.number;
        self.sgdisk(format!("--change-name={number}:{label}"))
    }

    /// Gives a partition another GUID, an already used one too.
    ///
    /// # Errors
    /// It does not exist, or sgdisk fails.
    pub fn set_uuid(&self, of: impl Into<PartitionRef>, uuid: &str) -> Result<(), DiskError> {
        let number = self.partition(of)?.number;
        self.sgdisk(format!("--partition-guid={number}:{uuid}"))
    }

    /// The files on the disk's one ESP.
    ///
    /// # Errors
    /// The disk has none or several.
    pub fn esp(&self) -> Result<Esp<'_>, DiskError> {
        let all = self.partitions()?;
        let numbers: Vec<u32> = all
            .iter()
            .filter(|entry| entry.type_guid.eq_ignore_ascii_case(ESP_TYPE))
            .map(|entry| entry.number)
            .collect();
        match numbers[..] {
            [number] => Ok(Esp::new(self, partitions::select(all, &number.into())?)),
            _ => Err(DiskError::NotOne {
                wanted: "esp".into(),
                found: numbers.len(),
            }),
        }
    }

    /// Bytes of the whole disk that are `length` bytes from byte `offset` of a partition, for a
    /// [`crate::disk_rig::DiskFault`].
    ///
    /// # Errors
    /// Out of range.
    pub fn range(
        &self,
        of: impl Into<PartitionRef>,
        offset: u64,
        length: usize,
    ) -> Result<std::ops::Range<u64>, DiskError> {
        let start = self.locate(of, offset, length)?;
        Ok(start..start + length as u64)
    }

    /// Byte on the disk where the range begins, once it is known to lie inside the partition.
    fn locate(&self, wanted: impl Into<PartitionRef>, offset: u64, length: usize) -> Result<u64, DiskError> {
        let Partition {
            number, start, bytes, ..
        } = self.partition(wanted)?;
        let length = length as u64;
        match offset.checked_add(length) {
            Some(end) if end <= bytes => Ok(start + offset),
            _ => Err(DiskError::OutOfRange {
                number,
                offset,
                length,
                bytes,
            }),
        }
    }

    fn sgdisk(&self, act: String) -> Result<(), DiskError> {
        tool::run("sgdisk", &[act.as_ref(), self.path.as_os_str()], &[])?;
        Ok(())
    }

    fn file(&self, act: &'static str) -> Result<File, DiskError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|source| self.io(act, source))
    }

    fn io(&self, act: &'static str, source: io::Error) -> DiskError {
        DiskError::Io {
            act,
            path: self.path.clone(),
            source,
        }
    }
}
