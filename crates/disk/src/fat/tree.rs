//! From a list of paths to directories with names, clusters and encoded slots.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::geometry::{FIRST_CLUSTER, Geometry};
use super::name::{NameError, ShortName, check_name, encode_long_name, long_name_slots, short_names};
use super::time::DosTime;
use super::{MAX_DEPTH, MAX_DIRECTORY_BYTES, SLOT_BYTES, attribute};

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This file, streamed when the volume is written. Its size is taken when the volume is planned.
    File(PathBuf),
    /// None: a directory. Parents of files need not be listed.
    Directory,
}

/// One file or directory of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path in the volume, parts separated by `/`; a leading `/` is ignored.
    pub path: String,
    /// What it holds.
    pub content: Content,
}

/// Why a list of entries is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A part of a path cannot be stored.
    #[error("plan FAT volume: path {path:?}: {source}")]
    Name {
        /// The path.
        path: String,
        /// Why.
        source: NameError,
    },
    /// More than [`MAX_DEPTH`] parts.
    #[error(
        "plan FAT volume: path {path:?} has {found} parts; at most {} are allowed",
        MAX_DEPTH
    )]
    TooDeep {
        /// The path.
        path: String,
        /// Parts.
        found: usize,
    },
    /// Listed twice, or a file where another path needs a directory, or names that differ in case only.
    #[error("plan FAT volume: path {path:?} collides with another entry (FAT does not tell case)")]
    Collision {
        /// The path.
        path: String,
    },
    /// Four GiB or more.
    #[error("plan FAT volume: file {path:?} has {found} bytes; FAT holds at most 4294967295")]
    FileTooLarge {
        /// The path.
        path: String,
        /// Bytes.
        found: u64,
    },
    /// More than 65,536 slots.
    #[error("plan FAT volume: directory {path:?} needs {found} bytes of slots; at most 2097152 are allowed")]
    DirectoryTooLarge {
        /// The path.
        path: String,
        /// Bytes.
        found: usize,
    },
}

/// A file with its bytes' source and place.
#[derive(Debug)]
pub(crate) struct FileNode {
    pub(crate) content: Content,
    pub(crate) bytes: u32,
    /// Zero for an empty file.
    pub(crate) first_cluster: u32,
    pub(crate) clusters: u32,
}

#[derive(Debug)]
enum Node {
    Directory(usize),
    File(usize),
}

/// A directory; `directories[0]` is the root.
#[derive(Debug)]
pub(crate) struct DirectoryNode {
    path: String,
    parent: usize,
    depth: usize,
    /// By name in capitals, so that order and collisions do not tell case.
    children: BTreeMap<String, (String, Node)>,
    pub(crate) first_cluster: u32,
    pub(crate) clusters: u32,
}

#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) directories: Vec<DirectoryNode>,
    pub(crate) files: Vec<FileNode>,
}

impl Tree {
    /// Builds the tree; `size_of` gives the size of each file.
    pub(crate) fn new<E: From<TreeError>>(
        entries: Vec<Entry>,
        mut size_of: impl FnMut(&Entry) -> Result<u64, E>,
    ) -> Result<Self, E> {
        let mut tree = Self {
            directories: vec![DirectoryNode::new(String::new(), 0, 0)],
            files: Vec::new(),
        };
        let mut entries = entries;
        entries.sort_by(|a, b| a.path.trim_start_matches('/').cmp(b.path.trim_start_matches('/')));
        for entry in entries {
            let bytes = size_of(&entry)?;
            tree.add(entry, bytes)?;
        }
        Ok(tree)
    }

    fn add(&mut self, entry: Entry, bytes: u64) -> Result<(), TreeError> {
        let path = entry.path.trim_start_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        if parts.len() > MAX_DEPTH {
            return Err(TreeError::TooDeep {
                path: path.clone(),
                found: parts.len(),
            });
        }
        for part in &parts {
            check_name(part).map_err(|source| TreeError::Name {
                path: path.clone(),
                source,
            })?;
        }
        let Some((name, parents)) = parts.split_last() else {
            return Ok(());
        };
        let mut directory = 0;
        for part in parents {
            directory = self.directory(directory, part, &path)?;
        }
        if entry.content == Content::Directory {
            return self.directory(directory, name, &path).map(|_| ());
        }
        let size = u32::try_from(bytes).map_err(|_| TreeError::FileTooLarge {
            path: path.clone(),
            found: bytes,
        })?;
        let file = self.files.len();
        let children = &mut self.directories[directory].children;
        if children.contains_key(&name.to_ascii_uppercase()) {
            return Err(TreeError::Collision { path });
        }
        children.insert(name.to_ascii_uppercase(), ((*name).to_owned(), Node::File(file)));
        let content = entry.content;
        self.files.push(FileNode {
            content,
            bytes: size,
            first_cluster: 0,
            clusters: 0,
        });
        Ok(())
    }

