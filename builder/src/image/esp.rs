//! The EFI system partition of an image, read only.

use super::{DiskImage, ReadFailed, medium_error};
use bennu_disk::fat::reader::{Kind, ReadError, Volume};
use bennu_disk::gpt::Partition;
use std::fs::File;

/// Largest UKI or boot program that is looked at, in bytes: the most a UKI of ours can have.
pub const MAX_UKI_BYTES: u32 = bennu_uki::pe::MAX_IMAGE_BYTES as u32;
/// Most files that are listed; an ESP of ours has a dozen.
const MAX_FILES: usize = 1000;
/// Most directories that are listed, so that directories that contain each other come to an end.
const MAX_DIRECTORIES: usize = 200;

/// An opened volume.
pub struct Esp<'a> {
    volume: Volume<&'a File>,
}

/// A file on the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFile {
    /// Path with `/`, none at the start.
    pub path: String,
    /// Its last part.
    pub name: String,
    /// Length in bytes.
    pub bytes: u32,
}

impl<'a> Esp<'a> {
    /// Opens the volume in `partition`.
    ///
    /// # Errors
    /// The medium fails. The inner error: it is no FAT32 volume.
    pub fn open(image: &'a DiskImage, partition: &Partition) -> Result<Result<Self, ReadError>, ReadFailed> {
        answer(Volume::open(
            image.file(),
            partition.byte_offset(),
            partition.byte_len(),
        ))
        .map(|opened| opened.map(|volume| Self { volume }))
    }

    /// The content of a file of at most [`MAX_UKI_BYTES`].
    ///
    /// # Errors
    /// The medium fails. The inner error: it is not there or damaged.
    pub fn read(&mut self, path: &str) -> Result<Result<Vec<u8>, ReadError>, ReadFailed> {
        answer(self.volume.read(path, MAX_UKI_BYTES))
    }

    /// The files in `directory`, by name.
    ///
    /// # Errors
    /// The medium fails. The inner error: there is no such directory, or it is damaged.
    pub fn files(&mut self, directory: &str) -> Result<Result<Vec<EspFile>, ReadError>, ReadFailed> {
        let listed = answer(self.volume.list(directory))?;
        Ok(listed.map(|entries| {
            let files = entries
                .into_iter()
                .filter(|e| e.kind == Kind::File)
                .take(MAX_FILES);
            let mut files: Vec<EspFile> = files.map(|e| file(directory, e.name, e.bytes)).collect();
            files.sort_by(|a, b| a.name.cmp(&b.name));
            files
        }))
    }

    /// All files, by path: at most [`MAX_FILES`] out of [`MAX_DIRECTORIES`] directories.
    ///
    /// # Errors
    /// The medium fails. The inner error: a directory is damaged.
    pub fn all_files(&mut self) -> Result<Result<Vec<EspFile>, ReadError>, ReadFailed> {
        let mut files = Vec::new();
        let mut open = vec![String::new()];
        let mut seen = 0;
        while let Some(directory) = open.pop() {
            seen += 1;
            let entries = match answer(self.volume.list(&directory))? {
                Ok(entries) => entries,
                Err(error) => return Ok(Err(error)),
            };
            for entry in entries {
                match entry.kind {
                    Kind::File if files.len() < MAX_FILES => {
                        files.push(file(&directory, entry.name, entry.bytes))
                    }
                    Kind::Directory if seen + open.len() < MAX_DIRECTORIES => {
                        open.push(join(&directory, &entry.name));
                    }
                    _ => {}
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Ok(files))
    }
}

fn answer<T>(found: Result<T, ReadError>) -> Result<Result<T, ReadError>, ReadFailed> {
    match found {
        Ok(value) => Ok(Ok(value)),
        Err(error) => medium_error(error).map(Err),
    }
}

fn file(directory: &str, name: String, bytes: u32) -> EspFile {
    EspFile {
        path: join(directory, &name),
        name,
        bytes,
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}
