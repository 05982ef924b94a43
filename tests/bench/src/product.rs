//! The product under measurement: `target/release/bennu` and what it builds, as a user would call it.

use crate::run;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
pub fn top() -> PathBuf {
    // tests/bench, tests, the checkout.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// A path below the checkout's `target`.
pub fn target(path: &str) -> PathBuf {
    top().join("target").join(path)
}

/// Where Debian roots are kept, as for `bennu build`.
pub fn cache() -> PathBuf {
    std::env::var_os("BENNU_CACHE").map_or_else(|| target("cache"), PathBuf::from)
}

/// `bennu`.
///
/// # Errors
/// It is not built.
pub fn bennu() -> Result<Command> {
    let path = target("release/bennu");
    ensure!(path.is_file(), "{}: not there; run `make build`", path.display());
    Ok(Command::new(path))
}

/// The throw-away keys of the tests, made if they are not there.
///
/// # Errors
/// They cannot be made.
pub fn keys() -> Result<PathBuf> {
    let keys = target("keys");
    if !keys.exists() {
        run::run(bennu()?.args(["keys", "generate", "--throw-away"]).arg(&keys))?;
    }
    Ok(keys)
}

/// A release of `definition` in `directory`, with a disk if one is asked for.
///
/// # Errors
/// It cannot be built.
pub fn build(definition: &Path, release: &Path, disk: Option<&Path>) -> Result<()> {
    let mut command = bennu()?;
    command.arg("--quiet").arg("build").arg(definition);
    command.arg("--release").arg(release).arg("--keys").arg(keys()?);
    command.arg("--cache").arg(cache());
    if let Some(disk) = disk {
        command.arg("--disk").arg(disk);
    }
    run::run(&mut command).map(drop)
}

/// A disk with these releases in its slots.
///
/// # Errors
/// It cannot be made.
pub fn disk(releases: &[PathBuf], disk: &Path) -> Result<()> {
    let mut command = bennu()?;
    command.args(["disk", "--output"]).arg(disk).args(releases);
    run::run(&mut command).map(drop)
}

/// The smallest Debian 13 root in the cache: a plain tar that `bennu build` had made for it.
///
/// # Errors
/// The cache cannot be read. Nothing in it is `None`.
pub fn debian_tar() -> Result<Option<PathBuf>> {
    let cache = cache();
    if !cache.is_dir() {
        return Ok(None);
    }
    let mut smallest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(&cache).with_context(|| cache.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_debian_tar(&name) {
            let found = (std::fs::metadata(entry.path())?.len(), entry.path());
            if smallest.as_ref().is_none_or(|known| found < *known) {
                smallest = Some(found);
            }
        }
    }
    Ok(smallest.map(|(_, path)| path))
}

fn is_debian_tar(name: &str) -> bool {
    name.starts_with("debian-trixie-") && name.ends_with(".tar") && !name.contains(".partial.")
}

/// A section of a PE program, as objcopy takes it out.
///
/// # Errors
/// No objcopy, or no such section.
pub fn section(program: &Path, name: &str, scratch: &Path) -> Result<Vec<u8>> {
    let out = scratch.join("section");
    // A copy goes to a file that nobody reads: objcopy insists on one.
    run::run(
        Command::new("objcopy")
            .arg(format!("--dump-section={name}={}", out.display()))
            .arg(program)
            .arg(scratch.join("copy")),
    )?;
    std::fs::read(&out).with_context(|| format!("{}: section {name}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_debian_13_roots_count() {
        assert!(is_debian_tar("debian-trixie-1871335c3497ca97.tar"));
        assert!(!is_debian_tar("debian-trixie-1871335c3497ca97.12.partial.tar"));
        assert!(!is_debian_tar("debian-bookworm-6fe8988c155f34a8.tar"));
        assert!(!is_debian_tar("dracut-trixie-1871335c3497ca97.tar"));
    }
}
