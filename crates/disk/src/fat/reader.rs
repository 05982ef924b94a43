//! Reads files out of a FAT32 volume that nobody vouches for.
//!
//! Used by `bennu inspect`, by bennud and by tests to look into EFI system partitions of images and disks. Bounded in
//! everything: directories of 2 MiB, paths of 16 parts, files of the caller's limit, chains of as many clusters as the
//! size allows; so a chain that runs in a circle ends in an error. Nothing is written.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::boot::{Boot, SECTOR, decode_boot_sector};
use super::geometry::FIRST_CLUSTER;
use super::slots::Slots;
pub use super::slots::{DirectoryEntry, Kind};
use super::{MAX_DEPTH, MAX_DIRECTORY_BYTES, SLOT_BYTES};
use crate::SECTOR_BYTES;

/// First value of a FAT entry that ends a chain.
const END_OF_CHAIN: u32 = 0x0fff_fff8;

/// Why a boot sector is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// No 0x55 0xaa at the end.
    #[error("parse FAT boot sector: no signature")]
    Signature,
    /// Sectors of another size than 512.
    #[error("parse FAT boot sector: sectors of {found} bytes; only 512 is supported")]
    SectorSize {
        /// Bytes found.
        found: u16,
    },
    /// Sectors per cluster not a power of two.
    #[error("parse FAT boot sector: {found} sectors per cluster; expected a power of two")]
    ClusterSize {
        /// Sectors found.
        found: u8,
    },
    /// FAT12, FAT16, or an unknown version.
    #[error("parse FAT boot sector: not FAT32")]
    NotFat32,
    /// Only one of the FATs is in use.
    #[error("parse FAT boot sector: FATs are not mirrored; not supported")]
    FatsNotMirrored,
    /// The parts do not fit each other or the partition.
    #[error(
        "parse FAT boot sector: {total_sectors} sectors, data from {data_sector} on, in {volume_bytes} bytes"
    )]
    Geometry {
        /// Sectors of the volume.
        total_sectors: u64,
        /// First sector of the data.
        data_sector: u64,
        /// Bytes of the partition.
        volume_bytes: u64,
    },
}

