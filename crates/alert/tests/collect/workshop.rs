//! Small logs, and what is kept of them.

use bennu_alert::collect::{Collector, Outcome, Sent, Told};
use bennu_records::{
    Directory, Durability, InitialKey, KeyRing, Limits, LogFile, Origin, Proof, Stamp, Writer,
    collected_number, verify,
};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub const LIMITS: Limits = Limits {
    file_bytes: 64 * 1024,
    total_bytes: 16 << 20,
    files: 100,
};

pub fn key(number: u8) -> InitialKey {
    InitialKey::new([number; 32])
}

/// Lines of one log: each run of a writer is a key and a number of events of some length.
pub fn log(runs: &[(u8, usize)], length: usize) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (number, events) in runs {
        let store = Directory::open(directory.path()).unwrap();
        let stamp = Stamp { at_ms: 1, up_ms: 1 };
        let mut writer = Writer::open(store, LIMITS, &key(*number), "b00t", "test", stamp).unwrap();
        for n in 0..*events {
            let body = json!({"n": n, "text": "\u{7f}\u{e9} \" \\ ".repeat(length / 8)});
            writer.event(body, stamp, Durability::Later).unwrap();
        }
        // Without an end: the power went.
    }
    lines(directory.path(), bennu_records::file_number)
}

/// Lines of the files in a folder, in order.
pub fn lines(folder: &Path, number: impl Fn(&str) -> Option<u64>) -> Vec<String> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let found = path.file_name().unwrap().to_str().and_then(&number);
        files.extend(found.map(|found| (found, path)));
    }
    files.sort();
    let text: String = files
        .iter()
        .map(|(_, path)| fs::read_to_string(path).unwrap())
        .collect();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

pub fn input(machine: &str, line: &str) -> Vec<u8> {
    // rsyslog keeps the blank before the message.
    json!({"machine": machine, "line": format!(" {line}")})
        .to_string()
        .into_bytes()
}

pub fn open(directory: &Path) -> Collector {
    Collector::open(directory, 10, Sent::Everything).unwrap()
}

/// Sends lines; gives what became of each and what was told.
pub fn send<'l>(
    collector: &mut Collector,
    machine: &str,
    lines: impl IntoIterator<Item = &'l String>,
) -> (Vec<Outcome>, Vec<Told>) {
    let mut told = Vec::new();
    let take = |line: &String| collector.take(&input(machine, line), &mut told).unwrap();
    (lines.into_iter().map(take).collect(), told)
}

/// What is kept of a machine's log.
pub fn kept(directory: &Path, machine: &str, log: u32) -> Vec<String> {
    let folder = directory.join(machine).join(format!("log-{log:08}"));
    lines(&folder, collected_number)
}

pub fn codes(told: &[Told]) -> Vec<&'static str> {
    told.iter().map(|told| told.code.as_str()).collect()
}

/// Whether the check finds a collected log good, with the first keys of its segments.
pub fn is_good(directory: &Path, machine: &str, log: u32, keys: &[u8]) -> bool {
    let folder = directory.join(machine).join(format!("log-{log:08}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        files.extend(collected_number(&name).map(|number| LogFile {
            name,
            number,
            bytes: fs::read(&path).unwrap(),
        }));
    }
    let mut ring = KeyRing::default();
    keys.iter().for_each(|number| ring.add(key(*number)));
    let report = verify(
        &files,
        &Proof {
            origin: Origin::Collected,
            keys: ring,
            ..Proof::default()
        },
    );
    !report.refused && report.by_key == report.lines
}

/// A copy of a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
