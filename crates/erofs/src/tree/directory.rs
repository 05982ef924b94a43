//! A tree out of a directory on disk.
//!
//! Everything is taken with `lstat`; nothing is followed. What comes out depends on names, contents,
//! modes, owners, mtimes, xattrs and on which names are hard links of each other, and on nothing else:
//! not on the order of `readdir`, on inode numbers or on access times.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{
    Content, Device, Directory, DirectoryError, Kind, Metadata, Mode, Node, NodeId, OwnerPolicy, PATH_MAX,
    SYMLINK_MAX, Timestamp, Tree, TreeError, XATTR_VALUE_MAX, Xattrs,
};
use crate::ondisk::{FileType, MODE_TYPE_MASK};

/// Bytes Linux gives at most for a list of xattr names (`XATTR_LIST_MAX`).
const XATTR_LIST_MAX: usize = 65_536;

/// Which xattrs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XattrPolicy {
    /// All that the caller may see; one that EROFS cannot hold is an error.
    #[default]
    Keep,
    /// None, for a source whose file system adds some of its own.
    OmitAll,
}

/// How a directory becomes a tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectoryOptions {
    /// Whose the files become.
    pub owners: OwnerPolicy,
    /// Which xattrs are taken.
    pub xattrs: XattrPolicy,
}

impl Tree {
    /// The directory `path` with all below, as a tree whose root it is. File contents are not read:
    /// they must stay as they are until the image is written.
    ///
    /// # Errors
    /// [`DirectoryError`], with the path that could not be taken.
    pub fn from_directory(path: &Path, options: &DirectoryOptions) -> Result<Self, DirectoryError> {
        let mut scan = Scan {
            options,
            links: HashMap::new(),
            buffer: vec![0; XATTR_LIST_MAX],
        };
        let (node, _) = scan.node(path)?;
        if node.kind.file_type() != FileType::Directory {
            return Err(DirectoryError::NotADirectory {
                path: path.to_owned(),
            });
        }
        let mut tree = Self::new(node.metadata);
        let mut pending = vec![(path.to_owned(), tree.root(), 0)];
        while let Some((directory, id, used)) = pending.pop() {
            scan.fill(&mut tree, &directory, id, used, &mut pending)?;
        }
        Ok(tree)
    }
}

struct Scan<'o> {
    options: &'o DirectoryOptions,
    /// (device, inode) of files with more than one name.
    links: HashMap<(u64, u64), NodeId>,
    buffer: Vec<u8>,
}

impl Scan<'_> {
    /// Takes the entries of one directory; `used` is the length of its path inside the tree.
    fn fill(
        &mut self,
        tree: &mut Tree,
        path: &Path,
        id: NodeId,
        used: usize,
        pending: &mut Vec<(PathBuf, NodeId, usize)>,
    ) -> Result<(), DirectoryError> {
        let list = |source| DirectoryError::List {
            path: path.to_owned(),
            source,
        };
        let mut entries = Directory::default();
        for entry in fs::read_dir(path).map_err(list)? {
            let name = entry.map_err(list)?.file_name();
            let child = path.join(&name);
            let in_tree = |source| DirectoryError::Tree {
                path: child.clone(),
                source,
            };
            let used = used + 1 + name.len();
            if used > PATH_MAX {
                return Err(in_tree(TreeError::PathTooLong { found: used }));
            }
            let (node, identity) = self.node(&child)?;
            let known = identity.and_then(|identity| self.links.get(&identity)).copied();
            let child_id = match known {
                Some(known) => known,
                None => tree.allocate(node).map_err(in_tree)?,
            };
            if let Some(identity) = identity {
                self.links.insert(identity, child_id);
            }
            if tree.directory(child_id).is_some() {
                pending.push((child, child_id, used));
            }
            entries.entries.insert(name.into_vec(), child_id);
        }
        tree.node_mut(id).kind = Kind::Directory(entries);
        Ok(())
    }

    /// One file as a node, with its identity if it has several names.
    fn node(&mut self, path: &Path) -> Result<(Node, Option<(u64, u64)>), DirectoryError> {
        let stat = fs::symlink_metadata(path).map_err(|source| DirectoryError::Stat {
            path: path.to_owned(),
            source,
        })?;
        let in_tree = |source| DirectoryError::Tree {
            path: path.to_owned(),
            source,
        };
        let device =
            || Device::new(rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev())).map_err(in_tree);
        let file_type =
            FileType::from_mode((stat.mode() & u32::from(MODE_TYPE_MASK)) as u16).ok_or_else(|| {
                DirectoryError::FileType {
                    path: path.to_owned(),
                    mode: stat.mode(),
                }
            })?;
        let kind = match file_type {
            FileType::Directory => Kind::Directory(Directory::default()),
            FileType::Regular => Kind::Regular(Content::known_file(path.to_owned(), stat.len())),
            FileType::Symlink => Kind::Symlink(read_link(path)?),
            FileType::CharDevice => Kind::CharDevice(device()?),
            FileType::BlockDevice => Kind::BlockDevice(device()?),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
        };
        let (uid, gid) = self.options.owners.apply(stat.uid(), stat.gid());
        let metadata = Metadata {
            mode: Mode::new(stat.mode()),
            uid,
            gid,
            mtime: Timestamp {
                seconds: stat.mtime(),
                nanoseconds: stat.mtime_nsec() as u32,
            },
            xattrs: self.xattrs(path)?,
        };
        metadata.check().map_err(in_tree)?;
        let several = stat.nlink() > 1 && file_type != FileType::Directory;
        Ok((Node { metadata, kind }, several.then(|| (stat.dev(), stat.ino()))))
    }

    fn xattrs(&mut self, path: &Path) -> Result<Xattrs, DirectoryError> {
        let mut xattrs = Xattrs::new();
        if self.options.xattrs == XattrPolicy::OmitAll {
            return Ok(xattrs);
        }
        let failed = |errno: Errno| DirectoryError::Xattrs {
            path: path.to_owned(),
            source: io::Error::from_raw_os_error(errno.raw_os_error()),
        };
        let len = match rustix::fs::llistxattr(path, self.buffer.as_mut_slice()) {
            Ok(len) => len,
            // A file system without xattrs has none.
            Err(Errno::NOTSUP) => 0,
            Err(errno) => return Err(failed(errno)),
        };
        if len == 0 {
            return Ok(xattrs);
        }
        let mut value = vec![0; XATTR_VALUE_MAX + 1];
        for name in self.buffer[..len]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
        {
            let len =
                rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice()).map_err(failed)?;
            xattrs.insert(name.to_vec(), value[..len].to_vec());
        }
        Ok(xattrs)
    }
}

fn read_link(path: &Path) -> Result<Vec<u8>, DirectoryError> {
    let target = fs::read_link(path).map_err(|source| DirectoryError::ReadLink {
        path: path.to_owned(),
        source,
    })?;
    let target = target.into_os_string().into_vec();
    if target.is_empty() || target.len() > SYMLINK_MAX {
        return Err(DirectoryError::Tree {
            path: path.to_owned(),
            source: TreeError::SymlinkTarget { found: target.len() },
        });
    }
    Ok(target)
}
