//! Control groups (version 2): freezing and killing what runs, without naming a process; and units by their groups.
//!
//! Used by `bennud` when it contains drift and when it erases secrets: everything but a few groups is stopped at once, then killed. A process
//! cannot escape by forking, and a frozen one is killed all the same. Interface: the kernel's
//! Documentation/admin-guide/cgroup-v2.rst, `cgroup.freeze`, `cgroup.kill`, `cgroup.events`, `cgroup.procs`.
//!
//! Every file is opened beneath [`open_root`]'s mount, on it and on nothing else (openat2(2), Linux 5.6): what root mounts over
//! `/sys/fs/cgroup` or below it is not on the way.
//!
//! On failure the error names the group and the act; what was done to other groups stays done.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, FileType, OFlags};

use crate::bounded;

mod beneath;
mod unit;

pub use unit::open_root;

/// Most bytes of `cgroup.events` and `cgroup.freeze`.
const FILE_LIMIT: usize = 4096;
/// Most bytes of `cgroup.procs`: some thousand processes in one group.
const PROCESSES_LIMIT: usize = 64 << 10;
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
    #[error("cannot {act} control group {path}: {source}")]
    Look {
        act: &'static str,
        path: PathBuf,
        source: bounded::ReadError,
    },
    #[error("cannot tell the control group of a process: expected a line `0::/path`, found {found:?}")]
    Membership { found: String },
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
    root: Arc<OwnedFd>,
}

impl Cgroups {
    /// All control groups of the machine.
    ///
    /// # Errors
    /// As [`open_root`].
    pub fn open() -> Result<Self, CgroupError> {
        let root = Arc::new(open_root()?);
        Ok(Self { root })
    }

    /// A directory that stands for the hierarchy, for tests.
    ///
    /// # Errors
    /// [`CgroupError::Root`].
    pub fn at(root: &Path) -> Result<Self, CgroupError> {
        let root = Arc::new(beneath::directory(root)?);
        Ok(Self { root })
    }

    /// The group that a process's `cgroup` in procfs names.
    ///
    /// # Errors
    /// [`CgroupError::Membership`], also without version 2.
    pub fn named_in(&self, text: &str) -> Result<Group, CgroupError> {
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let path = path.ok_or_else(|| CgroupError::Membership {
            found: text.chars().take(80).collect(),
        })?;
        Ok(self.group(path))
    }

    /// The fewest groups that together hold every process outside `spared` and of which none holds a process of a
    /// spared group: a group that contains a spared one is entered, any other is taken whole.
    ///
    /// # Errors
    /// [`CgroupError::List`].
    pub fn all_but(&self, spared: &[Group]) -> Result<Vec<Group>, CgroupError> {
        let mut groups = Vec::new();
        let mut open = vec![self.group("")];
        while let Some(above) = open.pop() {
            for group in above.children()? {
                if spared.contains(&group) {
                    continue;
                }
                if spared.iter().any(|spared| spared.path.starts_with(&group.path)) {
                    open.push(group);
                } else {
                    groups.push(group);
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
            root: Arc::clone(&self.root),
            path: PathBuf::from(path.trim_start_matches('/')),
        }
    }
}

/// One group with all below it.
#[derive(Debug, Clone)]
pub struct Group {
    root: Arc<OwnedFd>,
    /// Below the root.
    path: PathBuf,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Group {}

impl Group {
    /// Its directory, below the root of the hierarchy.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As people know it.
    fn name(&self) -> PathBuf {
        Path::new("/").join(&self.path)
    }

    /// Those right below it.
    fn children(&self) -> Result<Vec<Self>, CgroupError> {
        let failed = |source| CgroupError::List {
            path: self.name(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = beneath::open(&self.root, &self.path, flags).map_err(failed)?;
        let mut found = Vec::new();
        for entry in Dir::new(directory).map_err(|errno| failed(errno.into()))? {
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            let name = entry.file_name();
            if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
                found.push(Self {
                    root: Arc::clone(&self.root),
                    path: self.path.join(beneath::path_of(name)),
                });
            }
        }
        Ok(found)
    }

    /// Whether this process is in it, by the group's own list: what says so elsewhere may be about another one.
    ///
    /// # Errors
    /// [`CgroupError::Look`].
    pub fn holds_this_process(&self) -> Result<bool, CgroupError> {
        let own = rustix::process::getpid().as_raw_nonzero().to_string();
        let found = self.read("look into", "cgroup.procs", PROCESSES_LIMIT)?;
        Ok(found.lines().any(|line| line == own))
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

    /// Whether somebody asked for it to be frozen, whether or not it is already. One that is gone is not.
    ///
    /// # Errors
    /// [`CgroupError::Look`].
    pub fn is_asked_to_freeze(&self) -> Result<bool, CgroupError> {
        match self.read("look at", "cgroup.freeze", FILE_LIMIT) {
            Ok(text) => Ok(text.trim() == "1"),
            Err(_) if self.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
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
        self.begin_thaw()?;
        self.wait("frozen 0", "going on", limit)
    }

    /// Kills everything in it, frozen or not, and waits at most `limit` until nothing is left.
    ///
    /// # Errors
    /// [`CgroupError`].
    pub fn kill(&self, limit: Duration) -> Result<(), CgroupError> {
        self.begin_kill()?;
        self.await_empty(limit)
    }

    /// Asks the kernel to kill everything in it, without waiting. In a group that is gone there is nothing to kill.
    ///
    /// # Errors
    /// [`CgroupError::Act`].
    pub fn begin_kill(&self) -> Result<(), CgroupError> {
        match self.write("kill", "cgroup.kill", "1") {
            Err(_) if self.is_gone() => Ok(()),
            written => written,
        }
    }

    /// Asks the kernel to let everything in it go on, without waiting. A group that is gone needs nothing.
    ///
    /// # Errors
    /// [`CgroupError::Act`].
    pub fn begin_thaw(&self) -> Result<(), CgroupError> {
        match self.write("thaw", "cgroup.freeze", "0") {
            Err(_) if self.is_gone() => Ok(()),
            written => written,
        }
    }

    /// Waits at most `limit` until nothing is left in it.
    ///
    /// # Errors
    /// [`CgroupError::NotInTime`].
    pub fn await_empty(&self, limit: Duration) -> Result<(), CgroupError> {
        self.wait("populated 0", "empty", limit)
    }

    fn is_gone(&self) -> bool {
        let found = beneath::open(&self.root, &self.path, OFlags::PATH);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn read(&self, act: &'static str, file: &str, limit: usize) -> Result<String, CgroupError> {
        beneath::read_text(&self.root, &self.path.join(file), limit).map_err(|source| CgroupError::Look {
            act,
            path: self.name(),
            source,
        })
    }

    fn write(&self, act: &'static str, file: &str, value: &str) -> Result<(), CgroupError> {
        beneath::create(&self.root, &self.path.join(file))
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .map_err(|source| CgroupError::Act {
                act,
                path: self.name(),
                source,
            })
    }

    fn wait(&self, line: &str, state: &'static str, limit: Duration) -> Result<(), CgroupError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.read("look at", "cgroup.events", FILE_LIMIT) {
                Ok(text) if text.lines().any(|found| found == line) => return Ok(()),
                // Gone: systemd removes a group as soon as it is empty.
                Err(_) if self.is_gone() => return Ok(()),
                Ok(_) | Err(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                Ok(_) | Err(_) => {
                    return Err(CgroupError::NotInTime {
                        path: self.name(),
                        state,
                        limit_ms: limit.as_millis(),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
