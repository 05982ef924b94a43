//! The device-mapper table of a verity device: made by us, and read back from the kernel.
//!
//! bennu-init makes the table from the signed manifest, loads it, reads it back and compares. The text form is the
//! one of `dmsetup table`: `0 <sectors> verity 1 <data> <hash> 4096 4096 <blocks> <start> sha256 <root> <salt>
//! [<count> <option>…]`. Source: kernel `Documentation/admin-guide/device-mapper/verity.rst`; the order of options
//! is that of `verity_status()` in `drivers/md/dm-verity-target.c`.

use std::fmt;
use std::str::FromStr;

use crate::{BLOCK_BYTES, DM_SECTOR_BYTES, ParamsError, RootHash, RootHashParseError, Salt, VerityParams};

/// A block device's number, printed `major:minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DeviceNumber {
    type Err = TableError;

    fn from_str(text: &str) -> Result<Self, TableError> {
        let refused = || TableError::Device {
            found: text.to_owned(),
        };
        let (major, minor) = text.split_once(':').ok_or_else(refused)?;
        let number = |digits: &str| -> Result<u32, TableError> {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(refused());
            }
            digits.parse().map_err(|_| refused())
        };
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// Description of the kernel key that holds a root hash signature; one word of printable ASCII, 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDescription(String);

impl KeyDescription {
    /// Refuses anything that would be more than one word of a table, or a backslash (device-mapper's escape).
    pub fn new(text: impl Into<String>) -> Result<Self, TableError> {
        let text = text.into();
        let word = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if text.is_empty() || text.len() > 255 || !word {
            return Err(TableError::KeyDescription);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Optional parameters of the target. There is no `check_at_most_once`: it would let a block change after its first
/// read. Sorted as the kernel prints them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerityOption {
    /// `ignore_corruption`: the kernel logs bad blocks and hands them out. For experiments only.
    DangerouslyIgnoreCorruption,
    /// `restart_on_corruption`: reboot at the first bad block.
    RestartOnCorruption,
    /// `panic_on_corruption`: panic at the first bad block.
    PanicOnCorruption,
    /// `restart_on_error`: reboot at the first I/O error (kernel 6.12 and later).
    RestartOnError,
    /// `panic_on_error`: panic at the first I/O error (kernel 6.12 and later).
    PanicOnError,
    /// `ignore_zero_blocks`: blocks whose digest is that of zeros are not read.
    IgnoreZeroBlocks,
    /// `root_hash_sig_key_desc <key>`: the kernel checks a PKCS#7 signature of the root hash (kernel 5.4 and later).
    RootHashSigKeyDesc(KeyDescription),
}

impl VerityOption {
    /// The option's word in a table.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::DangerouslyIgnoreCorruption => "ignore_corruption",
            Self::RestartOnCorruption => "restart_on_corruption",
            Self::PanicOnCorruption => "panic_on_corruption",
            Self::RestartOnError => "restart_on_error",
            Self::PanicOnError => "panic_on_error",
            Self::IgnoreZeroBlocks => "ignore_zero_blocks",
            Self::RootHashSigKeyDesc(_) => "root_hash_sig_key_desc",
        }
    }

    /// Options of one group exclude each other.
    fn group(&self) -> u8 {
        match self {
            Self::DangerouslyIgnoreCorruption | Self::RestartOnCorruption | Self::PanicOnCorruption => 0,
            Self::RestartOnError | Self::PanicOnError => 1,
            Self::IgnoreZeroBlocks => 2,
            Self::RootHashSigKeyDesc(_) => 3,
        }
    }
}

