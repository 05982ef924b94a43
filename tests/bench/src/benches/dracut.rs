//! The peer of our initrd: dracut's for Debian 13's kernel, as small as its options make it.
//!
//! A Debian 13 root with dracut is made once by mmdebstrap and kept as a tar in the cache, under the digest of what
//! it was made from; dracut runs in it, and its initrd is kept beside it. Neither is touched afterwards.

use super::{Session, root_image};
use crate::{host, product, run};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// The peer.
pub const PEER: &str = "dracut";
/// Debian suite.
const SUITE: &str = "trixie";
/// mmdebstrap's time stamp.
const EPOCH: &str = "1767225600";
/// What the root is made of besides mmdebstrap's minbase.
const PACKAGES: [&str; 19] = [
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "linux-image-amd64",
    "dracut",
    "cryptsetup-bin",
    "systemd-cryptsetup",
    "dmsetup",
    "libtss2-esys-3.0.2-0t64",
    "libtss2-mu-4.0.1-0t64",
    "libtss2-rc0t64",
    "libtss2-tcti-device0t64",
    "tpm2-tools",
    "zstd",
    "binutils",
    "e2fsprogs",
    "erofs-utils",
];
/// Left out of the root, as the builder does it.
const DPKG_EXCLUDES: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];
/// Modules of dracut that would come along with systemd-cryptsetup: smart cards and keys that we do not do
/// either, and a TPM module that adds the command line tools, curl and Kerberos. What systemd itself needs of the
/// TPM's libraries is in [`TPM_LIBRARIES`].
const LEFT_OUT: [&str; 4] = ["91fido2", "91pkcs11", "91pcsc", "91tpm2-tss"];
/// What systemd opens at run time to talk to a TPM, and libtss2-sys, which the first of them needs: dracut does not
/// look for what a library needs.
const TPM_LIBRARIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/libtss2-esys.so.0",
    "/usr/lib/x86_64-linux-gnu/libtss2-sys.so.1",
    "/usr/lib/x86_64-linux-gnu/libtss2-mu.so.0",
    "/usr/lib/x86_64-linux-gnu/libtss2-rc.so.0",
    "/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0",
];
const TPM_TOKEN: &str = "/usr/lib/x86_64-linux-gnu/cryptsetup/libcryptsetup-token-systemd-tpm2.so";
/// Modules of dracut.
const MODULES: &str = "bash systemd systemd-initrd systemd-udevd systemd-journald systemd-modules-load \
    systemd-tmpfiles systemd-sysusers systemd-pcrphase systemd-veritysetup dm base fs-lib rootfs-block udev-rules \
    kernel-modules shutdown dracut-systemd";
const MODULES_FOR_STATE: &str = "crypt systemd-cryptsetup systemd-ask-password";
/// Kernel modules: those that `bennu build` puts into ours.
const DRIVERS: &str = "dm_mod dm_verity erofs vfat nls_ascii nls_cp437 efivarfs efi_pstore overlay aesni_intel \
    virtio_blk virtio_scsi virtio_pci nvme ahci ata_piix sd_mod usb_storage uas xhci_pci ehci_pci mmc_block \
    sdhci_pci sdhci_acpi sha256_ssse3 crc32c_intel tpm_tis tpm_crb hv_storvsc vmw_pvscsi";
const DRIVERS_FOR_STATE: &str = "dm_crypt xts ext4";
/// Runs dracut in the root, with /proc and /dev in a mount name space that ends with it.
/// $1 root, $2 modules, $3 drivers, $4 files, $5 kernel.
const IN_ROOT: &str = "mount -t proc proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && exec chroot \"$1\" \
    dracut --quiet --no-hostonly --no-hostonly-cmdline --no-early-microcode --force --zstd --strip \
    --modules \"$2\" --drivers \"$3\" --install \"$4\" --kver \"$5\" /initrd.bench";

