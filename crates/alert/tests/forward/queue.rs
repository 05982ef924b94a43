//! What is sent, in which order, once.

use crate::workshop::*;
use bennu_alert::{MAX_BATCH_BYTES, Queue, QueueError, Selection};
use serde_json::json;
use std::fs::{self, File};
use std::io::Write as _;

#[test]
fn every_line_is_sent_once_and_as_it_stands_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events(3));
    let sent = drain(&mut queue(dir.path(), Selection::Everything));
    let file = fs::read_to_string(dir.path().join(bennu_records::file_name(0))).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(sent.len(), lines.len());
    for (message, line) in sent.iter().zip(lines) {
        assert!(message.ends_with(&format!("] {line}")), "{message}");
    }
    assert!(
        sent[1]
            .starts_with("<107>1 2026-01-01T00:00:00.001Z gate-7 bennud b00t event [meta sequenceId=\"2\"")
    );
    // A second one goes on where the first ended.
    assert!(drain(&mut queue(dir.path(), Selection::Everything)).is_empty());
    run(dir.path(), events(1));
    let sent = drain(&mut queue(dir.path(), Selection::Everything));
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent[0].contains("sequenceId=\"6\""), "{}", sent[0]);
}

#[test]
fn what_was_not_confirmed_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events(3));
    let first = queue(dir.path(), Selection::Everything).next_batch().unwrap();
    let mut second = queue(dir.path(), Selection::Everything);
    let again = second.next_batch().unwrap();
    assert_eq!(first.frames, again.frames);
    second.confirm(&again).unwrap();
    assert!(
        queue(dir.path(), Selection::Everything)
            .next_batch()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_cursor_that_is_none_is_told_and_the_log_is_sent_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events(3));
    drain(&mut queue(dir.path(), Selection::Everything));
    let cursor = dir.path().join("cursor.json");
    fs::write(&cursor, "{").unwrap();
    let refused = Queue::open(dir.path(), &cursor, Selection::Everything, "gate-7");
    assert!(matches!(refused, Err(QueueError::Cursor(_))));
    let mut queue = Queue::from_the_beginning(dir.path(), &cursor, Selection::Everything, "gate-7");
    assert_eq!(drain(&mut queue).len(), 5);
}

#[test]
fn a_log_of_many_files_goes_out_in_batches_of_bounded_size_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(12_000);
    run(dir.path(), (0..40).map(|n| json!({"n": n, "long": long})));
    let mut queue = queue(dir.path(), Selection::Everything);
    let batch = queue.next_batch().unwrap();
    assert!(batch.frames.len() as u64 <= MAX_BATCH_BYTES + 64 * 1024);
    let sent = drain(&mut queue);
    let numbers: Vec<u64> = sent.iter().map(|m| number(m)).collect();
    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
}

fn number(message: &str) -> u64 {
    let (_, rest) = message.split_once("sequenceId=\"").unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn only_alerts_when_the_image_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["calm", "noted", "suspicious", "serious", "contained", "lost", "?"];
    run(dir.path(), words.iter().map(|word| json!({"severity": word})));
    let sent = drain(&mut queue(dir.path(), Selection::Alerts));
    let priorities: Vec<&str> = sent.iter().map(|m| &m[..5]).collect();
    assert_eq!(priorities, ["<109>", "<108>", "<107>", "<106>", "<105>", "<109>"]);
}

#[test]
fn lines_that_were_removed_before_they_were_sent_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events(2));
    run(dir.path(), events(2));
    fs::remove_file(dir.path().join(bennu_records::file_name(0))).unwrap();
    let sent = drain(&mut queue(dir.path(), Selection::Alerts));
    assert!(
        sent[0].contains(" gap [") && sent[0].contains("4 lines before number 4 were removed"),
        "{}",
        sent[0]
    );
}

#[test]
fn a_torn_end_waits_in_the_newest_file_and_is_passed_over_in_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events(1));
    let newest = dir.path().join(bennu_records::file_name(0));
    let mut file = File::options().append(true).open(&newest).unwrap();
    file.write_all(br#"{"v":1,"seq":3"#).unwrap();
    let mut queue = queue(dir.path(), Selection::Everything);
    assert_eq!(drain(&mut queue).len(), 3);
    run(dir.path(), events(1));
    let sent = drain(&mut queue);
    assert_eq!(sent.len(), 3);
    assert!(sent[0].contains(r#""torn":[{"bytes":14,"file":0"#), "{}", sent[0]);
}

#[test]
fn bytes_that_are_no_line_are_told_of_and_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), events(1));
    let path = dir.path().join(bennu_records::file_name(0));
    let good = fs::read(&path).unwrap();
    let mut bad = b"\xff garbage\n".to_vec();
    bad.extend(vec![b'a'; 40_000]);
    bad.push(b'\n');
    bad.extend(&good);
    fs::write(&path, bad).unwrap();
    let sent = drain(&mut queue(dir.path(), Selection::Alerts));
    let broken = sent.iter().filter(|m| m.contains(" broken [")).count();
    assert!((2..=4).contains(&broken), "{sent:?}");
    assert!(sent.iter().any(|m| m.contains(r#""n":0"#)), "{sent:?}");
    assert!(
        sent[0].starts_with("<105>1 - gate-7 bennud - broken ["),
        "{}",
        sent[0]
    );
}
