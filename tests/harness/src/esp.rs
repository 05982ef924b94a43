//! Files on a disk image's ESP, through mtools: no mount, no privileges.
//!
//! Paths are absolute on the ESP, with `/` between names: `/EFI/Linux/demo_1+3.efi`. mtools expands `*`, `?`
//! and `[`, so names with these are refused.

use std::ffi::OsString;

use crate::disk::{Disk, DiskError};
use crate::partitions::Partition;
use crate::tool::{self, ToolError};

/// Why a file on the ESP could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// The path is not one that mtools takes literally.
    #[error("name {path:?} on the ESP: expected an absolute path without * ? [ and ::")]
    Path {
        /// The path as given.
        path: String,
    },
    /// mtools failed: the file does not exist, the ESP is full, or it is no FAT.
    #[error("edit the ESP: {0}")]
    Tool(#[from] ToolError),
    /// The disk has no single ESP.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EspEntry {
    /// Name without its folder.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// The ESP of a disk whose machine is off.
#[derive(Debug)]
pub struct Esp<'d> {
    disk: &'d Disk,
    partition: Partition,
}

impl<'d> Esp<'d> {
    pub(crate) fn new(disk: &'d Disk, partition: Partition) -> Self {
        Self { disk, partition }
    }

    /// The ESP's GPT entry.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Makes an empty FAT file system, as `mformat` does; everything on the ESP is lost.
    ///
    /// # Errors
    /// [`EspError::Tool`].
    pub fn format(&self) -> Result<(), EspError> {
        let sectors = (self.partition.bytes / crate::partitions::SECTOR).to_string();
        self.mtools(
            "mformat",
            &["-F", "-T", &sectors, "-h", "64", "-s", "32", "::"],
            &[],
        )
        .map(drop)
    }

    /// Content of a file.
    ///
    /// # Errors
    /// It does not exist.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, EspError> {
        self.mtools("mcopy", &["-n", &on_esp(path)?, "-"], &[])
    }

    /// Writes a file; its folder must exist, an old file of the name is replaced.
    ///
    /// # Errors
    /// No such folder, or no room.
    pub fn put(&self, path: &str, content: &[u8]) -> Result<(), EspError> {
        self.mtools("mcopy", &["-o", "-", &on_esp(path)?], content)
            .map(drop)
    }

    /// Makes a folder; the one above must exist.
    ///
    /// # Errors
    /// It exists, or the one above does not.
    pub fn make_folder(&self, path: &str) -> Result<(), EspError> {
        self.mtools("mmd", &["-D", "s", &on_esp(path)?], &[]).map(drop)
    }

    /// Entries of a folder, sorted by name.
    ///
    /// # Errors
    /// It does not exist.
    pub fn list(&self, folder: &str) -> Result<Vec<EspEntry>, EspError> {
        let inside = format!("{}/", on_esp(folder)?.trim_end_matches('/'));
        let output = self.mtools("mdir", &["-b", "-a", &inside], &[])?;
        let output = String::from_utf8_lossy(&output);
        let mut entries: Vec<EspEntry> = output.lines().filter_map(entry_of).collect();
        entries.sort();
        Ok(entries)
    }

    /// Renames a file within its folder; `new_name` has no folder.
    ///
    /// # Errors
    /// The old one does not exist, or the new one does.
    pub fn rename(&self, path: &str, new_name: &str) -> Result<(), EspError> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let target = on_esp(&format!("{folder}/{new_name}"))?;
        self.mtools("mren", &["-D", "s", &on_esp(path)?, &target], &[])
            .map(drop)
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// It does not exist.
    pub fn delete(&self, path: &str) -> Result<(), EspError> {
        self.mtools("mdel", &[&on_esp(path)?], &[]).map(drop)
    }

    fn mtools(&self, name: &'static str, args: &[&str], input: &[u8]) -> Result<Vec<u8>, EspError> {
        let mut image = OsString::from(self.disk.path());
        image.push(format!("@@{}", self.partition.start));
        let mut all: Vec<OsString> = vec!["-i".into(), image];
        all.extend(args.iter().map(OsString::from));
        Ok(tool::run(name, &all, input)?)
    }
}

fn on_esp(path: &str) -> Result<String, EspError> {
    let literal = path.starts_with('/') && !path.contains(['*', '?', '[', '\\']) && !path.contains("::");
    if literal {
        Ok(format!("::{path}"))
    } else {
        Err(EspError::Path {
            path: path.to_owned(),
        })
    }
}

/// One line of `mdir -b`: `::/EFI/Linux/demo.efi`, with a `/` behind a folder.
fn entry_of(line: &str) -> Option<EspEntry> {
    let path = line.strip_prefix("::")?;
    let bare = path.trim_end_matches('/');
    let name = bare
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty() && *name != "." && *name != "..")?;
    Some(EspEntry {
        name: name.to_owned(),
        is_folder: bare.len() < path.len(),
    })
}
