//! A disk image opened for reading. Nothing here is verified: [`crate::verify`] does that, and
//! [`crate::inspect`] shows what is there as it is.
//!
//! Every read is bounded, and no bytes make anything here panic. What cannot be read for a reason outside the
//! image (a medium that fails, a file that is not there) is [`ReadFailed`], never "the image is bad".

mod esp;
pub mod golden;
mod root;
mod uki;

pub use esp::{Esp, EspFile};
pub use root::{RootError, RootTree};
pub use uki::UkiFacts;

use bennu_disk::fat::reader;
use bennu_disk::gpt::{self, Health, Partition, Table, TableError};
use bennu_formats::{Code, guids, verity_sig};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};

/// Why a file cannot be taken as a disk image at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error("disk image {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a pipe or the like.
    #[error("disk image {0}: expected a file or a block device, found something else")]
    Kind(PathBuf),
    /// No usable partition table.
    #[error("{code} {path}: expected a GUID partition table, found none that is whole: {source}; {advice}",
        code = Code::ImageGpt, advice = Code::ImageGpt.advice())]
    NoTable {
        /// The file.
        path: PathBuf,
        /// What is wrong with both copies.
        source: gpt::OpenError,
    },
}

/// Something outside the image kept us from reading it.
#[derive(Debug, thiserror::Error)]
#[error("{what}: cannot be read: {source}")]
pub struct ReadFailed {
    /// What was being read.
    pub what: String,
    /// What the system said.
    pub source: io::Error,
}

impl ReadFailed {
    /// A read of `what` that failed.
    pub fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self {
            what: what.into(),
            source,
        }
    }
}

/// An image with a partition table.
#[derive(Debug)]
pub struct DiskImage {
    file: File,
    table: Table,
    health: Health,
}

/// An image whose table is whole and contradicts itself.
#[derive(Debug)]
pub struct Contradiction(pub TableError);

impl DiskImage {
    /// Opens `path` and reads its partition table.
    ///
    /// # Errors
    /// It cannot be read or has no table. A table that contradicts itself is an answer, not an error.
    pub fn open(path: &Path) -> Result<Result<Self, Contradiction>, OpenError> {
        let failed = |source| OpenError::Read {
            path: path.to_owned(),
            source,
        };
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(OpenError::Kind(path.to_owned()));
        }
        let mut file = File::open(path).map_err(failed)?;
        match gpt::open(&mut file) {
            Ok((table, health)) => Ok(Ok(Self { file, table, health })),
            Err(gpt::OpenError::Table(error)) => Ok(Err(Contradiction(error))),
            Err(gpt::OpenError::Size(source)) => Err(failed(source)),
            Err(source) => Err(OpenError::NoTable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// State of the table's two copies.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The partitions of `type_guid`, by number.
    pub fn of_type(&self, type_guid: [u8; 16]) -> Vec<&Partition> {
        let of_type = |p: &&Partition| *p.type_guid.as_bytes() == type_guid;
        self.table.partitions().iter().filter(of_type).collect()
    }

    /// The slots: the first root, root-verity and root-verity-sig partition are slot A, the second ones slot B.
    pub fn slots(&self) -> Vec<SlotPartitions<'_>> {
        let root = self.of_type(guids::TYPE_ROOT_X86_64);
        let verity = self.of_type(guids::TYPE_ROOT_VERITY_X86_64);
        let sig = self.of_type(guids::TYPE_ROOT_VERITY_SIG_X86_64);
        let count = root.len().max(verity.len()).max(sig.len());
        (0..count)
            .map(|i| SlotPartitions {
                name: slot_name(i),
                root: root.get(i).copied(),
                verity: verity.get(i).copied(),
                sig: sig.get(i).copied(),
            })
            .collect()
    }

    /// The bytes of a root-verity-sig partition, as many as `bennu-init` reads.
    ///
    /// # Errors
    /// The medium fails. A partition that the image is too short for gives fewer bytes.
    pub fn read_sig(&self, partition: &Partition) -> Result<Vec<u8>, ReadFailed> {
        let length = partition.byte_len().min(verity_sig::PARTITION_BYTES as u64) as usize;
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            match self
                .file
                .read_at(&mut bytes[done..], partition.byte_offset() + done as u64)
            {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadFailed::new(format!("partition {}", partition.number), error)),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}

/// The three partitions of a slot, as far as they are there.
#[derive(Debug, Clone)]
pub struct SlotPartitions<'a> {
    /// `A`, `B`, …
    pub name: String,
    /// Root.
    pub root: Option<&'a Partition>,
    /// Hash tree.
    pub verity: Option<&'a Partition>,
    /// Manifest.
    pub sig: Option<&'a Partition>,
}

fn slot_name(index: usize) -> String {
    match u8::try_from(index) {
        Ok(i) if i < 26 => char::from(b'A' + i).to_string(),
        _ => (index + 1).to_string(),
    }
}

/// The medium's error in a FAT error, if it is one. An image that ends too early is the image's fault.
pub fn medium_error(error: reader::ReadError) -> Result<reader::ReadError, ReadFailed> {
    match error {
        reader::ReadError::Read { source, .. } if source.kind() != io::ErrorKind::UnexpectedEof => {
            Err(ReadFailed::new("EFI system partition", source))
        }
        other => Ok(other),
    }
}

/// Text out of an image, safe to print: control characters, by which a terminal could be driven, are replaced.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_table_and_a_directory_are_told_apart_from_images() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        std::fs::write(&path, "hello").unwrap();
        let found = DiskImage::open(&path);
        assert!(matches!(found, Err(OpenError::NoTable { .. })), "{found:?}");
        assert!(found.unwrap_err().to_string().starts_with("IMAGE-GPT "));
        assert!(matches!(DiskImage::open(dir.path()), Err(OpenError::Kind(_))));
        assert!(matches!(
            DiskImage::open(&dir.path().join("none")),
            Err(OpenError::Read { .. })
        ));
    }

    #[test]
    fn text_from_an_image_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
