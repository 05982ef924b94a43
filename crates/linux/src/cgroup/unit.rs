//! Control groups by the ids that the kernel's programs know them by, the units that they belong to, and the root.

use super::{CgroupError, Cgroups, Group, beneath};
use crate::bounded;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// Inode of the hierarchy's root directory, where a process sees all of it.
const ROOT_INODE: u64 = 1;
/// Options of the hierarchy as systemd mounts it (its mount-setup.c). They belong to all mounts of it
/// together, and a new one takes away what it does not name (Linux 6.12, kernel/cgroup/cgroup.c, `apply_cgroup_root_flags`):
/// a process in a cgroup namespace could write the limits that are set for it.
const OPTIONS: [&str; 2] = ["nsdelegate", "memory_recursiveprot"];
/// Suffix of groups that hold units and no processes of their own (systemd.slice(5)).
const SLICE: &str = ".slice";

impl Cgroups {
    /// The group with this id: the inode of its directory. None where it is gone.
    ///
    /// # Errors
    /// [`CgroupError::List`].
    pub fn by_id(&self, id: u64) -> Result<Option<Group>, CgroupError> {
        let mut open = vec![self.group("")];
        while let Some(group) = open.pop() {
            if group.inode().map_err(|source| listing(&group, source))? == Some(id) {
                return Ok(Some(group));
            }
            match group.children() {
                Ok(below) => open.extend(below),
                // A group that went meanwhile has none below it.
                Err(CgroupError::List { source, .. }) if bounded::is_vanished(&source) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Path of the unit that a group belongs to, below the root: the outermost group that is no slice, so that what a unit
    /// makes below its own group does not hide it. None for the root itself.
    #[must_use]
    pub fn unit_of(&self, group: &Group) -> Option<String> {
        let mut unit = Vec::new();
        for part in &group.path {
            let part = part.to_str()?;
            unit.push(part);
            if !part.ends_with(SLICE) {
                break;
            }
        }
        (!unit.is_empty()).then(|| unit.join("/"))
    }

    /// Path of a group below the root.
    #[must_use]
    pub fn path_of(&self, group: &Group) -> Option<String> {
        group
            .path
            .to_str()
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
    }

    /// Id of the group above `path` (which need not be there itself) and the name in it; none where that is gone.
    ///
    /// # Errors
    /// [`CgroupError::List`].
    pub fn place(&self, path: &str) -> Result<Option<(u64, String)>, CgroupError> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = self.group(above);
        let inode = above.inode().map_err(|source| listing(&above, source))?;
        Ok(inode.map(|inode| (inode, name.to_owned())))
    }
}

fn listing(group: &Group, source: io::Error) -> CgroupError {
    let path = group.name();
    CgroupError::List { path, source }
}

impl Group {
    /// Of its directory; none where it is gone.
    fn inode(&self) -> io::Result<Option<u64>> {
        match beneath::open(&self.root, &self.path, OFlags::PATH) {
            Ok(found) => Ok(Some(rustix::fs::fstat(&found)?.st_ino)),
            Err(error) if bounded::is_vanished(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The root of the hierarchy, through a mount of its own that hangs in no mount namespace: it is to be had before anything is
/// mounted, and nobody can put another directory in its place.
///
/// # Errors
/// [`CgroupError::Root`], [`CgroupError::NotTheRoot`].
pub fn open_root() -> Result<OwnedFd, CgroupError> {
    let failed = |act| {
        move |errno: rustix::io::Errno| CgroupError::Root {
            act,
            source: io::Error::from(errno),
        }
    };
    let context = rustix::mount::fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    for option in OPTIONS {
        rustix::mount::fsconfig_set_flag(context.as_fd(), option).map_err(failed("fsconfig"))?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).map_err(failed("fsconfig"))?;
    let mounted = rustix::mount::fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID,
    )
    .map_err(failed("fsmount"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(&mounted, Path::new("."), flags, Mode::empty()).map_err(failed("open"))?;
    let found = rustix::fs::fstat(&root).map_err(failed("stat"))?.st_ino;
    if found == ROOT_INODE {
        Ok(root)
    } else {
        Err(CgroupError::NotTheRoot { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_unit_is_the_outermost_group_that_is_no_slice() {
        let kept = tempfile::tempdir().unwrap();
        let groups = Cgroups::at(kept.path()).unwrap();
        for (path, unit) in [
            ("system.slice/web.service", Some("system.slice/web.service")),
            (
                "system.slice/web.service/a/b.service",
                Some("system.slice/web.service"),
            ),
            (
                "user.slice/user-0.slice/user@0.service/app.slice/x.service",
                Some("user.slice/user-0.slice/user@0.service"),
            ),
            ("init.scope", Some("init.scope")),
            ("system.slice", Some("system.slice")),
            ("", None),
        ] {
            assert_eq!(groups.unit_of(&groups.group(path)).as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn a_group_is_found_by_its_id_and_placed_by_the_one_above_it() {
        let kept = tempfile::tempdir().unwrap();
        fs::create_dir_all(kept.path().join("a.slice/b.service")).unwrap();
        let groups = Cgroups::at(kept.path()).unwrap();
        let inode = |path: &str| fs::metadata(kept.path().join(path)).unwrap().ino();
        let found = groups.by_id(inode("a.slice/b.service")).unwrap().unwrap();
        assert_eq!(groups.path_of(&found).unwrap(), "a.slice/b.service");
        assert_eq!(groups.by_id(u64::MAX).unwrap(), None);
        assert_eq!(
            groups.place("a.slice/b.service").unwrap(),
            Some((inode("a.slice"), "b.service".to_owned()))
        );
        assert_eq!(
            groups.place("c.service").unwrap(),
            Some((inode(""), "c.service".to_owned()))
        );
        assert_eq!(groups.place("gone.slice/c.service").unwrap(), None);
        assert!(groups.place("../elsewhere/c.service").is_err());
    }
}
