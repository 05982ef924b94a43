//! The collector as rsyslog's omprog meets it: lines in, answers out.

use super::*;
use crate::log::{Question, check};
use bennu_records::{Directory, Durability, InitialKey, Limits, Stamp, Writer};
use std::path::Path;
use tempfile::TempDir;

const STAMP: Stamp = Stamp { at_ms: 1, up_ms: 1 };

/// A log of two starts; the power went in the first, in the middle of a line.
fn log(directory: &Path) -> Vec<String> {
    let mut all = String::new();
    for number in [1, 2] {
        let store = Directory::open(directory).unwrap();
        let key = InitialKey::new([number; 32]);
        let mut writer = Writer::open(store, Limits::default(), &key, "boot", "test", STAMP).unwrap();
        let body = serde_json::json!({"event": "exec"});
        writer.event(body, STAMP, Durability::Now).unwrap();
        let path = directory.join(bennu_records::file_name(u64::from(number) - 1));
        let text = std::fs::read_to_string(&path).unwrap();
        all += &text;
        std::fs::write(&path, text + "{\"v\":1,").unwrap();
    }
    all.lines().map(str::to_owned).collect()
}

fn options(directory: &TempDir) -> Options {
    Options {
        into: directory.path().join("into"),
        sent: Sending::Everything,
        machines: 10,
        transactions: false,
        json: false,
    }
}

fn message(line: &str) -> String {
    serde_json::json!({"machine": "m", "line": line}).to_string()
}

/// What the collector answers and says, and its verdict.
fn serve(options: &Options, lines: &[String]) -> (Vec<String>, String, Answer) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = run(options, input.as_bytes(), &mut out, &mut err).unwrap();
    let out = String::from_utf8(out).unwrap();
    let out = out.lines().map(str::to_owned).collect();
    (out, String::from_utf8(err).unwrap(), answer)
}

#[test]
fn each_message_is_confirmed_and_what_is_kept_is_verified() {
    let directory = TempDir::new().unwrap();
    let lines = log(&directory.path().join("machine"));
    let messages: Vec<String> = lines.iter().chain(&lines).map(|line| message(line)).collect();
    let (answers, said, verdict) = serve(&options(&directory), &messages);
    assert_eq!(answers, vec!["OK"; messages.len() + 1]);
    assert_eq!(verdict, Answer::Yes);
    assert_eq!(
        said,
        "bennuctl: 4 messages kept, 4 came again, 0 refused; 0 findings\n"
    );

    let keys = directory.path().join("keys");
    std::fs::write(&keys, format!("{}\n{}\n", "01".repeat(32), "02".repeat(32))).unwrap();
    let mut question = Question {
        paths: vec![directory.path().join("into/m/log-00000000")],
        keys: Some(keys),
        ..Question::default()
    };
    let verdict = check(&question).unwrap();
    let text = verdict.text();
    assert_eq!((verdict.answer(), verdict.by_key), (Answer::Yes, 4), "{text}");
    // What the power cut tore is on the machine alone.
    assert!(text.contains("7 bytes of it stayed there"), "{text}");

    // An edit is found there as well.
    let file = question.paths[0].join(bennu_records::collected_name(2));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("exec", "exit", 1)).unwrap();
    assert_eq!(check(&question).unwrap().answer(), Answer::No);
    // Files of two origins are no log.
    question.paths.push(directory.path().join("machine"));
    assert!(matches!(check(&question), Err(crate::log::LogError::Mixed(_))));
}

#[test]
fn in_a_transaction_messages_are_deferred_and_its_end_confirms_them() {
    let directory = TempDir::new().unwrap();
    let lines = log(&directory.path().join("machine"));
    let mark = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let messages = [
        mark(BEGIN),
        message(&lines[0]),
        message(&lines[1]),
        mark(COMMIT),
        message(&lines[2]),
    ];
    let with = Options {
        transactions: true,
        ..options(&directory)
    };
    let (answers, said, _) = serve(&with, &messages);
    assert_eq!(
        answers,
        ["OK", "OK", "DEFER_COMMIT", "DEFER_COMMIT", "OK", "OK"],
        "{said}"
    );
    // Without the option nobody's words defer anything.
    let (answers, said, verdict) = serve(&options(&directory), &messages);
    assert_eq!(answers, vec!["OK"; 6]);
    assert!(said.matches("RECORDS-INPUT").count() == 2, "{said}");
    assert_eq!(verdict, Answer::No);
}

#[test]
fn a_message_that_cannot_be_kept_is_not_confirmed_and_taken_when_it_comes_again() {
    let directory = TempDir::new().unwrap();
    let lines = log(&directory.path().join("machine"));
    let options = options(&directory);
    let into = options.into.join("m/log-00000000");
    serve(&options, &[message(&lines[0])]);
    // A folder in the place of the next file.
    let taken = into.join(bennu_records::collected_name(2)).join("x");
    std::fs::create_dir_all(&taken).unwrap();
    std::fs::remove_dir(&taken).unwrap();
    let found = serve(&options, &[message(&lines[1]), message(&lines[2])]);
    let (answers, said, _) = found;
    assert_eq!(answers[..1], ["OK"]);
    assert!(
        answers[1..].iter().any(|answer| answer.starts_with("cannot ")),
        "{answers:?} {said}"
    );
    std::fs::remove_dir(taken.parent().unwrap()).unwrap();
    let all: Vec<String> = lines.iter().map(|line| message(line)).collect();
    let (answers, _, verdict) = serve(&options, &all);
    assert_eq!((answers, verdict), (vec!["OK".to_owned(); 5], Answer::Yes));
    let kept = std::fs::read_to_string(into.join(bennu_records::collected_name(0))).unwrap()
        + &std::fs::read_to_string(into.join(bennu_records::collected_name(2))).unwrap();
    assert_eq!(kept.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_line_without_an_end_is_told_and_costs_no_memory_and_half_a_line_is_not_taken() {
    let directory = TempDir::new().unwrap();
    let lines = log(&directory.path().join("machine"));
    let long = "x".repeat(3 * MAX_INPUT_BYTES);
    let (answers, said, verdict) = serve(&options(&directory), &[long, message(&lines[0])]);
    assert_eq!((answers.len(), verdict), (3, Answer::No));
    assert!(
        said.contains("RECORDS-INPUT: expected at most 131072 bytes"),
        "{said}"
    );
    assert!(said.contains("1 messages kept"), "{said}");

    let (mut out, mut err) = (Vec::new(), Vec::new());
    let half = message(&lines[1]);
    run(&options(&directory), half.as_bytes(), &mut out, &mut err).unwrap();
    assert_eq!(out, b"OK\n", "no confirmation");
    assert!(String::from_utf8(err).unwrap().contains(" 0 messages kept"));
}

#[test]
fn findings_are_told_as_json_where_that_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let lines = log(&directory.path().join("machine"));
    let json = Options {
        json: true,
        ..options(&directory)
    };
    let forged = lines[1].replace("exec", "exit\\u001b");
    let messages = [message(&lines[0]), message(&lines[1]), message(&forged)];
    let (_, said, verdict) = serve(&json, &messages);
    assert_eq!(verdict, Answer::No);
    let said: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (said[0]["code"].as_str(), said[0]["number"].as_u64()),
        (Some("RECORDS-CONFLICT"), Some(1))
    );
    assert_eq!(
        (said[1]["refused"].as_u64(), said[1]["new"].as_u64()),
        (Some(1), Some(2))
    );
}
