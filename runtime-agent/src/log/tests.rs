//! A log of two segments, checked whole and after each kind of change.

use super::*;
use bennu_records::InitialKey;
use bennu_records::{Directory, Durability, Limits, Stamp, Writer};
use std::path::Path;
use tempfile::TempDir;

const STAMP: Stamp = Stamp { at_ms: 1, up_ms: 1 };

fn log(dir: &Path) {
    for number in [1, 2] {
        let store = Directory::open(dir).unwrap();
        let key = InitialKey::new([number; 32]);
        let mut writer = Writer::open(store, Limits::default(), &key, "boot", "test", STAMP).unwrap();
        let body = serde_json::json!({"event": "exec"});
        writer.event(body, STAMP, Durability::Now).unwrap();
        writer.gap("exec \u{1b}[2J", 7, STAMP).unwrap();
        writer.stop(STAMP).unwrap();
    }
}

fn question(dir: &TempDir) -> Question {
    log(&dir.path().join("log"));
    let keys = dir.path().join("keys");
    std::fs::write(&keys, format!("{}\n\n{}\n", "01".repeat(32), "02".repeat(32))).unwrap();
    Question {
        paths: vec![dir.path().join("log")],
        keys: Some(keys),
        ..Question::default()
    }
}

#[test]
fn a_log_is_good_with_its_keys_and_gaps_are_told_in_printable_words() {
    let dir = TempDir::new().unwrap();
    let verdict = check(&question(&dir)).unwrap();
    assert_eq!(
        (verdict.answer(), verdict.lines, verdict.by_key),
        (Answer::Yes, 8, 8)
    );
    let text = verdict.text();
    let expected = "good: 8 lines, 8 proven by their own keys, 0 by signed heads; last number 7\n";
    assert!(text.ends_with(expected), "{text}");
    assert!(
        text.contains("jsonl:3: note: 7 events of exec \u{fffd}[2J were lost"),
        "{text}"
    );
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(
        (json["verdict"].as_str(), json["last_seq"].as_u64()),
        (Some("good"), Some(7))
    );
    assert_eq!(json["findings"][0]["refused"], false);
}

#[test]
fn a_changed_byte_is_told_with_file_and_line() {
    let dir = TempDir::new().unwrap();
    let question = question(&dir);
    let path = dir.path().join("log/records-00000000000000000001.jsonl");
    let changed = std::fs::read_to_string(&path)
        .unwrap()
        .replacen("exec", "exit", 1);
    std::fs::write(&path, changed).unwrap();
    let verdict = check(&question).unwrap();
    assert_eq!(verdict.answer(), Answer::No);
    let text = verdict.text();
    assert!(
        text.contains("00001.jsonl:2: REFUSED: the line was changed"),
        "{text}"
    );
    assert!(text.contains("\nREFUSED: "), "{text}");
}

#[test]
fn without_keys_nothing_is_proven() {
    let dir = TempDir::new().unwrap();
    let question = Question {
        keys: None,
        ..question(&dir)
    };
    let verdict = check(&question).unwrap();
    assert_eq!((verdict.answer(), verdict.by_key), (Answer::No, 0));
}

#[test]
fn a_line_kept_elsewhere_shows_that_the_end_was_cut() {
    let dir = TempDir::new().unwrap();
    let question = question(&dir);
    let path = dir.path().join("log/records-00000000000000000001.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let (less, last) = whole.trim_end().rsplit_once('\n').unwrap();
    let kept = dir.path().join("kept");
    std::fs::write(&kept, last).unwrap();
    let question = Question {
        kept: Some(kept),
        ..question
    };
    assert_eq!(
        check(&question).unwrap().answer(),
        Answer::Yes,
        "positive control"
    );
    std::fs::write(&path, format!("{less}\n")).unwrap();
    let verdict = check(&question).unwrap();
    assert_eq!(verdict.answer(), Answer::No);
    assert!(
        verdict
            .text()
            .contains("log: REFUSED: the line that was kept elsewhere")
    );
}

#[test]
fn what_cannot_be_read_or_is_no_log_gives_no_verdict() {
    let dir = TempDir::new().unwrap();
    let question = question(&dir);
    let of = |path: &str| {
        check(&Question {
            paths: vec![dir.path().join(path)],
            ..question.clone()
        })
        .map(drop)
    };
    assert!(matches!(
        of("log/records-00000000000000000009.jsonl"),
        Err(LogError::Read { .. })
    ));
    assert!(matches!(of("keys"), Err(LogError::Name(_))));
    let twice = vec![dir.path().join("log"), dir.path().join("log")];
    let found = check(&Question {
        paths: twice,
        ..question.clone()
    });
    assert!(matches!(found, Err(LogError::Twice(_))));
    for bad in ["zz", &"0".repeat(63), &"A".repeat(64)] {
        std::fs::write(dir.path().join("keys"), bad).unwrap();
        assert!(
            matches!(check(&question), Err(LogError::Key { line: 1, .. })),
            "{bad}"
        );
    }
}

#[test]
fn a_log_is_shown_in_words_and_a_changed_line_is_marked() {
    let dir = TempDir::new().unwrap();
    let question = question(&dir);
    let (lines, verdict) = show::show(&question, None).unwrap();
    assert_eq!(verdict.answer(), Answer::Yes);
    let words: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(" boot ").unwrap().1)
        .collect();
    let one = [
        "the log begins by test",
        "exec",
        "GAP lost 7, what exec \u{fffd}[2J",
        "the log ends in good order",
    ];
    assert_eq!(words, [one, one].concat());
    assert!(
        lines[0].starts_with("1970-01-01T00:00:00.001Z +0.001 boot "),
        "{}",
        lines[0]
    );
    let (newest, _) = show::show(&question, Some(1)).unwrap();
    assert_eq!(newest, lines[7..]);

    let file = dir.path().join("log").join(bennu_records::file_name(0));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"exec\"", "\"exit\"", 1)).unwrap();
    let (lines, verdict) = show::show(&question, None).unwrap();
    assert_eq!(verdict.answer(), Answer::No);
    assert!(
        lines[1].starts_with("REFUSED ") && lines[1].ends_with(" exit"),
        "{}",
        lines[1]
    );
    assert!(!lines[2].starts_with("REFUSED "), "{}", lines[2]);
}
