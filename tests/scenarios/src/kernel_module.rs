//! Modules of Debian's kernel, as its package has them: signed by Debian, for the kernel of an image.

use crate::images;
use anyhow::{Context as _, Result};
use bennu_harness::tool;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// In a root of the trees that `bennu` keeps, below the folder of the kernel's release.
const FOLDER: &str = "kernel/drivers/net";

/// The bytes of a network driver's module for the kernel of a release, not packed.
pub fn for_kernel_of(release: &Path, folder: &Path, name: &str) -> Result<Vec<u8>> {
    let kernel = kernel_of(release, folder)?;
    let path = format!("./usr/lib/modules/{kernel}/{FOLDER}/{name}.ko.xz");
    // More than one tree may have it: of the same package.
    let mut trees = trees()?.into_iter().filter_map(|tree| {
        let args = ["-xOf".as_ref(), tree.as_os_str(), path.as_ref()];
        tool::run("tar", &args, &[]).ok()
    });
    let packed = trees
        .next()
        .with_context(|| format!("no tree in {} has {path}", images::cache().display()))?;
    Ok(tool::run("xz", &["-dc"], &packed)?)
}

/// The kernel's release, as the UKI names it.
fn kernel_of(release: &Path, folder: &Path) -> Result<String> {
    let (name, copy) = (folder.join("uname"), folder.join("uki.copy"));
    let section = format!("--dump-section=.uname={}", name.display());
    let uki = release.join("uki.efi");
    let args = [OsStr::new(&section), uki.as_os_str(), copy.as_os_str()];
    tool::run("objcopy", &args, &[])?;
    std::fs::remove_file(copy)?;
    let text = std::fs::read_to_string(name)?;
    Ok(text.trim_end_matches(['\0', '\n']).to_owned())
}

/// Debian's trees, in an order of their own.
fn trees() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(images::cache())? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("debian-") && name.ends_with(".tar") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
