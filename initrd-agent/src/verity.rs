//! dm-verity: the table comes from the verified manifest only, is read back and compared. The superblock on
//! disk is never looked at.
//!
//! The device is opened twice. First without a panic option, to read what the boot needs and to turn a bad
//! block into a code; then for the running system, where a bad block panics the kernel, because nothing that
//! runs on a corrupted root can be relied on to handle it.
//!
//! Where the signed command line asks for it, the kernel verifies the PKCS#7 signature over the root hash itself,
//! against the firmware's db, each time (ADR 0021).

use crate::error::InitError;
use crate::manifest::Found;
use crate::slot::Slot;
use bennu_formats::handover::RootHashCheck;
use bennu_formats::manifest::SlotManifest;
use bennu_linux::bounded;
use bennu_linux::dm::{Access, DeviceMapper, DmError, Name, TableLine, Uuid};
use bennu_linux::keyring::{self, KeyType, Keyring};
use bennu_linux::mount::{self, MountError, MountSpec, Restriction, Unmount};
use bennu_verity::{DeviceNumber, KeyDescription, RootHash, Salt, VerityOption, VerityParams, VerityTable};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const CHECK_NAME: &str = "bennu-check";
const ROOT_NAME: &str = "bennu-root";
/// Description of the key that holds the signature over the root hash while a table is loaded.
const SIGNATURE_KEY: &str = "bennu:root-hash-signature";
/// What the kernel answers to a signature that it does not take: signer not in its keyrings; signature does not hold;
/// no PKCS#7; an algorithm that it does not have (errno(3)).
const SIGNATURE_REFUSED: [i32; 4] = [126, 129, 74, 65];
const CHECK_MOUNT: &str = "/run/bennu/check";
/// Linux' number for an I/O error (errno(3)).
const EIO: i32 = 5;
/// Longest os-release in bytes.
const MAX_OS_RELEASE: usize = 64 * 1024;
/// What may be the root's init, in this order; the first one that is there is started.
pub const INIT_PROGRAMS: [&str; 3] = ["/sbin/init", "/usr/lib/systemd/systemd", "/init"];

/// An open verity device.
pub struct Opened {
    /// Node.
    pub path: PathBuf,
    /// `major:minor`.
    pub number: String,
    /// Root hash in its table.
    pub root_hash: RootHash,
    /// Table as read back.
    pub table: String,
}

impl Opened {
    /// For the console.
    pub fn sentence(&self, check: RootHashCheck) -> String {
        let by = match check {
            RootHashCheck::ByKernel => "; the kernel verified its signature",
            RootHashCheck::ManifestOnly => {
                "; this kernel does not verify its signature, the manifest names it"
            }
        };
        format!(
            "root hash {} is open as {}{by}",
            self.root_hash,
            self.path.display()
        )
    }
}

/// The devices of a slot with a verified manifest.
pub struct Verity<'a> {
    slot: &'a Slot,
    manifest: &'a SlotManifest,
    signature: Option<&'a [u8]>,
}

impl<'a> Verity<'a> {
    /// Of this slot, whose signature the kernel checks or not.
    pub fn of(slot: &'a Slot, found: &'a Found, check: RootHashCheck) -> Self {
        Self {
            slot,
            manifest: found.manifest.get(),
            signature: match check {
                RootHashCheck::ByKernel => Some(found.signature.as_slice()),
                RootHashCheck::ManifestOnly => None,
            },
        }
    }

    /// Opens the device for the running system.
    pub fn open_for_the_running_system(&self) -> Result<Opened, InitError> {
        let mut options = vec![VerityOption::PanicOnCorruption];
        if kernel_has_panic_on_error() {
            options.push(VerityOption::PanicOnError);
        }
        self.open(ROOT_NAME, options)
    }
}

