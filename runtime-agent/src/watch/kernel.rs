//! The kernel's lists of modules and mounts.

use super::{Baseline, Look, Sighting, Subject, index};
use crate::kernel_files::{KernelFiles, KernelFs};
use bennu_formats::paths;
use bennu_policy::drift::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// In procfs.
const MODULES: &str = "modules";
/// In procfs: as systemd sees them, and as this process does, whose name space gets a copy of each mount of systemd's only as
/// long as nobody makes that one private. The unit's own restrictions are there from the first look on.
const MOUNTS: [&str; 2] = ["1/mountinfo", "self/mountinfo"];
/// Most bytes of either list.
const MAX_BYTES: usize = 4 << 20;
/// What was verified: nothing is mounted here later.
const VERIFIED: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"];

/// Loaded modules.
pub struct Modules {
    kernel: Arc<KernelFiles>,
    /// The golden-file index.
    index: PathBuf,
    /// Those that were there at the first look, which the initrd loaded.
    first: Option<BTreeSet<String>>,
    /// They and those of the image.
    known: Option<BTreeSet<String>>,
}

impl Modules {
    /// Of this kernel.
    pub fn of(kernel: Arc<KernelFiles>) -> Self {
        Self {
            kernel,
            index: paths::ROOT_GOLDEN_INDEX.into(),
            first: None,
            known: None,
        }
    }
}

/// The kernel writes `-` as `_`.
fn module_name(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let stem = name.split_once(".ko")?.0;
    Some(stem.replace('-', "_"))
}

