//! Words about files of `/etc`: what is there, and what a running system or somebody with root may make of it.

use crate::say;
use rustix::fs::{CWD, FileType, Mode};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// Performs `word`; false if it is not one of these.
pub fn perform(word: &str, argument: &str) -> bool {
    let (path, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    let done = match word {
        "file" => {
            say(&format!("PROBE FILE {path} {}", describe(Path::new(path))));
            return true;
        }
        // Mode, then text: as systemd's tools write, by another name and a rename, and all of it flushed.
        "set" => {
            let (mode, text) = rest.split_once(' ').unwrap_or((rest, ""));
            set(Path::new(path), mode, format!("{text}\n").as_bytes())
        }
        "fill" => {
            let bytes = rest.parse().unwrap_or(0);
            set(Path::new(path), "644", &vec![b'x'; bytes])
        }
        "link" => {
            let _absent = fs::remove_file(path);
            symlink(rest, path)
        }
        "remove" => fs::remove_file(path).or_else(|_| fs::remove_dir_all(path)),
        "pipe" => rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).map_err(Into::into),
        "node" => {
            let device = rustix::fs::makedev(1, 3);
            rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, device).map_err(Into::into)
        }
        _ => return false,
    };
    match done {
        Ok(()) => say(&format!("PROBE DONE {word} {argument}")),
        Err(error) => say(&format!("PROBE {word} {path} failed: {error}")),
    }
    true
}

/// Permission bits and the first line, where a link leads, or that it is absent.
fn describe(path: &Path) -> String {
    let Ok(found) = fs::symlink_metadata(path) else {
        return "absent".to_owned();
    };
    if found.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        return format!("-> {}", target.display());
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    format!("{:o} {line}", found.mode() & 0o7777)
}

fn set(path: &Path, mode: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension("temporary");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    let mode = u32::from_str_radix(mode, 8).map_err(io::Error::other)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}