/// Why a volume, directory or file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The boot sector is refused.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The volume could not be read.
    #[error("read FAT volume at byte {offset}: {source}")]
    Read {
        /// Byte of the volume.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// No such file or directory.
    #[error("find {path:?} on FAT volume: not there")]
    NotFound {
        /// The path.
        path: String,
    },
    /// A directory where a file is wanted, or the other way round.
    #[error("find {path:?} on FAT volume: expected a {expected:?}")]
    WrongKind {
        /// The path.
        path: String,
        /// What was wanted.
        expected: Kind,
    },
    /// More than [`MAX_DEPTH`] parts.
    #[error(
        "find {path:?} on FAT volume: {found} parts; at most {} are allowed",
        MAX_DEPTH
    )]
    TooDeep {
        /// The path.
        path: String,
        /// Parts.
        found: usize,
    },
    /// A file above the caller's limit.
    #[error("read {path:?} from FAT volume: {found} bytes; at most {limit} are allowed")]
    FileTooLarge {
        /// The path.
        path: String,
        /// Bytes.
        found: u32,
        /// The limit.
        limit: u32,
    },
    /// A directory above 2 MiB.
    #[error("read directory at cluster {cluster} of FAT volume: more than 2097152 bytes")]
    DirectoryTooLarge {
        /// Its first cluster.
        cluster: u32,
    },
    /// A cluster number that the volume does not have.
    #[error("read FAT volume: cluster {cluster} does not exist")]
    NoSuchCluster {
        /// The number.
        cluster: u32,
    },
    /// A file with fewer clusters than its size needs.
    #[error("read FAT volume: chain of clusters ends at {cluster}, before the end of the file")]
    ShortChain {
        /// Last cluster of the chain.
        cluster: u32,
    },
    /// The receiver of a file failed.
    #[error("copy {path:?} from FAT volume: write: {source}")]
    WriteOut {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A volume opened for reading.
#[derive(Debug)]
pub struct Volume<R> {
    source: R,
    offset: u64,
    boot: Boot,
    /// The FAT sector last read, with its number.
    fat_sector: Option<(u64, [u8; SECTOR])>,
}

impl<R: Read + Seek> Volume<R> {
    /// Opens the volume in the `bytes` bytes from byte `offset` of `source` on.
    pub fn open(mut source: R, offset: u64, bytes: u64) -> Result<Self, ReadError> {
        let mut sector = [0; SECTOR];
        read_at(&mut source, offset, 0, &mut sector)?;
        let boot = decode_boot_sector(&sector, bytes)?;
        Ok(Self {
            source,
            offset,
            boot,
            fat_sector: None,
        })
    }

    /// The entries of a directory (`""` or `/` for the root), without `.` and `..`.
    pub fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>, ReadError> {
        let cluster = match self.find(path)? {
            None => self.boot.root_cluster,
            Some(entry) if entry.kind == Kind::Directory => self.directory_cluster(&entry),
            Some(_) => {
                return Err(ReadError::WrongKind {
                    path: path.to_owned(),
                    expected: Kind::Directory,
                });
            }
        };
        self.read_directory(cluster)
    }

    /// The bytes of a file of at most `limit` bytes. Names do not tell case.
    pub fn read(&mut self, path: &str, limit: u32) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        self.copy(path, limit, &mut bytes)?;
        Ok(bytes)
    }

    /// Streams a file of at most `limit` bytes to `out`; returns its size.
    pub fn copy(&mut self, path: &str, limit: u32, out: &mut impl Write) -> Result<u32, ReadError> {
        let wrong = || ReadError::WrongKind {
            path: path.to_owned(),
            expected: Kind::File,
        };
        let entry = self.find(path)?.ok_or_else(wrong)?;
        if entry.kind != Kind::File {
            return Err(wrong());
        }
        if entry.bytes > limit {
            return Err(ReadError::FileTooLarge {
                path: path.to_owned(),
                found: entry.bytes,
                limit,
            });
        }
        let mut left = u64::from(entry.bytes);
        let mut buffer = vec![0; self.boot.cluster_bytes as usize];
        let mut cluster = entry.first_cluster;
        while left > 0 {
            let wanted = u64::min(left, self.boot.cluster_bytes) as usize;
            self.read_cluster(cluster, &mut buffer[..wanted])?;
            out.write_all(&buffer[..wanted])
                .map_err(|source| ReadError::WriteOut {
                    path: path.to_owned(),
                    source,
                })?;
            left -= wanted as u64;
            if left > 0 {
                cluster = self
                    .next_cluster(cluster)?
                    .ok_or(ReadError::ShortChain { cluster })?;
            }
        }
        Ok(entry.bytes)
    }

    /// The entry of a path; `None` for the root.
    fn find(&mut self, path: &str) -> Result<Option<DirectoryEntry>, ReadError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() > MAX_DEPTH {
            return Err(ReadError::TooDeep {
                path: path.to_owned(),
                found: parts.len(),
            });
        }
        let mut cluster = self.boot.root_cluster;
        let mut found = None;
        for (index, part) in parts.iter().enumerate() {
            let entries = self.read_directory(cluster)?;
            let entry = entries.into_iter().find(|entry| entry.has_name(part));
            let entry = entry.ok_or_else(|| ReadError::NotFound {
                path: path.to_owned(),
            })?;
            if entry.kind == Kind::File && index + 1 < parts.len() {
                return Err(ReadError::WrongKind {
                    path: path.to_owned(),
                    expected: Kind::Directory,
                });
            }
            cluster = self.directory_cluster(&entry);
            found = Some(entry);
        }
        Ok(found)
    }

    /// Cluster 0 means the root.
    fn directory_cluster(&self, entry: &DirectoryEntry) -> u32 {
        if entry.first_cluster == 0 {
            self.boot.root_cluster
        } else {
            entry.first_cluster
        }
    }

    fn read_directory(&mut self, first: u32) -> Result<Vec<DirectoryEntry>, ReadError> {
        let mut slots = Slots::default();
        let mut buffer = vec![0; self.boot.cluster_bytes as usize];
        let mut bytes = 0;
        let mut cluster = Some(first);
        while let Some(this) = cluster {
            bytes += buffer.len();
            if bytes > MAX_DIRECTORY_BYTES {
                return Err(ReadError::DirectoryTooLarge { cluster: first });
            }
            self.read_cluster(this, &mut buffer)?;
            for slot in buffer.chunks_exact(SLOT_BYTES) {
                if slot[0] == 0 {
                    return Ok(slots.into_entries());
                }
                slots.take(slot);
            }
            cluster = self.next_cluster(this)?;
        }
        Ok(slots.into_entries())
    }

    fn check_cluster(&self, cluster: u32) -> Result<(), ReadError> {
        let end = FIRST_CLUSTER + self.boot.clusters;
        if (FIRST_CLUSTER..end).contains(&cluster) {
            Ok(())
        } else {
            Err(ReadError::NoSuchCluster { cluster })
        }
    }

    fn read_cluster(&mut self, cluster: u32, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.check_cluster(cluster)?;
        let at = self.boot.data_offset + u64::from(cluster - FIRST_CLUSTER) * self.boot.cluster_bytes;
        read_at(&mut self.source, self.offset, at, buffer)
    }

    /// The cluster after this one; `None` at the end of the chain.
    fn next_cluster(&mut self, cluster: u32) -> Result<Option<u32>, ReadError> {
        self.check_cluster(cluster)?;
        let byte = u64::from(cluster) * 4;
        let (sector, within) = (byte / SECTOR_BYTES, (byte % SECTOR_BYTES) as usize);
        let bytes = match self.fat_sector {
            Some((known, bytes)) if known == sector => bytes,
            _ => {
                let mut bytes = [0; SECTOR];
                let at = self.boot.fat_offset + sector * SECTOR_BYTES;
                read_at(&mut self.source, self.offset, at, &mut bytes)?;
                self.fat_sector = Some((sector, bytes));
                bytes
            }
        };
        let mut entry = [0; 4];
        entry.copy_from_slice(&bytes[within..within + 4]);
        // The top four bits are reserved.
        let next = u32::from_le_bytes(entry) & 0x0fff_ffff;
        if next >= END_OF_CHAIN {
            return Ok(None);
        }
        self.check_cluster(next)?;
        Ok(Some(next))
    }
}

fn read_at(source: &mut (impl Read + Seek), base: u64, at: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
    let failed = |source| ReadError::Read { offset: at, source };
    let offset = base
        .checked_add(at)
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    source.seek(SeekFrom::Start(offset)).map_err(failed)?;
    source.read_exact(buffer).map_err(failed)
}
