//! Mounting and unmounting, and the table of API file systems that PID 1 mounts first.
//!
//! Written by: `bennu-init` (API file systems, root, state, overlays, secrets) and `bennud` (unmounts
//! secrets). On failure the error names source, target and act; nothing is retried here.
//!
//! Flags are named as restrictions, so that the empty list is visibly the permissive one.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

mod api;

pub use api::{ApiFileSystem, ApiOutcome, mount_api_file_systems};

/// Why a mount could not be made, moved or taken away.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum MountError {
    #[error("cannot make mount point {target}: {source}")]
    MountPoint { target: PathBuf, source: io::Error },
    #[error("mount options for {target} hold a NUL byte")]
    NulInOptions { target: PathBuf },
    #[error("cannot mount {file_system} ({origin}) on {target}: {source}")]
    Mount {
        file_system: String,
        origin: PathBuf,
        target: PathBuf,
        source: io::Error,
    },
    #[error("cannot bind {origin} to {target}: {source}")]
    Bind {
        origin: PathBuf,
        target: PathBuf,
        source: io::Error,
    },
    #[error("cannot change the flags of the mount on {target}: {source}")]
    Remount { target: PathBuf, source: io::Error },
    #[error("cannot make the mount on {target} private: {source}")]
    MakePrivate { target: PathBuf, source: io::Error },
    #[error("cannot move the mount on {origin} to {target}: {source}")]
    Move {
        origin: PathBuf,
        target: PathBuf,
        source: io::Error,
    },
    #[error("cannot unmount {target}: {source}")]
    Unmount { target: PathBuf, source: io::Error },
}

/// One thing that a mount forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restriction {
    /// `MS_RDONLY`: no writes.
    ReadOnly,
    /// `MS_NOEXEC`: no execution.
    NoExec,
    /// `MS_NODEV`: device nodes have no effect.
    NoDev,
    /// `MS_NOSUID`: set-user-id bits and file capabilities have no effect.
    NoSuid,
    /// `MS_NOSYMFOLLOW`: symbolic links are not followed.
    NoSymlinks,
}

/// `noexec,nodev,nosuid`: for whatever holds data only.
pub const DATA_ONLY: &[Restriction] = &[Restriction::NoExec, Restriction::NoDev, Restriction::NoSuid];

fn flags(restrictions: &[Restriction]) -> MountFlags {
    restrictions.iter().fold(MountFlags::empty(), |all, restriction| {
        all | match restriction {
            Restriction::ReadOnly => MountFlags::RDONLY,
            Restriction::NoExec => MountFlags::NOEXEC,
            Restriction::NoDev => MountFlags::NODEV,
            Restriction::NoSuid => MountFlags::NOSUID,
            Restriction::NoSymlinks => MountFlags::NOSYMFOLLOW,
        }
    })
}

/// A mount to be made.
#[derive(Debug, Clone)]
pub struct MountSpec<'a> {
    /// The device, or any word for file systems without one.
    pub source: &'a Path,
    /// The mount point, which must exist.
    pub target: &'a Path,
    /// The kernel's name of the file system.
    pub file_system: &'a str,
    /// What the mount forbids.
    pub restrictions: &'a [Restriction],
    /// The file system's own options, comma-separated; empty for none.
    pub options: &'a str,
}

/// Mounts a file system.
///
/// # Errors
/// [`MountError::NulInOptions`], [`MountError::Mount`].
pub fn mount(spec: &MountSpec<'_>) -> Result<(), MountError> {
    let options = CString::new(spec.options).map_err(|_| MountError::NulInOptions {
        target: spec.target.to_owned(),
    })?;
    let data = (!spec.options.is_empty()).then_some(options.as_c_str());
    rustix::mount::mount(
        spec.source,
        spec.target,
        spec.file_system,
        flags(spec.restrictions),
        data,
    )
    .map_err(|errno| MountError::Mount {
        file_system: spec.file_system.to_owned(),
        origin: spec.source.to_owned(),
        target: spec.target.to_owned(),
        source: errno.into(),
    })
}

/// Makes a directory and its missing parents. Directories that it makes get `mode` (octal, before the
/// umask); one that exists keeps its own.
///
/// # Errors
/// [`MountError::MountPoint`].
pub fn make_mount_point(target: &Path, mode: u32) -> Result<(), MountError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(target)
        .map_err(|source| MountError::MountPoint {
            target: target.to_owned(),
            source,
        })
}

