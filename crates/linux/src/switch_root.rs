//! Leaving the initramfs for the verified root, in three steps that each have a type:
//! [`NewRoot::check`] → [`NewRoot::enter`] → [`Entered::clear_old_root`] → [`Entered::exec`].
//!
//! Done by: `bennu-init`, once, as its last act. On failure before `enter` nothing has changed; after
//! it the process is in the new root and can only reboot.
//!
//! The initramfs cannot be unmounted. To give its memory back its files are deleted, which is deadly
//! anywhere else. So the old root must be a ramfs or tmpfs that holds `/init`, it is held open as a
//! directory from before the switch, and deletion never follows links, never crosses to another device
//! and never goes below a mount point.

use std::convert::Infallible;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::mount::{self, MountError};

/// `RAMFS_MAGIC` and `TMPFS_MAGIC` of linux/magic.h: what an initramfs is made of.
const INITRAMFS_MAGICS: [u64; 2] = [0x8584_58f6, 0x0102_1994];
/// Deepest directory that is deleted; deeper ones stay and are counted. One open file a level.
const DEPTH_LIMIT: usize = 64;

/// Why the switch failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum SwitchRootError {
    #[error("cannot open {path} as a directory: {source}")]
    OpenDirectory { path: PathBuf, source: io::Error },
    #[error("cannot look at {path}: {source}")]
    Stat { path: PathBuf, source: io::Error },
    #[error("{path} is not a mount point; mount the verified root there first")]
    NotAMountPoint { path: PathBuf },
    #[error("this process is {pid}, not 1; only the initrd's first process may switch roots")]
    NotInit { pid: i32 },
    #[error("/ is not an initramfs (file system type {magic:#x}, expected ramfs or tmpfs)")]
    NotAnInitramfs { magic: u64 },
    #[error("/ holds no regular file init, so it is not an initramfs")]
    NoInit,
    #[error("path {path} refused: expected an absolute path without '..'")]
    BadPath { path: PathBuf },
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("cannot change the working directory to {path}: {source}")]
    ChangeDirectory { path: PathBuf, source: io::Error },
    #[error("cannot change the root directory: {source}")]
    ChangeRoot { source: io::Error },
    #[error("cannot execute {program}: {source}")]
    Exec { program: PathBuf, source: io::Error },
}

/// A checked new root; holds the old one open.
pub struct NewRoot {
    path: PathBuf,
    old_root: OwnedFd,
}

/// The process stands in the new root.
pub struct Entered {
    old_root: OwnedFd,
}

/// What clearing the old root did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleared {
    /// Files, links and directories that were deleted.
    pub deleted: u64,
    /// Entries left alone because another file system is mounted on them.
    pub other_file_systems: u64,
    /// Entries that could not be deleted; their memory stays taken.
    pub failed: u64,
}

impl NewRoot {
    /// Checks that this is PID 1 in an initramfs and that `path` is a mount point.
    ///
    /// # Errors
    /// [`SwitchRootError`]; nothing has changed.
    pub fn check(path: &Path) -> Result<Self, SwitchRootError> {
        check_path(path)?;
        let pid = rustix::process::getpid();
        if !pid.is_init() {
            return Err(SwitchRootError::NotInit {
                pid: pid.as_raw_nonzero().get(),
            });
        }
        let old_root = open_directory(Path::new("/"))?;
        check_initramfs(&old_root)?;
        let new_root = open_directory(path)?;
        if device_of(&new_root, path)? == device_of(&old_root, Path::new("/"))? {
            return Err(SwitchRootError::NotAMountPoint {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            old_root,
        })
    }

    /// Moves the mounts on `carried` (`/dev`, `/proc`, `/sys`, `/run`, …; each must be a mount point
    /// now and a directory in the new root) along, puts the new root over `/` and enters it.
    ///
    /// # Errors
    /// [`SwitchRootError`]; the process may stand between the two roots and can only reboot.
    pub fn enter(self, carried: &[&Path]) -> Result<Entered, SwitchRootError> {
        for path in carried {
            check_path(path)?;
            let below = path.strip_prefix("/").unwrap_or(path);
            mount::move_mount(path, &self.path.join(below))?;
        }
        change_directory(&self.path)?;
        mount::move_mount(Path::new("."), Path::new("/"))?;
        rustix::process::chroot(c".")
            .map_err(|errno| SwitchRootError::ChangeRoot { source: errno.into() })?;
        change_directory(Path::new("/"))?;
        Ok(Entered {
            old_root: self.old_root,
        })
    }
}

impl Entered {
    /// Deletes the initramfs's files. Failing to delete is counted, not an error: it costs memory only.
    ///
    /// # Errors
    /// [`SwitchRootError::Stat`] if the old root cannot even be looked at.
    pub fn clear_old_root(&self) -> Result<Cleared, SwitchRootError> {
        let device = device_of(&self.old_root, Path::new("(old root)"))?;
        let mut cleared = Cleared::default();
        clear_directory(&self.old_root, device, DEPTH_LIMIT, &mut cleared);
        Ok(cleared)
    }

