//! Control groups (version 2): freezing and killing what runs, without naming a process; and units by their groups.
//!
//! Used by `bennud` when it contains drift and when it erases secrets: everything but a few groups is stopped at once, then killed. A process
//! cannot escape by forking, and a frozen one is killed all the same. Interface: the kernel's
//! Documentation/admin-guide/cgroup-v2.rst, `cgroup.freeze`, `cgroup.kill`, `cgroup.events`.
//!
//! On failure the error names the group and the act; what was done to other groups stays done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bounded;

mod unit;

pub use unit::open_root;

/// Where systemd mounts the hierarchy.
const ROOT: &str = "/sys/fs/cgroup";
/// Most bytes of `cgroup.events` and of `/proc/self/cgroup`.
const FILE_LIMIT: usize = 4096;
/// Between two looks at `cgroup.events`.
const POLL: Duration = Duration::from_millis(5);

/// Why a group could not be acted on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum CgroupError {
    #[error("cannot list the control groups below {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("cannot {act} control group {path}: {source}")]
    Act {
        act: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "cannot tell our own control group: expected a line `0::/path` in /proc/self/cgroup, found {found:?}"
    )]
    Own { found: String },
    #[error("cannot open the root of the control groups: {act}: {source}")]
    Root { act: &'static str, source: io::Error },
    #[error(
        "root of the control groups: expected inode 1, found {found}: this is no process of the whole machine"
    )]
    NotTheRoot { found: u64 },
    #[error("control group {path}: expected it {state} within {limit_ms} ms; it is not")]
    NotInTime {
        path: PathBuf,
        state: &'static str,
        limit_ms: u128,
    },
}

/// The hierarchy.
#[derive(Debug, Clone)]
pub struct Cgroups {
    root: PathBuf,
}

impl Default for Cgroups {
    fn default() -> Self {
        Self::at(Path::new(ROOT))
    }
}

impl Cgroups {
    /// A hierarchy mounted elsewhere, for tests.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The group of this process.
    ///
    /// # Errors
    /// [`CgroupError::Own`], also without version 2.
    pub fn own(&self) -> Result<Group, CgroupError> {
        let text = bounded::read_text(Path::new("/proc/self/cgroup"), FILE_LIMIT).unwrap_or_default();
        self.named_in(&text)
    }

    fn named_in(&self, text: &str) -> Result<Group, CgroupError> {
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let path = path.ok_or_else(|| CgroupError::Own {
            found: text.chars().take(80).collect(),
        })?;
        Ok(Group {
            path: self.root.join(path),
        })
    }

    /// The fewest groups that together hold every process outside `spared` and of which none holds a process of a
    /// spared group: a group that contains a spared one is entered, any other is taken whole.
    ///
    /// # Errors
    /// [`CgroupError::List`].
    pub fn all_but(&self, spared: &[Group]) -> Result<Vec<Group>, CgroupError> {
        let mut groups = Vec::new();
        let mut open = vec![self.root.clone()];
        while let Some(path) = open.pop() {
            for path in children(&path)? {
                if spared.iter().any(|group| group.path == path) {
                    continue;
                }
                if spared.iter().any(|group| group.path.starts_with(&path)) {
                    open.push(path);
                } else {
                    groups.push(Group { path });
                }
            }
        }
        groups.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(groups)
    }

    /// A group by its path below the root, whether or not it is there.
    #[must_use]
    pub fn group(&self, path: &str) -> Group {
        Group {
            path: self.root.join(path.trim_start_matches('/')),
        }
    }
}

