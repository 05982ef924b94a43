//! Opening what lies beneath a directory and on its mount.

use super::CgroupError;
use crate::bounded::{self, ReadError};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The hierarchy has no links, and nothing is mounted on this mount of it.
pub(super) fn open(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let mode = if flags.contains(OFlags::CREATE) {
        Mode::RUSR | Mode::WUSR
    } else {
        Mode::empty()
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let flags = flags | OFlags::CLOEXEC;
    let opened = rustix::io::retry_on_intr(|| rustix::fs::openat2(root, path, flags, mode, resolve));
    Ok(opened?)
}

/// For writing; the kernel has its files already, a test makes them.
pub(super) fn create(root: &OwnedFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    open(root, path, flags).map(File::from)
}

pub(super) fn read_text(root: &OwnedFd, path: &Path, limit: usize) -> Result<String, ReadError> {
    let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(|source| ReadError::Open {
        path: path.to_owned(),
        source,
    })?;
    bounded::text(bounded::read_file(&File::from(file), path, limit)?, path)
}

pub(super) fn directory(path: &Path) -> Result<OwnedFd, CgroupError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| CgroupError::Root {
        act: "open",
        source: errno.into(),
    })
}

pub(super) fn path_of(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}
