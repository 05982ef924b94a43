//! The kernel's own file systems (procfs, sysfs, securityfs, efivarfs), where nobody can mount anything over their files.
//!
//! Written by the kernel; read by the watch, which must not see what root bound over `/proc/modules` or over a PCR in sysfs.
//! `bennud` makes a mount of each for itself when it starts (fsopen(2), fsmount(2), Linux 5.2). They are in no mount
//! namespace, have no mount point and end with the process. A file is opened beneath such a mount, on it and on nothing that
//! is mounted below (openat2(2), Linux 5.6), and has to be of the right kind of file system.
//!
//! On failure the mount that everybody sees is opened once and read in the same way: what is mounted over a file of it later
//! is refused, what was there before is not. The watch then says so and is not clean. `bennuctl` always reads in that way.

use bennu_linux::bounded::{self, ReadError};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Tries to open a path with `..` in it, as the links of sysfs have: the kernel gives up (EAGAIN) when anything anywhere was
/// renamed or mounted meanwhile, which also happens on a sound machine.
const TRIES: u32 = 100;

/// A file system of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFs {
    /// procfs.
    Proc,
    /// sysfs.
    Sys,
    /// securityfs.
    Security,
    /// efivarfs.
    EfiVariables,
}

impl KernelFs {
    /// In the order of their numbers.
    const ALL: [Self; 4] = [Self::Proc, Self::Sys, Self::Security, Self::EfiVariables];

    /// The kernel's name of it.
    fn name(self) -> &'static str {
        match self {
            Self::Proc => "proc",
            Self::Sys => "sysfs",
            Self::Security => "securityfs",
            Self::EfiVariables => "efivarfs",
        }
    }

    /// Where everybody sees it; its files have their names in words from there.
    pub fn place(self) -> &'static Path {
        Path::new(match self {
            Self::Proc => "/proc",
            Self::Sys => "/sys",
            Self::Security => "/sys/kernel/security",
            Self::EfiVariables => "/sys/firmware/efi/efivars",
        })
    }

    /// What statfs(2) calls it (linux/magic.h).
    fn magic(self) -> u32 {
        match self {
            Self::Proc => 0x9fa0,
            Self::Sys => 0x6265_6572,
            Self::Security => 0x7363_6673,
            Self::EfiVariables => 0xde5e_81e4,
        }
    }

    /// Only settings below `/proc/sys` are written.
    fn attributes(self) -> MountAttrFlags {
        let data_only = MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID;
        match self {
            Self::Proc => data_only,
            Self::Sys | Self::Security | Self::EfiVariables => data_only | MountAttrFlags::MOUNT_ATTR_RDONLY,
        }
    }

    /// A mount in no namespace.
    fn mount(self) -> Result<OwnedFd, Refused> {
        let failed = |act| move |errno| Refused { act, errno };
        let context =
            rustix::mount::fsopen(self.name(), FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
        rustix::mount::fsconfig_create(context.as_fd()).map_err(failed("fsconfig"))?;
        let (flags, attributes) = (FsMountFlags::FSMOUNT_CLOEXEC, self.attributes());
        rustix::mount::fsmount(context.as_fd(), flags, attributes).map_err(failed("fsmount"))
    }
}

/// Why there is no mount of one's own.
#[derive(Debug)]
struct Refused {
    act: &'static str,
    errno: Errno,
}

/// Why a file system has no directory to open files beneath.
#[derive(Debug, Clone)]
enum Closed {
    /// The machine has no such file system, so it has none of its files.
    NotHere,
    /// Something failed.
    Failed(String),
}

/// One file system.
#[derive(Debug)]
struct Root {
    directory: Result<OwnedFd, Closed>,
    /// What statfs(2) has to say of its files.
    magic: u32,
    /// Why things may be mounted over its files.
    open_to_all: Option<String>,
}

impl Root {
    fn own(fs: KernelFs) -> Self {
        match fs.mount() {
            Ok(directory) => Self::checked(directory, fs),
            // Firmware without variables at run time: the kernel says so, and nobody but the kernel.
            Err(refused) if fs == KernelFs::EfiVariables && refused.errno == Errno::OPNOTSUPP => Self {
                directory: Err(Closed::NotHere),
                magic: fs.magic(),
                open_to_all: None,
            },
            Err(Refused { act, errno }) => Self {
                open_to_all: Some(format!("{}: {act}: {errno}", fs.name())),
                ..Self::shared(fs)
            },
        }
    }

    /// The mount that everybody sees.
    fn shared(fs: KernelFs) -> Self {
        match directory(fs.place()) {
            Ok(directory) => Self::checked(directory, fs),
            Err(error) => Self {
                directory: Err(match error.kind() {
                    io::ErrorKind::NotFound => Closed::NotHere,
                    _ => Closed::Failed(error.to_string()),
                }),
                magic: fs.magic(),
                open_to_all: None,
            },
        }
    }

