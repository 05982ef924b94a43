//! The ESP as a detached mount: opened, used, written out, closed.
//!
//! The mount hangs in no mount namespace and has no mount point (fsopen(2), fsmount(2), Linux 5.2): no other
//! process sees it, and it ends with the descriptor even when the agent is killed. `bennud` writes there,
//! `bennuctl` reads. On failure nothing stays mounted and the error names the act.

use crate::kernel_files::descriptor_path;
use bennu_esp::{Esp, EspError};
use bennu_formats::handover::BlockDevice;
use bennu_linux::block::{BlockError, DeviceNumber, ensure_node};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// What is wanted of the ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Why the ESP could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EspAccessError {
    /// The hand-over record names no device.
    #[error("ESP: expected /dev/<name> and <major>:<minor>, found {path} and {number}")]
    Device {
        /// Path in the record.
        path: String,
        /// Number in the record.
        number: String,
    },
    /// The node is missing or is another device.
    #[error("ESP: {0}")]
    Node(#[from] BlockError),
    /// One step of mounting.
    #[error("ESP: cannot mount {device}: {act}: {source}")]
    Mount {
        /// Device.
        device: PathBuf,
        /// The step.
        act: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What was written may not have reached the disk.
    #[error("ESP: {device} cannot be written out: {source}")]
    WriteOut {
        /// Device.
        device: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file on it.
    #[error(transparent)]
    Files(#[from] EspError),
}

/// Mounts the ESP, lets `act` work on it, writes out and unmounts.
///
/// # Errors
/// See [`EspAccessError`].
pub fn with_esp<T>(
    device: &BlockDevice,
    access: Access,
    act: impl FnOnce(&Esp) -> Result<T, EspError>,
) -> Result<T, EspAccessError> {
    let node = node(device)?;
    let mount = detached_mount("vfat", &node, &bennu_esp::VFAT_OPTIONS, access)?;
    // No other process reaches it there.
    let root = descriptor_path(&mount);
    let done = act(&Esp::at(&root));
    if access == Access::ReadWrite {
        // Also after a failure: what was written before it counts.
        let out = File::open(&root).and_then(|root| rustix::fs::syncfs(root).map_err(io::Error::from));
        out.map_err(|source| EspAccessError::WriteOut { device: node, source })?;
    }
    Ok(done?)
}

/// The device's node, checked to be the device that `bennu-init` found.
fn node(device: &BlockDevice) -> Result<PathBuf, EspAccessError> {
    let name = device.path.strip_prefix("/dev/").filter(|name| !name.is_empty());
    match (name, DeviceNumber::parse(&device.number)) {
        (Some(name), Some(number)) => Ok(ensure_node(name, number)?),
        _ => Err(EspAccessError::Device {
            path: device.path.clone(),
            number: device.number.clone(),
        }),
    }
}

fn detached_mount(
    file_system: &str,
    device: &Path,
    options: &[(&str, &str)],
    access: Access,
) -> Result<OwnedFd, EspAccessError> {
    let failed = |act| {
        move |errno: rustix::io::Errno| EspAccessError::Mount {
            device: device.to_owned(),
            act,
            source: errno.into(),
        }
    };
    let context =
        rustix::mount::fsopen(file_system, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    let set = |key: &str, value: &Path| {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, value)
            .map_err(failed("an option was refused"))
    };
    set("source", device)?;
    for (key, value) in options {
        set(key, Path::new(value))?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    if access == Access::ReadOnly {
        rustix::mount::fsconfig_set_flag(context.as_fd(), "ro").map_err(failed("`ro` was refused"))?;
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    rustix::mount::fsconfig_create(context.as_fd()).map_err(failed("the file system was not accepted"))?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(failed("fsmount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(path: &str, number: &str) -> BlockDevice {
        BlockDevice {
            path: path.to_owned(),
            number: number.to_owned(),
        }
    }

    #[test]
    fn a_record_that_names_no_device_is_refused_before_anything_is_mounted() {
        for (path, number) in [
            ("", "8:1"),
            ("/dev/", "8:1"),
            ("/etc/passwd", "8:1"),
            ("/dev/null", "x"),
        ] {
            let refused = with_esp(&device(path, number), Access::ReadOnly, |_| Ok(()));
            assert!(matches!(refused, Err(EspAccessError::Device { .. })), "{path}");
        }
        for path in ["/dev/../etc/passwd", "/dev/null"] {
            let refused = with_esp(&device(path, "1:3"), Access::ReadOnly, |_| Ok(()));
            assert!(matches!(refused, Err(EspAccessError::Node(_))), "{path}");
        }
    }

    #[test]
    fn a_file_system_that_cannot_be_mounted_is_told_with_the_step() {
        let refused = detached_mount("no-such-file-system", Path::new("none"), &[], Access::ReadWrite);
        let refused = refused.err().unwrap();
        assert!(
            matches!(&refused, EspAccessError::Mount { act: "fsopen", .. }),
            "{refused}"
        );
    }
}
