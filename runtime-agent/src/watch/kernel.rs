//! The kernel's lists of modules and mounts.

use super::{Baseline, Look, Sighting, Subject};
use bennu_formats::paths;
use bennu_golden::Index;
use bennu_linux::bounded;
use bennu_policy::drift::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

const MODULES: &str = "/proc/modules";
/// As this process sees them: the unit's own restrictions are there from the first look on.
const MOUNTS: &str = "/proc/self/mountinfo";
/// Most bytes of either list.
const MAX_BYTES: usize = 4 << 20;
/// What was verified: nothing is mounted here later.
const VERIFIED: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"];

/// Loaded modules.
#[derive(Default)]
pub struct Modules {
    /// Those of the image and those that were there at the first look, which the initrd loaded.
    known: Option<BTreeSet<String>>,
}

/// The kernel writes `-` as `_`.
fn module_name(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let stem = name.split_once(".ko")?.0;
    Some(stem.replace('-', "_"))
}

fn in_image() -> Result<BTreeSet<String>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", paths::ROOT_GOLDEN_INDEX);
    let file = File::open(paths::ROOT_GOLDEN_INDEX).map_err(|e| failed(&e))?;
    let length = file.metadata().map_err(|e| failed(&e))?.len();
    let index = Index::open(file, length).map_err(|e| failed(&e))?;
    let mut names = BTreeSet::new();
    for number in 0..index.counts().entries {
        let entry = index.entry(number).map_err(|e| failed(&e))?;
        let path = String::from_utf8_lossy(&entry.path);
        if path.contains("lib/modules/") {
            names.extend(module_name(&path));
        }
    }
    Ok(names)
}

fn loaded(text: &str) -> BTreeSet<String> {
    let first = |line: &str| line.split(' ').next().map(str::to_owned);
    text.lines().filter_map(first).collect()
}

impl Subject for Modules {
    fn name(&self) -> &'static str {
        "kernel modules"
    }

    fn look(&mut self) -> Look {
        let text = bounded::read_text(Path::new(MODULES), MAX_BYTES).map_err(|e| e.to_string())?;
        let now = loaded(&text);
        let known = match &self.known {
            Some(known) => known,
            None => {
                let known = in_image()?.union(&now).cloned().collect();
                self.known.insert(known)
            }
        };
        let unknown = now.difference(known);
        let told = |name: &String| {
            Sighting::new(
                Signal::ModuleUnknown,
                format!("module {name} is not of the image"),
            )
        };
        Ok(unknown.map(told).collect())
    }
}

/// Mount points over verified paths.
#[derive(Default)]
pub struct Mounts {
    first: Baseline<BTreeSet<String>>,
}

/// Id, parent and mount point (fields 1, 2 and 5 of proc_pid_mountinfo(5)) of mounts over verified paths.
fn over_verified(text: &str) -> BTreeSet<String> {
    let point = |line: &str| {
        let fields: Vec<&str> = line.split(' ').take(5).collect();
        let [id, parent, _, _, path] = fields[..] else {
            return None;
        };
        let below = |top: &&str| path == *top || path.starts_with(&format!("{top}/"));
        VERIFIED
            .iter()
            .any(below)
            .then(|| format!("{path} (mount {id} on {parent})"))
    };
    text.lines().filter_map(point).collect()
}

impl Subject for Mounts {
    fn name(&self) -> &'static str {
        "mounts"
    }

    fn look(&mut self) -> Look {
        let text = bounded::read_text(Path::new(MOUNTS), MAX_BYTES).map_err(|e| e.to_string())?;
        let Some((first, now)) = self.first.first(over_verified(&text)) else {
            return Ok(Vec::new());
        };
        let told = |point: &String| {
            Sighting::new(
                Signal::MountChanged,
                format!("something was mounted over {point}"),
            )
        };
        Ok(now.difference(first).map(told).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_those_that_the_kernel_shows() {
        let name = |path| module_name(path).unwrap_or_default();
        assert_eq!(
            name("usr/lib/modules/6.12/kernel/drivers/md/dm-crypt.ko.xz"),
            "dm_crypt"
        );
        assert_eq!(name("usr/lib/modules/6.12/a.ko"), "a");
        assert_eq!(module_name("usr/lib/modules/6.12/modules.dep"), None);
        let text = "dm_crypt 65536 1 - Live 0x0\nxfs 1 0 - Live 0x0\n";
        assert_eq!(loaded(text).len(), 2);
    }

    #[test]
    fn a_mount_over_a_verified_path_is_new_also_where_one_was_before() {
        let text = "22 1 253:0 / / ro - erofs /dev/dm-0 ro\n30 22 0:5 / /usr/bin rw - tmpfs t rw\n";
        let first = over_verified(text);
        assert_eq!(first.iter().collect::<Vec<_>>(), ["/usr/bin (mount 30 on 22)"]);
        let again =
            format!("{text}31 30 0:6 / /usr/bin rw - tmpfs t rw\n32 22 0:7 / /usrlocal rw - t t rw\n");
        assert_eq!(over_verified(&again).difference(&first).count(), 1);
    }
}