    /// Becomes `program` (a path in the new root) with these arguments (the first is `argv[0]`) and
    /// exactly this environment. Returns only on failure. Open files without close-on-exec are
    /// inherited, memory locks are not.
    ///
    /// # Errors
    /// [`SwitchRootError::Exec`].
    pub fn exec(
        self,
        program: &Path,
        argv: &[&OsStr],
        environment: &[(&OsStr, &OsStr)],
    ) -> Result<Infallible, SwitchRootError> {
        drop(self.old_root);
        let mut command = Command::new(program);
        if let Some((name, arguments)) = argv.split_first() {
            command.arg0(name).args(arguments);
        }
        command.env_clear().envs(environment.iter().copied());
        Err(SwitchRootError::Exec {
            program: program.to_owned(),
            source: command.exec(),
        })
    }
}

fn check_path(path: &Path) -> Result<(), SwitchRootError> {
    use std::path::Component::{Normal, RootDir};
    let mut parts = path.components();
    if parts.next() == Some(RootDir) && parts.all(|part| matches!(part, Normal(_))) && path != Path::new("/")
    {
        return Ok(());
    }
    Err(SwitchRootError::BadPath {
        path: path.to_owned(),
    })
}

fn open_directory(path: &Path) -> Result<OwnedFd, SwitchRootError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| SwitchRootError::OpenDirectory {
        path: path.to_owned(),
        source: errno.into(),
    })
}

fn change_directory(path: &Path) -> Result<(), SwitchRootError> {
    rustix::process::chdir(path).map_err(|errno| SwitchRootError::ChangeDirectory {
        path: path.to_owned(),
        source: errno.into(),
    })
}

fn device_of(directory: &OwnedFd, path: &Path) -> Result<u64, SwitchRootError> {
    let stat = rustix::fs::fstat(directory).map_err(|errno| SwitchRootError::Stat {
        path: path.to_owned(),
        source: errno.into(),
    })?;
    Ok(stat.st_dev)
}

fn check_initramfs(root: &OwnedFd) -> Result<(), SwitchRootError> {
    let stat_error = |errno: Errno| SwitchRootError::Stat {
        path: "/".into(),
        source: errno.into(),
    };
    let magic = u64::try_from(rustix::fs::fstatfs(root).map_err(stat_error)?.f_type).unwrap_or(0);
    if !INITRAMFS_MAGICS.contains(&magic) {
        return Err(SwitchRootError::NotAnInitramfs { magic });
    }
    let init = rustix::fs::statat(root, c"init", AtFlags::SYMLINK_NOFOLLOW);
    match init.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile) => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(SwitchRootError::NoInit),
        Err(errno) => Err(stat_error(errno)),
    }
}

/// Empties a directory on `device`. Never follows links, never leaves the device.
fn clear_directory(directory: &OwnedFd, device: u64, depth: usize, cleared: &mut Cleared) {
    let names = match entry_names(directory) {
        Ok(names) => names,
        Err(_) => {
            cleared.failed += 1;
            return;
        }
    };
    for name in names {
        clear_entry(directory, &name, device, depth, cleared);
    }
}

