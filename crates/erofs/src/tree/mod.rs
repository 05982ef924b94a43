//! A root file system's metadata in memory; file contents stay outside ([`Content`]).
//!
//! Who writes: [`Tree::from_tar`], [`Tree::from_directory`] and the editing calls. Who reads: the image
//! writer and whoever wants to look a file up before there is an image. On failure an editing call leaves
//! the tree usable, though parents it has already made may stay.
//!
//! Names are bytes. Directories are ordered by name, so nothing that comes out of a tree depends on the
//! order in which it was filled. Hard links are several names of one [`NodeId`]; a directory has exactly
//! one name. Directory components that are symlinks are followed inside the tree (Debian's merged `/usr`:
//! `/lib` → `usr/lib`), absolute targets and `..` never leave its root.

mod content;
mod directory;
mod edit;
mod error;
mod lookup;
mod node;

pub(crate) use content::ContentReader;
pub use content::{Content, FileRange, OpenFile, WholeFile};
pub use directory::{DirectoryOptions, XattrPolicy};
pub use edit::Walk;
pub use error::{ContentError, DirectoryError, TreeError};
pub(crate) use lookup::split_path;
pub use node::{Device, Directory, Kind, Metadata, Mode, Node, NodeId, OwnerPolicy, Timestamp, Xattrs};

/// Longest path from the root in bytes, after symlinks are followed (Linux `PATH_MAX`).
pub const PATH_MAX: usize = 4096;
/// Longest symlink target in bytes (Linux `PATH_MAX` less the terminating zero).
pub const SYMLINK_MAX: usize = 4095;
/// Longest xattr value in bytes (16-bit length field in EROFS; Linux allows one more).
pub const XATTR_VALUE_MAX: usize = 65_535;
/// Most bytes all xattrs of one inode may take (16-bit count of 4-byte units in EROFS).
pub const XATTR_BODY_MAX: usize = 12 + 4 * 65_534;
/// Symlinks followed in one lookup (Linux `MAXSYMLINKS`).
pub const SYMLINK_HOPS_MAX: usize = 40;

/// A file system tree with its metadata.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Arena. Removed nodes stay until the tree is dropped; the writer visits only what can be reached.
    nodes: Vec<Node>,
}

impl Tree {
    /// A tree with nothing but a root directory.
    pub fn new(root: Metadata) -> Self {
        Self {
            nodes: vec![Node {
                metadata: root,
                kind: Kind::Directory(Directory::default()),
            }],
        }
    }

    /// The root directory.
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// A node of this tree.
    ///
    /// # Panics
    /// With an id of another tree that is out of range here.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Number of ids ever given out; every id's index is below it.
    pub(crate) fn arena_len(&self) -> usize {
        self.nodes.len()
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    fn directory(&self, id: NodeId) -> Option<&Directory> {
        match &self.node(id).kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Adds a node without a name yet.
    fn allocate(&mut self, node: Node) -> Result<NodeId, TreeError> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| TreeError::TooManyNodes)?;
        self.nodes.push(node);
        Ok(NodeId(id))
    }
}