fn children(path: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let failed = |source| CgroupError::List {
        path: path.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// One group with all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops everything in it, and waits at most `limit` for the last process to stop.
    ///
    /// # Errors
    /// [`CgroupError`]. A process that is within an uninterruptible system call stops when it returns.
    pub fn freeze(&self, limit: Duration) -> Result<(), CgroupError> {
        self.begin_freeze()?;
        self.await_frozen(limit)
    }

    /// Asks the kernel to stop everything in it, without waiting: for many groups at once.
    ///
    /// # Errors
    /// [`CgroupError::Act`].
    pub fn begin_freeze(&self) -> Result<(), CgroupError> {
        self.write("freeze", "cgroup.freeze", "1")
    }

    /// Whether somebody asked for it to be frozen, whether or not it is already.
    #[must_use]
    pub fn is_asked_to_freeze(&self) -> bool {
        bounded::read_text(&self.path.join("cgroup.freeze"), FILE_LIMIT).is_ok_and(|text| text.trim() == "1")
    }

    /// Waits at most `limit` for the last process to stop.
    ///
    /// # Errors
    /// [`CgroupError::NotInTime`].
    pub fn await_frozen(&self, limit: Duration) -> Result<(), CgroupError> {
        self.wait("frozen 1", "frozen", limit)
    }

    /// Lets everything in it go on, and waits at most `limit` until it does. A group that is gone needs nothing.
    ///
    /// # Errors
    /// [`CgroupError`].
    pub fn thaw(&self, limit: Duration) -> Result<(), CgroupError> {
        match self.write("thaw", "cgroup.freeze", "0") {
            Err(_) if !self.path.exists() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.wait("frozen 0", "going on", limit),
        }
    }

    /// Kills everything in it, frozen or not, and waits at most `limit` until nothing is left.
    ///
    /// # Errors
    /// [`CgroupError`].
    pub fn kill(&self, limit: Duration) -> Result<(), CgroupError> {
        self.begin_kill()?;
        self.await_empty(limit)
    }

    /// Asks the kernel to kill everything in it, without waiting.
    ///
    /// # Errors
    /// [`CgroupError::Act`].
    pub fn begin_kill(&self) -> Result<(), CgroupError> {
        self.write("kill", "cgroup.kill", "1")
    }

    /// Waits at most `limit` until nothing is left in it.
    ///
    /// # Errors
    /// [`CgroupError::NotInTime`].
    pub fn await_empty(&self, limit: Duration) -> Result<(), CgroupError> {
        self.wait("populated 0", "empty", limit)
    }

    fn write(&self, act: &'static str, file: &str, value: &str) -> Result<(), CgroupError> {
        fs::write(self.path.join(file), value).map_err(|source| CgroupError::Act {
            act,
            path: self.path.clone(),
            source,
        })
    }

    fn wait(&self, line: &str, state: &'static str, limit: Duration) -> Result<(), CgroupError> {
        let deadline = Instant::now() + limit;
        let events = self.path.join("cgroup.events");
        loop {
            match bounded::read_text(&events, FILE_LIMIT) {
                Ok(text) if text.lines().any(|found| found == line) => return Ok(()),
                // Gone: systemd removes a group as soon as it is empty.
                Err(_) if !self.path.exists() => return Ok(()),
                Ok(_) | Err(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                Ok(_) | Err(_) => {
                    return Err(CgroupError::NotInTime {
                        path: self.path.clone(),
                        state,
                        limit_ms: limit.as_millis(),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> (tempfile::TempDir, Cgroups) {
        let directory = tempfile::tempdir().unwrap();
        for path in paths {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let cgroups = Cgroups::at(directory.path());
        (directory, cgroups)
    }

    #[test]
    fn everything_outside_the_spared_groups_is_taken_and_nothing_of_theirs() {
        let (_kept, cgroups) = tree(&[
            "init.scope",
            "system.slice/bennud.service",
            "system.slice/nginx.service/worker",
            "system.slice/ssh.service",
            "user.slice/user-0.slice",
        ]);
        let spared = [
            cgroups.group("init.scope"),
            cgroups.group("/system.slice/bennud.service"),
        ];
        let groups = cgroups.all_but(&spared).unwrap();
        let expected = [
            "system.slice/nginx.service",
            "system.slice/ssh.service",
            "user.slice",
        ];
        assert_eq!(groups, expected.map(|path| cgroups.group(path)));
        // A group within a spared one is spared with it.
        let spared = [cgroups.group("system.slice"), cgroups.group("init.scope")];
        assert_eq!(cgroups.all_but(&spared).unwrap(), [cgroups.group("user.slice")]);
    }

    #[test]
    fn our_own_group_is_that_of_version_2() {
        let cgroups = Cgroups::default();
        let own = cgroups
            .named_in("1:cpu:/x\n0::/system.slice/bennud.service\n")
            .unwrap();
        assert_eq!(
            own.path(),
            Path::new("/sys/fs/cgroup/system.slice/bennud.service")
        );
        let refused = cgroups.named_in("1:cpu:/x\n");
        assert!(matches!(refused, Err(CgroupError::Own { .. })));
    }

    #[test]
    fn freezing_waits_for_the_kernels_word_and_killing_for_an_empty_group() {
        let (kept, cgroups) = tree(&["a"]);
        let group = cgroups.group("a");
        let events = kept.path().join("a/cgroup.events");
        fs::write(&events, "populated 1\nfrozen 1\n").unwrap();
        group.freeze(Duration::ZERO).unwrap();
        assert_eq!(
            fs::read_to_string(kept.path().join("a/cgroup.freeze")).unwrap(),
            "1"
        );
        let refused = group.kill(Duration::from_millis(10));
        assert!(matches!(
            refused,
            Err(CgroupError::NotInTime { state: "empty", .. })
        ));
        fs::write(&events, "populated 0\nfrozen 1\n").unwrap();
        group.kill(Duration::ZERO).unwrap();
        let refused = group.thaw(Duration::ZERO);
        assert!(matches!(
            refused,
            Err(CgroupError::NotInTime {
                state: "going on",
                ..
            })
        ));
        fs::write(&events, "populated 1\nfrozen 0\n").unwrap();
        group.thaw(Duration::ZERO).unwrap();
        assert_eq!(
            fs::read_to_string(kept.path().join("a/cgroup.freeze")).unwrap(),
            "0"
        );
        cgroups.group("gone").thaw(Duration::ZERO).unwrap();
        let gone = cgroups.group("gone").freeze(Duration::ZERO);
        assert!(matches!(gone, Err(CgroupError::Act { act: "freeze", .. })));
    }
}
