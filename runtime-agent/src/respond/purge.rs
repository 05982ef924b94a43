//! State Purge: the secrets of the running system are destroyed (`docs/explanation/drift-ladder.md`).
//!
//! Unmounting is not erasure: a busy mount survives, and one that is detached keeps what it holds. So, in this order:
//!
//! 1. every control group but that of systemd and our own is frozen: from here on nobody uses, copies or re-reads;
//! 2. the files with secrets are overwritten where they lie, cut to nothing and removed: in place, so that each mount,
//!    each open file and each mapping of them sees zeros;
//! 3. each crypt device loses its key in the kernel and becomes a device of errors;
//! 4. what was frozen is killed, so that copies in its memory go. Killed and not stopped in good order: the daemons that hold
//!    the network's addresses would take them away;
//! 5. the secrets' mount goes, and clean pages of what was decrypted are dropped;
//! 6. systemd is asked for `purged.target`, so that it starts nothing of it again (while the others are frozen it does not
//!    answer).
//!
//! The TPM was latched before the root started: nothing opens the sealed copies before the next verified start. Each
//! step is taken whatever became of those before it, has a time limit of its own and what is left of the one for all of
//! them, and tells. One that hangs in the kernel is left behind there and told as timed out.

use super::freeze::together;
use super::groups::Groups;
use super::purged;
use crate::kernel_files::proc_path;
use crate::limit::{Late, within};
use bennu_formats::paths;
use bennu_linux::cgroup::{CgroupError, Group};
use bennu_linux::dm::{DeviceMapper, DmError, Name};
use bennu_linux::mount::{Unmount, unmount};
use bennu_linux::time;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time for one step.
const STEP_LIMIT: Duration = Duration::from_secs(4);
/// Longest time for all steps together; one that begins later has [`LATE_LIMIT`].
const PURGE_LIMIT: Duration = Duration::from_secs(16);
/// Time of a step that begins when that is over: each of them is tried.
const LATE_LIMIT: Duration = Duration::from_millis(500);
/// systemd's own control group: PID 1.
const MANAGER: &str = "init.scope";
/// Where secrets lie in files: ours, and the copies that systemd gives to units.
const FOLDERS: [&str; 2] = [paths::RUN_SECRETS, "/run/credentials"];
/// Longest time for one of them.
const FOLDER_LIMIT: Duration = Duration::from_millis(1500);
/// Longest time for one crypt device.
const WIPE_LIMIT: Duration = Duration::from_millis(900);
/// Deepest folder below.
const MAX_DEPTH: usize = 4;
/// How long systemd has to accept that its units end: less than the step.
const ISOLATE_LIMIT: Duration = Duration::from_secs(9);
/// Longest time for that.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// In procfs.
const DROP_CACHES: &str = "sys/vm/drop_caches";

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Name; stable, for logs and certificates.
    pub step: &'static str,
    /// What was done, or what failed.
    pub result: Result<String, String>,
    /// When it ended, milliseconds since the machine started.
    pub up_ms: u64,
}

