//! The EROFS root of a slot: os-release, and figures for `bennu inspect`.

use super::golden::{self, ImageError};
use super::{DiskImage, ReadFailed};
use crate::steps::os_release;
use bennu_disk::gpt::Partition;
use bennu_erofs::{FileType, Image, ReadError, Window};
use bennu_formats::Sha256Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;

/// Where os-release lies.
const OS_RELEASE: &str = "/usr/lib/os-release";
/// Most names that are counted; a root of ours has some ten thousand.
const MAX_NAMES: u64 = 2_000_000;

/// Why a root does not tell.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// No EROFS, or a damaged one.
    #[error("root file system: {0}")]
    Erofs(#[from] ReadError),
    /// No os-release.
    #[error("root file system: expected a file {OS_RELEASE}, found none")]
    NoOsRelease,
    /// More names than are counted.
    #[error("root file system: expected at most {MAX_NAMES} names, found more")]
    TooManyNames,
}

/// An opened root.
pub struct RootTree<'a> {
    image: Image<Window<&'a File>>,
}

/// Figures of a root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootSummary {
    /// Regular files; hard links of one file count each.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, pipes and sockets.
    pub others: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Bytes of regular files below each directory of the first two levels, largest first.
    pub largest: Vec<(String, u64)>,
}

/// Directories in [`RootSummary::largest`].
const LARGEST: usize = 5;

impl<'a> RootTree<'a> {
    /// Opens the first `bytes` bytes of `partition`.
    ///
    /// # Errors
    /// The medium fails. The inner error: it is no EROFS that we read.
    pub fn open(
        image: &'a DiskImage,
        partition: &Partition,
        bytes: u64,
    ) -> Result<Result<Self, RootError>, ReadFailed> {
        let window = Window::new(
            image.file(),
            partition.byte_offset(),
            bytes.min(partition.byte_len()),
        );
        answer(Image::open(window).map_err(RootError::from)).map(|opened| opened.map(|image| Self { image }))
    }

    /// The text of os-release.
    ///
    /// # Errors
    /// The medium fails. The inner error: there is none, or it cannot be read.
    pub fn os_release(&self) -> Result<Result<String, RootError>, ReadFailed> {
        answer(self.read_os_release())
    }

    fn read_os_release(&self) -> Result<String, RootError> {
        let inode = self.image.resolve(OS_RELEASE)?.ok_or(RootError::NoOsRelease)?;
        let bytes = self.image.read_file(&inode, os_release::MAX_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Digests of the golden-file index on the root, if there is one, and of the one made anew.
    ///
    /// # Errors
    /// The medium fails. The inner error: the file system is damaged, or what lies there is no index.
    pub fn golden_digests(
        &self,
    ) -> Result<Result<(Option<Sha256Digest>, Sha256Digest), ImageError>, ReadFailed> {
        golden_answer(golden::in_image(&self.image).and_then(|found| {
            let made = Sha256Digest::of(&golden::of_image(&self.image)?);
            Ok((found.map(|(_, digest)| digest), made))
        }))
    }

    /// The golden-file index on the root with its digest; `None` where there is none.
    ///
    /// # Errors
    /// As for [`RootTree::golden_digests`].
    pub fn golden_index(&self) -> Result<Result<FoundIndex<'_, 'a>, ImageError>, ReadFailed> {
        golden_answer(golden::in_image(&self.image))
    }

    /// Counts what is there.
    ///
    /// # Errors
    /// The medium fails. The inner error: the file system is damaged or endless.
    pub fn summary(&self) -> Result<Result<RootSummary, RootError>, ReadFailed> {
        answer(self.count())
    }

    fn count(&self) -> Result<RootSummary, RootError> {
        let mut found = RootSummary::default();
        let mut below: BTreeMap<String, u64> = BTreeMap::new();
        let mut names = 0;
        self.image.walk(|path, inode| -> Result<(), RootError> {
            names += 1;
            if names > MAX_NAMES {
                return Err(RootError::TooManyNames);
            }
            match inode.file_type {
                FileType::Regular => {
                    found.files += 1;
                    found.bytes = found.bytes.saturating_add(inode.size);
                    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
                    let directory = &parts[..(parts.len() - 1).min(2)];
                    let name = String::from_utf8_lossy(&directory.join(&b'/')).into_owned();
                    let sum = below.entry(name).or_default();
                    *sum = sum.saturating_add(inode.size);
                }
                FileType::Directory => found.directories += 1,
                FileType::Symlink => found.symlinks += 1,
                _ => found.others += 1,
            }
            Ok(())
        })?;
        found.largest = below
            .into_iter()
            .map(|(name, bytes)| (format!("/{name}"), bytes))
            .collect();
        found
            .largest
            .sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.largest.truncate(LARGEST);
        Ok(found)
    }
}

/// [`golden::Found`] of a root.
pub type FoundIndex<'i, 'a> = golden::Found<'i, Window<&'a File>>;

fn golden_answer<T>(found: Result<T, ImageError>) -> Result<Result<T, ImageError>, ReadFailed> {
    match found {
        Err(ImageError::Erofs(ReadError::Read { source, .. }))
            if source.kind() != io::ErrorKind::UnexpectedEof =>
        {
            Err(ReadFailed::new("root file system", source))
        }
        other => Ok(other),
    }
}

fn answer<T>(found: Result<T, RootError>) -> Result<Result<T, RootError>, ReadFailed> {
    match found {
        Err(RootError::Erofs(ReadError::Read { source, .. }))
            if source.kind() != io::ErrorKind::UnexpectedEof =>
        {
            Err(ReadFailed::new("root file system", source))
        }
        other => Ok(other),
    }
}
