//! The log server loses its power, or the collector is killed: at every byte of what was not confirmed.

use crate::workshop::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Files below a folder, with their lengths.
fn lengths(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(lengths(&path));
        } else {
            found.push((path.clone(), fs::metadata(&path).unwrap().len()));
        }
    }
    found
}

/// Lines that were confirmed, lines that came after them; the file that grew is cut at each byte, and what was not
/// confirmed comes again.
fn at_every_byte(all: &[String], confirmed: usize, taken: usize) -> u64 {
    let before = tempfile::tempdir().unwrap();
    let mut collector = open(before.path());
    send(&mut collector, "m", &all[..confirmed]);
    collector.commit().unwrap();
    let whole = lengths(before.path());
    send(&mut collector, "m", &all[confirmed..taken]);
    drop(collector);
    let mut cuts = 0;
    for (path, length) in lengths(before.path()) {
        let from = whole
            .iter()
            .find(|(known, _)| *known == path)
            .map(|(_, length)| *length);
        // A file is made whole: with its first line, or not at all.
        let Some(from) = from else { continue };
        for at in from..length {
            cuts += 1;
            let after = tempfile::tempdir().unwrap();
            copy(before.path(), after.path());
            let grown = after.path().join(path.strip_prefix(before.path()).unwrap());
            fs::File::options()
                .write(true)
                .open(grown)
                .unwrap()
                .set_len(at)
                .unwrap();
            let mut collector = open(after.path());
            let (_, told) = send(&mut collector, "m", &all[confirmed..]);
            assert!(!told.iter().any(|told| told.refuses()), "{told:?}");
            assert_eq!(
                kept(after.path(), "m", 0),
                all,
                "cut at byte {at} of {}",
                path.display()
            );
        }
    }
    cuts
}

#[test]
fn cut_at_every_byte_of_what_was_not_confirmed_each_line_is_there_once() {
    let all = log(&[(1, 4), (2, 2)], 16);
    let lengths: Vec<usize> = all.iter().map(String::len).collect();
    // Lines of one file.
    let cuts = at_every_byte(&all, 2, 5);
    assert_eq!(
        cuts,
        lengths[2..5].iter().map(|length| *length as u64 + 1).sum::<u64>()
    );
    assert!(at_every_byte(&all, 6, 8) > 0);
}

#[test]
fn cut_between_the_acts_of_a_new_log_or_file_each_line_is_there_once() {
    let all = log(&[(1, 2), (2, 2)], 16);
    for confirmed in 0..all.len() {
        for (leaves, folder) in [
            ("new", "m/log-00000000"),
            ("new", "m"),
            ("nothing", "m/log-00000000"),
            ("nothing", "m"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let mut collector = open(directory.path());
            send(&mut collector, "m", &all[..confirmed]);
            drop(collector);
            let folder = directory.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            if leaves == "new" {
                fs::write(folder.join("new"), "half a li").unwrap();
            }
            let mut collector = open(directory.path());
            let (_, told) = send(&mut collector, "m", &all);
            assert!(told.is_empty(), "{told:?}");
            assert_eq!(kept(directory.path(), "m", 0), all);
        }
    }
}

#[test]
fn notes_and_conflicts_survive_it_too() {
    let all = log(&[(1, 4)], 16);
    let words = ["first words".to_owned(), "second words".to_owned()];
    let before = tempfile::tempdir().unwrap();
    let mut collector = open(before.path());
    send(&mut collector, "m", &all);
    send(&mut collector, "m", &words);
    drop(collector);
    let notes = fs::read_to_string(before.path().join("m/notes.jsonl")).unwrap();
    let first = notes.find('\n').unwrap() + 1;
    for at in first..notes.len() {
        let after = tempfile::tempdir().unwrap();
        copy(before.path(), after.path());
        let path = after.path().join("m/notes.jsonl");
        fs::write(&path, &notes[..at]).unwrap();
        let mut collector = open(after.path());
        send(&mut collector, "m", &words);
        assert_eq!(fs::read_to_string(&path).unwrap(), notes, "cut at byte {at}");
    }
}

#[test]
fn more_than_half_a_line_at_the_end_is_kept_beside_before_it_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 4)], 16);
    send(&mut collector, "m", &all[..3]);
    drop(collector);
    let folder = directory.path().join("m/log-00000000");
    let path = folder.join(bennu_records::collected_name(0));
    let whole = fs::read_to_string(&path).unwrap();
    let rest = format!("\0\0\0\0\n{}\n", all[4]);
    fs::write(&path, format!("{whole}{rest}")).unwrap();
    let mut collector = open(directory.path());
    let (_, told) = send(&mut collector, "m", &all[3..]);
    assert_eq!(codes(&told), ["RECORDS-TORN"]);
    assert_eq!(kept(directory.path(), "m", 0), all);
    let aside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("torn-"));
    let texts: Vec<String> = aside.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts, [rest]);
}

#[test]
fn a_file_that_does_not_begin_with_a_line_is_left_and_another_log_begins() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 4)], 16);
    send(&mut collector, "m", &all[..3]);
    drop(collector);
    let path = directory
        .path()
        .join("m/log-00000000")
        .join(bennu_records::collected_name(0));
    let damaged = fs::read_to_string(&path).unwrap().replacen('{', "[", 1);
    fs::write(&path, &damaged).unwrap();
    let mut collector = open(directory.path());
    let (_, told) = send(&mut collector, "m", &all);
    assert_eq!(codes(&told), ["RECORDS-ANEW"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    assert_eq!(kept(directory.path(), "m", 1), all);
}
