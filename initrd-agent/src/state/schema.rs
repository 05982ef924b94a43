//! Which releases can read the volume: looked at before it is mounted for use, raised before the root's init starts.

use crate::error::InitError;
use bennu_formats::decode::Document as _;
use bennu_formats::state_schema::{FILE, StateSchema};
use bennu_linux::found::{self, Found};
use bennu_linux::mount::{self, MountSpec, Restriction, Unmount};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// The record on the file system of `device`: mounted read-only for the look, and not mounted any more afterwards. The
/// kernel replays the journal of a file system that was not unmounted; nothing else is written.
pub fn look(device: &Path, target: &Path) -> Result<Option<StateSchema>, InitError> {
    let mut restrictions = super::device::STATE_ONLY.to_vec();
    restrictions.push(Restriction::ReadOnly);
    mount::mount(&MountSpec {
        source: device,
        target,
        file_system: "ext4",
        restrictions: &restrictions,
        options: "",
    })
    .map_err(InitError::StateMount)?;
    let found = found::look(target, Path::new(FILE), StateSchema::MAX_BYTES);
    mount::unmount(target, Unmount::Now).map_err(InitError::StateMount)?;
    let other = |what: &str| {
        let words = format!("{FILE}: expected a file, found {what}");
        Err(InitError::StateIo(io::Error::other(words)))
    };
    match found.map_err(InitError::StateIo)? {
        Found::None => Ok(None),
        Found::Regular(file) => StateSchema::decode(&file.bytes)
            .map(Some)
            .map_err(InitError::StateSchema),
        Found::TooLong(_) => other("a longer one than it can be"),
        _ => other("something else"),
    }
}

/// Writes the record where it differs from what was found; durable when this returns.
pub fn keep(mounted: &Path, found: Option<StateSchema>, schema: StateSchema) -> Result<(), InitError> {
    if found == Some(schema) {
        return Ok(());
    }
    let bytes = serde_json::to_vec_pretty(&schema).map_err(InitError::Handover)?;
    let write = || -> io::Result<()> {
        let (new, path) = (mounted.join("schema.new"), mounted.join(FILE));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(mounted)?.sync_all()
    };
    write().map_err(InitError::StateIo)
}
