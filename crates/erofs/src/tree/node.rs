//! What a tree is made of: nodes, their metadata and kinds.

use std::collections::BTreeMap;

use super::{Content, TreeError, XATTR_BODY_MAX, XATTR_VALUE_MAX};
use crate::ondisk::{FileType, XATTR_ENTRY_LEN, XATTR_HEADER_LEN, split_xattr_name};

/// Extended attributes by full name (`security.capability`).
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Identity of a node within its tree. Two names with one id are hard links of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Permission bits with setuid, setgid and sticky (`0o7777`); the file type is the node's [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(u16);

impl Mode {
    /// Keeps the low twelve bits of `bits` and drops the rest, such as file type bits.
    pub const fn new(bits: u32) -> Self {
        Self((bits & 0o7777) as u16)
    }

    /// The twelve bits.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

/// A point in time: seconds since 1970 (negative before it) plus nanoseconds below 1 000 000 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds, 0–999 999 999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// A whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }
}

/// What an inode carries besides its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Metadata {
    /// Owned by root:root, without xattrs.
    pub fn root_owned(mode: u32, mtime: Timestamp) -> Self {
        Self {
            mode: Mode::new(mode),
            uid: 0,
            gid: 0,
            mtime,
            xattrs: Xattrs::new(),
        }
    }

    /// Refuses what an EROFS inode cannot hold.
    pub(crate) fn check(&self) -> Result<(), TreeError> {
        if self.mtime.nanoseconds >= 1_000_000_000 {
            return Err(TreeError::Nanoseconds {
                found: self.mtime.nanoseconds,
            });
        }
        let mut body = XATTR_HEADER_LEN;
        for (name, value) in &self.xattrs {
            let (_, rest) = split_xattr_name(name).ok_or_else(|| TreeError::XattrName {
                name: name.escape_ascii().to_string(),
            })?;
            if value.len() > XATTR_VALUE_MAX {
                return Err(TreeError::XattrValue {
                    name: name.escape_ascii().to_string(),
                    found: value.len(),
                });
            }
            body += (XATTR_ENTRY_LEN + rest.len() + value.len()).next_multiple_of(XATTR_ENTRY_LEN);
        }
        if body > XATTR_BODY_MAX {
            return Err(TreeError::XattrTotal { found: body });
        }
        Ok(())
    }
}

/// Number of a device node, within what Linux encodes in 32 bits: 12 bits major, 20 bits minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    major: u32,
    minor: u32,
}

impl Device {
    /// # Errors
    /// [`TreeError::DeviceNumber`] when major exceeds 4095 or minor 1 048 575.
    pub fn new(major: u32, minor: u32) -> Result<Self, TreeError> {
        if major > 0xfff || minor > 0xf_ffff {
            return Err(TreeError::DeviceNumber { major, minor });
        }
        Ok(Self { major, minor })
    }

    /// Major number.
    pub fn major(self) -> u32 {
        self.major
    }

    /// Minor number.
    pub fn minor(self) -> u32 {
        self.minor
    }
}

/// Names in a directory, ordered bytewise. `.` and `..` are not among them.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub(super) entries: BTreeMap<Vec<u8>, NodeId>,
}

impl Directory {
    /// Names and what they lead to, ordered bytewise.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], NodeId)> {
        self.entries.iter().map(|(name, id)| (name.as_slice(), *id))
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A directory and its names.
    Directory(Directory),
    /// A regular file.
    Regular(Content),
    /// A symlink: 1 to 4095 bytes without zero.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

impl Kind {
    /// The type without what belongs to it.
    pub fn file_type(&self) -> FileType {
        match self {
            Self::Directory(_) => FileType::Directory,
            Self::Regular(_) => FileType::Regular,
            Self::Symlink(_) => FileType::Symlink,
            Self::CharDevice(_) => FileType::CharDevice,
            Self::BlockDevice(_) => FileType::BlockDevice,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
        }
    }
}

/// An inode.
#[derive(Debug, Clone)]
pub struct Node {
    /// Mode, owner, time, xattrs.
    pub metadata: Metadata,
    /// Type and what belongs to it.
    pub kind: Kind,
}

/// Whose files they become in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerPolicy {
    /// Owners as the source records them.
    #[default]
    AsRecorded,
    /// Everything belongs to root:root, for sources filled by an ordinary user.
    AllRoot,
}

impl OwnerPolicy {
    pub(crate) fn apply(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Self::AsRecorded => (uid, gid),
            Self::AllRoot => (0, 0),
        }
    }
}
