//! Lines that nobody's writer made, and machines that are too many.

use crate::workshop::*;
use bennu_alert::collect::{CollectError, Collector, Kept, Outcome, Sent};
use std::fs;

fn conflicts(directory: &std::path::Path) -> Vec<Kept> {
    let text = fs::read_to_string(directory.join("m/conflicts.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_forged_line_with_a_number_that_was_there_is_kept_beside_and_told_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 6), (2, 2)], 16);
    send(&mut collector, "m", &all[..9]);
    for number in [1, 3, 8] {
        let forged = all[number]
            .replace("\"n\":", "\"m\":")
            .replace("\"at\":1", "\"at\":2");
        assert_ne!(forged, all[number]);
        let (outcomes, told) = send(&mut collector, "m", [&forged]);
        assert_eq!(
            (outcomes, codes(&told)),
            (vec![Outcome::Refused], vec!["RECORDS-CONFLICT"])
        );
        assert!(told[0].refuses() && told[0].number == Some(number as u64));
        let last = conflicts(directory.path()).pop().unwrap();
        assert_eq!((last.number, last.text), (Some(number as u64), forged.clone()));
        // Again: it is there.
        let (outcomes, told) = send(&mut collector, "m", [&forged]);
        assert_eq!((outcomes, told.len()), (vec![Outcome::Repeat], 0));
    }
    let (outcomes, told) = send(&mut collector, "m", &all);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::New)
            .count(),
        all.len() - 9
    );
    assert_eq!(kept(directory.path(), "m", 0), all);
    assert!(is_good(directory.path(), "m", 0, &[1, 2]));
}

#[test]
fn a_line_that_does_not_follow_begins_a_log_of_its_own_and_the_true_one_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 6), (2, 2)], 16);
    let other = log(&[(1, 6), (9, 2)], 16);
    assert_ne!(all[7], other[7]);
    send(&mut collector, "m", &all[..9]);
    // Another second start, as of a disk that was put back; a line far ahead of another segment.
    let far = all[8]
        .replacen("\"seq\":8", "\"seq\":18446744073709551614", 1)
        .replacen("\"seg\":\"", "\"seg\":\"00", 1);
    let far = far.replacen(&far[far.find("\"seg\":\"").unwrap() + 23..][..2], "", 1);
    for (forged, log) in [(&other[7], 1), (&far, 2)] {
        let (outcomes, told) = send(&mut collector, "m", [forged]);
        assert_eq!(
            (outcomes, codes(&told)),
            (vec![Outcome::New], vec!["RECORDS-FORK"]),
            "{forged}"
        );
        assert!(told[0].refuses());
        assert_eq!(kept(directory.path(), "m", log), std::slice::from_ref(forged));
    }
    let (_, told) = send(&mut collector, "m", &all[7..]);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(kept(directory.path(), "m", 0), all);
}

#[test]
fn a_record_with_a_line_feed_in_it_is_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 3)], 16);
    send(&mut collector, "m", &all[..2]);
    let split = all[2].replacen(",\"seg\"", ",\n\"seg\"", 1);
    assert!(bennu_records::Line::decode(split.as_bytes()).is_ok());
    let (_, told) = send(&mut collector, "m", [&split]);
    assert_eq!(codes(&told), ["RECORDS-SENDER"]);
    send(&mut collector, "m", &all[2..]);
    drop(collector);
    let (_, told) = send(&mut open(directory.path()), "m", &all);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(kept(directory.path(), "m", 0), all);
}

#[test]
fn a_number_that_nothing_can_follow_is_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 2)], 16);
    send(&mut collector, "m", &all[..1]);
    let last = all[1].replacen("\"seq\":1", "\"seq\":18446744073709551615", 1);
    let (_, told) = send(&mut collector, "m", [&last]);
    assert_eq!(codes(&told), ["RECORDS-SENDER"]);
    let (_, told) = send(&mut collector, "m", &all);
    assert!(told.is_empty());
    assert_eq!(kept(directory.path(), "m", 0), all);
}

#[test]
fn conflicts_and_notes_end_at_their_limit_and_records_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 200)], 16);
    send(&mut collector, "m", &all[..2]);
    let mut full = 0;
    for n in 0..120 {
        let forged = all[1].replace("\"n\":0", &format!("\"n\":{n},\"x\":\"{}\"", "y".repeat(15_000)));
        let words = format!("{n} {}", "x".repeat(15_000));
        let (_, told) = send(&mut collector, "m", [&forged, &words]);
        full += codes(&told)
            .iter()
            .filter(|code| **code == "RECORDS-FULL")
            .count();
    }
    assert_eq!(full, 1, "told once");
    for name in ["conflicts.jsonl", "notes.jsonl"] {
        let length = fs::metadata(directory.path().join("m").join(name)).unwrap().len();
        assert!((900 << 10..=1 << 20).contains(&length), "{name}: {length}");
    }
    send(&mut collector, "m", &all);
    assert_eq!(kept(directory.path(), "m", 0), all);
}

#[test]
fn more_machines_than_allowed_and_what_is_no_message_are_told_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = Collector::open(directory.path(), 2, Sent::Everything).unwrap();
    let all = log(&[(1, 2)], 16);
    for machine in ["a", "b"] {
        assert!(send(&mut collector, machine, &all).1.is_empty());
    }
    let (outcomes, told) = send(&mut collector, "c", &all[..1]);
    assert_eq!(
        (outcomes, codes(&told)),
        (vec![Outcome::Refused], vec!["RECORDS-FULL"])
    );
    let (_, told) = send(&mut collector, "../c", &all[..1]);
    assert_eq!(codes(&told), ["RECORDS-INPUT"]);
    let mut told = Vec::new();
    collector.take(b"COMMIT TRANSACTION", &mut told).unwrap();
    assert_eq!(codes(&told), ["RECORDS-INPUT"]);
    assert!(send(&mut collector, "a", &all).1.is_empty(), "positive control");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    assert_eq!((collector.counts().new, collector.counts().refused), (6, 3));
}

#[test]
fn two_collectors_do_not_write_into_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path());
    let second = Collector::open(directory.path(), 10, Sent::Everything);
    assert!(matches!(second, Err(CollectError::Busy { .. })));
    drop(first);
    assert!(Collector::open(directory.path(), 10, Sent::Everything).is_ok());
}
