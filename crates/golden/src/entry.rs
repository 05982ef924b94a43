//! One file as the index has it.

use crate::layout::MAX_PATH_BYTES;
use bennu_formats::Sha256Digest;

/// What a file is. Numbers are those of `S_IFMT` (POSIX) shifted right by twelve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// Named pipe.
    Fifo = 1,
    /// Character device.
    CharDevice = 2,
    /// Directory.
    Directory = 4,
    /// Block device.
    BlockDevice = 6,
    /// Regular file.
    Regular = 8,
    /// Symbolic link.
    Symlink = 10,
    /// Unix socket.
    Socket = 12,
}

impl FileKind {
    const ALL: [Self; 7] = [
        Self::Fifo,
        Self::CharDevice,
        Self::Directory,
        Self::BlockDevice,
        Self::Regular,
        Self::Symlink,
        Self::Socket,
    ];

    /// The kind in the upper four bits of a mode.
    pub(crate) fn of_mode(mode: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == mode >> 12)
    }

    /// Whether the record has a digest: of a regular file's content, of a symlink's target.
    pub fn has_digest(self) -> bool {
        matches!(self, Self::Regular | Self::Symlink)
    }

    /// One word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::CharDevice => "char-device",
            Self::Directory => "directory",
            Self::BlockDevice => "block-device",
            Self::Regular => "file",
            Self::Symlink => "symlink",
            Self::Socket => "socket",
        }
    }
}

/// File capabilities out of `security.capability` (Linux `vfs_cap_data`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities {
    /// Permitted set, one bit a capability.
    pub permitted: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Whether the program starts with them in effect.
    pub effective: bool,
    /// User id that is root in the name space they are for; 0 for the initial one.
    pub root_uid: u32,
}

/// The extended attributes of a file: their digest, and what of them gives power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XattrSet {
    /// SHA-256 over all of them (`docs/spec/golden-index.md` §5).
    pub digest: Sha256Digest,
    /// Capabilities, if it has any.
    pub capabilities: Option<Capabilities>,
}

/// One name in the root file system. A file with several hard links has an entry for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without a slash at the start; the root directory's is empty.
    pub path: Vec<u8>,
    /// Kind.
    pub kind: FileKind,
    /// Permissions with setuid, setgid, sticky: `0o7777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a regular file or of a symlink's target; major × 2³² + minor of a device; otherwise 0.
    pub size: u64,
    /// SHA-256 of the content or of the symlink's target; zeros for every other kind.
    pub digest: Sha256Digest,
    /// Extended attributes, if it has any.
    pub xattrs: Option<XattrSet>,
}

/// Whether `path` may stand in an index: empty, or components without slash, NUL, `.` and `..`, of 4096 bytes in
/// all at most.
pub fn check_path(path: &[u8]) -> bool {
    let component = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
    path.len() <= MAX_PATH_BYTES && (path.is_empty() || path.split(|b| *b == b'/').all(component))
}