fn in_image(path: &Path) -> Result<BTreeSet<String>, String> {
    let index = index::open(path)?;
    let mut names = BTreeSet::new();
    for number in 0..index.counts().entries {
        let entry = index.entry(number).map_err(|e| index::failed(path, &e))?;
        let name = String::from_utf8_lossy(&entry.path);
        if name.contains("lib/modules/") {
            names.extend(module_name(&name));
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
        let text = self.kernel.read_text(KernelFs::Proc, MODULES, MAX_BYTES);
        let now = loaded(&text.map_err(|e| e.to_string())?);
        let known = match &self.known {
            Some(known) => known,
            None => {
                let first = self.first.get_or_insert_with(|| now.clone());
                let known = in_image(&self.index)?.union(first).cloned().collect();
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

    fn first_look(&self) -> Option<Value> {
        serde_json::to_value(self.first.as_ref()?).ok()
    }

    fn go_on_from(&mut self, first: Value) -> serde_json::Result<()> {
        self.first = Some(serde_json::from_value(first)?);
        Ok(())
    }
}

/// Mount points over verified paths.
pub struct Mounts {
    kernel: Arc<KernelFiles>,
    first: Baseline<[BTreeSet<Mount>; 2]>,
    /// systemd's, as an earlier `bennud` saw them first. What that one's name space had went with it.
    before: Option<BTreeSet<Mount>>,
}

impl Mounts {
    /// Of this machine.
    pub fn of(kernel: Arc<KernelFiles>) -> Self {
        Self {
            kernel,
            first: Baseline::default(),
            before: None,
        }
    }

    fn read(&self) -> Result<[BTreeSet<Mount>; 2], String> {
        let of = |list: &str| {
            let text = self.kernel.read_text(KernelFs::Proc, list, MAX_BYTES);
            text.map(|text| over_verified(&text)).map_err(|e| e.to_string())
        };
        let [systemd, own] = MOUNTS;
        Ok([of(systemd)?, of(own)?])
    }
}

/// Mount point, and id on parent's id.
type Mount = (String, String);

/// What is new in either list. One that systemd sees as well is told once.
fn new_ones<'a>(first: &'a [BTreeSet<Mount>; 2], now: &'a [BTreeSet<Mount>; 2]) -> Vec<&'a Mount> {
    let mut new: Vec<&Mount> = now[0].difference(&first[0]).collect();
    let seen: BTreeSet<&str> = new.iter().map(|(path, _)| path.as_str()).collect();
    let own = now[1].difference(&first[1]);
    new.extend(own.filter(|(path, _)| !seen.contains(path.as_str())));
    new
}

/// Mounts over verified paths: mount point, id, parent (fields 5, 1 and 2 of proc_pid_mountinfo(5)).
fn over_verified(text: &str) -> BTreeSet<Mount> {
    let point = |line: &str| {
        let fields: Vec<&str> = line.split(' ').take(5).collect();
        let [id, parent, _, _, path] = fields[..] else {
            return None;
        };
        let below = |top: &&str| path == *top || path.starts_with(&format!("{top}/"));
        VERIFIED
            .iter()
            .any(below)
            .then(|| (path.to_owned(), format!("mount {id} on {parent}")))
    };
    text.lines().filter_map(point).collect()
}

impl Subject for Mounts {
    fn name(&self) -> &'static str {
        "mounts"
    }

    fn look(&mut self) -> Look {
        let now = self.read()?;
        if let Some(systemds) = self.before.take() {
            self.first = Baseline(Some([systemds, now[1].clone()]));
        }
        let Some((first, now)) = self.first.first(now) else {
            return Ok(Vec::new());
        };
        let told = |(path, which): &Mount| {
            let words = format!("something was mounted over {path} ({which})");
            Sighting::new(Signal::MountChanged, words)
        };
        Ok(new_ones(first, &now).into_iter().map(told).collect())
    }

    fn first_look(&self) -> Option<Value> {
        let [systemds, _own] = self.first.0.as_ref()?;
        serde_json::to_value(systemds).ok()
    }

    fn go_on_from(&mut self, first: Value) -> serde_json::Result<()> {
        self.before = Some(serde_json::from_value(first)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of procfs.
    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join("proc").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

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
        let known = ("/usr/bin".to_owned(), "mount 30 on 22".to_owned());
        assert_eq!(first, BTreeSet::from([known]));
        let again =
            format!("{text}31 30 0:6 / /usr/bin rw - tmpfs t rw\n32 22 0:7 / /usrlocal rw - t t rw\n");
        assert_eq!(over_verified(&again).difference(&first).count(), 1);
    }

    #[test]
    fn a_mount_is_told_once_also_when_one_list_alone_has_it() {
        let at = |path: &str, id: u32| (path.to_owned(), format!("mount {id} on 1"));
        let first = [BTreeSet::from([at("/opt", 5)]), BTreeSet::from([at("/usr", 9)])];
        assert!(new_ones(&first, &first).is_empty(), "control");
        let mut both = first.clone();
        both[0].insert(at("/usr/bin", 20));
        both[1].insert(at("/usr/bin", 21));
        assert_eq!(new_ones(&first, &both), [&at("/usr/bin", 20)]);
        for list in [0, 1] {
            let mut one = first.clone();
            one[list].insert(at("/usr/bin", 20));
            assert_eq!(new_ones(&first, &one), [&at("/usr/bin", 20)]);
        }
    }

    #[test]
    fn modules_and_mounts_are_read_from_the_kernels_files_and_without_them_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| put(dir.path(), path, text);
        put("1/mountinfo", "22 1 253:0 / / ro - erofs /dev/dm-0 ro\n");
        put("self/mountinfo", "40 1 253:0 / / ro - erofs /dev/dm-0 ro\n");
        let kernel = Arc::new(KernelFiles::at(dir.path()));
        let mut mounts = Mounts::of(kernel.clone());
        assert_eq!(mounts.look(), Ok(Vec::new()));
        assert_eq!(mounts.look(), Ok(Vec::new()), "control");
        put("1/mountinfo", "30 22 0:5 / /usr/bin rw - tmpfs t rw\n");
        let seen = mounts.look().unwrap();
        assert_eq!(
            seen[0].detail,
            "something was mounted over /usr/bin (mount 30 on 22)"
        );
        assert_eq!(seen[0].signal, Signal::MountChanged);
        let why = Modules::of(kernel).look().unwrap_err();
        assert!(why.contains("cannot open /proc/modules"), "{why}");
    }

    #[test]
    fn what_was_mounted_while_no_bennud_ran_is_told_and_a_name_space_of_the_next_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| put(dir.path(), path, text);
        put("1/mountinfo", "22 1 253:0 / / ro - erofs /dev/dm-0 ro\n");
        put("self/mountinfo", "40 1 253:0 / /usr/x ro - erofs /dev/dm-0 ro\n");
        let kernel = Arc::new(KernelFiles::at(dir.path()));
        let mut before = Mounts::of(kernel.clone());
        assert_eq!(before.look(), Ok(Vec::new()));
        let first = before.first_look().unwrap();
        put("self/mountinfo", "80 1 253:0 / /usr/x ro - erofs /dev/dm-0 ro\n");
        let mut after = Mounts::of(kernel.clone());
        after.go_on_from(first.clone()).unwrap();
        assert_eq!(after.first_look(), None, "it has that of the other one");
        assert_eq!(after.look(), Ok(Vec::new()), "control");
        put("1/mountinfo", "30 22 0:5 / /usr/bin rw - tmpfs t rw\n");
        let mut after = Mounts::of(kernel);
        after.go_on_from(first).unwrap();
        for _ in 0..2 {
            assert_eq!(after.look().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_module_that_neither_the_image_has_nor_the_initrd_loaded_is_told_as_long_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("proc/modules");
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        let load = |names: &[&str]| {
            let lines = names.iter().map(|name| format!("{name} 65536 1 - Live 0x0\n"));
            std::fs::write(&list, lines.collect::<String>()).unwrap();
        };
        let mut modules = Modules {
            index: dir.path().join("golden.idx"),
            ..Modules::of(Arc::new(KernelFiles::at(dir.path())))
        };
        load(&["dm_verity"]);
        assert!(modules.look().unwrap_err().contains("golden.idx: "));
        let of_the_image = "usr/lib/modules/6.12/kernel/dm-crypt.ko.xz";
        index::write(
            &modules.index,
            &[(of_the_image, b"m"), ("usr/lib/planted.ko", b"p")],
        );
        assert_eq!(modules.look(), Ok(Vec::new()));
        load(&["dm_verity", "dm_crypt"]);
        assert_eq!(modules.look(), Ok(Vec::new()), "control: it is of the image");
        load(&["dm_verity", "planted"]);
        for _ in 0..2 {
            let seen = modules.look().unwrap();
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!(seen[0].signal, Signal::ModuleUnknown);
            assert_eq!(seen[0].detail, "module planted is not of the image");
        }
        load(&["dm_verity"]);
        assert_eq!(modules.look(), Ok(Vec::new()));
        // Loaded while no bennud ran: the first look of the next one makes nothing known.
        let mut after = Modules {
            index: modules.index.clone(),
            ..Modules::of(modules.kernel.clone())
        };
        after.go_on_from(modules.first_look().unwrap()).unwrap();
        load(&["dm_verity", "planted"]);
        assert_eq!(after.look().unwrap().len(), 1);
    }
}
