//! A trace that was written and sealed by the real writers, and what its check says after each kind of change.

use super::super::{Question, Verdict, check};
use super::*;
use crate::records::{Journal, Witness};
use crate::status::Answer;
use crate::tracing::file::TraceFile;
use bennu_records::{Directory, Durability, InitialKey, Limits, Stamp, Writer};
use std::fs;
use std::path::PathBuf;

const STAMP: Stamp = Stamp { at_ms: 1, up_ms: 1 };

struct Rig {
    dir: tempfile::TempDir,
    trace: TraceFile,
    seals: Vec<TraceSeal>,
}

impl Rig {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            trace: TraceFile::default(),
            seals: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(NEWEST)
    }

    fn write(&self, text: &str, most: u64) {
        self.trace
            .append(&self.path(), most, &mut text.as_bytes().to_vec())
            .unwrap();
    }

    fn seal(&mut self) {
        for seal in self.trace.seals().unwrap() {
            self.trace.sealed(&seal);
            self.seals.push(seal);
        }
    }

    /// Two files, the newer one with two seals and something behind them.
    fn filled() -> Self {
        let mut rig = Self::new();
        rig.write("one\n", 1000);
        rig.seal();
        rig.write("two\n", 20);
        rig.seal();
        rig.write("three\n", 1000);
        rig.seal();
        rig.write("four\n", 1000);
        rig
    }

    fn verdict(&self) -> Verdict {
        let log = self.dir.path().join("log");
        let _none = fs::remove_dir_all(&log);
        let key = InitialKey::new([1; 32]);
        let store = Directory::open(&log).unwrap();
        let mut writer = Writer::open(store, Limits::default(), &key, "boot", "test", STAMP).unwrap();
        for seal in &self.seals {
            let body = serde_json::to_value(seal).unwrap();
            writer.event(body, STAMP, Durability::Now).unwrap();
        }
        writer.stop(STAMP).unwrap();
        let keys = self.dir.path().join("keys");
        fs::write(&keys, "01".repeat(32)).unwrap();
        let trace = Some(self.dir.path().to_owned());
        let question = Question {
            paths: vec![log],
            keys: Some(keys),
            trace,
            ..Question::default()
        };
        check(&question).unwrap()
    }

    /// The words of what refuses it.
    fn refusals(&self) -> Vec<String> {
        let verdict = self.verdict();
        let refused = verdict.findings.iter().filter(|place| place.refused);
        let words: Vec<_> = refused.map(|place| place.text.clone()).collect();
        assert_eq!(verdict.answer() == Answer::No, !words.is_empty());
        words
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_trace_as_it_was_written_is_good_and_its_end_is_told_as_not_sealed() {
    let rig = Rig::filled();
    let verdict = rig.verdict();
    assert_eq!(verdict.answer(), Answer::Yes);
    let text = verdict.text();
    assert!(
        text.contains("trace.jsonl: note: its last 5 bytes are not sealed yet\n"),
        "{text}"
    );
    let traced = verdict.trace.unwrap();
    assert_eq!(
        (traced[0].bytes, traced[0].bytes - traced[0].sealed),
        (traced[0].sealed, 0)
    );
    assert_eq!(traced[1].bytes - traced[1].sealed, 5);
}

#[test]
fn every_changed_byte_that_was_sealed_is_refused_and_none_behind_it() {
    for name in [NEWEST, "trace.1.jsonl"] {
        let rig = Rig::filled();
        let bytes = fs::read(rig.dir.path().join(name)).unwrap();
        let sealed = if name == NEWEST {
            bytes.len() - 5
        } else {
            bytes.len()
        };
        for at in 0..bytes.len() {
            rig.change(name, |bytes| bytes[at] ^= 1);
            assert_eq!(!rig.refusals().is_empty(), at < sealed, "byte {at} of {name}");
            rig.change(name, |bytes| bytes[at] ^= 1);
        }
        assert_eq!(rig.refusals(), [""; 0]);
    }
}

#[test]
fn the_finding_names_the_first_seal_that_does_not_fit() {
    let rig = Rig::filled();
    rig.change(NEWEST, |bytes| {
        let at = bytes.len() - 7;
        bytes[at] = b'!';
    });
    let words = rig.refusals();
    assert_eq!(words.len(), 1);
    assert!(
        words[0].contains(" as line 4 of the log sealed them, found others"),
        "{words:?}"
    );
}

#[test]
fn each_cut_into_what_was_sealed_is_refused() {
    let rig = Rig::filled();
    let whole = fs::read(rig.path()).unwrap();
    for length in 0..whole.len() - 5 {
        fs::write(rig.path(), &whole[..length]).unwrap();
        assert!(!rig.refusals().is_empty(), "{length} bytes");
    }
    let before = before(&rig.path());
    fs::write(rig.path(), whole).unwrap();
    let longer = [fs::read(&before).unwrap(), b"more\n".to_vec()].concat();
    fs::write(before, longer).unwrap();
    assert!(rig.refusals()[0].contains("says that it ended with"));
}

#[test]
fn files_that_were_taken_away_are_missed() {
    for name in [NEWEST, "trace.1.jsonl"] {
        let rig = Rig::filled();
        fs::remove_file(rig.dir.path().join(name)).unwrap();
        let words = rig.refusals();
        assert!(words[0].ends_with("found no such file"), "{words:?}");
    }
}

#[test]
fn files_that_are_rotated_away_are_not_missed_and_one_that_never_ended_is_told() {
    let mut rig = Rig::filled();
    for text in ["five\n", "six\n"] {
        rig.write(text, 20);
        rig.seal();
    }
    assert_eq!(rig.refusals(), [""; 0]);
    let first = rig.seals[0].file;
    rig.seals.retain(|seal| seal.file != first || !seal.ended);
    let text = rig.verdict().text();
    assert!(text.contains("no line says that it ended"), "{text}");
    assert!(
        text.ends_with("last number 8\n") && text.contains("\ngood: "),
        "{text}"
    );
}

#[test]
fn a_file_that_the_log_does_not_know_and_one_of_somebody_elses_are_refused() {
    let mut rig = Rig::filled();
    rig.seals.clear();
    assert!(rig.refusals()[0].starts_with("the log has no seal of file "));
    let rig = Rig::filled();
    fs::write(rig.path(), "{}\n").unwrap();
    let words = rig.refusals();
    assert!(words[0].starts_with("expected a first line"), "{words:?}");
    let file = File::options().write(true).open(rig.path()).unwrap();
    file.set_len(LONGEST_FILE + 1).unwrap();
    assert!(rig.refusals()[0].starts_with("expected at most"));
}

#[test]
fn seals_that_nobody_signed_make_no_trace_good() {
    let mut rig = Rig::filled();
    rig.seal();
    let log = rig.dir.path().join("log");
    let mut journal = Journal::at(&log, Witness::default());
    for seal in &rig.seals {
        journal.note(serde_json::to_value(seal).unwrap()).unwrap();
    }
    let question = Question {
        paths: vec![log],
        trace: Some(rig.dir.path().to_owned()),
        ..Question::default()
    };
    let verdict = check(&question).unwrap();
    assert!(
        verdict
            .findings
            .iter()
            .all(|place| !place.refused || place.line == 1)
    );
    assert_eq!(verdict.answer(), Answer::No);
}
