//! The golden-file index of the root that a release carries (`docs/spec/golden-index.md`).
//!
//! Made from the tree before it is written, put into it, and made once more from the file system that was written:
//! a source that changed in between ends the build. Contents go through one buffer; memory grows with the number of
//! names, not with their lengths.

use crate::image::golden::{self, ImageError};
use bennu_erofs::{
    Content, ContentError, FileType, Image, Kind, Metadata, Node, NodeId, Timestamp, Tree, TreeError,
};
use bennu_formats::manifest::GoldenIndexBinding;
use bennu_formats::units::Bytes;
use bennu_formats::{Sha256Digest, paths};
use bennu_golden::{BuildError, CapabilityError, Entry, FileKind, IndexBuilder, xattr_set};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// Bytes read at a time.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// A file cannot be read.
    #[error("golden-file index: {0}")]
    Content(#[from] ContentError),
    /// No place for the index.
    #[error("golden-file index: {0}")]
    Tree(#[from] TreeError),
    /// A file's capabilities.
    #[error("golden-file index: path {path}: {source}")]
    Capability {
        /// Path.
        path: String,
        /// Why.
        source: CapabilityError,
    },
    /// More than an index holds.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// The root that was written cannot be read.
    #[error("golden-file index: root file system: {0}")]
    Written(#[from] ImageError),
    /// The root that was written cannot be opened.
    #[error("golden-file index: root file system: {0}")]
    Open(std::io::Error),
    /// A source changed while it was read.
    #[error(
        "golden-file index: expected {expected} of the root as written, found {found}; leave the sources alone while building"
    )]
    Changed {
        /// Of the tree.
        expected: Sha256Digest,
        /// Of the file system.
        found: Sha256Digest,
    },
}

/// Puts the index of everything else in `tree` into it.
///
/// # Errors
/// See [`GoldenError`].
pub fn add(tree: &mut Tree, now: Timestamp) -> Result<GoldenIndexBinding, GoldenError> {
    let metadata = || Metadata::root_owned(0o644, now);
    let place = tree.insert_file(paths::ROOT_GOLDEN_INDEX, metadata(), Content::inline([]))?;
    let index = of_tree(tree, place)?;
    let binding = binding(&index);
    tree.insert_file(paths::ROOT_GOLDEN_INDEX, metadata(), Content::inline(index))?;
    Ok(binding)
}

/// Makes the index of the file system at `path` anew and compares.
///
/// # Errors
/// See [`GoldenError`].
pub fn check_written(path: &Path, binding: &GoldenIndexBinding) -> Result<(), GoldenError> {
    let file = File::open(path).map_err(GoldenError::Open)?;
    let image = Image::open(file).map_err(ImageError::from)?;
    let found = self::binding(&golden::of_image(&image)?);
    if found != *binding {
        return Err(GoldenError::Changed {
            expected: binding.sha256,
            found: found.sha256,
        });
    }
    Ok(())
}

fn binding(index: &[u8]) -> GoldenIndexBinding {
    GoldenIndexBinding {
        sha256: Sha256Digest::of(index),
        bytes: Bytes(index.len() as u64),
    }
}

/// The index of all names but that of `place`.
fn of_tree(tree: &Tree, place: NodeId) -> Result<Vec<u8>, GoldenError> {
    let mut builder = IndexBuilder::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut linked: HashMap<NodeId, Sha256Digest> = HashMap::new();
    for (path, id, node) in tree.walk().filter(|(_, id, _)| *id != place) {
        let digest = match (linked.get(&id), &node.kind) {
            (Some(known), _) => *known,
            (None, Kind::Regular(content)) => {
                let mut hasher = Sha256::new();
                content.for_each_piece(&mut buffer, |piece| hasher.update(piece))?;
                let digest = Sha256Digest(hasher.finalize().into());
                linked.insert(id, digest);
                digest
            }
            (None, Kind::Symlink(target)) => Sha256Digest::of(target),
            (None, _) => Sha256Digest::ZERO,
        };
        builder.push(entry(path, node, digest)?)?;
    }
    Ok(builder.finish()?)
}

fn entry(path: Vec<u8>, node: &Node, digest: Sha256Digest) -> Result<Entry, GoldenError> {
    let metadata = &node.metadata;
    let xattrs = metadata.xattrs.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
    let xattrs = xattr_set(xattrs).map_err(|source| GoldenError::Capability {
        path: path.escape_ascii().to_string(),
        source,
    })?;
    Ok(Entry {
        path,
        kind: kind(node.kind.file_type()),
        mode: metadata.mode.bits(),
        uid: metadata.uid,
        gid: metadata.gid,
        size: match &node.kind {
            Kind::Regular(content) => content.len(),
            Kind::Symlink(target) => target.len() as u64,
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                u64::from(device.major()) << 32 | u64::from(device.minor())
            }
            Kind::Directory(_) | Kind::Fifo | Kind::Socket => 0,
        },
        digest,
        xattrs,
    })
}

/// The same kind in the index' words.
pub fn kind(file_type: FileType) -> FileKind {
    match file_type {
        FileType::Regular => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::CharDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::Symlink => FileKind::Symlink,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_erofs::{ImageOptions, write_image};

    fn tree(source: &Path) -> Tree {
        let now = Timestamp::from_seconds(1);
        let mut tree = Tree::new(Metadata::root_owned(0o755, now));
        let meta = |mode| Metadata::root_owned(mode, now);
        tree.insert_file("/usr/bin/a", meta(0o755), Content::whole_file(source).unwrap())
            .unwrap();
        tree.insert_hard_link("/usr/bin/b", "/usr/bin/a").unwrap();
        tree.insert_symlink("/bin", "usr/bin", meta(0o777)).unwrap();
        tree
    }

    fn written(tree: &Tree) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let options = ImageOptions::new([7; 16], 1);
        write_image(tree, file.as_file_mut(), &options, &mut |_| {}).unwrap();
        file
    }

    #[test]
    fn the_index_of_the_tree_is_the_one_of_the_file_system_made_from_it() {
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), vec![3; PIECE_BYTES * 2 + 5]).unwrap();
        let mut tree = tree(source.path());
        let binding = add(&mut tree, Timestamp::from_seconds(1)).unwrap();
        check_written(written(&tree).path(), &binding).unwrap();
        let index = tree.read_file(paths::ROOT_GOLDEN_INDEX, 1 << 20).unwrap();
        assert_eq!(super::binding(&index), binding);
        let index = bennu_golden::Index::open(index.as_slice(), index.len() as u64).unwrap();
        index.check().unwrap();
        assert_eq!(
            index.by_path(b"usr/lib/bennu/golden.idx").unwrap(),
            None,
            "not itself"
        );
        let found = index
            .by_digest(&Sha256Digest::of(&vec![3; PIECE_BYTES * 2 + 5]), 9)
            .unwrap();
        assert_eq!(
            found.iter().map(|e| e.path.clone()).collect::<Vec<_>>(),
            [b"usr/bin/a", b"usr/bin/b"]
        );
    }

    #[test]
    fn a_source_that_changes_while_the_image_is_built_ends_the_build() {
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), "one").unwrap();
        let mut tree = tree(source.path());
        let binding = add(&mut tree, Timestamp::from_seconds(1)).unwrap();
        check_written(written(&tree).path(), &binding).expect("positive control");
        std::fs::write(source.path(), "two").unwrap();
        let found = check_written(written(&tree).path(), &binding);
        assert!(matches!(found, Err(GoldenError::Changed { .. })), "{found:?}");
    }
}
