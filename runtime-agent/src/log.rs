//! `bennuctl log verify`: whether a record log is as it was written (`docs/spec/records.md`).
//!
//! Reads the files named, and the first keys of segments, 64 hex digits a line; writes nothing. The log is untrusted
//! input: what is shown of it is made printable. On failure the error names the file.

use crate::status::Answer;
use bennu_records::{
    InitialKey, KeyRing, LogFile, MAX_FILE_BYTES, MAX_LINE_BYTES, Proof, Report, file_number, verify,
};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Most bytes of a file of keys: some thousand starts.
const MAX_KEY_BYTES: u64 = 1 << 20;
/// Most files of a log.
const MAX_FILES: usize = 4096;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or directory.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More bytes than are read.
    #[error("{path}: expected at most {limit} bytes, found more")]
    TooLong {
        /// Which.
        path: PathBuf,
        /// Limit.
        limit: u64,
    },
    /// A name without a number.
    #[error("{0}: expected a name as records-00000000000000000000.jsonl, by which the order is known")]
    Name(PathBuf),
    /// Two files with one number, so of two logs.
    #[error("{0}: expected the files of one log, found two with this name")]
    Twice(PathBuf),
    /// More files than a log has.
    #[error("expected at most {MAX_FILES} files, found more")]
    TooMany,
    /// A line that is no key.
    #[error("{path}, line {line}: expected the first key of a segment, 64 lower-case hex digits")]
    Key {
        /// File of keys.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
}

/// What to check, as the command line has it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Question {
    /// Files of one log, or its directory
    #[arg(required = true, value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// First keys of its segments, 64 hex digits a line
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// A line of the log that was kept elsewhere and must be in it
    #[arg(long, value_name = "FILE")]
    pub kept: Option<PathBuf>,
}

/// The report, in words and as JSON.
#[derive(Debug, Serialize)]
pub struct Verdict {
    schema: u32,
    verdict: &'static str,
    lines: u64,
    by_key: u64,
    last_seq: Option<u64>,
    chain: Option<String>,
    findings: Vec<Place>,
    more_findings: u64,
}

#[derive(Debug, Serialize)]
struct Place {
    file: String,
    line: u64,
    refused: bool,
    text: String,
}

/// Checks a log.
///
/// # Errors
/// [`LogError`]: no verdict.
pub fn check(question: &Question) -> Result<Verdict, LogError> {
    let files = files(&question.paths)?;
    let mut proof = Proof::default();
    if let Some(path) = &question.keys {
        proof.keys = keys(path)?;
    }
    if let Some(path) = &question.kept {
        proof.kept = Some(read(path, MAX_LINE_BYTES as u64 + 1)?);
    }
    Ok(Verdict::of(verify(&files, &proof)))
}

impl Verdict {
    fn of(report: Report) -> Self {
        let place = |finding: bennu_records::Finding| Place {
            file: finding.file,
            line: finding.line,
            refused: finding.fault.refuses(),
            text: printable(&finding.fault.to_string()),
        };
        Self {
            schema: 1,
            verdict: if report.refused { "refused" } else { "good" },
            lines: report.lines,
            by_key: report.by_key,
            last_seq: report.end.map(|(seq, _)| seq),
            chain: report.end.map(|(_, chain)| chain.to_string()),
            findings: report.findings.into_iter().map(place).collect(),
            more_findings: report.more_findings,
        }
    }

    /// Exit status.
    pub fn answer(&self) -> Answer {
        if self.verdict == "good" {
            Answer::Yes
        } else {
            Answer::No
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for Place {
            file,
            line,
            refused,
            text,
        } in &self.findings
        {
            let word = if *refused { "REFUSED" } else { "note" };
            let place = if file.is_empty() {
                "log".to_owned()
            } else {
                format!("{}:{line}", printable(file))
            };
            // Writing to a string does not fail.
            let _infallible = writeln!(out, "{place}: {word}: {text}");
        }
        if self.more_findings > 0 {
            let _infallible = writeln!(out, "and {} more", self.more_findings);
        }
        let word = if self.verdict == "good" { "good" } else { "REFUSED" };
        let last = self
            .last_seq
            .map_or_else(|| "none".to_owned(), |seq| seq.to_string());
        let _infallible = writeln!(
            out,
            "{word}: {} lines, {} proven by their own keys; last number {last}",
            self.lines, self.by_key
        );
        out
    }
}

fn files(paths: &[PathBuf]) -> Result<Vec<LogFile>, LogError> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let failed = |source| LogError::Read {
                path: path.clone(),
                source,
            };
            for entry in std::fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if number(&entry.path()).is_some() {
                    all.push(entry.path());
                }
            }
        } else {
            all.push(path.clone());
        }
    }
    if all.len() > MAX_FILES {
        return Err(LogError::TooMany);
    }
    all.sort();
    let mut files: Vec<LogFile> = Vec::with_capacity(all.len());
    for path in all {
        let number = number(&path).ok_or_else(|| LogError::Name(path.clone()))?;
        if files.iter().any(|file| file.number == number) {
            return Err(LogError::Twice(path));
        }
        files.push(LogFile {
            name: path.display().to_string(),
            number,
            bytes: read(&path, MAX_FILE_BYTES)?,
        });
    }
    Ok(files)
}

fn number(path: &Path) -> Option<u64> {
    file_number(path.file_name()?.to_str()?)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|source| LogError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > limit {
        return Err(LogError::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// The keys in a file, one a line; empty lines are passed over.
fn keys(path: &Path) -> Result<KeyRing, LogError> {
    let bytes = zeroize::Zeroizing::new(read(path, MAX_KEY_BYTES)?);
    let mut keys = KeyRing::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let digits = line.trim_ascii();
        if digits.is_empty() {
            continue;
        }
        let key = key(digits).ok_or_else(|| LogError::Key {
            path: path.to_owned(),
            line: at + 1,
        })?;
        keys.add(key);
    }
    Ok(keys)
}

fn key(digits: &[u8]) -> Option<InitialKey> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut key = zeroize::Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(InitialKey::new(*key))
}

/// Text out of a log, safe to print.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_records::{Directory, Durability, Limits, Stamp, Writer};
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
            kept: None,
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
        let expected = "good: 8 lines, 8 proven by their own keys; last number 7\n";
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
}
