//! Sources of trees: a Debian recipe, a directory, a tar.
//!
//! A Debian root is made once by `mmdebstrap` and kept as a tar in the cache, under the digest of what it was
//! made from; everything after that is ours and needs no privileges.

use crate::definition::{OwnerRule, SourceKind, SourceSection};
use crate::progress::Progress;
use bennu_erofs::{DirectoryOptions, OwnerPolicy, TarOptions, Tree};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Packages that every Debian source gets: what a verified, headless boot needs.
const BASE_PACKAGES: [&str; 6] = [
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "systemd-boot-efi",
];
/// The stock kernel.
const KERNEL_PACKAGE: &str = "linux-image-amd64";
/// Trees left out of the archive: documentation, and the initrd that we do not use.
const DPKG_EXCLUDES: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// Why a source gives no tree.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A tar that cannot be taken.
    #[error("root source: {0}")]
    Tar(#[from] bennu_erofs::TarError),
    /// A directory that cannot be taken.
    #[error("root source: {0}")]
    Directory(#[from] bennu_erofs::DirectoryError),
    /// The host's apt names no Debian mirror.
    #[error(
        "debian source: no Debian mirror found in /etc/apt; add one to /etc/apt/sources.list.d/debian.sources"
    )]
    NoMirror,
    /// mmdebstrap is not there.
    #[error("debian source: mmdebstrap cannot be started: {0}; install it with `apt-get install mmdebstrap`")]
    NoMmdebstrap(std::io::Error),
    /// mmdebstrap failed.
    #[error("debian source: mmdebstrap for {suite} ended with {status}; its last words:\n{words}")]
    Mmdebstrap {
        /// Suite.
        suite: String,
        /// Exit status.
        status: std::process::ExitStatus,
        /// Last lines.
        words: String,
    },
    /// The cache cannot be written.
    #[error("cache {path}: {source}")]
    Cache {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where trees come from.
pub struct Sources<'a> {
    /// Directory for downloads and made roots.
    pub cache: &'a Path,
    /// Time stamp handed to mmdebstrap.
    pub epoch: u64,
    /// Progress.
    pub progress: &'a Progress,
}