    fn checked(directory: OwnedFd, fs: KernelFs) -> Self {
        let kind = of_kind(directory.as_fd(), fs.magic());
        Self {
            directory: kind
                .map(|()| directory)
                .map_err(|error| Closed::Failed(error.to_string())),
            magic: fs.magic(),
            open_to_all: None,
        }
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let directory = self.directory.as_ref().map_err(|closed| match closed {
            Closed::NotHere => io::Error::from(io::ErrorKind::NotFound),
            Closed::Failed(why) => io::Error::other(why.clone()),
        })?;
        let file = beneath(directory.as_fd(), path)?;
        of_kind(file.as_fd(), self.magic)?;
        Ok(file)
    }
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Links are followed, on the same mount and beneath the directory.
fn beneath(directory: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve) {
            Ok(file) => return Ok(File::from(file)),
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            Err(Errno::XDEV) => {
                return Err(io::Error::other(
                    "something is mounted over it, or it leads elsewhere",
                ));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn of_kind(file: BorrowedFd<'_>, magic: u32) -> io::Result<()> {
    let found = magic_of(file)?;
    if found == magic {
        return Ok(());
    }
    let words = format!("expected a file system of kind {magic:#x}, found {found:#x}");
    Err(io::Error::other(words))
}

/// The numbers have 32 bits; the member has as many as the machine's words.
fn magic_of(file: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(rustix::fs::fstatfs(file)?.f_type as u32)
}

/// The four file systems, open as long as this is there.
#[derive(Debug)]
pub struct KernelFiles([Root; 4]);

impl KernelFiles {
    /// Mounts of one's own, and of those that the kernel refuses the ones that everybody sees ([`Self::open_to_all`]).
    pub fn own() -> Self {
        Self(KernelFs::ALL.map(Root::own))
    }

    /// The mounts that everybody sees.
    pub fn shared() -> Self {
        Self(KernelFs::ALL.map(Root::shared))
    }

    /// Directories in `parent` that stand for them, for tests: `proc`, `sysfs`, `securityfs`, `efivarfs`.
    pub fn at(parent: &Path) -> Self {
        Self(KernelFs::ALL.map(|fs| {
            let opened =
                directory(&parent.join(fs.name())).and_then(|found| Ok((magic_of(found.as_fd())?, found)));
            let (magic, directory) = match opened {
                Ok((magic, found)) => (magic, Ok(found)),
                Err(_) => (fs.magic(), Err(Closed::NotHere)),
            };
            Root {
                directory,
                magic,
                open_to_all: None,
            }
        }))
    }

    /// Where files can be mounted over before they are read, and why; none where all mounts are one's own.
    pub fn open_to_all(&self) -> Option<String> {
        let words: Vec<&str> = self
            .0
            .iter()
            .filter_map(|root| root.open_to_all.as_deref())
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Opens a file or a directory for reading, by its path below the file system's root.
    ///
    /// # Errors
    /// [`ReadError::Open`].
    pub fn open(&self, fs: KernelFs, path: impl AsRef<Path>) -> Result<File, ReadError> {
        let path = path.as_ref();
        self.0[fs as usize].open(path).map_err(|source| ReadError::Open {
            path: fs.place().join(path),
            source,
        })
    }

    /// Whether there is a file; what cannot be opened for another reason is there.
    pub fn has(&self, fs: KernelFs, path: impl AsRef<Path>) -> bool {
        match self.open(fs, path) {
            Ok(_) => true,
            Err(error) => !error.is_absent(),
        }
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError`], each variant naming the path.
    pub fn read(&self, fs: KernelFs, path: impl AsRef<Path>, limit: usize) -> Result<Vec<u8>, ReadError> {
        let path = path.as_ref();
        bounded::read_file(&self.open(fs, path)?, &fs.place().join(path), limit)
    }

    /// Reads a text file of at most `limit` bytes and cuts the white space at its end.
    ///
    /// # Errors
    /// [`ReadError`], each variant naming the path.
    pub fn read_text(&self, fs: KernelFs, path: impl AsRef<Path>, limit: usize) -> Result<String, ReadError> {
        let path = path.as_ref();
        let bytes = self.read(fs, path, limit)?;
        bounded::text(bytes, &fs.place().join(path))
    }

    /// Makes this procfs the process's working directory, so that paths of [`proc_path`] and [`descriptor_path`] lead
    /// through it from now on. Programs that `bennud` starts begin in `/`.
    ///
    /// # Errors
    /// There is none, or the kernel refuses; both paths stay below `/proc`.
    pub fn enter(&self) -> io::Result<()> {
        let Ok(directory) = &self.0[KernelFs::Proc as usize].directory else {
            return Err(io::ErrorKind::NotFound.into());
        };
        rustix::process::fchdir(directory)?;
        ENTERED.get_or_init(|| ());
        Ok(())
    }
}

/// Whether the working directory is the root of a procfs of our own.
static ENTERED: OnceLock<()> = OnceLock::new();

/// A path in procfs, for what takes paths: relative once [`KernelFiles::enter`] was called, so that what root mounts over
/// `/proc` is not on it.
pub fn proc_path(path: impl AsRef<Path>) -> PathBuf {
    let root = match ENTERED.get() {
        Some(()) => Path::new("."),
        None => KernelFs::Proc.place(),
    };
    root.join(path)
}

/// The path by which this process reaches what it has open.
pub fn descriptor_path(descriptor: impl AsFd) -> PathBuf {
    proc_path("self/fd").join(descriptor.as_fd().as_raw_fd().to_string())
}

#[cfg(test)]
mod tests;
