//! `bennuctl log collect`: keeps the records that machines send to a syslog server, each once
//! (`docs/howto/send-records.md`).
//!
//! Runs on the log server, started by rsyslog's `omprog`, whose words it speaks: one line in is one message, one line out
//! is the answer. `OK`: the message is on the medium. `DEFER_COMMIT`: it will be when the transaction is confirmed, and
//! outlives this process already. Anything else: it is not kept, and rsyslog sends it again. Findings go to stderr.

use crate::status::Answer;
use bennu_alert::collect::{CollectError, Collector, Counts, MAX_INPUT_BYTES, Sent, Told};
use serde::Serialize;
use std::io::{self, BufRead, Read as _, Write};
use std::path::PathBuf;

/// rsyslog's marks (`beginTransactionMark`, `commitTransactionMark`), by default.
const BEGIN: &[u8] = b"BEGIN TRANSACTION";
const COMMIT: &[u8] = b"COMMIT TRANSACTION";

/// What the images of these machines send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sending {
    /// Every line: a number that is missing is told
    Everything,
    /// Some lines: numbers are missing by design
    Alerts,
}

/// The command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory that the logs are kept in: a folder for each machine
    #[arg(long, value_name = "DIRECTORY")]
    pub into: PathBuf,
    /// What the machines send, as `[alerts] send` in their image.toml
    #[arg(long, value_enum, default_value = "everything")]
    pub sent: Sending,
    /// Most machines; messages of one more are told of and not kept
    #[arg(long, value_name = "NUMBER", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub machines: u32,
    /// Confirm many messages with one flush, as omprog asks for with useTransactions="on"
    #[arg(long)]
    pub transactions: bool,
    /// Findings as JSON, a line each
    #[arg(long)]
    pub json: bool,
}

/// Why the collector ends before its input does.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The directory.
    #[error("{0}")]
    Collect(#[from] CollectError),
    /// The syslog server.
    #[error("standard input and output: {0}; expected rsyslog at their other end")]
    Server(#[from] io::Error),
}

#[derive(Serialize)]
struct Summary {
    schema: u32,
    #[serde(flatten)]
    counts: Counts,
    findings: u64,
}

/// Takes messages until there are no more.
///
/// # Errors
/// See [`CollectorError`]. A message that cannot be kept is answered, and is no error here unless it is the last.
pub fn run(
    options: &Options,
    mut input: impl BufRead,
    out: impl Write,
    err: impl Write,
) -> Result<Answer, CollectorError> {
    let sent = match options.sent {
        Sending::Everything => Sent::Everything,
        Sending::Alerts => Sent::Alerts,
    };
    let most = usize::try_from(options.machines).unwrap_or(usize::MAX);
    let mut serving = Serving {
        collector: Collector::open(&options.into, most, sent)?,
        transactions: options.transactions,
        within: false,
        findings: Findings {
            err,
            json: options.json,
            count: 0,
            refused: false,
        },
        out,
    };
    // omprog sends nothing before it.
    serving.answer("OK")?;
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut input, &mut line)? {
        serving.line(if whole { &line } else { TOO_LONG })?;
    }
    serving.collector.commit()?;
    Ok(serving.findings.end(serving.collector.counts()))
}

/// In the place of a line that was not read to its end: as long as none may be, and no JSON.
const TOO_LONG: &[u8] = &[0; MAX_INPUT_BYTES + 1];

/// Reads a line without its line feed; whether it is whole. None at the end: what stands behind the last line feed was cut
/// off, and comes again.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    input
        .by_ref()
        .take(MAX_INPUT_BYTES as u64 + 1)
        .read_until(b'\n', line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Some(true));
    }
    if line.len() <= MAX_INPUT_BYTES {
        return Ok(None);
    }
    Ok((input.skip_until(b'\n')? > 0).then_some(false))
}

struct Serving<O, E> {
    collector: Collector,
    transactions: bool,
    /// Between the two marks.
    within: bool,
    findings: Findings<E>,
    out: O,
}

impl<O: Write, E: Write> Serving<O, E> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.transactions && line == BEGIN {
            self.within = true;
            return self.answer("OK");
        }
        let done = if self.transactions && line == COMMIT {
            self.within = false;
            self.collector.commit()
        } else {
            self.message(line)
        };
        match done {
            Ok(()) if self.within => self.answer("DEFER_COMMIT"),
            Ok(()) => self.answer("OK"),
            Err(error) => {
                self.findings.failed(&error);
                self.answer(&one_line(&error.to_string()))
            }
        }
    }

    fn message(&mut self, line: &[u8]) -> Result<(), CollectError> {
        let mut told = Vec::new();
        let taken = self.collector.take(line, &mut told);
        self.findings.tell(&told);
        taken?;
        if self.within {
            Ok(())
        } else {
            self.collector.commit()
        }
    }

    fn answer(&mut self, words: &str) -> io::Result<()> {
        writeln!(self.out, "{words}")?;
        self.out.flush()
    }
}

fn one_line(words: &str) -> String {
    words.replace(char::is_control, " ")
}

struct Findings<E> {
    err: E,
    json: bool,
    count: u64,
    refused: bool,
}

impl<E: Write> Findings<E> {
    fn tell(&mut self, told: &[Told]) {
        for told in told {
            self.count += 1;
            self.refused |= told.refuses();
            let words = if self.json {
                serde_json::to_string(told).unwrap_or_else(|_| told.to_string())
            } else {
                one_line(&format!("bennuctl: {told}"))
            };
            self.say(&words);
        }
    }

    fn failed(&mut self, error: &CollectError) {
        self.say(&one_line(&format!("bennuctl: {error}; it must come again")));
    }

    fn end(&mut self, counts: Counts) -> Answer {
        let Counts {
            new,
            repeats,
            refused,
        } = counts;
        let findings = self.count;
        let words = if self.json {
            let summary = Summary {
                schema: 1,
                counts,
                findings,
            };
            serde_json::to_string(&summary).unwrap_or_default()
        } else {
            format!(
                "bennuctl: {new} messages kept, {repeats} came again, {refused} refused; {findings} findings"
            )
        };
        self.say(&words);
        if self.refused { Answer::No } else { Answer::Yes }
    }

    /// The logs are kept whether or not anybody listens.
    fn say(&mut self, words: &str) {
        let _lost = writeln!(self.err, "{words}");
    }
}

#[cfg(test)]
mod tests;
