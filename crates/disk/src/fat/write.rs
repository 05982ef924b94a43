//! Writes a planned volume: reserved sectors, both FATs, directories, files, each once and in order.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::boot::{BACKUP_BOOT_SECTOR, FSINFO_SECTOR, MEDIA, SECTOR, encode_boot_sector, encode_fsinfo};
use super::geometry::{FATS, FIRST_CLUSTER, Geometry, GeometryError, RESERVED_SECTORS};
use super::name::VolumeLabel;
use super::time::DosTime;
use super::tree::{Content, Entry, FileNode, Tree, TreeError};
use crate::SECTOR_BYTES;

const END_OF_CHAIN: u32 = 0x0fff_ffff;
const COPY_BYTES: usize = 1 << 20;

/// What a volume is apart from its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Bytes of the volume, a multiple of 512, at least [`super::MIN_VOLUME_BYTES`].
    pub bytes: u64,
    /// Label.
    pub label: VolumeLabel,
    /// Volume id (serial number).
    pub volume_id: u32,
    /// Time of every file and directory.
    pub time: DosTime,
}

/// Why a volume was not planned or written.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The size is not one of a FAT32 volume.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The entries are no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The files do not fit.
    #[error(
        "plan FAT volume: files and directories take {needed} bytes in clusters; {available} are available"
    )]
    NoSpace {
        /// Bytes of all clusters needed.
        needed: u64,
        /// Bytes of all clusters the volume has.
        available: u64,
    },
    /// A source file could not be opened or read.
    #[error("read {path:?} for FAT volume: {source}")]
    ReadSource {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source file is not a regular file.
    #[error("read {path:?} for FAT volume: not a regular file")]
    SourceKind {
        /// The file.
        path: PathBuf,
    },
    /// A source file changed its size after the volume was planned.
    #[error("read {path:?} for FAT volume: size is no longer {expected} bytes; do not change it meanwhile")]
    SourceChanged {
        /// The file.
        path: PathBuf,
        /// Bytes when planned.
        expected: u64,
    },
    /// The output could not be written.
    #[error("write FAT volume at byte {offset}: {source}")]
    Write {
        /// Byte of the volume.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The offset is not a multiple of 512.
    #[error("write FAT volume: offset {found}; expected a multiple of 512")]
    Offset {
        /// Offset given.
        found: u64,
    },
}

/// A volume with a place for every byte, ready to be written.
#[derive(Debug)]
pub struct Plan {
    spec: VolumeSpec,
    geometry: Geometry,
    tree: Tree,
    used_clusters: u32,
}

impl Plan {
    /// Plans a volume. The order of `entries` does not matter. Source files are looked at for their size only.
    pub fn new(spec: VolumeSpec, entries: Vec<Entry>) -> Result<Self, FatError> {
        let geometry = Geometry::new(spec.bytes)?;
        let mut tree = Tree::new(entries, source_bytes)?;
        let used = tree.place(&geometry)?;
        match u32::try_from(used) {
            Ok(used_clusters) if used_clusters <= geometry.clusters => Ok(Self {
                spec,
                geometry,
                tree,
                used_clusters,
            }),
            _ => Err(FatError::NoSpace {
                needed: used * geometry.cluster_bytes(),
                available: u64::from(geometry.clusters) * geometry.cluster_bytes(),
            }),
        }
    }

    /// Bytes of one cluster: 512 to 4096.
    pub fn cluster_bytes(&self) -> u64 {
        self.geometry.cluster_bytes()
    }

    /// Bytes of all free clusters.
    pub fn free_bytes(&self) -> u64 {
        u64::from(self.geometry.clusters - self.used_clusters) * self.geometry.cluster_bytes()
    }

    /// Writes the volume at byte `offset` of `out`. Free clusters are not written: give a file that is zero there.
    /// `progress` gets the bytes of files written so far. `out` is flushed, not synced.
    pub fn write(
        &self,
        out: &mut (impl Write + Seek),
        offset: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FatError> {
        if !offset.is_multiple_of(SECTOR_BYTES) {
            return Err(FatError::Offset { found: offset });
        }
        let mut out = Output { out, base: offset };
        self.write_reserved(&mut out)?;
        self.write_fats(&mut out)?;
        self.write_directories(&mut out)?;
        let mut done = 0;
        for file in &self.tree.files {
            self.write_file(&mut out, file, &mut |bytes| {
                done += bytes;
                progress(done);
            })?;
        }
        out.out.flush().map_err(|source| FatError::Write {
            offset: self.spec.bytes,
            source,
        })
    }

    fn write_reserved<W: Write + Seek>(&self, out: &mut Output<'_, W>) -> Result<(), FatError> {
        let hidden = u32::try_from(out.base / SECTOR_BYTES).unwrap_or(0);
        let boot = encode_boot_sector(&self.geometry, hidden, self.spec.volume_id, &self.spec.label.0);
        let free = self.geometry.clusters - self.used_clusters;
        // 0xffffffff: unknown (fatgen103).
        let next_free = if free == 0 {
            u32::MAX
        } else {
            FIRST_CLUSTER + self.used_clusters
        };
        let fsinfo = encode_fsinfo(free, next_free);
        let mut bytes = vec![0; RESERVED_SECTORS as usize * SECTOR];
        for first in [0, BACKUP_BOOT_SECTOR as usize] {
            let info = first + FSINFO_SECTOR as usize;
            bytes[first * SECTOR..][..SECTOR].copy_from_slice(&boot);
            bytes[info * SECTOR..][..SECTOR].copy_from_slice(&fsinfo);
        }
        out.put(0, &bytes)
    }

    fn write_fats<W: Write + Seek>(&self, out: &mut Output<'_, W>) -> Result<(), FatError> {
        let fat_bytes = u64::from(self.geometry.fat_sectors) * SECTOR_BYTES;
        for copy in 0..u64::from(FATS) {
            let mut at = u64::from(RESERVED_SECTORS) * SECTOR_BYTES + copy * fat_bytes;
            let end = at + fat_bytes;
            let mut entries = self.fat_entries();
            let mut buffer = Vec::with_capacity(COPY_BYTES);
            while at < end {
                let wanted = u64::min(COPY_BYTES as u64, end - at) as usize;
                buffer.clear();
                buffer.extend(entries.by_ref().take(wanted / 4).flat_map(u32::to_le_bytes));
                buffer.resize(wanted, 0);
                out.put(at, &buffer)?;
                at += wanted as u64;
            }
        }
        Ok(())
    }

    /// The used entries of the FAT from entry 0 on. All chains are contiguous and lie in the order of the tree.
    fn fat_entries(&self) -> impl Iterator<Item = u32> {
        let directories = self
            .tree
            .directories
            .iter()
            .map(|node| (node.first_cluster, node.clusters));
        let files = self
            .tree
            .files
            .iter()
            .map(|node| (node.first_cluster, node.clusters));
        let chains = directories.chain(files).filter(|(_, clusters)| *clusters > 0);
        let entries = chains.flat_map(|(first, clusters)| {
            let last = first + clusters - 1;
            (first..=last).map(move |cluster| {
                if cluster == last {
                    END_OF_CHAIN
                } else {
                    cluster + 1
                }
            })
        });
        [0x0fff_ff00 | u32::from(MEDIA), END_OF_CHAIN]
            .into_iter()
            .chain(entries)
    }

    fn write_directories<W: Write + Seek>(&self, out: &mut Output<'_, W>) -> Result<(), FatError> {
        for (index, node) in self.tree.directories.iter().enumerate() {
            let mut bytes = self
                .tree
                .encode_directory(index, &self.spec.label.0, self.spec.time)?;
            bytes.resize(node.clusters as usize * self.geometry.cluster_bytes() as usize, 0);
            out.put(self.geometry.cluster_offset(node.first_cluster), &bytes)?;
        }
        Ok(())
    }

    fn write_file<W: Write + Seek>(
        &self,
        out: &mut Output<'_, W>,
        file: &FileNode,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FatError> {
        let bytes = u64::from(file.bytes);
        let start = if file.clusters == 0 {
            0
        } else {
            self.geometry.cluster_offset(file.first_cluster)
        };
        match &file.content {
            Content::Directory => {}
            Content::Bytes(content) => {
                out.put(start, content)?;
                progress(bytes);
            }
            Content::File(path) => {
                let failed = |source| FatError::ReadSource {
                    path: path.clone(),
                    source,
                };
                let mut source = File::open(path).map_err(failed)?;
                let changed = || FatError::SourceChanged {
                    path: path.clone(),
                    expected: bytes,
                };
                let mut buffer = vec![0; u64::min(COPY_BYTES as u64, bytes) as usize];
                let mut done = 0;
                while done < bytes {
                    let wanted = u64::min(buffer.len() as u64, bytes - done) as usize;
                    let got = source.read(&mut buffer[..wanted]).map_err(failed)?;
                    if got == 0 {
                        return Err(changed());
                    }
                    out.put(start + done, &buffer[..got])?;
                    done += got as u64;
                    progress(got as u64);
                }
                if source.read(&mut [0]).map_err(failed)? != 0 {
                    return Err(changed());
                }
            }
        }
        let slack = u64::from(file.clusters) * self.geometry.cluster_bytes() - bytes;
        if slack == 0 {
            Ok(())
        } else {
            out.put(start + bytes, &vec![0; slack as usize])
        }
    }
}

fn source_bytes(entry: &Entry) -> Result<u64, FatError> {
    match &entry.content {
        Content::Bytes(bytes) => Ok(bytes.len() as u64),
        Content::Directory => Ok(0),
        Content::File(path) => {
            let failed = |source| FatError::ReadSource {
                path: path.clone(),
                source,
            };
            let metadata = std::fs::metadata(path).map_err(failed)?;
            if metadata.is_file() {
                Ok(metadata.len())
            } else {
                Err(FatError::SourceKind { path: path.clone() })
            }
        }
    }
}

struct Output<'a, W> {
    out: &'a mut W,
    base: u64,
}

impl<W: Write + Seek> Output<'_, W> {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FatError> {
        let failed = |source| FatError::Write { offset, source };
        let at = self
            .base
            .checked_add(offset)
            .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        self.out.seek(SeekFrom::Start(at)).map_err(failed)?;
        self.out.write_all(bytes).map_err(failed)
    }
}
