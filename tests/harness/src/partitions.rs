//! A disk's GPT as an outside judge, `sfdisk`, reads it.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::disk::DiskError;
use crate::tool;

/// Sector size of every disk here, in bytes: virtio-blk's default, and sfdisk's on a plain file.
pub const SECTOR: u64 = 512;

/// Names one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionRef {
    /// Entry number in the GPT, from 1.
    Number(u32),
    /// Label; an error if several have it.
    Label(String),
    /// Partition GUID in any case; an error if several have it.
    Uuid(String),
}

impl From<u32> for PartitionRef {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for PartitionRef {
    fn from(label: &str) -> Self {
        Self::Label(label.to_owned())
    }
}

impl fmt::Display for PartitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "number {number}"),
            Self::Label(label) => write!(f, "label {label:?}"),
            Self::Uuid(uuid) => write!(f, "GUID {uuid}"),
        }
    }
}

/// One used GPT entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Entry number, from 1.
    pub number: u32,
    /// Label, empty if none.
    pub label: String,
    /// Type GUID, upper case.
    pub type_guid: String,
    /// Partition GUID, upper case.
    pub uuid: String,
    /// Attributes in sfdisk's words, empty if none.
    pub attributes: String,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Listing {
    partitiontable: Table,
}

#[derive(Debug, Deserialize)]
struct Table {
    label: String,
    device: String,
    #[serde(default)]
    partitions: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    node: String,
    start: u64,
    size: u64,
    #[serde(rename = "type")]
    type_guid: String,
    /// Absent in a table that is no GPT.
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    attrs: String,
}

/// Reads the table of the disk image at `path`, in entry order.
pub(crate) fn read(path: &Path) -> Result<Vec<Partition>, DiskError> {
    let output = tool::run("sfdisk", &["--json".as_ref(), path.as_os_str()], &[])?;
    let listing: Listing = serde_json::from_slice(&output).map_err(DiskError::Listing)?;
    let table = listing.partitiontable;
    if table.label != "gpt" {
        return Err(DiskError::NotGpt { found: table.label });
    }
    table
        .partitions
        .into_iter()
        .map(|entry| partition(&table.device, entry))
        .collect()
}

fn partition(device: &str, entry: Entry) -> Result<Partition, DiskError> {
    // `disk.raw3`; `disk0p3` when the image's name ends in a digit.
    let digits = entry
        .node
        .strip_prefix(device)
        .map(|rest| rest.trim_start_matches('p'));
    let number = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(DiskError::Node { found: entry.node })?;
    let bytes_of = |sectors: u64| {
        sectors
            .checked_mul(SECTOR)
            .ok_or(DiskError::Sectors { number, sectors })
    };
    Ok(Partition {
        number,
        label: entry.name,
        type_guid: entry.type_guid,
        uuid: entry.uuid,
        attributes: entry.attrs,
        start: bytes_of(entry.start)?,
        bytes: bytes_of(entry.size)?,
    })
}

/// The one partition that `wanted` names.
pub(crate) fn select(partitions: Vec<Partition>, wanted: &PartitionRef) -> Result<Partition, DiskError> {
    let matches = |partition: &Partition| match wanted {
        PartitionRef::Number(number) => partition.number == *number,
        PartitionRef::Label(label) => partition.label == *label,
        PartitionRef::Uuid(uuid) => partition.uuid.eq_ignore_ascii_case(uuid),
    };
    let mut found: Vec<Partition> = partitions.into_iter().filter(matches).collect();
    match (found.pop(), found.len()) {
        (Some(partition), 0) => Ok(partition),
        (last, others) => Err(DiskError::NotOne {
            wanted: wanted.clone(),
            found: others + usize::from(last.is_some()),
        }),
    }
}
