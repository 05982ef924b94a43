//! A file of `bennud`'s that nobody else changes or takes away unseen: its digest lies in a map that the execution gate lets
//! `bennud` alone open, and that begins empty with each start of the machine.
//!
//! Written: the file, and its digest before and after it. Read: both, when `bennud` starts. A file that is not the one that
//! was written is told and not used. `bennud` may be ended between any two of its steps, so until the last one the file of
//! before is accepted as well: who ends it exactly then can put that one back. Without a gate nobody knows what was written,
//! and what is there is taken.

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

/// That of the gate that stands; none in an image without one.
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
    /// It cannot be read, and nobody knows whether it was written.
    Unreadable(String),
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
        let (keeper, mut trouble) = match keeper {
            Ok(keeper) => (keeper, None),
            Err(words) => (None, Some(words)),
        };
        let mut guarded = Self {
            path: path.to_owned(),
            keeper,
            settled: None,
        };
        let read = read(path, limit);
        let marks = match guarded.keeper.as_ref().map(|keeper| keeper.get()).transpose() {
            Ok(marks) => marks,
            Err(words) => {
                trouble = Some(words);
                // It is marked all the same, so that the next start finds what this one writes.
                let bytes = read.as_ref().ok().and_then(Option::as_ref);
                guarded.settled = bytes.map(|bytes| Sha256::digest(bytes).into());
                None
            }
        };
        let found = match marks {
            None => unguarded(read),
            Some(marks) => guarded.judged(&marks, read, &mut trouble),
        };
        (guarded, found, trouble)
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
pub(super) mod tests {
    use super::*;
    use std::fs;
    use std::sync::{Arc, Mutex};

    /// A map, and how many more writes it takes: `bennud` is ended at the next one.
    #[derive(Clone)]
    pub struct Map(Arc<Mutex<(Marks, usize)>>);

    impl Map {
        pub fn empty() -> Self {
            Self(Arc::new(Mutex::new((Marks::default(), usize::MAX))))
        }

        pub fn keeper(&self) -> Result<Option<Box<dyn Keeper>>, String> {
            Ok(Some(Box::new(self.clone())))
        }

        fn ends_after(&self, writes: usize) {
            self.0.lock().unwrap().1 = writes;
        }
    }

    impl Keeper for Map {
        fn get(&self) -> Result<Marks, String> {
            Ok(self.0.lock().unwrap().0)
        }

        fn set(&mut self, marks: &Marks) -> Result<(), String> {
            let mut map = self.0.lock().unwrap();
            map.1 = map.1.checked_sub(1).ok_or("ended")?;
            map.0 = *marks;
            Ok(())
        }
    }

    fn start(path: &Path, map: &Map) -> (Guarded, Found) {
        map.ends_after(usize::MAX);
        let (guarded, found, trouble) = Guarded::open(path, 100, map.keeper());
        assert_eq!(trouble, None);
        (guarded, found)
    }

    fn whole(text: &str) -> Found {
        Found::Whole(text.into())
    }

    fn words(found: Found) -> String {
        match found {
            Found::Other(words) => words.rsplit(": ").next().unwrap().to_owned(),
            found => panic!("{found:?}"),
        }
    }

