//! The files of a checkout: everything but build output and the version control's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories that hold no source.
const NO_SOURCE: [&str; 2] = ["target", ".git"];

/// The workspace's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file with its path from the root.
#[derive(Debug)]
pub struct SourceFile {
    /// Path from the root, `/` between names.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// The content, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

/// All files, in the order of their paths.
///
/// # Errors
/// A folder or file cannot be read.
pub fn all() -> io::Result<Vec<SourceFile>> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = folder.join(entry.file_name());
            if kind.is_dir() && !NO_SOURCE.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file() {
                found.push(SourceFile {
                    path: path.to_string_lossy().into_owned(),
                    bytes: fs::read(entry.path())?,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// All Rust files.
///
/// # Errors
/// As [`all`].
pub fn rust() -> io::Result<Vec<SourceFile>> {
    Ok(all()?
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .collect())
}