type Step = (&'static str, Box<dyn FnOnce() -> Result<String, String> + Send>);

/// Takes all steps; `alive` is called between them and while they run.
pub fn purge(groups: Arc<Groups>, alive: &mut dyn FnMut()) -> Vec<Done> {
    let others = within(STEP_LIMIT, alive, move || others(&groups));
    let others = others.unwrap_or_else(|late| Err(late.to_string()));
    let killed = others.clone();
    let steps: Vec<Step> = vec![
        (
            "freeze",
            Box::new(|| together(&others?, Group::begin_freeze, Group::await_frozen)),
        ),
        ("erase-secrets", Box::new(erase_all)),
        ("wipe-keys", Box::new(wipe_keys)),
        ("kill", Box::new(|| together(&killed?, end, Group::await_empty))),
        ("unmount", Box::new(leave_secrets)),
        ("drop-caches", Box::new(drop_caches)),
    ];
    let mut done = take(steps, STEP_LIMIT, PURGE_LIMIT, alive);
    // Last, and longer: a systemd that is busy with what was killed keeps nothing from being destroyed.
    let stop: Step = ("stop-units", Box::new(|| purged::isolate(ISOLATE_LIMIT)));
    done.extend(take(vec![stop], STOP_LIMIT, STOP_LIMIT, alive));
    done
}

/// Each within its limit, and all within another.
fn take(steps: Vec<Step>, one: Duration, all: Duration, alive: &mut dyn FnMut()) -> Vec<Done> {
    let end = Instant::now() + all;
    let mut done = Vec::new();
    for (step, act) in steps {
        let left = end.saturating_duration_since(Instant::now());
        let result = within(one.min(left.max(LATE_LIMIT)), alive, act);
        done.push(Done {
            step,
            result: result.unwrap_or_else(|late: Late| Err(late.to_string())),
            up_ms: time::since_boot_ms(),
        });
        alive();
    }
    done
}

/// Nothing that was killed comes back from the thaw. In a group that stays frozen the next process that systemd starts would
/// stop before it executes, and PID 1 waits for that one (vfork) for ever.
fn end(group: &Group) -> Result<(), CgroupError> {
    group.begin_kill()?;
    group.begin_thaw()
}

fn others(groups: &Groups) -> Result<Vec<Group>, String> {
    let (all, own) = (groups.all()?, groups.own()?);
    all.all_but(&[own, all.group(MANAGER)])
        .map_err(|error| error.to_string())
}

/// What was erased, and what was not.
#[derive(Debug, Default)]
struct Erased {
    files: u64,
    failed: Vec<String>,
}

impl Erased {
    fn note(&mut self, path: &Path, done: io::Result<()>) {
        match done {
            Ok(()) => self.files += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.fail(path, &error),
        }
    }

    fn fail(&mut self, path: &Path, why: &dyn std::fmt::Display) {
        self.failed.push(format!("{}: {why}", path.display()));
    }
}

fn erase_all() -> Result<String, String> {
    let mut erased = Erased::default();
    let key = Path::new(paths::RUN_RESET_KEY);
    erased.note(key, erase(key));
    for folder in FOLDERS {
        let below = move || {
            let mut erased = Erased::default();
            erase_below(Path::new(folder), 0, None, &mut erased);
            erased
        };
        match within(FOLDER_LIMIT, &mut || (), below) {
            Ok(more) => {
                erased.files += more.files;
                erased.failed.extend(more.failed);
            }
            Err(late) => erased.fail(Path::new(folder), &late),
        }
    }
    let Erased { files, failed } = erased;
    match failed.first() {
        None => Ok(format!("{files} files")),
        Some(first) => Err(format!("{files} files; {} failed, as: {first}", failed.len())),
    }
}

/// Every file of a folder and of those below, as they are found: nothing that hangs or fails keeps those before it. What is
/// mounted there from elsewhere is not entered: files first, for a folder may hang.
fn erase_below(folder: &Path, depth: usize, device: Option<u64>, erased: &mut Erased) {
    let there = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return erased.fail(folder, &error),
        Ok(there) => there,
    };
    // Below the first folder units have file systems of their own (systemd's credentials): those are in memory.
    if device.is_some_and(|device| device != there.dev()) && !is_in_memory(folder) {
        return erased.fail(folder, &"another file system, not entered");
    }
    let entries = match fs::read_dir(folder) {
        Err(error) => return erased.fail(folder, &error),
        Ok(entries) => entries,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let kind = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
        match kind {
            Err(error) => erased.fail(folder, &error),
            Ok((path, kind)) if kind.is_dir() => folders.push(path),
            Ok((path, kind)) if kind.is_file() => erased.note(&path, erase(&path)),
            Ok(_) => {}
        }
    }
    for path in folders {
        if depth < MAX_DEPTH {
            erase_below(&path, depth + 1, Some(there.dev()), erased);
        } else {
            erased.fail(&path, &"too deep, not entered");
        }
    }
}

/// `ramfs` and `tmpfs`, which no process of somebody else's answers for (statfs(2)).
fn is_in_memory(folder: &Path) -> bool {
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|found| found.f_type == RAMFS_MAGIC || found.f_type == TMPFS_MAGIC)
}

/// Zeros over every byte where it lies; then cut and removed.
fn erase(path: &Path) -> io::Result<()> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().write(true).custom_flags(nofollow).open(path)?;
    zero(&mut file)?;
    file.set_len(0)?;
    fs::remove_file(path)
}

fn zero(file: &mut File) -> io::Result<()> {
    let mut left = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let zeros = [0; 4096];
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(&zeros[..part])?;
        left -= part as u64;
    }
    file.sync_data()
}