    #[test]
    fn an_older_file_does_not_count_where_a_newer_one_could_not_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = (dir.path().join("memory"), Map::empty());
        let (mut guarded, _) = start(&path, &map);
        guarded.write(b"one").unwrap();
        // The name that the writer takes on its way is taken.
        fs::create_dir(dir.path().join("memory.new")).unwrap();
        guarded.write(b"two").unwrap_err();
        let told = words(start(&path, &map).1);
        assert_eq!(told, "expected the one that was written, found another one");
        fs::remove_dir(dir.path().join("memory.new")).unwrap();
        guarded.write(b"two").unwrap();
        assert_eq!(start(&path, &map).1, whole("two"), "control");
    }

    #[test]
    fn what_was_written_is_found_and_nothing_else_is_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = (dir.path().join("memory"), Map::empty());
        let (mut guarded, found) = start(&path, &map);
        assert_eq!(found, Found::Nothing, "the first start");
        for text in ["one", "two"] {
            guarded.write(text.as_bytes()).unwrap();
            assert_eq!(start(&path, &map).1, whole(text));
        }
        for forged in ["one", "", "three"] {
            fs::write(&path, forged).unwrap();
            let told = words(start(&path, &map).1);
            assert_eq!(told, "expected the one that was written, found another one");
        }
        fs::remove_file(&path).unwrap();
        let told = words(start(&path, &map).1);
        assert_eq!(told, "expected the one that was written, found none");
        fs::create_dir(&path).unwrap();
        assert!(matches!(start(&path, &map).1, Found::Other(_)));
        fs::remove_dir(&path).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, 0o600.into(), 0).unwrap();
        assert!(matches!(start(&path, &map).1, Found::Other(_)), "nobody waits");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(start(&path, &map).1, whole("two"), "positive control");
    }

    #[test]
    fn one_that_was_planted_before_the_first_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = (dir.path().join("memory"), Map::empty());
        fs::write(&path, "planted").unwrap();
        assert_eq!(words(start(&path, &map).1), "expected none, found another one");
        assert_eq!(
            Guarded::open(&path, 100, Ok(None)).1,
            whole("planted"),
            "without a gate nobody knows"
        );
    }

    #[test]
    fn wherever_bennud_is_ended_the_next_one_finds_the_file_of_before_or_the_new_one() {
        for before in [None, Some("before")] {
            for (writes, found) in [(0, before), (1, Some("new")), (2, Some("new"))] {
                let dir = tempfile::tempdir().unwrap();
                let (path, map) = (dir.path().join("memory"), Map::empty());
                let (mut guarded, _) = start(&path, &map);
                if let Some(text) = before {
                    guarded.write(text.as_bytes()).unwrap();
                }
                map.ends_after(writes);
                let written = guarded.write(b"new");
                assert_eq!(written.is_ok(), writes == 2, "{writes}");
                let expected = found.map_or(Found::Nothing, whole);
                assert_eq!(start(&path, &map).1, expected, "{before:?} {writes}");
            }
            // Ended between mark and file.
            let dir = tempfile::tempdir().unwrap();
            let (path, map) = (dir.path().join("memory"), Map::empty());
            let (mut guarded, _) = start(&path, &map);
            if let Some(text) = before {
                guarded.write(text.as_bytes()).unwrap();
            }
            let kept = fs::read(&path).ok();
            map.ends_after(1);
            assert!(guarded.write(b"new").is_err());
            match kept {
                Some(kept) => fs::write(&path, kept).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert_eq!(start(&path, &map).1, before.map_or(Found::Nothing, whole));
            // From then on the new one, which somebody may have kept, is another one.
            fs::write(&path, "new").unwrap();
            assert!(matches!(start(&path, &map).1, Found::Other(_)));
        }
    }

    #[test]
    fn a_forged_one_does_not_become_the_right_one_by_a_write_that_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = (dir.path().join("memory"), Map::empty());
        let (mut guarded, _) = start(&path, &map);
        guarded.write(b"right").unwrap();
        fs::write(&path, "forged").unwrap();
        let (mut guarded, found) = start(&path, &map);
        assert!(matches!(found, Found::Other(_)));
        map.ends_after(1);
        assert!(guarded.write(b"new").is_err());
        fs::write(&path, "forged").unwrap();
        let (mut guarded, found) = start(&path, &map);
        assert!(matches!(found, Found::Other(_)), "{found:?}");
        guarded.write(b"new").unwrap();
        assert_eq!(start(&path, &map).1, whole("new"), "positive control");
    }

    #[test]
    fn a_map_that_takes_no_mark_keeps_the_file_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = (dir.path().join("memory"), Map::empty());
        let (mut guarded, _) = start(&path, &map);
        guarded.write(b"before").unwrap();
        map.ends_after(0);
        assert!(guarded.write(b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"before");
        let (_, found, trouble) = Guarded::open(&path, 100, Err("no map".to_owned()));
        assert_eq!((found, trouble), (whole("before"), Some("no map".to_owned())));
    }
}
