//! `bennuctl log verify` and `log show`: whether a record log is as it was written (`docs/spec/records.md`).
//!
//! With `--trace` also whether the trace is what the log sealed. Reads the files named, and the first keys of segments, 64
//! hex digits a line; writes nothing. The log is untrusted input: what is shown of it is made printable. On failure the
//! error names the file.

pub mod collect;
mod files;
pub mod show;
mod trace;

use crate::records::{HeadKey, QuoteError, TpmSigner};
use crate::status::Answer;
use bennu_records::{HeadVerifier, LogFile, MAX_LINE_BYTES, Proof, Report, verify};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use trace::{Sealed, Traced};

/// Most bytes of a file with an attestation key.
const MAX_SIGNER_BYTES: u64 = 256;
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
    #[error(
        "{0}: expected a name as records-00000000000000000000.jsonl, or collected-… of a collector, by which the order is known"
    )]
    Name(PathBuf),
    /// Files of a machine and of a collector.
    #[error("{0}: expected files of one origin, found records-… of a machine and collected-… of a collector")]
    Mixed(PathBuf),
    /// Two files with one number, so of two logs.
    #[error("{0}: expected the files of one log, found two with this name")]
    Twice(PathBuf),
    /// More files than a log has.
    #[error("expected at most {MAX_FILES} files, found more")]
    TooMany,
    /// The TPM does not give its key.
    #[error(transparent)]
    Tpm(#[from] QuoteError),
    /// A file that is no attestation key.
    #[error("{0}: expected an attestation key, 130 hex digits")]
    Signer(PathBuf),
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
    /// Believe heads that this machine's TPM signed (needs root)
    #[arg(long, conflicts_with = "signer")]
    pub tpm: bool,
    /// Believe heads by the attestation key in this file, 130 hex digits (`bennuctl certificates --json` shows it)
    #[arg(long, value_name = "FILE")]
    pub signer: Option<PathBuf>,
    /// Check the trace in this directory as well, against the seals in the log: /var/log/bennu
    #[arg(long, value_name = "DIRECTORY")]
    pub trace: Option<PathBuf>,
}

/// The report, in words and as JSON.
#[derive(Debug, Serialize)]
pub struct Verdict {
    schema: u32,
    verdict: &'static str,
    lines: u64,
    by_key: u64,
    by_head: u64,
    last_seq: Option<u64>,
    chain: Option<String>,
    findings: Vec<Place>,
    more_findings: u64,
    /// Files of the trace, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<Traced>>,
}

#[derive(Debug, Serialize)]
struct Place {
    file: String,
    /// From 1; 0 for the whole file.
    line: u64,
    refused: bool,
    text: String,
}

/// Checks a log.
///
/// # Errors
/// [`LogError`]: no verdict.
pub fn check(question: &Question) -> Result<Verdict, LogError> {
    Ok(examine(question)?.1)
}

/// The files of a log, what is found in them, and the lines that are refused.
fn examine(question: &Question) -> Result<(Vec<LogFile>, Verdict, Refused), LogError> {
    let (files, origin) = files::files(&question.paths)?;
    let mut proof = Proof {
        origin,
        ..Proof::default()
    };
    if let Some(path) = &question.keys {
        proof.keys = files::keys(path)?;
    }
    if let Some(path) = &question.kept {
        proof.kept = Some(files::read(path, MAX_LINE_BYTES as u64 + 1)?);
    }
    let signer = match (question.tpm, &question.signer) {
        (false, None) => None,
        (_, path) => Some(head_key(path.as_deref())?),
    };
    proof.signer = signer.as_ref().map(|key| key as &dyn HeadVerifier);
    let report = verify(&files, &proof);
    let refused = report
        .findings
        .iter()
        .filter(|finding| finding.fault.refuses())
        .map(|finding| (finding.file.clone(), finding.line))
        .collect();
    let trace = question.trace.as_deref();
    let trace = trace
        .map(|folder| Sealed::of(&files, &refused).check(folder))
        .transpose()?;
    let verdict = Verdict::of(report).with(trace);
    Ok((files, verdict, refused))
}

/// File and number of each line that the check of the log refuses.
type Refused = BTreeSet<(String, u64)>;

/// The lines of a file with their numbers, from 1. What stands behind the last line feed is torn, and its line says so.
fn lines(file: &LogFile) -> impl Iterator<Item = (u64, &[u8])> {
    let whole = file
        .bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    (1..).zip(whole)
}

/// The attestation key in a file; without one, this machine's.
///
/// # Errors
/// [`LogError::Read`], [`LogError::TooLong`], [`LogError::Signer`], [`LogError::Tpm`].
pub fn head_key(path: Option<&Path>) -> Result<HeadKey, LogError> {
    let Some(path) = path else {
        return Ok(TpmSigner::open()?.key());
    };
    let bytes = files::read(path, MAX_SIGNER_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    HeadKey::from_hex(&text).ok_or_else(|| LogError::Signer(path.to_owned()))
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
            by_head: report.by_head,
            last_seq: report.end.map(|(seq, _)| seq),
            chain: report.end.map(|(_, chain)| chain.to_string()),
            findings: report.findings.into_iter().map(place).collect(),
            more_findings: report.more_findings,
            trace: None,
        }
    }

    /// With what was found of the trace.
    fn with(mut self, trace: Option<(Vec<Traced>, Vec<Place>)>) -> Self {
        let Some((traced, places)) = trace else {
            return self;
        };
        if places.iter().any(|place| place.refused) {
            self.verdict = "refused";
        }
        self.findings.extend(places);
        self.trace = Some(traced);
        self
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
            let place = match (file.as_str(), line) {
                ("", _) => "log".to_owned(),
                (file, 0) => printable(file),
                (file, line) => format!("{}:{line}", printable(file)),
            };
            // Writing to a string does not fail.
            let _infallible = writeln!(out, "{place}: {word}: {text}");
        }
        if self.more_findings > 0 {
            let _infallible = writeln!(out, "and {} more", self.more_findings);
        }
        for traced in self.trace.iter().flatten() {
            let _infallible = writeln!(out, "{}", traced.text());
        }
        let word = if self.verdict == "good" { "good" } else { "REFUSED" };
        let last = self
            .last_seq
            .map_or_else(|| "none".to_owned(), |seq| seq.to_string());
        let _infallible = writeln!(
            out,
            "{word}: {} lines, {} proven by their own keys, {} by signed heads; last number {last}",
            self.lines, self.by_key, self.by_head
        );
        out
    }
}

/// Text out of a log, safe to print.
pub(crate) fn printable(text: &str) -> String {
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
mod tests;