/// `panic_on_error` came with Linux 6.12. The release text is the running kernel's own, which the firmware
/// verified with the UKI.
fn kernel_has_panic_on_error() -> bool {
    let text = bounded::read_text(Path::new("/proc/sys/kernel/osrelease"), 256).unwrap_or_default();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 12)
}

impl Verity<'_> {
    /// Reads the superblock, os-release and the init program through dm-verity, and compares the identity.
    pub fn check_what_the_boot_needs(&self) -> Result<(), InitError> {
        let device = self.open(CHECK_NAME, Vec::new())?;
        let found = read_through(&device.path, self.manifest);
        let dm = DeviceMapper::open().map_err(InitError::VerityTable)?;
        let name = name(CHECK_NAME)?;
        // dm-verity remembers that it met a bad block: "V" is good, "C" is corrupted.
        let corrupted = dm.status(&name).is_ok_and(|line| line.params().starts_with('C'));
        dm.remove(&name).map_err(InitError::VerityTable)?;
        match found {
            Err(error) if corrupted => Err(as_corruption(error)),
            Ok(()) if corrupted => Err(corrupt(
                "a block",
                std::io::Error::other("dm-verity reports corruption"),
            )),
            Err(error) => Err(as_unreadable(error)),
            Ok(()) => Ok(()),
        }
    }
}

fn as_corruption(error: InitError) -> InitError {
    match error {
        InitError::VerityCorrupt { .. } => error,
        other => corrupt("the root file system", std::io::Error::other(other.to_string())),
    }
}

/// An I/O error that dm-verity does not call corruption is the medium's: nothing is proven against the slot.
fn as_unreadable(error: InitError) -> InitError {
    let unreadable = |source: &std::io::Error| source.raw_os_error() == Some(EIO);
    match error {
        InitError::VerityCorrupt { what, source } if unreadable(&source) => {
            InitError::RootRead { what, source }
        }
        InitError::RootMount(MountError::Mount { source, .. }) if unreadable(&source) => {
            let what = "the root file system".to_owned();
            InitError::RootRead { what, source }
        }
        other => other,
    }
}

fn corrupt(what: &str, source: std::io::Error) -> InitError {
    InitError::VerityCorrupt {
        what: what.to_owned(),
        source,
    }
}

fn read_through(device: &Path, manifest: &SlotManifest) -> Result<(), InitError> {
    let target = Path::new(CHECK_MOUNT);
    mount_root(device, target)?;
    let read = check_files(target, manifest);
    mount::unmount(target, Unmount::Now).map_err(InitError::RootMount)?;
    read
}

/// Mounts a verified root: read-only, no set-user-id restriction, devices of no effect.
pub fn mount_root(device: &Path, target: &Path) -> Result<(), InitError> {
    mount::make_mount_point(target, 0o755).map_err(InitError::RootMount)?;
    mount::mount(&MountSpec {
        source: device,
        target,
        file_system: "erofs",
        restrictions: &[Restriction::ReadOnly, Restriction::NoDev],
        options: "",
    })
    .map_err(InitError::RootMount)
}

fn check_files(root: &Path, manifest: &SlotManifest) -> Result<(), InitError> {
    let path = root.join("usr/lib/os-release");
    let read = |e: std::io::Error| corrupt("usr/lib/os-release", e);
    let mut text = String::new();
    File::open(&path)
        .map_err(read)?
        .take(MAX_OS_RELEASE as u64)
        .read_to_string(&mut text)
        .map_err(read)?;
    for (key, expected) in [
        ("IMAGE_ID", manifest.image_id.as_str()),
        ("IMAGE_VERSION", manifest.version.as_str()),
    ] {
        let line = format!("{key}={expected}");
        if !text.lines().any(|l| l == line) {
            let prefix = format!("{key}=");
            let found = text
                .lines()
                .find(|l| l.starts_with(&prefix))
                .unwrap_or("no such line")
                .to_owned();
            return Err(InitError::RootIdentity {
                expected: line,
                found,
            });
        }
    }
    // Links in the root may be absolute, so the init is looked up by name only here and by chroot later.
    for program in INIT_PROGRAMS {
        let path = root.join(program.trim_start_matches('/'));
        if std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) {
            let mut file = File::open(&path).map_err(|e| corrupt(program, e))?;
            std::io::copy(&mut file, &mut std::io::sink()).map_err(|e| corrupt(program, e))?;
        }
    }
    Ok(())
}

