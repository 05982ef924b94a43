//! Puts the entries of an archive into a tree.

use std::sync::Arc;

use tar::EntryType;

use super::members::{Member, Members};
use super::{TarError, TarOptions};
use crate::tree::{
    Content, Device, Directory, Kind, Metadata, Mode, Node, OpenFile, Timestamp, Tree, TreeError, split_path,
};

pub(super) fn tree_of(file: &Arc<OpenFile>, length: u64, options: &TarOptions) -> Result<Tree, TarError> {
    let mut tree = Tree::new(Metadata::root_owned(0o755, Timestamp::default()));
    let mut members = Members::new(file, length);
    let mut taken = 0;
    while let Some(member) = members.next()? {
        taken += 1;
        if taken > options.entries_max {
            return Err(TarError::TooManyEntries {
                limit: options.entries_max,
            });
        }
        put(&mut tree, member, file, options)?;
    }
    Ok(tree)
}

fn put(tree: &mut Tree, member: Member, file: &Arc<OpenFile>, options: &TarOptions) -> Result<(), TarError> {
    let Member {
        offset, path, link, ..
    } = &member;
    let offset = *offset;
    let in_tree = |source: TreeError| TarError::Tree {
        offset,
        path: path.escape_ascii().to_string(),
        source,
    };
    if path.starts_with(b"/") {
        return Err(TarError::AbsolutePath {
            offset,
            path: path.escape_ascii().to_string(),
        });
    }
    if split_path(path).map_err(in_tree)?.is_empty() && member.entry_type != EntryType::Directory {
        return Err(TarError::RootNotDirectory { offset });
    }
    if member.entry_type == EntryType::Link {
        // Both names are inside the archive: the target under the same rules as the path.
        if link.starts_with(b"/") {
            return Err(TarError::AbsolutePath {
                offset,
                path: link.escape_ascii().to_string(),
            });
        }
        return tree.insert_hard_link(path, link).map(|_| ()).map_err(in_tree);
    }
    let kind = kind_of(&member, file)?;
    let (uid, gid) = options.owners.apply(member.uid, member.gid);
    let metadata = Metadata {
        mode: Mode::new(member.mode),
        uid,
        gid,
        mtime: member.mtime,
        xattrs: member.xattrs.clone(),
    };
    tree.insert(path, Node { metadata, kind })
        .map(|_| ())
        .map_err(in_tree)
}

/// What an entry becomes; hard links are dealt with before.
fn kind_of(member: &Member, file: &Arc<OpenFile>) -> Result<Kind, TarError> {
    let offset = member.offset;
    let in_tree = |source: TreeError| TarError::Tree {
        offset,
        path: member.path.escape_ascii().to_string(),
        source,
    };
    let device = || Device::new(member.device.0, member.device.1).map_err(in_tree);
    Ok(match member.entry_type {
        EntryType::Regular => Kind::Regular(Content::unchecked_range(file, member.data_offset, member.size)),
        EntryType::Directory => Kind::Directory(Directory::default()),
        EntryType::Symlink => Kind::Symlink(member.link.clone()),
        EntryType::Char => Kind::CharDevice(device()?),
        EntryType::Block => Kind::BlockDevice(device()?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => {
            return Err(TarError::Unsupported {
                offset,
                feature: "a GNU sparse file".into(),
                remedy: "make the archive without sparse files",
            });
        }
        other => {
            return Err(TarError::Unsupported {
                offset,
                feature: format!("entry type {}", [other.as_byte()].escape_ascii()),
                remedy: "make the archive with --format=posix",
            });
        }
    })
}