    /// The child directory of this name, made if need be.
    fn directory(&mut self, parent: usize, name: &str, path: &str) -> Result<usize, TreeError> {
        let key = name.to_ascii_uppercase();
        match self.directories[parent].children.get(&key) {
            Some((known, Node::Directory(index))) if known == name => return Ok(*index),
            Some(_) => {
                return Err(TreeError::Collision {
                    path: path.to_owned(),
                });
            }
            None => {}
        }
        let index = self.directories.len();
        let own_path = format!("{}/{name}", self.directories[parent].path);
        let depth = self.directories[parent].depth + 1;
        self.directories.push(DirectoryNode::new(own_path, parent, depth));
        self.directories[parent]
            .children
            .insert(key, (name.to_owned(), Node::Directory(index)));
        Ok(index)
    }

    /// Gives clusters out: the root, the other directories, the files; each in one piece. Returns how many.
    pub(crate) fn place(&mut self, geometry: &Geometry) -> Result<u64, TreeError> {
        let mut next = u64::from(FIRST_CLUSTER);
        let mut take = |clusters: u64| {
            let first = next;
            next += clusters;
            // Above u32 the volume is too small anyway; the caller compares the sum.
            first.min(u64::from(u32::MAX)) as u32
        };
        for directory in &mut self.directories {
            let found = directory.slots()? * SLOT_BYTES;
            if found > MAX_DIRECTORY_BYTES {
                return Err(TreeError::DirectoryTooLarge {
                    path: directory.path.clone(),
                    found,
                });
            }
            let clusters = (found as u64).div_ceil(geometry.cluster_bytes()).max(1);
            directory.first_cluster = take(clusters);
            directory.clusters = clusters as u32;
        }
        for file in &mut self.files {
            let clusters = u64::from(file.bytes).div_ceil(geometry.cluster_bytes());
            file.first_cluster = if clusters == 0 { 0 } else { take(clusters) };
            file.clusters = clusters as u32;
        }
        Ok(next - u64::from(FIRST_CLUSTER))
    }

    /// The slots of one directory, without the zeros after them.
    pub(crate) fn encode_directory(
        &self,
        index: usize,
        label: &[u8; 11],
        time: DosTime,
    ) -> Result<Vec<u8>, TreeError> {
        let directory = &self.directories[index];
        let mut bytes = Vec::new();
        if index == 0 {
            bytes.extend(slot(label, attribute::VOLUME_ID, 0, 0, time));
        } else {
            // The root is cluster 0 in `..`, whatever its cluster is (fatgen103).
            let parent = match directory.parent {
                0 => 0,
                parent => self.directories[parent].first_cluster,
            };
            bytes.extend(slot(
                b".          ",
                attribute::DIRECTORY,
                directory.first_cluster,
                0,
                time,
            ));
            bytes.extend(slot(b"..         ", attribute::DIRECTORY, parent, 0, time));
        }
        for ((name, node), (short, is_exact)) in directory.children.values().zip(directory.short_names()?) {
            if !is_exact {
                bytes.extend(encode_long_name(name, &short));
            }
            bytes.extend(match node {
                Node::Directory(child) => slot(
                    &short,
                    attribute::DIRECTORY,
                    self.directories[*child].first_cluster,
                    0,
                    time,
                ),
                Node::File(file) => {
                    let file = &self.files[*file];
                    slot(&short, attribute::ARCHIVE, file.first_cluster, file.bytes, time)
                }
            });
        }
        Ok(bytes)
    }
}

impl DirectoryNode {
    fn new(path: String, parent: usize, depth: usize) -> Self {
        Self {
            path,
            parent,
            depth,
            children: BTreeMap::new(),
            first_cluster: 0,
            clusters: 0,
        }
    }

    fn short_names(&self) -> Result<Vec<(ShortName, bool)>, TreeError> {
        let names: Vec<&str> = self.children.values().map(|(name, _)| name.as_str()).collect();
        let found = names.len() * SLOT_BYTES;
        short_names(&names).ok_or_else(|| TreeError::DirectoryTooLarge {
            path: self.path.clone(),
            found,
        })
    }

    fn slots(&self) -> Result<usize, TreeError> {
        let own = if self.depth == 0 { 1 } else { 2 };
        let names = self.children.values().map(|(name, _)| name);
        let slots = names
            .zip(self.short_names()?)
            .map(|(name, (_, is_exact))| if is_exact { 1 } else { 1 + long_name_slots(name) });
        Ok(own + slots.sum::<usize>())
    }
}

/// One short-name slot (fatgen103).
fn slot(name: &ShortName, attributes: u8, cluster: u32, bytes: u32, time: DosTime) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..11].copy_from_slice(name);
    slot[11] = attributes;
    slot[14..16].copy_from_slice(&time.time.to_le_bytes());
    slot[16..18].copy_from_slice(&time.date.to_le_bytes());
    slot[18..20].copy_from_slice(&time.date.to_le_bytes());
    slot[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    slot[22..24].copy_from_slice(&time.time.to_le_bytes());
    slot[24..26].copy_from_slice(&time.date.to_le_bytes());
    slot[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
    slot[28..32].copy_from_slice(&bytes.to_le_bytes());
    slot
}
