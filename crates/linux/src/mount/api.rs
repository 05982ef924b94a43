//! The table of API file systems that PID 1 mounts first.

use std::path::Path;

use rustix::io::Errno;

use super::{DATA_ONLY, MountError, MountSpec, Restriction, make_mount_point, mount};

/// The file systems through which the kernel and user space talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiFileSystem {
    /// procfs on `/proc`.
    Proc,
    /// sysfs on `/sys`.
    Sys,
    /// devtmpfs on `/dev`.
    Dev,
    /// tmpfs on `/run`.
    Run,
    /// securityfs on `/sys/kernel/security`.
    Security,
    /// efivarfs on `/sys/firmware/efi/efivars`.
    EfiVariables,
    /// pstore on `/sys/fs/pstore`.
    Pstore,
}

/// What became of an API mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiOutcome {
    /// Mounted by this call.
    Mounted,
    /// It had been mounted there before.
    AlreadyMounted,
    /// This kernel or machine does not have it (no EFI, module not loaded). Never for `Proc`, `Sys`,
    /// `Dev` and `Run`, where it is an error.
    Unsupported,
}

struct ApiMount {
    target: &'static str,
    file_system: &'static str,
    restrictions: &'static [Restriction],
    options: &'static str,
    required: bool,
}

impl ApiFileSystem {
    /// All of them, in the order in which they must be mounted.
    pub const ALL: [Self; 7] = [
        Self::Proc,
        Self::Sys,
        Self::Dev,
        Self::Run,
        Self::Security,
        Self::EfiVariables,
        Self::Pstore,
    ];

    /// Its mount point.
    #[must_use]
    pub fn target(self) -> &'static Path {
        Path::new(self.entry().target)
    }

    fn entry(self) -> ApiMount {
        let (target, file_system, restrictions, options, required) = match self {
            Self::Proc => ("/proc", "proc", DATA_ONLY, "", true),
            Self::Sys => ("/sys", "sysfs", DATA_ONLY, "", true),
            // Nodes must work here; nosuid and noexec as systemd mounts it.
            Self::Dev => (
                "/dev",
                "devtmpfs",
                &[Restriction::NoExec, Restriction::NoSuid][..],
                "mode=0755",
                true,
            ),
            // 20 % of memory: systemd's own limit for /run (v257, mount-setup.c), so that it can adopt it.
            Self::Run => (
                "/run",
                "tmpfs",
                DATA_ONLY,
                "mode=0755,size=20%,nr_inodes=800k",
                true,
            ),
            Self::Security => ("/sys/kernel/security", "securityfs", DATA_ONLY, "", false),
            Self::EfiVariables => ("/sys/firmware/efi/efivars", "efivarfs", DATA_ONLY, "", false),
            Self::Pstore => ("/sys/fs/pstore", "pstore", DATA_ONLY, "", false),
        };
        ApiMount {
            target,
            file_system,
            restrictions,
            options,
            required,
        }
    }

    /// Mounts it, making the mount point if it is one in the initramfs.
    ///
    /// # Errors
    /// [`MountError`]; for the optional ones never because the kernel does not have it.
    pub fn mount(self) -> Result<ApiOutcome, MountError> {
        let entry = self.entry();
        let target = Path::new(entry.target);
        if entry.required {
            make_mount_point(target, 0o755)?;
        }
        let spec = MountSpec {
            source: Path::new(entry.file_system),
            target,
            file_system: entry.file_system,
            restrictions: entry.restrictions,
            options: entry.options,
        };
        match mount(&spec) {
            Ok(()) => Ok(ApiOutcome::Mounted),
            Err(error) => outcome_of(error, entry.required),
        }
    }
}

/// EBUSY: the same file system is already there. ENODEV: the kernel has no such file system; ENOENT:
/// it has no mount point for it (no EFI run-time); EOPNOTSUPP: efivarfs without variable services.
fn outcome_of(error: MountError, required: bool) -> Result<ApiOutcome, MountError> {
    let MountError::Mount { source, .. } = &error else {
        return Err(error);
    };
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) => Ok(ApiOutcome::AlreadyMounted),
        Some(Errno::NODEV | Errno::NOENT | Errno::OPNOTSUPP) if !required => Ok(ApiOutcome::Unsupported),
        _ => Err(error),
    }
}

/// Mounts all API file systems in order.
///
/// # Errors
/// The first [`MountError`]; those before it stay mounted.
pub fn mount_api_file_systems() -> Result<Vec<(ApiFileSystem, ApiOutcome)>, MountError> {
    ApiFileSystem::ALL
        .into_iter()
        .map(|api| Ok((api, api.mount()?)))
        .collect()
}
#[cfg(test)]
mod tests {
    use super::super::flags;
    use super::*;
    use rustix::mount::MountFlags;

    fn failed(errno: Errno) -> MountError {
        MountError::Mount {
            file_system: "efivarfs".into(),
            origin: "efivarfs".into(),
            target: "/t".into(),
            source: errno.into(),
        }
    }

    #[test]
    fn a_missing_optional_file_system_is_reported_and_a_missing_required_one_is_an_error() {
        for errno in [Errno::NODEV, Errno::NOENT, Errno::OPNOTSUPP] {
            assert_eq!(outcome_of(failed(errno), false).unwrap(), ApiOutcome::Unsupported);
            assert!(matches!(
                outcome_of(failed(errno), true),
                Err(MountError::Mount { .. })
            ));
        }
        assert_eq!(
            outcome_of(failed(Errno::BUSY), true).unwrap(),
            ApiOutcome::AlreadyMounted
        );
        assert!(matches!(
            outcome_of(failed(Errno::PERM), false),
            Err(MountError::Mount { .. })
        ));
    }

    #[test]
    fn every_api_file_system_but_dev_forbids_device_nodes_and_all_forbid_execution() {
        for api in ApiFileSystem::ALL {
            let flags = flags(api.entry().restrictions);
            assert!(flags.contains(MountFlags::NOEXEC | MountFlags::NOSUID), "{api:?}");
            assert_eq!(
                flags.contains(MountFlags::NODEV),
                api != ApiFileSystem::Dev,
                "{api:?}"
            );
        }
    }

    #[test]
    fn parents_are_mounted_before_their_children() {
        let targets: Vec<_> = ApiFileSystem::ALL.iter().map(|api| api.target()).collect();
        for (index, target) in targets.iter().enumerate() {
            assert!(
                targets[..index]
                    .iter()
                    .all(|earlier| !earlier.starts_with(target)),
                "{target:?}"
            );
        }
    }
}
