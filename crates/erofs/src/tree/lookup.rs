//! Paths: how they are split, and how they are followed through symlinks without leaving the tree.

use std::collections::VecDeque;

use super::{Kind, NodeId, PATH_MAX, SYMLINK_HOPS_MAX, Tree, TreeError};
use crate::ondisk::NAME_MAX;

/// Splits a path into components. Leading, doubled and trailing slashes and `.` are dropped, so the root
/// gives none.
///
/// # Errors
/// [`TreeError::PathTooLong`], [`TreeError::ZeroByte`], [`TreeError::ParentComponent`],
/// [`TreeError::NameTooLong`].
pub(crate) fn split_path(path: &[u8]) -> Result<Vec<&[u8]>, TreeError> {
    if path.len() > PATH_MAX {
        return Err(TreeError::PathTooLong { found: path.len() });
    }
    if path.contains(&0) {
        return Err(TreeError::ZeroByte { path: shown(path) });
    }
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(TreeError::ParentComponent { path: shown(path) }),
            name if name.len() > NAME_MAX => {
                return Err(TreeError::NameTooLong {
                    path: shown(path),
                    found: name.len(),
                });
            }
            name => components.push(name),
        }
    }
    Ok(components)
}

/// A path for an error message.
pub(super) fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// Whether a symlink in the last place is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastSymlink {
    Keep,
    Follow,
}

/// Where a path has led.
#[derive(Debug)]
pub(super) struct Place {
    /// Directories from the root to the deepest one reached. Never empty.
    pub(super) ancestors: Vec<NodeId>,
    /// Names of `ancestors` but the root.
    pub(super) names: Vec<Vec<u8>>,
    /// The last component, when it is there and no directory.
    pub(super) leaf: Option<(Vec<u8>, NodeId)>,
    /// Components that are not there.
    pub(super) missing: VecDeque<Vec<u8>>,
}

impl Place {
    pub(super) fn deepest(&self) -> NodeId {
        self.ancestors.last().copied().unwrap_or(NodeId(0))
    }

    /// What the path leads to, if it is there.
    pub(super) fn found(&self) -> Option<NodeId> {
        match (&self.leaf, self.missing.is_empty()) {
            (Some((_, id)), _) => Some(*id),
            (None, true) => Some(self.deepest()),
            (None, false) => None,
        }
    }
}

impl Tree {
    pub(super) fn follow(&self, path: &[u8], last: LastSymlink) -> Result<Place, TreeError> {
        let mut queue: VecDeque<Vec<u8>> = split_path(path)?.into_iter().map(<[u8]>::to_vec).collect();
        let mut place = Place {
            ancestors: vec![self.root()],
            names: Vec::new(),
            leaf: None,
            missing: VecDeque::new(),
        };
        let mut hops = 0;
        while let Some(name) = queue.pop_front() {
            if name == b".." {
                // `..` of the root is the root, as for the kernel.
                if place.names.pop().is_some() {
                    place.ancestors.pop();
                }
                continue;
            }
            let child = self
                .directory(place.deepest())
                .and_then(|directory| directory.entries.get(&name));
            let Some(child) = child.copied() else {
                queue.push_front(name);
                place.missing = queue;
                break;
            };
            match &self.node(child).kind {
                Kind::Directory(_) => {
                    place.ancestors.push(child);
                    place.names.push(name);
                }
                Kind::Symlink(target) if !queue.is_empty() || last == LastSymlink::Follow => {
                    hops += 1;
                    if hops > SYMLINK_HOPS_MAX {
                        return Err(TreeError::SymlinkLoop { path: shown(path) });
                    }
                    if target.starts_with(b"/") {
                        place.ancestors.truncate(1);
                        place.names.clear();
                    }
                    prepend_target(&mut queue, target);
                }
                _ if queue.is_empty() => place.leaf = Some((name, child)),
                _ => {
                    return Err(TreeError::NotADirectory {
                        path: shown(path),
                        component: shown(&name),
                    });
                }
            }
        }
        Ok(place)
    }
}

/// Puts the components of a symlink's target in front of what is left of the path.
fn prepend_target(queue: &mut VecDeque<Vec<u8>>, target: &[u8]) {
    let components = target
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".");
    for component in components.rev() {
        queue.push_front(component.to_vec());
    }
}