fn entry_names(directory: &OwnedFd) -> rustix::io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn clear_entry(directory: &OwnedFd, name: &CStr, device: u64, depth: usize, cleared: &mut Cleared) {
    let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
        cleared.failed += 1;
        return;
    };
    if stat.st_dev != device {
        cleared.other_file_systems += 1;
        return;
    }
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if is_directory && !clear_below(directory, name, device, depth, cleared) {
        return;
    }
    let flags = if is_directory {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    match rustix::fs::unlinkat(directory, name, flags) {
        Ok(()) => cleared.deleted += 1,
        // A bind mount of the same device, or a directory that kept something.
        Err(Errno::BUSY) => cleared.other_file_systems += 1,
        Err(_) => cleared.failed += 1,
    }
}

/// Empties the subdirectory `name`; true if it may be tried to be removed itself.
fn clear_below(directory: &OwnedFd, name: &CStr, device: u64, depth: usize, cleared: &mut Cleared) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty());
    let same_device = |fd: &OwnedFd| rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_dev == device);
    match opened {
        Ok(below) if depth > 0 && same_device(&below) => {
            clear_directory(&below, device, depth - 1, cleared);
            true
        }
        _ => {
            cleared.failed += 1;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, OwnedFd, u64) {
        let dir = tempfile::tempdir().unwrap();
        let keep = dir.path().join("keep");
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        std::fs::create_dir(&keep).unwrap();
        std::fs::write(keep.join("precious"), "x").unwrap();
        std::fs::write(root.join("init"), "x").unwrap();
        std::fs::write(root.join("a/b/c/f"), "x").unwrap();
        std::os::unix::fs::symlink(&keep, root.join("a/link")).unwrap();
        let fd = open_directory(&root).unwrap();
        let device = device_of(&fd, &root).unwrap();
        (dir, fd, device)
    }

    #[test]
    fn clearing_deletes_every_file_and_follows_no_link() {
        let (dir, fd, device) = tree();
        let mut cleared = Cleared::default();
        clear_directory(&fd, device, DEPTH_LIMIT, &mut cleared);
        assert_eq!(
            cleared,
            Cleared {
                deleted: 6,
                other_file_systems: 0,
                failed: 0
            }
        );
        assert_eq!(std::fs::read_dir(dir.path().join("root")).unwrap().count(), 0);
        assert!(dir.path().join("keep/precious").exists());
    }

    #[test]
    fn clearing_leaves_entries_of_another_device_alone() {
        let (dir, fd, device) = tree();
        let mut cleared = Cleared::default();
        clear_directory(&fd, device.wrapping_add(1), DEPTH_LIMIT, &mut cleared);
        assert_eq!(
            cleared,
            Cleared {
                deleted: 0,
                other_file_systems: 2,
                failed: 0
            }
        );
        assert!(dir.path().join("root/a/b/c/f").exists());
    }

    #[test]
    fn clearing_stops_at_the_depth_limit_and_counts_what_stays() {
        let (dir, fd, device) = tree();
        let mut cleared = Cleared::default();
        clear_directory(&fd, device, 1, &mut cleared);
        assert!(dir.path().join("root/a/b/c/f").exists());
        assert!(cleared.failed >= 1 && cleared.deleted == 2, "{cleared:?}");
    }

    #[test]
    fn a_process_that_is_not_the_first_may_not_switch_roots() {
        assert!(matches!(
            NewRoot::check(Path::new("/proc")),
            Err(SwitchRootError::NotInit { .. })
        ));
    }

    #[test]
    fn the_new_root_must_be_an_absolute_path_below_the_root() {
        assert!(check_path(Path::new("/sysroot")).is_ok());
        for bad in ["", "sysroot", "/", "/a/../b"] {
            let refused = NewRoot::check(Path::new(bad));
            assert!(matches!(refused, Err(SwitchRootError::BadPath { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_of_an_ordinary_file_system_is_not_an_initramfs() {
        let proc_root = open_directory(Path::new("/proc")).unwrap();
        let refused = check_initramfs(&proc_root);
        assert!(matches!(
            refused,
            Err(SwitchRootError::NotAnInitramfs { magic: 0x9fa0 })
        ));
    }
}
