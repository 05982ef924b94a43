//! The directory `identity` on the state volume: the layer of the start, the one that is being made, what is thrown away.
//!
//! A power cut at any moment leaves the old layer or the new one under its name: the new one is complete and durable
//! before it takes the name, and the name changes in one step.

use super::{Content, Kept, at, is_directory, trash};
use bennu_linux::found;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

/// The layer in use.
pub const CURRENT: &str = "etc";
/// In it: overlayfs's upper directory.
pub const UPPER: &str = "upper";
/// In it: overlayfs's work directory.
const WORK: &str = "work";
/// The layer that is being made.
const NEXT: &str = "next";
/// Of directories that the image does not have.
const DIRECTORY_MODE: u32 = 0o755;

/// Makes the area where there is none; whether it holds the layer of an earlier start. What is no directory was put
/// there by somebody and goes: it is as if it had been deleted.
pub fn open_area(area: &Path) -> io::Result<bool> {
    let current = area.join(CURRENT);
    for path in [area, &current, &current.join(UPPER)] {
        match is_directory(path).map_err(at(path))? {
            Some(true) => {}
            Some(false) => {
                fs::remove_file(path).map_err(at(path))?;
                return make(area).map(|()| false);
            }
            None => return make(area).map(|()| false),
        }
    }
    Ok(true)
}

fn make(area: &Path) -> io::Result<()> {
    match is_directory(area)? {
        Some(_) => Ok(()),
        None => DirBuilder::new().mode(0o700).create(area).map_err(at(area)),
    }
}

/// Makes a layer of `kept` and lets it take the place of the one in use. Gives what the image has no place for.
pub fn renew(area: &Path, lower: &Path, kept: &[Kept]) -> io::Result<Vec<String>> {
    let (next, current) = (area.join(NEXT), area.join(CURRENT));
    trash::throw_away(area, &next)?;
    for path in [&next, &next.join(UPPER), &next.join(WORK)] {
        DirBuilder::new()
            .mode(DIRECTORY_MODE)
            .create(path)
            .map_err(at(path))?;
    }
    let upper = next.join(UPPER);
    let mut refused = Vec::new();
    for file in kept {
        if make_parents(&file.path, &upper, lower)? {
            write(&upper.join(&file.path), &file.content)?;
        } else {
            refused.push(format!(
                "/etc/{}: expected a directory for it in the image, found something else",
                file.path
            ));
        }
    }
    found::sync_file_system(area)?;
    if is_directory(&current)?.is_some() {
        found::exchange(&next, &current).map_err(at(&current))?;
    } else {
        fs::rename(&next, &current).map_err(at(&current))?;
    }
    found::sync_file_system(area)?;
    trash::throw_away(area, &next)?;
    trash::empty(area)?;
    Ok(refused)
}

/// Directories of the layer look like those of the image that they stand over, since an overlay shows the upper one's
/// owner and permissions. False where the image has something else there.
fn make_parents(path: &str, upper: &Path, lower: &Path) -> io::Result<bool> {
    let ends = path.match_indices('/').map(|(end, _)| end);
    for directory in ends.map(|end| &path[..end]) {
        let (here, below) = (upper.join(directory), lower.join(directory));
        if is_directory(&here)?.is_some() {
            continue;
        }
        let (uid, gid, mode) = match (found::directory_owner(&below)?, is_directory(&below)?) {
            (Some(owner), _) => owner,
            (None, Some(_)) => return Ok(false),
            (None, None) => (0, 0, DIRECTORY_MODE),
        };
        DirBuilder::new().mode(0o700).create(&here).map_err(at(&here))?;
        own(&here, uid, gid)?;
        fs::set_permissions(&here, Permissions::from_mode(mode)).map_err(at(&here))?;
    }
    Ok(true)
}

fn write(path: &Path, content: &Content) -> io::Result<()> {
    match content {
        Content::Link(target) => symlink(target, path).map_err(at(path)),
        Content::File {
            bytes,
            mode,
            uid,
            gid,
        } => {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(at(path))?;
            file.write_all(bytes).map_err(at(path))?;
            own(path, *uid, *gid)?;
            file.set_permissions(Permissions::from_mode(mode & 0o777))
                .map_err(at(path))
        }
    }
}

/// Gives a file that we have made to somebody; everything is ours already where we are not root, in tests.
fn own(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let now = fs::symlink_metadata(path).map_err(at(path))?;
    if (now.uid(), now.gid()) == (uid, gid) || cfg!(test) {
        return Ok(());
    }
    chown(path, Some(uid), Some(gid)).map_err(at(path))
}