/// What the initrd must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abilities {
    /// dm-verity root, PCR phases, credentials sealed to the TPM.
    VerifiedRoot,
    /// The same, and a LUKS volume whose key is sealed to the TPM.
    VerifiedRootAndEncryptedState,
}

impl Abilities {
    /// Modules, drivers, files.
    fn arguments(self) -> [String; 3] {
        let libraries = TPM_LIBRARIES.join(" ");
        match self {
            Self::VerifiedRoot => [MODULES.into(), DRIVERS.into(), libraries],
            Self::VerifiedRootAndEncryptedState => [
                format!("{MODULES} {MODULES_FOR_STATE}"),
                format!("{DRIVERS} {DRIVERS_FOR_STATE}"),
                format!("{libraries} {TPM_TOKEN}"),
            ],
        }
    }
}

/// An initrd that dracut made; kept as JSON beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its length.
    pub bytes: u64,
    /// The kernel that it is for.
    pub kernel: String,
    /// dracut's version, and Debian's.
    pub version: String,
}

/// Why there can be no such initrd on this machine; nothing if there can.
pub fn cannot_run() -> Result<Option<String>> {
    let kept = [Abilities::VerifiedRoot, Abilities::VerifiedRootAndEncryptedState]
        .into_iter()
        .all(|abilities| kept(abilities).is_file() && file(abilities).is_file());
    if kept {
        return Ok(None);
    }
    if !host::is_root() {
        return Ok(Some("not root: dracut runs in a chroot".to_owned()));
    }
    let tools = [
        ("mmdebstrap", "mmdebstrap"),
        ("unshare", "util-linux"),
        ("chroot", "coreutils"),
    ];
    if let Some(reason) = host::missing(&tools) {
        return Ok(Some(reason));
    }
    Ok(match (root_tar().is_file(), mirror()) {
        (false, None) => Some("no Debian mirror in /etc/apt".to_owned()),
        _ => None,
    })
}

