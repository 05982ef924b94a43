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

/// Takes marks and gives none.
struct Unreadable(Map);

impl Keeper for Unreadable {
    fn get(&self) -> Result<Marks, String> {
        Err("no map".to_owned())
    }

    fn set(&mut self, marks: &Marks) -> Result<(), String> {
        self.0.set(marks)
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
    assert_eq!(start(&path, &map).1, whole("before"));
}

#[test]
fn a_map_that_cannot_be_opened_or_read_answers_for_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, map) = (dir.path().join("memory"), Map::empty());
    let (mut guarded, _) = start(&path, &map);
    guarded.write(b"before").unwrap();
    let keepers = || -> [Result<Option<Box<dyn Keeper>>, String>; 2] {
        let unreadable = Unreadable(map.clone());
        [Err("no map".to_owned()), Ok(Some(Box::new(unreadable)))]
    };
    for keeper in keepers() {
        let (_, found, trouble) = Guarded::open(&path, 100, keeper);
        let Found::Other(told) = found else {
            panic!("{found:?}")
        };
        let expected = "found one that nobody answers for; the map: no map";
        assert!(told.ends_with(expected), "{told}");
        assert_eq!(trouble, None, "told once");
    }
    assert_eq!(start(&path, &map).1, whole("before"), "positive control");
    fs::remove_file(&path).unwrap();
    for keeper in keepers() {
        let found = Guarded::open(&path, 100, keeper).1;
        assert!(matches!(found, Found::Unmarked(_)), "{found:?}");
    }
    let unwanted = Guarded::open(&path, 100, Ok(None)).1;
    assert_eq!(unwanted, Found::Nothing, "no gate is wanted");
}

#[test]
fn what_is_written_past_a_map_that_cannot_be_read_is_marked_and_what_lay_there_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (path, map) = (dir.path().join("memory"), Map::empty());
    fs::write(&path, "forged").unwrap();
    let open = || Guarded::open(&path, 100, Ok(Some(Box::new(Unreadable(map.clone()))))).0;
    map.ends_after(1);
    open().write(b"new").unwrap_err();
    fs::write(&path, "forged").unwrap();
    assert!(matches!(start(&path, &map).1, Found::Other(_)));
    open().write(b"new").unwrap();
    assert_eq!(start(&path, &map).1, whole("new"));
}
