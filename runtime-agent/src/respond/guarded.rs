//! A file of `bennud`'s that nobody else changes or takes away unseen: its digest lies in a map that the execution gate lets
//! `bennud` alone open, and that begins empty with each start of the machine.
//!
//! Written: the file, and its digest before and after it. Read: both, when `bennud` starts. A file that is not the one that
//! was written is told and not used. `bennud` may be ended between any two of its steps, so until the last one the file of
//! before is accepted as well: who ends it exactly then can put that one back. In an image without a gate nobody knows what
//! was written, and what is there is taken. In one that wants a gate, a map that cannot be opened or read leaves every file
//! somebody's: it is told and not used, and none at all is no proof of a first start. What is written from then on is marked
//! if the map takes it.

use crate::documents;
use bennu_ebpf::interface::memory::{Digest, Marks};
use bennu_formats::gate::GateMode;
use bennu_formats::paths;
use bennu_linux::bounded;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where the marks are kept: the gate's map, or what stands for it in a test.
pub(super) trait Keeper: Send {
    /// What was marked last.
    fn get(&self) -> Result<Marks, String>;
    /// Marks anew, whole or not at all.
    fn set(&mut self, marks: &Marks) -> Result<(), String>;
}

impl Keeper for bennu_ebpf::memory::Keeper {
    fn get(&self) -> Result<Marks, String> {
        Self::get(self).map_err(|error| error.to_string())
    }

    fn set(&mut self, marks: &Marks) -> Result<(), String> {
        Self::set(self, marks).map_err(|error| error.to_string())
    }
}

/// That of the gate that stands; none in an image without one. An error wherever a gate may be wanted and does not answer.
pub(super) fn of_gate() -> Result<Option<Box<dyn Keeper>>, String> {
    let wanted = crate::gate::wanted().map_err(|error| error.to_string())?;
    if wanted.mode == GateMode::None {
        return Ok(None);
    }
    let keeper = bennu_ebpf::memory::Keeper::open(Path::new(paths::ROOT_GATE_PINS));
    let keeper = keeper.map_err(|error| error.to_string())?;
    Ok(Some(Box::new(keeper)))
}

/// What lies there when `bennud` starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, as it should be.
    Nothing,
    /// What was written; without a gate, what is there.
    Whole(Vec<u8>),
    /// Not what was written.
    Other(String),
    /// It cannot be read, and nobody knows whether it was written: there is no gate.
    Unreadable(String),
    /// Nothing, and the map does not say whether something should be there.
    Unmarked(String),
}

/// The file.
pub(super) struct Guarded {
    path: PathBuf,
    keeper: Option<Box<dyn Keeper>>,
    /// Of the last file that was written. One that somebody put in its place never becomes this.
    settled: Option<Digest>,
}

impl Guarded {
    /// Opens it and says what is there, and what failed beside it.
    pub(super) fn open(
        path: &Path,
        limit: usize,
        keeper: Result<Option<Box<dyn Keeper>>, String>,
    ) -> (Self, Found, Option<String>) {
        let (keeper, unopened) = match keeper {
            Ok(keeper) => (keeper, None),
            Err(words) => (None, Some(words)),
        };
        let mut guarded = Self {
            path: path.to_owned(),
            keeper,
            settled: None,
        };
        let read = read(path, limit);
        let marks = match (unopened, &guarded.keeper) {
            (Some(words), _) => Err(words),
            (None, None) => return (guarded, unguarded(read), None),
            (None, Some(keeper)) => keeper.get(),
        };
        let mut trouble = None;
        let found = match marks {
            Ok(marks) => guarded.judged(&marks, read, &mut trouble),
            Err(words) => guarded.unmarked(&words, read),
        };
        (guarded, found, trouble)
    }

    /// The map says nothing.
    fn unmarked(&self, words: &str, read: Result<Option<Vec<u8>>, String>) -> Found {
        let told = |found: &str| {
            let path = self.path.display();
            format!("{path}: expected the one that the gate's map names, found {found}; the map: {words}")
        };
        match read {
            Ok(None) => Found::Unmarked(told("none")),
            Ok(Some(_)) => Found::Other(told("one that nobody answers for")),
            Err(error) => Found::Other(told(&error)),
        }
    }

    fn judged(
        &mut self,
        marks: &Marks,
        read: Result<Option<Vec<u8>>, String>,
        trouble: &mut Option<String>,
    ) -> Found {
        self.settled = marks.settled;
        let expected = match marks.settled {
            Some(_) => "the one that was written",
            None => "none",
        };
        let other = |found: &str| {
            let path = self.path.display();
            Found::Other(format!("{path}: expected {expected}, found {found}"))
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(words) => return other(&words),
        };
        let digest = bytes.as_ref().map(|bytes| Sha256::digest(bytes).into());
        // None is right where none was settled; a file where it was settled or begun.
        let right = digest == marks.settled || (digest.is_some() && digest == marks.begun);
        if !right {
            return other(if digest.is_some() { "another one" } else { "none" });
        }
        self.settled = digest;
        if marks.begun.is_some() {
            *trouble = self.settle().err();
        }
        bytes.map_or(Found::Nothing, Found::Whole)
    }

    /// Writes it. The mark of what is begun comes first: a file that nobody has marked would be another one's.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let next = Sha256::digest(bytes).into();
        self.mark(Marks {
            settled: self.settled,
            begun: Some(next),
        })?;
        let written = documents::replace(&self.path, bytes).map_err(|error| error.to_string());
        // Also where it was not written: an older file must not count as this one at the next start.
        self.settled = Some(next);
        written.and(self.settle())
    }

    fn settle(&mut self) -> Result<(), String> {
        self.mark(Marks {
            settled: self.settled,
            begun: None,
        })
    }

    fn mark(&mut self, marks: Marks) -> Result<(), String> {
        self.keeper.as_mut().map_or(Ok(()), |keeper| keeper.set(&marks))
    }
}

/// What lies there; none where there is nothing. Waits for nobody: root may have put a pipe there.
fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, String> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = File::options();
    let opened = options
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    match opened {
        Ok(file) => bounded::read_file(&file, path, limit)
            .map(Some)
            .map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot open {}: {error}", path.display())),
    }
}

fn unguarded(read: Result<Option<Vec<u8>>, String>) -> Found {
    match read {
        Ok(None) => Found::Nothing,
        Ok(Some(bytes)) => Found::Whole(bytes),
        Err(words) => Found::Unreadable(words),
    }
}

#[cfg(test)]
pub(super) mod tests;