fn name(text: &str) -> Result<Name, InitError> {
    Name::new(text).map_err(InitError::VerityTable)
}

impl Verity<'_> {
    fn open(&self, dm_name: &str, mut options: Vec<VerityOption>) -> Result<Opened, InitError> {
        let params = |e: &dyn std::fmt::Display| InitError::VerityParams(e.to_string());
        let mut held = None;
        if let Some(signature) = self.signature {
            let key = keyring::add_key(KeyType::User, SIGNATURE_KEY, signature, Keyring::Process)
                .map_err(InitError::VerityKey)?;
            held = Some(key);
            let description = KeyDescription::new(SIGNATURE_KEY).map_err(|e| params(&e))?;
            options.push(VerityOption::RootHashSigKeyDesc(description));
        }
        let opened = self.activate(dm_name, &self.table(&options)?);
        if let Some(key) = held {
            keyring::unlink(key, Keyring::Process).map_err(InitError::VerityKey)?;
        }
        opened
    }

    fn table(&self, options: &[VerityOption]) -> Result<VerityTable, InitError> {
        let verity = &self.manifest.verity;
        let params = |e: &dyn std::fmt::Display| InitError::VerityParams(e.to_string());
        let root_hash = RootHash(*verity.root_hash.as_bytes());
        let salt = Salt::new(verity.salt.clone()).map_err(|e| params(&e))?;
        let tree = VerityParams::new(verity.data_blocks.0, salt, [0; 16]).map_err(|e| params(&e))?;
        let device = |d: &bennu_linux::block::BlockDevice| DeviceNumber {
            major: d.number.major,
            minor: d.number.minor,
        };
        let (data, hash) = (device(&self.slot.root), device(&self.slot.verity));
        VerityTable::new(&tree, data, hash, root_hash, options).map_err(|e| params(&e))
    }

    fn activate(&self, dm_name: &str, table: &VerityTable) -> Result<Opened, InitError> {
        let dm = DeviceMapper::open().map_err(InitError::VerityTable)?;
        let name = name(dm_name)?;
        let root_hash = &self.manifest.verity.root_hash;
        let uuid =
            Uuid::new(&format!("BENNU-VERITY-{root_hash}-{dm_name}")).map_err(InitError::VerityTable)?;
        let line = TableLine::new(table.sectors(), VerityTable::TARGET, &table.params())
            .map_err(InitError::VerityTable)?;
        let live = dm
            .activate(&name, &uuid, &line, Access::ReadOnly)
            .map_err(|error| self.refused(error))?;
        let found = dm.table(&name).map_err(InitError::VerityReadBack)?;
        let same = VerityTable::parse_params(found.length_sectors512(), found.params())
            .is_ok_and(|found| table.expect(&found).is_ok());
        if !same || found.target() != VerityTable::TARGET {
            return Err(InitError::VerityReadBack(DmError::ReadBack { name, found }));
        }
        Ok(Opened {
            path: live.node,
            number: live.number.to_string(),
            root_hash: *table.root_hash(),
            table: format!(
                "0 {} {} {}",
                found.length_sectors512(),
                found.target(),
                found.params()
            ),
        })
    }

    fn refused(&self, error: DmError) -> InitError {
        let of_signature = error.errno().is_some_and(|e| SIGNATURE_REFUSED.contains(&e));
        if self.signature.is_some() && of_signature {
            InitError::VeritySignature(error)
        } else {
            InitError::VerityTable(error)
        }
    }
}
