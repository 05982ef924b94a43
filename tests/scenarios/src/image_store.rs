//! How many generations of images stay under `target/vm/images`: each change of a program or a definition makes a new
//! folder of some GiB there.
//!
//! Written by every run of the stories; a folder's last use is the time of the file [`USED`] in it. What was used
//! within the last hour stays whatever its number, for another run may be copying from it. A folder that cannot be
//! removed is named and stays: it costs room, and no story its result.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

/// Length of a generation's name, hex digits.
pub const NAME_CHARS: usize = 16;
/// Generations that stay, the one in use included.
const KEPT: usize = 3;
/// Younger ones stay as well.
const IN_USE: Duration = Duration::from_secs(3600);
const USED: &str = "last-used";

/// Makes the generation `current` of `store` if it is not there, notes its use, and removes old ones, once a process.
///
/// # Errors
/// The folder cannot be made or listed.
pub fn enter(store: &Path, current: &Path) -> Result<()> {
    static CLEANED: Once = Once::new();
    std::fs::create_dir_all(current).with_context(|| current.display().to_string())?;
    File::create(current.join(USED)).with_context(|| current.display().to_string())?;
    let mut stale = Ok(Vec::new());
    CLEANED.call_once(|| stale = stale_ones(store, current, SystemTime::now()));
    for folder in stale? {
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            eprintln!("images: remove {}: {error}", folder.display());
        }
    }
    Ok(())
}

/// Generations beside `current` that are neither among the newest nor young at `now`.
fn stale_ones(store: &Path, current: &Path, now: SystemTime) -> Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    for entry in std::fs::read_dir(store).with_context(|| store.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        // Of its own type: a link leads to what is not ours to remove.
        if entry.file_type()?.is_dir() && is_generation(&path) && path != current {
            others.push((last_use(&path)?, path));
        }
    }
    others.sort();
    others.reverse();
    let old = |used: SystemTime| now.duration_since(used).is_ok_and(|age| age > IN_USE);
    let stale = others.into_iter().skip(KEPT - 1).filter(|(used, _)| old(*used));
    Ok(stale.map(|(_, path)| path).collect())
}

fn is_generation(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == NAME_CHARS && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Those of earlier versions of this program have no [`USED`]: what counts is when something was put there.
fn last_use(folder: &Path) -> Result<SystemTime> {
    let meta = std::fs::metadata(folder.join(USED)).or_else(|_| std::fs::metadata(folder));
    meta.and_then(|meta| meta.modified())
        .with_context(|| folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generation that was used so many hours ago.
    fn generation(store: &Path, name: &str, hours: u64, now: SystemTime) -> PathBuf {
        let folder = store.join(name);
        std::fs::create_dir(&folder).unwrap();
        let file = File::create(folder.join(USED)).unwrap();
        file.set_modified(now - Duration::from_secs(hours * 3600))
            .unwrap();
        folder
    }

    #[test]
    fn the_newest_and_the_young_stay_and_the_others_go() {
        let store = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let names = [
            "00000000000000aa",
            "00000000000000ab",
            "00000000000000ac",
            "00000000000000ad",
        ];
        let current = generation(store.path(), names[0], 0, now);
        let _second = generation(store.path(), names[1], 2, now);
        let _third = generation(store.path(), names[2], 3, now);
        let oldest = generation(store.path(), names[3], 4, now);
        assert_eq!(
            stale_ones(store.path(), &current, now).unwrap(),
            [oldest.as_path()]
        );
        // One that is used again is the newest.
        File::create(oldest.join(USED))
            .unwrap()
            .set_modified(now)
            .unwrap();
        let stale = stale_ones(store.path(), &current, now).unwrap();
        assert_eq!(stale, [store.path().join(names[2])]);
        // Three more that other runs use now cost nobody anything but those that nobody uses.
        for name in ["00000000000000ba", "00000000000000bb", "00000000000000bc"] {
            generation(store.path(), name, 0, now);
        }
        let stale = stale_ones(store.path(), &current, now).unwrap();
        assert_eq!(stale, [store.path().join(names[1]), store.path().join(names[2])]);
    }

    #[test]
    fn what_is_no_generation_stays() {
        let store = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let current = generation(store.path(), "00000000000000aa", 0, now);
        for name in ["notes", "00000000000000zz", "00000000000000aabb"] {
            generation(store.path(), name, 100, now);
        }
        File::create(store.path().join("00000000000000ff")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), store.path().join("00000000000000fe")).unwrap();
        assert!(stale_ones(store.path(), &current, now).unwrap().is_empty());
    }
}
