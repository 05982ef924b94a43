//! Looking at and changing a tree.

use super::lookup::{LastSymlink, Place, shown};
use super::{
    Content, Directory, Kind, Metadata, Node, NodeId, PATH_MAX, SYMLINK_MAX, Timestamp, Tree, TreeError,
};
use crate::ondisk::NAME_MAX;

impl Tree {
    /// What is at `path`; a symlink in the last place is given as such. `None` when nothing is there.
    ///
    /// # Errors
    /// A path that cannot be one, or that goes through a file or in circles.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Result<Option<&Node>, TreeError> {
        let place = self.follow(path.as_ref(), LastSymlink::Keep)?;
        Ok(place.found().map(|id| self.node(id)))
    }

    /// As [`Tree::get`], with a symlink in the last place followed too.
    ///
    /// # Errors
    /// As for [`Tree::get`].
    pub fn get_following(&self, path: impl AsRef<[u8]>) -> Result<Option<&Node>, TreeError> {
        let place = self.follow(path.as_ref(), LastSymlink::Follow)?;
        Ok(place.found().map(|id| self.node(id)))
    }

    /// The identity of what is at `path`, to see whether two names are one file.
    ///
    /// # Errors
    /// As for [`Tree::get`].
    pub fn id_of(&self, path: impl AsRef<[u8]>) -> Result<Option<NodeId>, TreeError> {
        Ok(self.follow(path.as_ref(), LastSymlink::Keep)?.found())
    }

    /// Replaces the metadata of what is at `path`, for all its hard links.
    ///
    /// # Errors
    /// [`TreeError::NotFound`], metadata EROFS cannot hold, and as for [`Tree::get`].
    pub fn set_metadata(&mut self, path: impl AsRef<[u8]>, metadata: Metadata) -> Result<(), TreeError> {
        metadata.check()?;
        let path = path.as_ref();
        let found = self.follow(path, LastSymlink::Keep)?.found();
        let id = found.ok_or_else(|| TreeError::NotFound { path: shown(path) })?;
        self.node_mut(id).metadata = metadata;
        Ok(())
    }

    /// Names in the directory at `path` (symlinks followed), ordered bytewise.
    ///
    /// # Errors
    /// [`TreeError::NotFound`], [`TreeError::NotADirectory`], and as for [`Tree::get`].
    pub fn list(&self, path: impl AsRef<[u8]>) -> Result<Vec<(&[u8], &Node)>, TreeError> {
        let path = path.as_ref();
        let found = self.follow(path, LastSymlink::Follow)?.found();
        let id = found.ok_or_else(|| TreeError::NotFound { path: shown(path) })?;
        let directory = self.directory(id).ok_or_else(|| TreeError::NotADirectory {
            path: shown(path),
            component: shown(path),
        })?;
        Ok(directory.iter().map(|(name, id)| (name, self.node(id))).collect())
    }

    /// The content of the regular file at `path` (symlinks followed), if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`TreeError::NotFound`], [`TreeError::NotARegularFile`], [`TreeError::FileTooLong`],
    /// [`TreeError::Content`], and as for [`Tree::get`].
    pub fn read_file(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Vec<u8>, TreeError> {
        let path = path.as_ref();
        let node = self
            .get_following(path)?
            .ok_or_else(|| TreeError::NotFound { path: shown(path) })?;
        let Kind::Regular(content) = &node.kind else {
            return Err(TreeError::NotARegularFile { path: shown(path) });
        };
        let too_long = || TreeError::FileTooLong {
            path: shown(path),
            found: content.len(),
            limit,
        };
        if content.len() > limit {
            return Err(too_long());
        }
        let mut bytes = vec![0; usize::try_from(content.len()).map_err(|_| too_long())?];
        content.open()?.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Every name in the tree with its path (no leading slash; the root's is empty), parents before
    /// children and siblings ordered bytewise. A file with several names comes several times.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            tree: self,
            stack: vec![(Vec::new(), self.root())],
        }
    }

    /// Puts a regular file at `path`. Missing parents are made, root:root 0755 with the file's mtime;
    /// a name that is there is replaced, its other hard links stay what they are.
    ///
    /// # Errors
    /// [`TreeError::DirectoryInTheWay`], metadata EROFS cannot hold, and as for [`Tree::get`].
    pub fn insert_file(
        &mut self,
        path: impl AsRef<[u8]>,
        metadata: Metadata,
        content: Content,
    ) -> Result<NodeId, TreeError> {
        self.insert(
            path,
            Node {
                metadata,
                kind: Kind::Regular(content),
            },
        )
    }

    /// Makes sure of a directory at `path` and sets its metadata. What it holds stays. A symlink that
    /// leads to a directory (`/lib` on Debian) is followed, not replaced.
    ///
    /// # Errors
    /// As for [`Tree::insert_file`].
    pub fn insert_directory(
        &mut self,
        path: impl AsRef<[u8]>,
        metadata: Metadata,
    ) -> Result<NodeId, TreeError> {
        metadata.check()?;
        let path = path.as_ref();
        let place = self.follow(path, LastSymlink::Follow)?;
        if let Some(id) = place.found().filter(|id| self.directory(*id).is_some()) {
            self.node_mut(id).metadata = metadata;
            return Ok(id);
        }
        self.insert(
            path,
            Node {
                metadata,
                kind: Kind::Directory(Directory::default()),
            },
        )
    }

    /// Puts a symlink at `path`; otherwise as [`Tree::insert_file`].
    ///
    /// # Errors
    /// [`TreeError::SymlinkTarget`], and as for [`Tree::insert_file`].
    pub fn insert_symlink(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl Into<Vec<u8>>,
        metadata: Metadata,
    ) -> Result<NodeId, TreeError> {
        self.insert(
            path,
            Node {
                metadata,
                kind: Kind::Symlink(target.into()),
            },
        )
    }

    /// Puts any node at `path`, as tar extraction would: a directory over a directory takes over its
    /// entries, everything else replaces what has the name (also a symlink to a directory). Names inside
    /// a directory given as `node` are ignored.
    ///
    /// # Errors
    /// As for [`Tree::insert_symlink`].
    pub fn insert(&mut self, path: impl AsRef<[u8]>, node: Node) -> Result<NodeId, TreeError> {
        let path = path.as_ref();
        node.metadata.check()?;
        let kind = match node.kind {
            Kind::Directory(_) => Kind::Directory(Directory::default()),
            Kind::Symlink(target)
                if target.is_empty() || target.len() > SYMLINK_MAX || target.contains(&0) =>
            {
                return Err(TreeError::SymlinkTarget { found: target.len() });
            }
            other => other,
        };
        let mut place = self.follow(path, LastSymlink::Keep)?;
        if let (Kind::Directory(_), Some(id)) = (&kind, place.found())
            && self.directory(id).is_some()
        {
            self.node_mut(id).metadata = node.metadata;
            return Ok(id);
        }
        let mtime = node.metadata.mtime;
        let (parent, name) = self.make_room(path, &mut place, mtime)?;
        let id = self.allocate(Node {
            metadata: node.metadata,
            kind,
        })?;
        self.link(parent, name, id);
        Ok(id)
    }

    /// Gives the file at `existing` (a symlink there is linked itself) one more name.
    ///
    /// # Errors
    /// [`TreeError::NotFound`], [`TreeError::HardLinkToDirectory`], and as for [`Tree::insert_file`].
    pub fn insert_hard_link(
        &mut self,
        path: impl AsRef<[u8]>,
        existing: impl AsRef<[u8]>,
    ) -> Result<NodeId, TreeError> {
        let (path, existing) = (path.as_ref(), existing.as_ref());
        let target = self.follow(existing, LastSymlink::Keep)?.found();
        let target = target.ok_or_else(|| TreeError::NotFound {
            path: shown(existing),
        })?;
        if self.directory(target).is_some() {
            return Err(TreeError::HardLinkToDirectory {
                path: shown(path),
                target: shown(existing),
            });
        }
        let mtime = self.node(target).metadata.mtime;
        let mut place = self.follow(path, LastSymlink::Keep)?;
        let (parent, name) = self.make_room(path, &mut place, mtime)?;
        self.link(parent, name, target);
        Ok(target)
    }

    /// Removes the name at `path` and, for a directory, all below. `false` when nothing was there.
    ///
    /// # Errors
    /// [`TreeError::RemoveRoot`], and as for [`Tree::get`].
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> Result<bool, TreeError> {
        let mut place = self.follow(path.as_ref(), LastSymlink::Keep)?;
        if !place.missing.is_empty() {
            return Ok(false);
        }
        let (parent, name) = place.take_name().ok_or(TreeError::RemoveRoot)?;
        if let Kind::Directory(directory) = &mut self.node_mut(parent).kind {
            directory.entries.remove(&name);
        }
        Ok(true)
    }

    /// Sets every mtime after `latest` to `latest` (`SOURCE_DATE_EPOCH`), as reproducible-builds.org
    /// asks for; earlier ones stay.
    pub fn clamp_mtimes(&mut self, latest: Timestamp) {
        for node in &mut self.nodes {
            node.metadata.mtime = node.metadata.mtime.min(latest);
        }
    }

    /// The directory and the name where a node that is no merge goes: parents made, an empty directory
    /// in the last place given up.
    fn make_room(
        &mut self,
        path: &[u8],
        place: &mut Place,
        mtime: Timestamp,
    ) -> Result<(NodeId, Vec<u8>), TreeError> {
        let Some(name) = place.missing.pop_back() else {
            let is_directory = place.leaf.is_none();
            let occupied = || TreeError::DirectoryInTheWay { path: shown(path) };
            if is_directory
                && self
                    .directory(place.deepest())
                    .is_some_and(|found| !found.is_empty())
            {
                return Err(occupied());
            }
            return place.take_name().ok_or_else(occupied);
        };
        let used: usize = place
            .names
            .iter()
            .chain(&place.missing)
            .chain([&name])
            .map(|name| name.len() + 1)
            .sum();
        if used > PATH_MAX {
            return Err(TreeError::PathTooLong { found: used });
        }
        // Checked before anything is made. Only a symlink's target can bring these in.
        if place
            .missing
            .iter()
            .chain([&name])
            .any(|name| name == b".." || name.len() > NAME_MAX)
        {
            return Err(TreeError::DanglingParent { path: shown(path) });
        }
        let mut parent = place.deepest();
        for component in place.missing.drain(..) {
            let metadata = Metadata::root_owned(0o755, mtime);
            let id = self.allocate(Node {
                metadata,
                kind: Kind::Directory(Directory::default()),
            })?;
            self.link(parent, component, id);
            parent = id;
        }
        Ok((parent, name))
    }

    fn link(&mut self, parent: NodeId, name: Vec<u8>, child: NodeId) {
        if let Kind::Directory(directory) = &mut self.node_mut(parent).kind {
            directory.entries.insert(name, child);
        }
    }
}

impl Place {
    /// Parent and name of what was found; `None` for the root.
    fn take_name(&mut self) -> Option<(NodeId, Vec<u8>)> {
        match self.leaf.take() {
            Some((name, _)) => Some((self.deepest(), name)),
            None => {
                let name = self.names.pop()?;
                self.ancestors.pop();
                Some((self.deepest(), name))
            }
        }
    }
}

/// Iterator over all names, made by [`Tree::walk`].
#[derive(Debug)]
pub struct Walk<'t> {
    tree: &'t Tree,
    stack: Vec<(Vec<u8>, NodeId)>,
}

impl<'t> Iterator for Walk<'t> {
    type Item = (Vec<u8>, NodeId, &'t Node);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, id) = self.stack.pop()?;
        let node = self.tree.node(id);
        if let Kind::Directory(directory) = &node.kind {
            for (name, child) in directory.entries.iter().rev() {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend(name);
                self.stack.push((below, *child));
            }
        }
        Some((path, id, node))
    }
}
