//! What a run leaves behind: `target/vm/<story>/`.
//!
//! | file | content |
//! |---|---|
//! | `power-on-<n>/serial.log`, `serial.raw` | stripped lines with ms since power-on; every byte |
//! | `power-on-<n>/command.txt`, `qemu.stderr`, `swtpm.log`, `swtpm.stderr` | what ran and what it said |
//! | `power-on-<n>/tpm-traffic.bin`, `tpm-traffic.txt` | what crossed the TPM's wire, if the story records it |
//! | `vars.fd`, `tpm/` | variable store and TPM state as the last power-on left them |
//! | `tpm-snapshot-<n>/` | TPM states that the story set aside |
//! | `disk.raw`, `disk-2.raw` | kept when the story failed, deleted when it passed |
//! | `summary.json` | outcome and timings |
//!
//! A second machine of a story has its own `machine-2/`; a first attempt that machine trouble spoilt moves to
//! `<story>.attempt-1/`. A story's folders are emptied when it runs again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Name of a machine's private disk in its folder.
pub(crate) const DISK: &str = "disk.raw";
/// Name of its second disk.
pub(crate) const SECOND_DISK: &str = "disk-2.raw";

/// The folder that holds all stories' folders.
#[derive(Debug, Clone)]
pub struct Artefacts {
    root: PathBuf,
}

impl Artefacts {
    /// `$CARGO_TARGET_DIR/vm`, or `target/vm` of the workspace.
    #[must_use]
    pub fn in_target() -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(workspace, PathBuf::from);
        Self {
            root: target.join("vm"),
        }
    }

    /// Another folder; made when first used.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A story's folder.
    #[must_use]
    pub fn story(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Empties and makes a story's folder, and forgets attempts of an earlier run.
    pub(crate) fn start_story(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.story(name);
        remove_folder(&self.set_aside_path(name))?;
        remove_folder(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("make artefact folder {}", folder.display()))?;
        folder
            .canonicalize()
            .with_context(|| format!("resolve artefact folder {}", folder.display()))
    }

    /// Moves a spoilt first attempt out of the way and makes the story's folder again.
    pub(crate) fn set_aside(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.story(name);
        let aside = self.set_aside_path(name);
        fs::rename(&folder, &aside)
            .with_context(|| format!("move {} to {}", folder.display(), aside.display()))?;
        fs::create_dir(&folder).with_context(|| format!("make artefact folder {}", folder.display()))?;
        folder
            .canonicalize()
            .with_context(|| format!("resolve artefact folder {}", folder.display()))
    }

    fn set_aside_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.attempt-1"))
    }
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("empty artefact folder {}", folder.display())),
    }
}

/// Writes a small file so that a reader sees the old or the new content, never a part.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file's path has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make folder {}", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("make a temporary file in {}", folder.display()))?;
    io::Write::write_all(&mut file, bytes).with_context(|| format!("write {}", path.display()))?;
    file.persist(path)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(())
}
