//! Where the responses find control groups: on mounts of `bennud`'s own, so that what root mounts over `/sys/fs/cgroup` or over
//! a process's `/proc/PID/cgroup` neither hides a group nor shows another one in its place.
//!
//! Read and written through the hierarchy's own mount (`bennu_linux::cgroup`); who is in which group is read from the procfs
//! of `crate::kernel_files`. Where the hierarchy has no such mount nothing is acted on, and every act that needs it says so:
//! the one that everybody sees may be anybody's. Where procfs has none, its mount of before is read, as by the watch, which
//! is not clean then; our own group counts only if its own list has us.

use crate::kernel_files::{KernelFiles, KernelFs};
use bennu_linux::bounded::ReadError;
use bennu_linux::cgroup::{Cgroups, Group};
use rustix::io::Errno;
use std::sync::{Arc, OnceLock};

/// Most bytes of a process's `cgroup`: a line for each hierarchy.
const MEMBERSHIP_LIMIT: usize = 16 << 10;

/// The hierarchy, and who is where in it.
#[derive(Debug)]
pub struct Groups {
    kernel: Arc<KernelFiles>,
    /// Opened by the first use.
    all: OnceLock<Result<Cgroups, String>>,
}

impl Groups {
    /// Those of this machine; what fails is said by each use and by [`Self::all`].
    pub fn new(kernel: Arc<KernelFiles>) -> Arc<Self> {
        let all = OnceLock::new();
        Arc::new(Self { kernel, all })
    }

    /// Every group.
    ///
    /// # Errors
    /// They have no mount of our own; in words.
    pub fn all(&self) -> Result<&Cgroups, String> {
        let open = || Cgroups::open().map_err(|error| error.to_string());
        self.all.get_or_init(open).as_ref().map_err(Clone::clone)
    }

    /// The group of this process.
    ///
    /// # Errors
    /// It cannot be told for certain; in words. Whoever spares it must not act then.
    pub fn own(&self) -> Result<Group, String> {
        let group = self
            .named_by("self")?
            .ok_or("/proc/self/cgroup: expected a file, found none")?;
        match group.holds_this_process() {
            Ok(true) => Ok(group),
            Ok(false) => Err(format!(
                "our own control group: procfs names /{}, expected bennud in its list, found it not there",
                group.path().display()
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The group of another process; none where that process is gone.
    ///
    /// # Errors
    /// In words.
    pub fn of_process(&self, pid: rustix::process::Pid) -> Result<Option<Group>, String> {
        self.named_by(&pid.as_raw_nonzero().to_string())
    }

    fn named_by(&self, process: &str) -> Result<Option<Group>, String> {
        let path = format!("{process}/cgroup");
        match self.kernel.read_text(KernelFs::Proc, &path, MEMBERSHIP_LIMIT) {
            Ok(text) => match self.all()?.named_in(&text) {
                Ok(group) => Ok(Some(group)),
                Err(error) => Err(error.to_string()),
            },
            Err(error) if has_ended(&error) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The process ended, before or after its file was opened.
fn has_ended(error: &ReadError) -> bool {
    let ended = |source: &std::io::Error| source.raw_os_error() == Some(Errno::SRCH.raw_os_error());
    error.is_absent() || matches!(error, ReadError::Read { source, .. } if ended(source))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// `groups` and `proc` below `parent` stand for the hierarchy and for procfs; this process is in `bennud.service`.
    pub fn standing_for(parent: &Path) -> Arc<Groups> {
        let own = parent.join("groups/system.slice/bennud.service");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.procs"), format!("{}\n", std::process::id())).unwrap();
        belongs(parent, "self", "system.slice/bennud.service");
        let kernel = Arc::new(KernelFiles::at(parent));
        let all = Cgroups::at(&parent.join("groups")).map_err(|error| error.to_string());
        let all = OnceLock::from(all);
        Arc::new(Groups { kernel, all })
    }

    /// What procfs says of a process.
    pub fn belongs(parent: &Path, process: &str, group: &str) {
        let place = parent.join("proc").join(process);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("cgroup"), format!("0::/{group}\n")).unwrap();
    }

    /// A machine that gives no mount of the hierarchy.
    pub fn without_a_mount() -> Arc<Groups> {
        let kernel = Arc::new(KernelFiles::at(Path::new("/nonexistent")));
        let all = OnceLock::from(Err("no mount".to_owned()));
        Arc::new(Groups { kernel, all })
    }

    #[test]
    fn our_own_group_is_one_that_has_us_in_its_list() {
        let kept = tempfile::tempdir().unwrap();
        let groups = standing_for(kept.path());
        let own = groups.own().unwrap();
        assert_eq!(own.path(), Path::new("system.slice/bennud.service"));
        let web = kept.path().join("groups/system.slice/web.service");
        fs::create_dir(&web).unwrap();
        fs::write(web.join("cgroup.procs"), "1\n").unwrap();
        for shown in ["system.slice/web.service", "gone.service", "", "../elsewhere"] {
            belongs(kept.path(), "self", shown);
            assert!(groups.own().is_err(), "{shown}");
        }
        // Without systemd it is in the root, and so in none of the groups that are acted on.
        let list = format!("1\n{}\n", std::process::id());
        fs::write(kept.path().join("groups/cgroup.procs"), list).unwrap();
        belongs(kept.path(), "self", "");
        assert_eq!(groups.own().unwrap().path(), Path::new(""));
        assert_eq!(
            without_a_mount().own().unwrap_err(),
            "/proc/self/cgroup: expected a file, found none"
        );
    }

    #[test]
    fn a_process_that_is_gone_has_no_group_and_one_that_cannot_be_looked_at_is_an_error() {
        let kept = tempfile::tempdir().unwrap();
        let groups = standing_for(kept.path());
        let pid = |number| rustix::process::Pid::from_raw(number).unwrap();
        belongs(kept.path(), "7", "system.slice/web.service");
        let found = groups.of_process(pid(7)).unwrap().unwrap();
        assert_eq!(found.path(), Path::new("system.slice/web.service"));
        assert_eq!(groups.of_process(pid(8)).unwrap(), None);
        fs::write(kept.path().join("proc/7/cgroup"), "1:cpu:/x\n").unwrap();
        groups.of_process(pid(7)).unwrap_err();
        fs::remove_file(kept.path().join("proc/7/cgroup")).unwrap();
        std::os::unix::fs::symlink("/proc/self/cgroup", kept.path().join("proc/7/cgroup")).unwrap();
        groups.of_process(pid(7)).unwrap_err();
    }
}