/// Mounts a ramfs of mode 0700 for secrets, `noexec,nodev,nosuid`. ramfs is never swapped out and
/// has **no size limit**: only PID 1 and root write there.
///
/// # Errors
/// [`MountError::MountPoint`], [`MountError::Mount`].
pub fn mount_secret_ramfs(target: &Path) -> Result<(), MountError> {
    make_mount_point(target, 0o700)?;
    mount(&MountSpec {
        source: Path::new("ramfs"),
        target,
        file_system: "ramfs",
        restrictions: DATA_ONLY,
        options: "mode=0700",
    })
}

/// Binds a directory or file to a second place. Restrictions need a second call in the kernel: if that
/// one fails the bind is taken away again.
///
/// # Errors
/// [`MountError::Bind`], [`MountError::Remount`], [`MountError::Unmount`].
pub fn bind(source: &Path, target: &Path, restrictions: &[Restriction]) -> Result<(), MountError> {
    rustix::mount::mount_bind(source, target).map_err(|errno| MountError::Bind {
        origin: source.to_owned(),
        target: target.to_owned(),
        source: errno.into(),
    })?;
    if restrictions.is_empty() {
        return Ok(());
    }
    remount(target, flags(restrictions) | MountFlags::BIND).or_else(|error| {
        unmount(target, Unmount::Lazily)?;
        Err(error)
    })
}

/// Replaces the restrictions of one mount (not of the file system beneath, which may be mounted
/// elsewhere too).
///
/// # Errors
/// [`MountError::Remount`].
pub fn restrict(target: &Path, restrictions: &[Restriction]) -> Result<(), MountError> {
    remount(target, flags(restrictions) | MountFlags::BIND)
}

fn remount(target: &Path, flags: MountFlags) -> Result<(), MountError> {
    rustix::mount::mount_remount(target, flags, c"").map_err(|errno| MountError::Remount {
        target: target.to_owned(),
        source: errno.into(),
    })
}

/// Stops the mount on `target` and those below it from propagating to and from others
/// (`MS_PRIVATE | MS_REC`). Mounts that are shared cannot be moved.
///
/// # Errors
/// [`MountError::MakePrivate`].
pub fn make_private(target: &Path) -> Result<(), MountError> {
    rustix::mount::mount_change(
        target,
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(|errno| MountError::MakePrivate {
        target: target.to_owned(),
        source: errno.into(),
    })
}

/// Moves a mount with everything mounted below it (`MS_MOVE`).
///
/// # Errors
/// [`MountError::Move`].
pub fn move_mount(source: &Path, target: &Path) -> Result<(), MountError> {
    rustix::mount::mount_move(source, target).map_err(|errno| MountError::Move {
        origin: source.to_owned(),
        target: target.to_owned(),
        source: errno.into(),
    })
}

/// How to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Now, or fail if it is in use.
    Now,
    /// Out of sight now, for good when its last user is gone (`MNT_DETACH`). This erases nothing.
    Lazily,
}

/// Unmounts; a symbolic link as target is not followed.
///
/// # Errors
/// [`MountError::Unmount`].
pub fn unmount(target: &Path, how: Unmount) -> Result<(), MountError> {
    let flags = UnmountFlags::NOFOLLOW
        | match how {
            Unmount::Now => UnmountFlags::empty(),
            Unmount::Lazily => UnmountFlags::DETACH,
        };
    rustix::mount::unmount(target, flags).map_err(|errno| MountError::Unmount {
        target: target.to_owned(),
        source: errno.into(),
    })
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_with_a_nul_byte_are_refused_before_the_kernel_sees_them() {
        let spec = MountSpec {
            source: Path::new("none"),
            target: Path::new("/nowhere"),
            file_system: "tmpfs",
            restrictions: DATA_ONLY,
            options: "mode=0755\0",
        };
        assert!(matches!(mount(&spec), Err(MountError::NulInOptions { .. })));
        let on_nothing = mount(&MountSpec { options: "", ..spec });
        assert!(matches!(on_nothing, Err(MountError::Mount { .. })));
    }
}