/// Why text is not a verity table of ours, or why a table cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TableError {
    /// Longer than 4096 bytes or more than one line.
    #[error("parse verity table: expected one line of at most 4096 bytes")]
    Line,
    /// The line ends before this field.
    #[error("parse verity table: no {field}")]
    Missing {
        /// Name of the field.
        field: &'static str,
    },
    /// A field that must be a decimal number.
    #[error("parse verity table: {field} is not a number: {found:?}")]
    Number {
        /// Name of the field.
        field: &'static str,
        /// Text found.
        found: String,
    },
    /// A field with only one supported value has another one.
    #[error("parse verity table: {field} is {found:?}; expected {expected:?}")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// Text found.
        found: String,
        /// The only value supported.
        expected: &'static str,
    },
    /// Not `major:minor`.
    #[error("parse verity table: device {found:?}; expected major:minor")]
    Device {
        /// Text found.
        found: String,
    },
    /// Not a root hash.
    #[error("parse verity table: {0}")]
    RootHash(#[from] RootHashParseError),
    /// The salt is not hex.
    #[error("parse verity table: salt is not hex: {0}")]
    Salt(hex::FromHexError),
    /// Salt too long, or a number of blocks that has no tree.
    #[error("parse verity table: {0}")]
    Params(#[from] ParamsError),
    /// The mapped size is not the data's.
    #[error("parse verity table: {sectors} sectors mapped, {expected} sectors of data")]
    Sectors {
        /// Sectors of 512 bytes that the line maps.
        sectors: u64,
        /// Sectors of 512 bytes that the data blocks have.
        expected: u64,
    },
    /// An option we never use.
    #[error("parse verity table: option {found:?} is not one that we set")]
    UnknownOption {
        /// The word.
        found: String,
    },
    /// The count before the options is not their number of words.
    #[error("parse verity table: {count} option words announced, {found} found")]
    OptionCount {
        /// Words announced.
        count: u64,
        /// Words found.
        found: usize,
    },
    /// Two options that exclude each other, or one twice.
    #[error("make verity table: options {first} and {second} exclude each other")]
    Conflict {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Not one word of printable ASCII.
    #[error("make verity table: a key description is one word of 1 to 255 printable ASCII characters")]
    KeyDescription,
}

/// Where the kernel's table differs from the one expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableMismatch {
    /// Another data device.
    #[error("compare verity table: data device: expected {expected}, found {found}")]
    DataDevice {
        /// Expected.
        expected: DeviceNumber,
        /// Found.
        found: DeviceNumber,
    },
    /// Another hash device.
    #[error("compare verity table: hash device: expected {expected}, found {found}")]
    HashDevice {
        /// Expected.
        expected: DeviceNumber,
        /// Found.
        found: DeviceNumber,
    },
    /// Another number of data blocks.
    #[error("compare verity table: data blocks: expected {expected}, found {found}")]
    DataBlocks {
        /// Expected.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// The tree starts elsewhere.
    #[error("compare verity table: hash start block: expected {expected}, found {found}")]
    HashStartBlock {
        /// Expected.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// Another root hash.
    #[error("compare verity table: root hash: expected {expected}, found {found}")]
    RootHash {
        /// Expected.
        expected: RootHash,
        /// Found.
        found: RootHash,
    },
    /// Another salt.
    #[error("compare verity table: salt: expected {expected}, found {found}")]
    Salt {
        /// Expected.
        expected: Salt,
        /// Found.
        found: Salt,
    },
    /// Other options.
    #[error("compare verity table: options: expected {expected:?}, found {found:?}")]
    Options {
        /// Expected, in the kernel's order.
        expected: Vec<VerityOption>,
        /// Found, in the kernel's order.
        found: Vec<VerityOption>,
    },
}

/// One verity target that maps all its data from sector 0 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityTable {
    pub(crate) data_device: DeviceNumber,
    pub(crate) hash_device: DeviceNumber,
    pub(crate) data_blocks: u64,
    pub(crate) hash_start_block: u64,
    pub(crate) root_hash: RootHash,
    pub(crate) salt: Salt,
    pub(crate) options: Vec<VerityOption>,
}

impl VerityTable {
    /// Name of the target, for the device-mapper ioctl.
    pub const TARGET: &'static str = "verity";

    /// The table for these parameters. Options may come in any order.
    pub fn new(
        params: &VerityParams,
        data_device: DeviceNumber,
        hash_device: DeviceNumber,
        root_hash: RootHash,
        options: &[VerityOption],
    ) -> Result<Self, TableError> {
        Ok(Self {
            data_device,
            hash_device,
            data_blocks: params.data_blocks(),
            hash_start_block: params.hash_area().hash_start_block(),
            root_hash,
            salt: params.salt().clone(),
            options: sorted_options(options.to_vec())?,
        })
    }

    /// Sectors of 512 bytes that the target maps.
    pub fn sectors(&self) -> u64 {
        self.data_blocks * (BLOCK_BYTES as u64 / DM_SECTOR_BYTES)
    }

    /// The options, in the kernel's order.
    pub fn options(&self) -> &[VerityOption] {
        &self.options
    }

    /// The root hash.
    pub fn root_hash(&self) -> &RootHash {
        &self.root_hash
    }

    /// Parameters of the target: the line without start, length and target name.
    pub fn params(&self) -> String {
        let mut line = format!(
            "1 {} {} {BLOCK_BYTES} {BLOCK_BYTES} {} {} sha256 {} {}",
            self.data_device,
            self.hash_device,
            self.data_blocks,
            self.hash_start_block,
            self.root_hash,
            self.salt
        );
        let mut words = Vec::new();
        for option in &self.options {
            words.push(option.keyword());
            if let VerityOption::RootHashSigKeyDesc(key) = option {
                words.push(key.as_str());
            }
        }
        if !words.is_empty() {
            line.push_str(&format!(" {} {}", words.len(), words.join(" ")));
        }
        line
    }

    /// Compares with what the kernel has; the first difference is the error.
    pub fn expect(&self, found: &Self) -> Result<(), TableMismatch> {
        if self.data_device != found.data_device {
            let (expected, found) = (self.data_device, found.data_device);
            return Err(TableMismatch::DataDevice { expected, found });
        }
        if self.hash_device != found.hash_device {
            let (expected, found) = (self.hash_device, found.hash_device);
            return Err(TableMismatch::HashDevice { expected, found });
        }
        if self.data_blocks != found.data_blocks {
            let (expected, found) = (self.data_blocks, found.data_blocks);
            return Err(TableMismatch::DataBlocks { expected, found });
        }
        if self.hash_start_block != found.hash_start_block {
            let (expected, found) = (self.hash_start_block, found.hash_start_block);
            return Err(TableMismatch::HashStartBlock { expected, found });
        }
        if self.root_hash != found.root_hash {
            let (expected, found) = (self.root_hash, found.root_hash);
            return Err(TableMismatch::RootHash { expected, found });
        }
        if self.salt != found.salt {
            let (expected, found) = (self.salt.clone(), found.salt.clone());
            return Err(TableMismatch::Salt { expected, found });
        }
        if self.options != found.options {
            let (expected, found) = (self.options.clone(), found.options.clone());
            return Err(TableMismatch::Options { expected, found });
        }
        Ok(())
    }
}

/// The whole line, as `dmsetup table` prints it.
impl fmt::Display for VerityTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0 {} {} {}", self.sectors(), Self::TARGET, self.params())
    }
}

/// The line for `dmsetup create --table`: [`VerityTable::new`], printed.
pub fn table(
    params: &VerityParams,
    data_device: DeviceNumber,
    hash_device: DeviceNumber,
    root_hash: RootHash,
    options: &[VerityOption],
) -> Result<String, TableError> {
    Ok(VerityTable::new(params, data_device, hash_device, root_hash, options)?.to_string())
}

/// Brings options into the kernel's order; refuses two of one group.
pub(crate) fn sorted_options(mut options: Vec<VerityOption>) -> Result<Vec<VerityOption>, TableError> {
    options.sort();
    for pair in options.windows(2) {
        if pair[0].group() == pair[1].group() {
            return Err(TableError::Conflict {
                first: pair[0].keyword(),
                second: pair[1].keyword(),
            });
        }
    }
    Ok(options)
}