/// The initrd, made now or earlier.
///
/// # Errors
/// mmdebstrap or dracut fails.
pub fn initrd(session: &Session, abilities: Abilities) -> Result<Made> {
    let path = kept(abilities);
    if path.is_file() && file(abilities).is_file() {
        return Ok(serde_json::from_slice(&std::fs::read(&path)?)?);
    }
    let tar = debian_root()?;
    let scratch = session.scratch()?;
    let root = scratch.path().join("root");
    root_image::unpack(&tar, &root)?;
    for module in LEFT_OUT {
        let folder = root.join("usr/lib/dracut/modules.d").join(module);
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let kernel = only_name(&root.join("usr/lib/modules"))?;
    let mut dracut = host::tool("unshare").context("unshare is not installed")?;
    dracut.args(["--mount", "--propagation=private", "sh", "-c", IN_ROOT, "sh"]);
    run::run(dracut.arg(&root).args(abilities.arguments()).arg(&kernel))?;
    let initrd = root.join("initrd.bench");
    let made = Made {
        bytes: initrd.metadata().context("dracut left no initrd")?.len(),
        kernel,
        version: version(&std::fs::read_to_string(root.join("var/lib/dpkg/status"))?),
    };
    std::fs::copy(&initrd, file(abilities))?;
    std::fs::write(&path, serde_json::to_vec_pretty(&made)?)?;
    Ok(made)
}

/// The same, and where it lies.
///
/// # Errors
/// Those of [`initrd`].
pub fn initrd_file(session: &Session, abilities: Abilities) -> Result<(Made, PathBuf)> {
    Ok((initrd(session, abilities)?, file(abilities)))
}

/// The tar of the root with dracut, made now or earlier.
///
/// # Errors
/// mmdebstrap fails.
pub fn debian_root() -> Result<PathBuf> {
    let tar = root_tar();
    if tar.is_file() {
        return Ok(tar);
    }
    eprintln!("bench: mmdebstrap makes a Debian 13 root with dracut; this takes minutes, once");
    let cache = product::cache();
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let partial = tar.with_extension(format!("{}.partial.tar", std::process::id()));
    let mirror = mirror().context("no Debian mirror in /etc/apt")?;
    let mut command = host::tool("mmdebstrap").context("mmdebstrap is not installed")?;
    // dracut's initrd of the package's own hook would only be thrown away.
    command
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .env("INITRD", "No")
        .env("TZ", "UTC");
    command.args(["--variant=minbase", "--format=tar"]);
    command.arg(format!("--include={}", PACKAGES.join(",")));
    for exclude in DPKG_EXCLUDES {
        command.arg(format!("--dpkgopt=path-exclude={exclude}"));
    }
    command.arg(SUITE).arg(&partial).args([
        format!("deb {mirror} {SUITE} main"),
        format!("deb {mirror} {SUITE}-updates main"),
        format!("deb {mirror}-security {SUITE}-security main"),
    ]);
    let ran = run::run(&mut command);
    if ran.is_err() {
        // mmdebstrap's words are the ones to show; a left-over partial file is only litter.
        let _litter = std::fs::remove_file(&partial);
    }
    ran?;
    std::fs::rename(&partial, &tar).with_context(|| tar.display().to_string())?;
    Ok(tar)
}

fn root_tar() -> PathBuf {
    let parts = ["bennu-bench-dracut-1", SUITE, EPOCH];
    let key = digest(parts.iter().chain(&PACKAGES).chain(&DPKG_EXCLUDES).copied());
    product::cache().join(format!("dracut-{SUITE}-{key}.tar"))
}

/// Where the facts of an initrd are kept: named by root and arguments.
fn kept(abilities: Abilities) -> PathBuf {
    let arguments = abilities.arguments();
    let parts = [IN_ROOT].into_iter().chain(LEFT_OUT);
    let key = digest(parts.chain(arguments.iter().map(String::as_str)));
    root_tar().with_extension(format!("{key}.json"))
}

/// Where an initrd is kept.
fn file(abilities: Abilities) -> PathBuf {
    kept(abilities).with_extension("img")
}

fn digest<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
        hasher.update([0]);
    }
    hex::encode(&hasher.finalize()[..8])
}

fn only_name(folder: &Path) -> Result<String> {
    let names: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .collect::<Result<_, _>>()?;
    ensure!(
        names.len() == 1,
        "{}: expected one kernel, found {}",
        folder.display(),
        names.len()
    );
    Ok(names[0].file_name().to_string_lossy().into_owned())
}

/// dracut's version out of dpkg's status file (deb822).
fn version(status: &str) -> String {
    let found = status
        .split("\n\n")
        .find(|package| package.lines().any(|line| line == "Package: dracut"))
        .and_then(|package| package.lines().find_map(|line| line.strip_prefix("Version: ")));
    format!("dracut {} of Debian {SUITE}", found.unwrap_or("unknown"))
}

/// The Debian mirror of the host's apt, as apt names it: the first URI that ends in `/debian`.
fn mirror() -> Option<String> {
    let output = host::tool("apt-get")?
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut uris = text.lines().map(|line| line.trim_end_matches('/'));
    uris.find(|uri| uri.ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_of_dracut_and_not_of_its_neighbour() {
        let status = "Package: dracut-core\nVersion: 1\n\nPackage: dracut\nStatus: x\nVersion: 2-3\n\n";
        assert_eq!(version(status), "dracut 2-3 of Debian trixie");
    }

    #[test]
    fn each_ability_has_a_file_of_its_own_and_the_larger_one_contains_the_smaller() {
        let (small, large) = (Abilities::VerifiedRoot, Abilities::VerifiedRootAndEncryptedState);
        assert_ne!(kept(small), kept(large));
        for (less, more) in small.arguments().iter().zip(large.arguments()) {
            assert!(more.starts_with(less) && more.len() > less.len());
        }
    }
}