/// Each by itself, the state volume first: one that hangs or refuses keeps no other's key.
fn wipe_keys() -> Result<String, String> {
    let listed = DeviceMapper::open().and_then(|dm| dm.devices());
    let mut names: Vec<String> = match listed {
        Ok(devices) => devices.into_iter().map(|(name, _)| name).collect(),
        Err(error) => return Err(error.to_string()),
    };
    names.sort_by_key(|name| (name != paths::STATE_DEVICE, name.clone()));
    let (mut wiped, mut failed) = (Vec::new(), Vec::new());
    for name in names {
        let device = name.clone();
        match within(WIPE_LIMIT, &mut || (), move || wipe_key(&device)) {
            Ok(Ok(true)) => wiped.push(name),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => failed.push(format!("{name}: {error}")),
            Err(late) => failed.push(format!("{name}: {late}")),
        }
    }
    let words = match wiped.is_empty() {
        true => "no crypt device".to_owned(),
        false => wiped.join(", "),
    };
    match failed.is_empty() {
        true => Ok(words),
        false => Err(format!("{words}; failed: {}", failed.join("; "))),
    }
}

/// Whether it was a crypt device.
fn wipe_key(name: &str) -> Result<bool, DmError> {
    let dm = DeviceMapper::open()?;
    let name = Name::new(name)?;
    if !dm.table(&name).is_ok_and(|line| line.target() == "crypt") {
        return Ok(false);
    }
    dm.wipe_key(&name)?;
    Ok(true)
}

fn leave_secrets() -> Result<String, String> {
    unmount(Path::new(paths::RUN_SECRETS), Unmount::Now)
        .map(|()| paths::RUN_SECRETS.to_owned())
        .map_err(|error| error.to_string())
}

fn drop_caches() -> Result<String, String> {
    fs::write(proc_path(DROP_CACHES), "3\n")
        .map(|()| "clean pages, names and inodes".to_owned())
        .map_err(|error| format!("/proc/{DROP_CACHES}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn an_erased_file_is_gone_and_who_has_it_open_reads_zeros_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine");
        fs::write(&path, vec![7; 5000]).unwrap();
        let mut open = File::open(&path).unwrap();
        let mut before = Vec::new();
        open.read_to_end(&mut before).unwrap();
        assert_eq!(before, vec![7; 5000], "control");
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        zero(&mut writer).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![0; 5000]);
        erase(&path).unwrap();
        assert!(!path.exists());
        open.seek(SeekFrom::Start(0)).unwrap();
        let mut after = Vec::new();
        open.read_to_end(&mut after).unwrap();
        assert!(after.is_empty());
    }

    #[test]
    fn a_step_that_hangs_is_told_and_the_next_ones_are_taken_within_the_time_for_all() {
        fn hang() -> Result<String, String> {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(String::new())
        }
        let one = Duration::from_millis(300);
        let fine = |word: &'static str| -> Step { (word, Box::new(move || Ok(word.to_owned()))) };
        let steps: Vec<Step> = vec![
            fine("first"),
            ("hangs", Box::new(hang)),
            ("hangs too", Box::new(hang)),
            fine("last"),
        ];
        let begun = Instant::now();
        let done = take(steps, one, one, &mut || ());
        assert!(begun.elapsed() < Duration::from_secs(30));
        let results: Vec<&str> = done
            .iter()
            .map(|step| match &step.result {
                Ok(words) | Err(words) => words.as_str(),
            })
            .collect();
        assert_eq!(results[0], "first");
        assert!(results[1].starts_with("timed out after "), "{results:?}");
        assert!(results[2].starts_with("timed out after "), "{results:?}");
        assert_eq!((done[3].step, done[3].result.as_deref()), ("last", Ok("last")));
        assert!(done[1].result.is_err() && done[2].result.is_err());
    }

    #[test]
    fn a_link_is_not_followed_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, link) = (dir.path().join("outside"), dir.path().join("link"));
        fs::write(&outside, "kept").unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        assert!(erase(&link).is_err());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
        let mut erased = Erased::default();
        erase_below(&dir.path().join("nowhere"), 0, None, &mut erased);
        erase_below(&link, 0, None, &mut erased);
        assert_eq!((erased.files, erased.failed.len()), (0, 1), "{erased:?}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
    }

    #[test]
    fn what_cannot_be_entered_is_told_and_everything_else_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = (0..MAX_DEPTH + 2).map(|depth| format!("{depth}")).collect();
        fs::create_dir_all(dir.path().join(&deep)).unwrap();
        for file in ["a", "0/b", "0/1/c"] {
            fs::write(dir.path().join(file), "secret").unwrap();
        }
        let mut erased = Erased::default();
        erase_below(dir.path(), 0, None, &mut erased);
        assert_eq!(erased.files, 3);
        assert!(
            matches!(&erased.failed[..], [one] if one.ends_with("too deep, not entered")),
            "{erased:?}"
        );
    }
}
