//! A model of Linux's vfat on a disk with a volatile cache: what is in memory, what was given to the disk, what was
//! flushed. Adverse where the kernel or the disk may choose: every entry lies in a sector of its own, a file's data
//! in two. It panics where the real one would be damaged: a cluster freed that is free, or that another entry names.

use crate::volume::Volume;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What stands in a directory: where the file lies (none for an empty one) and how long it is.
type Entry = Option<(u32, usize)>;

/// One sector that changes.
#[derive(Debug, Clone)]
enum Write {
    Entry(PathBuf, Option<Entry>),
    Fat(u32, bool),
    /// A half of a cluster.
    Data(u32, usize, Vec<u8>),
}

/// What a disk holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sectors {
    entries: BTreeMap<PathBuf, Entry>,
    allocated: BTreeSet<u32>,
    data: BTreeMap<(u32, usize), Vec<u8>>,
}

impl Sectors {
    fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::Entry(path, Some(entry)) => drop(self.entries.insert(path, entry)),
            Write::Entry(path, None) => drop(self.entries.remove(&path)),
            Write::Fat(cluster, true) => drop(self.allocated.insert(cluster)),
            Write::Fat(cluster, false) => drop(self.allocated.remove(&cluster)),
            Write::Data(cluster, half, bytes) => drop(self.data.insert((cluster, half), bytes)),
        }
    }

    /// Demands that every entry's cluster is allocated.
    pub(crate) fn check(&self) {
        for (path, entry) in &self.entries {
            let free = entry.is_some_and(|(cluster, _)| !self.allocated.contains(&cluster));
            assert!(!free, "{} has a cluster that is free: {self:?}", path.display());
        }
    }

    fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let entry = *self.entries.get(path)?;
        let Some((cluster, length)) = entry else {
            return Some(Vec::new());
        };
        // What was never written holds what some other file left.
        let half = |half| {
            self.data
                .get(&(cluster, half))
                .cloned()
                .unwrap_or_else(|| vec![0xE5; length.div_ceil(2)])
        };
        let mut bytes = half(0);
        bytes.resize(length.div_ceil(2), 0xE5);
        bytes.extend(half(1));
        bytes.resize(length, 0xE5);
        Some(bytes)
    }
}

#[derive(Default)]
struct State {
    memory: Sectors,
    /// Directory sectors, FAT sectors and data that only memory has.
    dirty: Vec<Write>,
    /// Files whose cluster and length only memory has.
    dirty_inodes: BTreeSet<PathBuf>,
    flushed: Sectors,
    /// Before each flush: what was flushed until then, and what was given to the disk since.
    windows: Vec<(Sectors, Vec<Write>)>,
}

/// The mounted volume.
#[derive(Default)]
pub(crate) struct Model(RefCell<State>);

impl Model {
    /// Mounts what a power cut left.
    pub(crate) fn of(disk: Sectors) -> Self {
        Self(RefCell::new(State {
            memory: disk.clone(),
            flushed: disk,
            ..State::default()
        }))
    }

    /// What the disk may hold after a power cut at any moment: of each time between two flushes, any part of what
    /// was written; and at last everything.
    pub(crate) fn cuts(&self) -> Vec<Sectors> {
        let state = self.0.borrow();
        let mut cuts = Vec::new();
        for (before, writes) in &state.windows {
            assert!(writes.len() < 12, "too many writes to try every part of them");
            for part in 0..1_u32 << writes.len() {
                let mut disk = before.clone();
                let chosen = writes.iter().enumerate().filter(|(n, _)| part >> n & 1 == 1);
                chosen.for_each(|(_, write)| disk.apply(write));
                cuts.push(disk);
            }
        }
        cuts.push(state.flushed.clone());
        cuts
    }

    /// What is flushed.
    pub(crate) fn flushed(&self) -> Sectors {
        self.0.borrow().flushed.clone()
    }
}

impl State {
    fn dirty_entry(&mut self, path: &Path, entry: Option<Entry>) {
        self.dirty.push(Write::Entry(path.to_owned(), entry));
    }

