//! What can go wrong with trees and their sources. Paths and names are shown with
//! [`slice::escape_ascii`], so that an error is one line of ASCII whatever the bytes were.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An edit or lookup that could not be done.
#[derive(Debug, Error)]
pub enum TreeError {
    /// A path longer than [`super::PATH_MAX`].
    #[error("use a path of {found} bytes: at most 4096 are allowed; shorten it")]
    PathTooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// A component longer than 255 bytes.
    #[error("use path {path}: a component has {found} bytes, at most 255 are allowed; rename it")]
    NameTooLong {
        /// The path.
        path: String,
        /// The component's length in bytes.
        found: usize,
    },
    /// A `..` component.
    #[error("use path {path}: it has a `..` component and might lead out of the tree; give it without")]
    ParentComponent {
        /// The path.
        path: String,
    },
    /// A zero byte.
    #[error("use path {path}: it has a zero byte, which no file name can hold")]
    ZeroByte {
        /// The path.
        path: String,
    },
    /// A component is there but neither a directory nor a symlink.
    #[error("follow path {path}: {component} is not a directory")]
    NotADirectory {
        /// The whole path.
        path: String,
        /// The component in the way.
        component: String,
    },
    /// More symlinks than [`super::SYMLINK_HOPS_MAX`].
    #[error("follow path {path}: more than 40 symlinks; look for a loop")]
    SymlinkLoop {
        /// The path.
        path: String,
    },
    /// Parents are to be made below a symlink with `..` behind something that is not there.
    #[error("make the parents of {path}: a symlink on the way leads to nothing; make its target first")]
    DanglingParent {
        /// The path.
        path: String,
    },
    /// Something else was to take the place of a directory that holds names, or of the root.
    #[error("put a file at {path}: a directory that is not empty (or the root) is there; remove it first")]
    DirectoryInTheWay {
        /// The path.
        path: String,
    },
    /// Nothing is there.
    #[error("find {path}: no such name in the tree")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The root cannot be removed.
    #[error("remove the root directory: a tree always has one; remove its entries instead")]
    RemoveRoot,
    /// A hard link to a directory.
    #[error("hard-link {path} to {target}: the target is a directory; use a symlink")]
    HardLinkToDirectory {
        /// The new name.
        path: String,
        /// What it was to link to.
        target: String,
    },
    /// The operation wants a regular file.
    #[error("read {path}: it is not a regular file")]
    NotARegularFile {
        /// The path.
        path: String,
    },
    /// A read with a limit met a longer file.
    #[error("read {path}: it has {found} bytes, more than the limit of {limit}")]
    FileTooLong {
        /// The path.
        path: String,
        /// Its length in bytes.
        found: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// A symlink target that is empty, longer than 4095 bytes or has a zero byte.
    #[error("make a symlink with a target of {found} bytes: 1 to 4095 without a zero byte are allowed")]
    SymlinkTarget {
        /// The target's length in bytes.
        found: usize,
    },
    /// A device number beyond 12 + 20 bits.
    #[error("make device {major}:{minor}: at most 4095:1048575 can be stored")]
    DeviceNumber {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Nanoseconds of a second or more.
    #[error("set a time with {found} nanoseconds: expected less than 1000000000")]
    Nanoseconds {
        /// The value.
        found: u32,
    },
    /// An xattr outside user., trusted., security. and the two POSIX ACLs.
    #[error(
        "keep xattr {name}: EROFS holds user.*, trusted.*, security.* and POSIX ACLs with names up to 255 bytes; drop it from the source"
    )]
    XattrName {
        /// The xattr's name.
        name: String,
    },
    /// An xattr value beyond [`super::XATTR_VALUE_MAX`].
    #[error("keep xattr {name}: its value has {found} bytes, at most 65535 are allowed")]
    XattrValue {
        /// The xattr's name.
        name: String,
        /// The value's length in bytes.
        found: usize,
    },
    /// All xattrs of one inode exceed [`super::XATTR_BODY_MAX`].
    #[error("keep the xattrs of one inode: they take {found} bytes, at most 262148 are allowed")]
    XattrTotal {
        /// What they would take.
        found: usize,
    },
    /// More than 2³² nodes.
    #[error("add a node: the tree has 4294967296 already")]
    TooManyNodes,
    /// A file's content could not be read.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// A file's content could not be had.
#[derive(Debug, Error)]
pub enum ContentError {
    /// The file would not open.
    #[error("open {} for its content: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file would not read.
    #[error("read {length} bytes at {offset} of {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: usize,
        /// What the system said.
        source: io::Error,
    },
    /// Something other than a regular file.
    #[error("use {} as content: it is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The file is not as long as when the tree was made.
    #[error("read {}: it had {expected} bytes when the tree was made and has {found} now; build again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Length in bytes when it was added.
        expected: u64,
        /// Length in bytes now.
        found: u64,
    },
    /// A range that goes past the end of its file.
    #[error("use {length} bytes at {offset} of {}: it has only {found} bytes", path.display())]
    RangePastEnd {
        /// The file.
        path: PathBuf,
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// Length of the file in bytes.
        found: u64,
    },
}

/// A directory on disk could not be taken into a tree.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// `lstat` failed.
    #[error("stat {}: {source}", path.display())]
    Stat {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory would not list.
    #[error("list directory {}: {source}", path.display())]
    List {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The symlink would not read.
    #[error("read symlink {}: {source}", path.display())]
    ReadLink {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The xattrs would not read.
    #[error("read the xattrs of {}: {source}", path.display())]
    Xattrs {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path given is not a directory.
    #[error("take {} as a tree: it is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A file type Linux does not have.
    #[error("take {} into the tree: its mode {mode:#o} has no known file type", path.display())]
    FileType {
        /// The path.
        path: PathBuf,
        /// `st_mode`.
        mode: u32,
    },
    /// What was found does not fit a tree.
    #[error("take {} into the tree: {source}", path.display())]
    Tree {
        /// The path.
        path: PathBuf,
        /// Why.
        source: TreeError,
    },
}
