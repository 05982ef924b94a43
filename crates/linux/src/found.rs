//! Looking at files that somebody else has written, and putting a directory in the place of another at once.
//!
//! Read by: `bennu-init`, on the state volume, where root of an earlier start may have left anything. No link is
//! followed on the way and no other file system entered (openat2(2), `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`,
//! `RESOLVE_NO_XDEV`); what stands at the end is looked at before it is opened, so that nothing waits for a pipe or
//! wakes a device.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regular {
    /// Content.
    pub bytes: Vec<u8>,
    /// Permission bits with set-id and sticky bits, `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    None,
    /// A regular file of at most the given length.
    Regular(Regular),
    /// A regular file that is longer; its length in bytes.
    TooLong(u64),
    /// A symbolic link, with its target where that is text of at most 4096 bytes.
    Link(Option<String>),
    /// A directory.
    Directory,
    /// An overlay's mark that something below was deleted (kernel, Documentation/filesystems/overlayfs.rst).
    Whiteout,
    /// Anything else, and what it is.
    Other(&'static str),
    /// A link, or another file system, on the way.
    Detour,
}

/// Looks at `path`, which is relative, below `directory`.
///
/// # Errors
/// The medium's; what somebody may have made there is an answer, not an error.
pub fn look(directory: &Path, path: &Path, limit: usize) -> io::Result<Found> {
    let base = open(directory)?;
    let at = match open_beneath(&base, path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(at) => at,
        Err(Errno::NOENT) => return Ok(Found::None),
        Err(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => return Ok(Found::Detour),
        Err(errno) => return Err(errno.into()),
    };
    let stat = rustix::fs::fstat(&at)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return read(&base, path, limit),
        FileType::Symlink => Found::Link(target_of(&at)?),
        FileType::Directory => Found::Directory,
        FileType::CharacterDevice if stat.st_rdev == 0 => Found::Whiteout,
        FileType::CharacterDevice | FileType::BlockDevice => Found::Other("a device"),
        FileType::Fifo => Found::Other("a pipe"),
        FileType::Socket => Found::Other("a socket"),
        FileType::Unknown => Found::Other("nothing known"),
    })
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(CWD, directory, flags, Mode::empty())?)
}

fn open_beneath(base: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(base, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn read(base: &OwnedFd, path: &Path, limit: usize) -> io::Result<Found> {
    let opened = open_beneath(base, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK);
    let file = File::from(opened?);
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    (&file).take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Ok(Found::TooLong(metadata.len()));
    }
    Ok(Found::Regular(Regular {
        bytes,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    }))
}

fn target_of(link: &OwnedFd) -> io::Result<Option<String>> {
    match rustix::fs::readlinkat(link, "", Vec::new()) {
        Ok(target) => Ok(target.into_string().ok().filter(|text| text.len() <= 4096)),
        Err(Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The names in a directory that are text, sorted; and whether there are more than `limit` entries, in which case only
/// so many were looked at. `None` where there is no directory at `path` or a link leads there.
///
/// # Errors
/// The medium's.
pub fn names(directory: &Path, path: &Path, limit: usize) -> io::Result<Option<(Vec<String>, bool)>> {
    let base = open(directory)?;
    let at = match open_beneath(&base, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
        Ok(at) => at,
        Err(Errno::NOENT | Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut names = Vec::new();
    let mut seen = 0;
    for entry in rustix::fs::Dir::read_from(&at)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        seen += 1;
        if seen > limit {
            break;
        }
        names.extend(name.to_str().ok().map(str::to_owned));
    }
    names.sort();
    Ok(Some((names, seen > limit)))
}

/// Lets two paths of one file system change places in one step (renameat2(2), `RENAME_EXCHANGE`).
///
/// # Errors
/// The kernel's.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(
        CWD,
        one,
        CWD,
        other,
        RenameFlags::EXCHANGE,
    )?)
}

/// Makes all that was written to the file system of `directory` durable (syncfs(2)).
///
/// # Errors
/// The kernel's, errors of earlier writes among them.
pub fn sync_file_system(directory: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
    Ok(rustix::fs::syncfs(opened.as_fd())?)
}

/// Owner, group and permission bits of a directory, without following a link; `None` where there is no directory.
///
/// # Errors
/// The medium's.
pub fn directory_owner(path: &Path) -> io::Result<Option<(u32, u32, u32)>> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(Some((stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)))
        }
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn look_at(dir: &Path, path: &str) -> Found {
        look(dir, Path::new(path), 8).unwrap()
    }

    #[test]
    fn each_kind_of_thing_is_named_and_only_a_short_regular_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "12345678").unwrap();
        std::fs::write(at("long"), "123456789").unwrap();
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/file"), "x").unwrap();
        symlink("/etc/shadow", at("link")).unwrap();
        symlink("sub", at("way")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let Found::Regular(found) = look_at(dir.path(), "file") else {
            panic!("expected a file")
        };
        assert_eq!(found.bytes, b"12345678");
        assert!(matches!(look_at(dir.path(), "sub/file"), Found::Regular(_)));
        assert_eq!(look_at(dir.path(), "long"), Found::TooLong(9));
        assert_eq!(
            look_at(dir.path(), "link"),
            Found::Link(Some("/etc/shadow".into()))
        );
        assert_eq!(look_at(dir.path(), "sub"), Found::Directory);
        assert_eq!(look_at(dir.path(), "pipe"), Found::Other("a pipe"));
        assert_eq!(look_at(dir.path(), "none"), Found::None);
        assert_eq!(look_at(dir.path(), "way/file"), Found::Detour);
        assert_eq!(look_at(dir.path(), "file/below"), Found::Detour);
        assert_eq!(look_at(dir.path(), "../x"), Found::Detour);
    }

    #[test]
    fn names_are_bounded_and_no_link_is_listed_through() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "c"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let all = names(dir.path(), Path::new("."), 3).unwrap();
        assert_eq!(all, Some((vec!["a".into(), "b".into(), "c".into()], false)));
        let (some, more) = names(dir.path(), Path::new("."), 2).unwrap().unwrap();
        assert_eq!((some.len(), more), (2, true));
        symlink(".", dir.path().join("way")).unwrap();
        assert_eq!(names(dir.path(), Path::new("way"), 9).unwrap(), None);
        assert_eq!(names(dir.path(), Path::new("none"), 9).unwrap(), None);
    }

    #[test]
    fn two_directories_change_places() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(one.join("mark"), "").unwrap();
        exchange(&one, &other).unwrap();
        assert!(other.join("mark").exists() && !one.join("mark").exists());
        sync_file_system(dir.path()).unwrap();
        assert!(directory_owner(&one).unwrap().is_some());
        assert_eq!(directory_owner(&other.join("mark")).unwrap(), None);
    }
}
