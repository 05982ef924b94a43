//! What the results of stories depend on: when one of these files changes no earlier pass counts.
//!
//! A story's own file is not here: it counts for its own stories and for those that take something from it, which the
//! harness finds out. Every other file of this program counts for all of them, a new one by itself.

use crate::{images, stories};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files that decide no result: which stories there are and which of them run, and the demo.
const WITHOUT_A_SAY: [&str; 3] = ["demo.rs", "main.rs", "stories/mod.rs"];

/// The programs and images under test, and this program's files.
///
/// # Errors
/// A folder cannot be listed.
pub fn inputs() -> Result<Vec<PathBuf>> {
    let own = images::top().join("tests/scenarios/src");
    let mut inputs = images::inputs();
    inputs.extend(shared(&own, &of_stories())?);
    Ok(inputs)
}

/// The files that stories stand in.
fn of_stories() -> BTreeSet<PathBuf> {
    let all = stories::all();
    all.iter().map(|s| images::top().join(s.source)).collect()
}

/// All files below `folder` but those of [`WITHOUT_A_SAY`] and these, in byte order.
fn shared(folder: &Path, of_stories: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| images::text(&next))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    let without_a_say = WITHOUT_A_SAY.map(|name| folder.join(name));
    files.retain(|file| !without_a_say.contains(file) && !of_stories.contains(file));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_counts_unless_it_is_a_storys_own_or_named_as_one_without_a_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("stories/deep")).unwrap();
        let all = [
            "guest.rs",
            "stories/own.rs",
            "stories/shared.rs",
            "stories/deep/shared.txt",
        ];
        for name in all.iter().chain(&WITHOUT_A_SAY) {
            fs::write(at(name), "").unwrap();
        }
        let found = shared(folder.path(), &BTreeSet::from([at("stories/own.rs")])).unwrap();
        let counts = ["guest.rs", "stories/shared.rs", "stories/deep/shared.txt"];
        assert_eq!(found, counts.map(at).into());
    }

    #[test]
    fn every_file_that_is_left_out_is_there_and_the_steps_of_all_stories_count() {
        let own = images::top().join("tests/scenarios/src");
        let stories = of_stories();
        let left_out = WITHOUT_A_SAY.map(|name| own.join(name));
        for file in stories.iter().chain(&left_out) {
            assert!(file.is_file(), "{}", file.display());
        }
        assert!(stories.iter().all(|file| file.starts_with(own.join("stories"))));
        let found = shared(&own, &stories).unwrap();
        for name in ["guest.rs", "images.rs", "inputs.rs", "lib.rs", "serial.rs"] {
            assert!(found.contains(&own.join(name)), "{name}");
        }
    }
}
