//! Removing what an earlier start has left, however it was made: directories without end, as deep as they like.
//!
//! Nothing recurses: what is in a directory that cannot be removed is moved up one level, so that depth costs time and
//! no stack, and what one start does not get done is left to the next. What cannot be removed at all stays: it costs
//! room and nothing else.

use super::{at, is_directory};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where things wait to be removed.
const TRASH: &str = "trash";
/// Most things that one start removes or moves.
const MOST: usize = 20_000;

/// Moves `path` out of the way, if it is there.
pub fn throw_away(area: &Path, path: &Path) -> io::Result<()> {
    if is_directory(path)?.is_none() {
        return Ok(());
    }
    let trash = area.join(TRASH);
    if is_directory(&trash)? == Some(false) {
        fs::remove_file(&trash).map_err(at(&trash))?;
    }
    if is_directory(&trash)?.is_none() {
        fs::create_dir(&trash).map_err(at(&trash))?;
    }
    fs::rename(path, free_name(&trash)?).map_err(at(path))
}

/// A name that nothing in the trash has. Names there are ours or whatever root put there, so they are tried.
fn free_name(trash: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(trash.join(hex::encode(random)))
}

/// Removes what is in the trash, as much of it as one start does.
pub fn empty(area: &Path) -> io::Result<()> {
    let trash = area.join(TRASH);
    let mut left = MOST;
    while left > 0 && is_directory(&trash)? == Some(true) {
        let before = left;
        for entry in fs::read_dir(&trash).map_err(at(&trash))? {
            remove(&entry?.path(), &trash, &mut left)?;
            if left == 0 {
                break;
            }
        }
        if left == before {
            // It is empty, or nothing in it can be removed.
            let _stays = fs::remove_dir(&trash);
            break;
        }
    }
    Ok(())
}

/// Removes a thing, or empties it into the trash. Counts what it has achieved.
fn remove(path: &Path, trash: &Path, left: &mut usize) -> io::Result<()> {
    let gone = match is_directory(path)? {
        None => return Ok(()),
        Some(false) => fs::remove_file(path),
        Some(true) => fs::remove_dir(path),
    };
    match gone {
        Ok(()) => *left = left.saturating_sub(1),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            for entry in fs::read_dir(path).map_err(at(path))? {
                let inner = entry?.path();
                let moved = if is_directory(&inner)? == Some(true) {
                    fs::rename(&inner, free_name(trash)?)
                } else {
                    fs::remove_file(&inner)
                };
                if moved.is_ok() {
                    *left = left.saturating_sub(1);
                }
                if *left == 0 {
                    break;
                }
            }
        }
        // An immutable file: it stays.
        Err(_) => {}
    }
    Ok(())
}