impl Sources<'_> {
    /// The tree of `section`, without its own `exclude`, `file` and `link` (see [`crate::steps::root`]).
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn tree(&self, section: &SourceSection) -> Result<Tree, SourceError> {
        let path = section.path.clone().unwrap_or_default();
        match section.kind {
            Some(SourceKind::Directory) | None => {
                let owners = match section.owners {
                    Some(OwnerRule::AsFound) => OwnerPolicy::AsRecorded,
                    Some(OwnerRule::Root) | None => OwnerPolicy::AllRoot,
                };
                Ok(Tree::from_directory(
                    &path,
                    &DirectoryOptions {
                        owners,
                        ..Default::default()
                    },
                )?)
            }
            Some(SourceKind::Tar) => Ok(Tree::from_tar(&path, &self.tar_options())?),
            Some(SourceKind::Debian) => {
                let tar = self.debian(section)?;
                Ok(Tree::from_tar(&tar, &self.tar_options())?)
            }
        }
    }

    fn tar_options(&self) -> TarOptions {
        TarOptions {
            scratch_directory: self.cache.to_owned(),
            ..TarOptions::default()
        }
    }

    /// The tar of a Debian root, made now or taken from the cache.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn debian(&self, section: &SourceSection) -> Result<PathBuf, SourceError> {
        let suite = section.suite.clone().unwrap_or_default();
        let mut packages: Vec<&str> = BASE_PACKAGES.to_vec();
        packages.push(KERNEL_PACKAGE);
        packages.extend(section.packages.iter().map(String::as_str));
        packages.sort_unstable();
        packages.dedup();
        let mirror = host_mirror().ok_or(SourceError::NoMirror)?;
        let key = recipe_key(&suite, &packages, self.epoch);
        let tar = self.cache.join(format!("debian-{suite}-{}.tar", &key[..16]));
        if tar.is_file() {
            return Ok(tar);
        }
        let io = |source| SourceError::Cache {
            path: self.cache.to_owned(),
            source,
        };
        std::fs::create_dir_all(self.cache).map_err(io)?;
        let partial = self.cache.join(format!(
            "debian-{suite}-{}.{}.partial.tar",
            &key[..16],
            std::process::id()
        ));
        let made = self.mmdebstrap(&suite, &packages, &mirror, &partial);
        if made.is_err() {
            // The error of mmdebstrap is the one to show; a left-over partial file is only litter.
            let _litter = std::fs::remove_file(&partial);
        }
        made?;
        std::fs::rename(&partial, &tar).map_err(io)?;
        Ok(tar)
    }

    fn mmdebstrap(
        &self,
        suite: &str,
        packages: &[&str],
        mirror: &str,
        out: &Path,
    ) -> Result<(), SourceError> {
        let step = self
            .progress
            .spinner(&format!("mmdebstrap {suite}, {} packages", packages.len()));
        let mut command = Command::new("mmdebstrap");
        command
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            // The distribution's initrd would only be thrown away (initramfs-tools, kernel hook).
            .env("INITRD", "No")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .args(["--variant=minbase", "--format=tar"])
            .arg(format!("--include={}", packages.join(",")));
        for exclude in DPKG_EXCLUDES {
            command.arg(format!("--dpkgopt=path-exclude={exclude}"));
        }
        command.args([suite, &out.display().to_string()]);
        command.args([
            format!("deb {mirror} {suite} main"),
            format!("deb {mirror} {suite}-updates main"),
            format!("deb {mirror}-security {suite}-security main"),
        ]);
        let output = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(SourceError::NoMmdebstrap)?;
        step.finish();
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = words.lines().rev().take(15).collect();
        Err(SourceError::Mmdebstrap {
            suite: suite.to_owned(),
            status: output.status,
            words: last.into_iter().rev().collect::<Vec<_>>().join("\n"),
        })
    }
}

/// What a Debian tar is made from, as a digest.
fn recipe_key(suite: &str, packages: &[&str], epoch: u64) -> String {
    let mut hasher = Sha256::new();
    for part in ["bennu-debian-3", suite]
        .iter()
        .chain(packages)
        .chain(&DPKG_EXCLUDES)
    {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.update(epoch.to_le_bytes());
    hex::encode(hasher.finalize())
}

/// The Debian mirror of the host's apt: the first `http` URI that ends in `/debian`.
fn host_mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(directory) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let mut more: Vec<PathBuf> = directory.filter_map(|e| e.ok().map(|e| e.path())).collect();
        more.sort();
        files.extend(more);
    }
    let text: Vec<String> = files
        .iter()
        .filter_map(|f| std::fs::read_to_string(f).ok())
        .collect();
    find_mirror(&text.join("\n"))
}

fn find_mirror(text: &str) -> Option<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_ascii_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_styles_of_sources() {
        let deb822 = "Types: deb\n# http://a.invalid/archive/debian/2025\nURIs: http://m.invalid/debian/\n";
        assert_eq!(find_mirror(deb822).unwrap(), "http://m.invalid/debian");
        assert_eq!(
            find_mirror("deb https://m.invalid/debian trixie main\n").unwrap(),
            "https://m.invalid/debian"
        );
        assert_eq!(find_mirror("deb http://m.invalid/other x y\n"), None);
    }

    #[test]
    fn another_package_or_suite_gives_another_cache_key() {
        let one = recipe_key("trixie", &["a", "b"], 1);
        assert_ne!(one, recipe_key("trixie", &["a"], 1));
        assert_ne!(one, recipe_key("bookworm", &["a", "b"], 1));
        assert_ne!(one, recipe_key("trixie", &["ab"], 1));
    }
}
