//! What `bennud` wrote to the record log and what is there: a line that somebody changes or takes away is seen in the next
//! round, not only when a person verifies the log.
//!
//! Files that are closed are known by inode, length and time of change, which nobody sets without moving the clock; the open
//! one by the digest of what was written to it. After a break the writer begins a new file, so that no line goes to one that
//! has no name any more.

use crate::as_written::{AsWritten, Mark, Writing};
use bennu_records::{Directory, Store, file_name};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The file that is written.
#[derive(Debug)]
struct Newest {
    number: u64,
    bytes: AsWritten,
}

#[derive(Debug, Default)]
struct Known {
    path: PathBuf,
    closed: BTreeMap<u64, Mark>,
    newest: Option<Newest>,
    broken: bool,
    /// What was found broken when the log was opened again or began a new file; told at the next look.
    pending: Vec<String>,
    writing: Writing,
    /// Rises when everything is forgotten; a write that began before settles nothing any more.
    generation: u64,
}

/// Between the writer of the log and the watch.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<Mutex<Known>>);

impl Witness {
    /// Whoever panicked left numbers that at worst tell of a break.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows nothing any more: the log lies elsewhere from now on. Waits for no write, which may hang.
    pub fn forget(&self) {
        self.start_over(Known::default());
    }

    fn start_over(&self, with: Known) {
        let mut known = self.known();
        let generation = known.generation.max(with.generation) + 1;
        *known = Known { generation, ..with };
    }

    /// A write begins; gives what [`Witness::settle`] wants.
    fn write_begins(&self) -> u64 {
        let mut known = self.known();
        known.writing.begin();
        known.generation
    }

    /// A write has ended.
    fn settle(&self, generation: u64, act: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        if known.generation == generation {
            act(&mut known);
            known.writing.end();
        }
    }

    /// Takes what lies in `path` for what has to stay there.
    ///
    /// # Errors
    /// What the system says.
    fn begin(&self, path: &Path, store: &Directory) -> io::Result<()> {
        // What was not told yet must not become what has to stay.
        let mut before = std::mem::take(&mut *self.known());
        if before.path == path && !before.broken {
            let broken = before.look().unwrap_or_default();
            before.pending.extend(broken);
        }
        let mut known = Known {
            path: path.to_owned(),
            pending: before.pending,
            generation: before.generation,
            ..Known::default()
        };
        for (number, _) in store.files()? {
            let mark = Mark::of(&path.join(file_name(number)))?;
            known.closed.insert(number, mark);
        }
        self.start_over(known);
        Ok(())
    }

    /// Whether a break was told: the log has to be opened again.
    pub fn is_broken(&self) -> bool {
        self.known().broken
    }

    /// What is not as it was written, a sentence each. While a line is being written it says nothing.
    ///
    /// # Errors
    /// What the system says of a file that is there.
    pub fn look(&self) -> io::Result<Vec<String>> {
        let mut known = self.known();
        if known.writing.is_on_its_way("a line")? {
            return Ok(Vec::new());
        }
        // First, so that a look that fails loses nothing that is to be told.
        let found = known.look()?;
        let mut broken = std::mem::take(&mut known.pending);
        broken.extend(found);
        broken.dedup();
        known.broken |= !broken.is_empty();
        Ok(broken)
    }
}

impl Known {
    fn look(&mut self) -> io::Result<Vec<String>> {
        let mut broken = Vec::new();
        for (number, mark) in &self.closed {
            broken.extend(mark.look(&self.path.join(file_name(*number)))?);
        }
        if let Some(newest) = &mut self.newest {
            broken.extend(newest.look(&self.path)?);
        }
        Ok(broken)
    }
}

impl Newest {
    fn look(&mut self, folder: &Path) -> io::Result<Option<String>> {
        self.bytes.look(&folder.join(file_name(self.number)))
    }
}

/// A directory whose witness knows what was written to it.
#[derive(Debug)]
pub struct Witnessed {
    path: PathBuf,
    store: Directory,
    witness: Witness,
}

impl Witnessed {
    /// Opens `path` or makes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, witness: Witness) -> io::Result<Self> {
        let store = Directory::open(path)?;
        witness.begin(path, &store)?;
        Ok(Self {
            path: path.to_owned(),
            store,
            witness,
        })
    }
}

impl Store for Witnessed {
    fn files(&self) -> io::Result<Vec<(u64, u64)>> {
        self.store.files()
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        self.store.read(number)
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        let generation = self.witness.write_begins();
        let created = self.store.create(number);
        self.witness.settle(generation, |known| {
            if let Some(mut before) = known.newest.take() {
                // From now on its mark alone counts.
                known.pending.extend(before.look(&self.path).ok().flatten());
                let mark = Mark::of(&self.path.join(file_name(before.number))).ok();
                known.closed.extend(mark.map(|mark| (before.number, mark)));
            }
            known.newest = created.is_ok().then(|| Newest {
                number,
                bytes: AsWritten::default(),
            });
        });
        created
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let generation = self.witness.write_begins();
        let written = self.store.append(bytes);
        self.witness
            .settle(generation, |known| match (&written, &mut known.newest) {
                (Ok(()), Some(newest)) => newest.bytes.add(bytes),
                // The next writer begins a new file.
                (Err(_), Some(newest)) => newest.bytes.tear(),
                _ => {}
            });
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        self.store.sync()
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        self.witness.known().closed.remove(&number);
        self.store.remove(number)
    }
}