    fn free(&mut self, cluster: u32) {
        let named = self.memory.entries.values().flatten().any(|(c, _)| *c == cluster);
        assert!(!named, "cluster {cluster} is freed and another entry names it");
        assert!(
            self.memory.allocated.remove(&cluster),
            "cluster {cluster} is freed twice"
        );
        self.dirty.push(Write::Fat(cluster, false));
    }

    /// Gives the chosen writes and the whole FAT to the disk, and flushes.
    fn sync(&mut self, chosen: impl Fn(&Write) -> bool, inode: Option<&Path>) {
        let (mut given, kept) = std::mem::take(&mut self.dirty)
            .into_iter()
            .partition::<Vec<_>, _>(|write| chosen(write) || matches!(write, Write::Fat(..)));
        self.dirty = kept;
        if let Some(path) = inode.filter(|path| self.dirty_inodes.remove(*path)) {
            // It goes into the directory's sector in memory, whatever that held before.
            self.dirty
                .retain(|write| !matches!(write, Write::Entry(p, _) if p == path));
            given.push(Write::Entry(
                path.to_owned(),
                self.memory.entries.get(path).copied(),
            ));
        }
        let before = self.flushed.clone();
        given.iter().for_each(|write| self.flushed.apply(write));
        self.windows.push((before, given));
    }
}

impl Volume for Model {
    type Unlinked = Entry;

    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let content = self.0.borrow().memory.content(path);
        Ok(content.map(|bytes| bytes.into_iter().take(limit).collect()))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        let entry = self.0.borrow().memory.entries.get(path).copied();
        Ok(entry.map(|entry| entry.map_or(0, |(_, length)| length as u64)))
    }

    fn make_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let before = state.memory.entries.insert(path.to_owned(), None);
        assert!(before.is_none(), "{} is there already", path.display());
        state.dirty_entry(path, Some(None));
        state.dirty_inodes.insert(path.to_owned());
        Ok(())
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let entry = *state.memory.entries.get(path).unwrap();
        let cluster = entry.map_or_else(
            || {
                let next = state.memory.allocated.last().map_or(2, |last| last + 1);
                state.memory.allocated.insert(next);
                state.dirty.push(Write::Fat(next, true));
                next
            },
            |(cluster, length)| {
                assert_eq!(
                    length,
                    bytes.len(),
                    "{} would grow or keep a tail",
                    path.display()
                );
                cluster
            },
        );
        state
            .memory
            .entries
            .insert(path.to_owned(), Some((cluster, bytes.len())));
        state.dirty_inodes.insert(path.to_owned());
        let (head, tail) = bytes.split_at(bytes.len().div_ceil(2));
        for (half, bytes) in [head, tail].into_iter().enumerate() {
            let write = Write::Data(cluster, half, bytes.to_vec());
            state.memory.apply(&write);
            state.dirty.push(write);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let entry = state.memory.entries.remove(from).unwrap();
        let replaced = state.memory.entries.insert(to.to_owned(), entry);
        match replaced {
            None => state.dirty_entry(to, Some(None)),
            Some(None) => {}
            Some(Some((cluster, _))) => state.free(cluster),
        }
        state.dirty_entry(from, None);
        state.dirty_inodes.remove(from);
        state.dirty_inodes.insert(to.to_owned());
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<Entry> {
        let mut state = self.0.borrow_mut();
        let entry = state.memory.entries.remove(path).unwrap();
        state.dirty_entry(path, None);
        state.dirty_inodes.remove(path);
        Ok(entry)
    }

    fn release(&self, file: Entry) {
        if let Some((cluster, _)) = file {
            self.0.borrow_mut().free(cluster);
        }
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let entry = state.memory.entries.get(path).copied();
        match entry {
            // A directory: the entries below it as its sectors hold them.
            None => state.sync(
                |w| matches!(w, Write::Entry(p, _) if p.parent() == Some(path)),
                None,
            ),
            Some(entry) => {
                let own = entry.map(|(cluster, _)| cluster);
                state.sync(|w| matches!(w, Write::Data(c, ..) if Some(*c) == own), Some(path));
            }
        }
        Ok(())
    }
}
