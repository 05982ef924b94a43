//! Runs stories, a few machines at a time, and says what became of each.
//!
//! One line a story; for a failure its reason, the last serial lines and the folder of its artefacts; the last
//! line is `N passed, M failed`. A story is started again, once, if the *machine* failed
//! ([`crate::trouble::MachineTrouble`]), never if the product did not do what the story wants.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::json;

use crate::artefacts::{Artefacts, write_atomically};
use crate::journal::Journal;
use crate::options::Options;
use crate::results::{InputDigest, Pass, Results};
use crate::serial::as_ms;
use crate::story::{Context, Story};
use crate::trouble::{classify, is_trouble};

/// Serial lines shown for a failure.
const SHOWN_LINES: usize = 40;
/// The first try and one more.
const ATTEMPTS: u32 = 2;

/// How many stories passed, reused passes included, and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed now or before with the same key.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
}

/// A set of stories with what they depend on.
#[derive(Debug)]
pub struct Runner<'a> {
    /// All known stories.
    pub stories: &'a [Story],
    /// Product binaries and images; folders stand for all below them.
    pub inputs: Vec<PathBuf>,
    /// Where artefacts and kept passes lie.
    pub artefacts: Artefacts,
    /// Which run of the stories this is, from 1. The passes of each round are kept by themselves, so that an
    /// interrupted second round is resumed and never takes a result of the first.
    pub round: u32,
}

/// `main` of a scenario program: arguments and environment in, report on standard output, exit status 0 if all
/// selected stories passed, 1 if one failed, 2 if they could not be run.
#[must_use]
pub fn main(stories: &[Story], inputs: Vec<PathBuf>) -> ExitCode {
    let options = Options::parse(std::env::args().skip(1), std::env::var("BENNU_VM_JOBS").ok());
    let runner = Runner {
        stories,
        inputs,
        artefacts: Artefacts::in_target(),
        round: 1,
    };
    let tally = options
        .map_err(anyhow::Error::from)
        .and_then(|options| runner.run(&options, &mut std::io::stdout()));
    match tally {
        Ok(Tally { failed: 0, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// What the story threads share.
struct Run<'r> {
    queue: Vec<(&'r Story, String)>,
    next: AtomicUsize,
    results: Mutex<Results>,
    out: Mutex<&'r mut (dyn Write + Send)>,
    artefacts: &'r Artefacts,
    round: u32,
}

/// What became of one story.
struct Outcome {
    failure: Option<anyhow::Error>,
    attempts: u32,
    duration: Duration,
    journal: Journal,
}

impl Runner<'_> {
    /// Runs the selected stories and reports on `out`.
    ///
    /// # Errors
    /// No story is selected, an input is missing, two stories share a name, or the report cannot be written.
    pub fn run(&self, options: &Options, out: &mut (dyn Write + Send)) -> anyhow::Result<Tally> {
        self.check_names()?;
        let selected: Vec<&Story> = self
            .stories
            .iter()
            .filter(|story| options.selects(story))
            .collect();
        ensure!(
            !selected.is_empty(),
            "select stories: none of {} matches",
            self.stories.len()
        );
        if options.list {
            for story in selected {
                writeln!(out, "{}", story.name)?;
            }
            return Ok(Tally::default());
        }
        let results = Results::load(&self.artefacts.root().join("results.json"))?;
        if let Some(damaged) = &results.damaged {
            writeln!(out, "{damaged}")?;
        }
        let inputs = InputDigest::of(&self.inputs)?;
        let mut tally = Tally::default();
        let mut queue = Vec::new();
        for story in selected {
            let key = inputs.key(story.name, &source_path(story))?;
            match results
                .find(&kept_as(story, self.round), &key)
                .filter(|_| !options.fresh)
            {
                Some(pass) => {
                    tally.passed += 1;
                    writeln!(
                        out,
                        "reused  {}  passed in {}",
                        story.name,
                        seconds(pass.duration_ms)
                    )?;
                }
                None => queue.push((story, key)),
            }
        }
        let results = Mutex::new(results);
        let run = Run {
            queue,
            next: AtomicUsize::new(0),
            results,
            out: Mutex::new(out),
            artefacts: &self.artefacts,
            round: self.round,
        };
        let done = run.all(options.jobs)?;
        tally = Tally {
            passed: tally.passed + done.passed,
            failed: done.failed,
        };
        let out = run.out.into_inner().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "{} passed, {} failed", tally.passed, tally.failed)?;
        Ok(tally)
    }

    fn check_names(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        for Story { name, .. } in self.stories {
            let legal =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            ensure!(
                !name.is_empty() && name.bytes().all(legal),
                "name story {name:?}: use a-z 0-9 - _ only"
            );
            ensure!(
                names.insert(name),
                "name story {name:?}: another story has this name"
            );
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Works the queue off with `jobs` threads. Each machine stays on the thread that started it.
    fn all(&self, jobs: usize) -> anyhow::Result<Tally> {
        let workers = jobs.min(self.queue.len());
        let tallies = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| self.worker())).collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|_| Err(anyhow!("a runner thread panicked")))
                })
                .collect::<anyhow::Result<Vec<Tally>>>()
        })?;
        Ok(tallies.into_iter().fold(Tally::default(), |sum, tally| Tally {
            passed: sum.passed + tally.passed,
            failed: sum.failed + tally.failed,
        }))
    }

    fn worker(&self) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        while let Some((story, key)) = self.queue.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = self.story(story)?;
            let duration_ms = as_ms(outcome.duration);
            let pass = outcome.failure.is_none().then(|| Pass {
                key: key.clone(),
                duration_ms,
            });
            self.results
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(&kept_as(story, self.round), pass)?;
            match &outcome.failure {
                None => tally.passed += 1,
                Some(_) => tally.failed += 1,
            }
            self.print(&self.report(story, &outcome))?;
        }
        Ok(tally)
    }

    /// Runs one story; once more if the machine failed.
    fn story(&self, story: &Story) -> anyhow::Result<Outcome> {
        let mut folder = self.artefacts.start_story(story.name)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut context = Context::new(folder.clone());
            let started = Instant::now();
            let failure = attempt(story, &mut context)
                .err()
                .map(|error| classify(error, context.journal()));
            let duration = started.elapsed();
            if failure.is_none() {
                context.delete_disks()?;
            }
            write_summary(&folder, story, &context, failure.as_ref(), attempts, duration)?;
            match failure {
                Some(error) if attempts < ATTEMPTS && is_trouble(&error) => {
                    let took = seconds(as_ms(duration));
                    self.print(&format!("retry   {}  {took}: {error:#}\n", story.name))?;
                    context.delete_disks()?;
                    folder = self.artefacts.set_aside(story.name)?;
                }
                failure => {
                    return Ok(Outcome {
                        failure,
                        attempts,
                        duration,
                        journal: context.journal().clone(),
                    });
                }
            }
        }
    }

    fn report(&self, story: &Story, outcome: &Outcome) -> String {
        let took = seconds(as_ms(outcome.duration));
        let again = if outcome.attempts > 1 {
            ", second attempt"
        } else {
            ""
        };
        let Some(error) = &outcome.failure else {
            return format!("passed  {}  {took}{again}\n", story.name);
        };
        let mut text = format!("FAILED  {}  {took}{again}\n    reason: {error:#}\n", story.name);
        let lines = outcome.journal.tail(SHOWN_LINES);
        text.push_str(&format!(
            "    last {} serial lines (ms since power-on):\n",
            lines.len()
        ));
        for line in lines {
            text.push_str(&format!("    {:>8} {}\n", line.ms, line.text));
        }
        text.push_str(&format!(
            "    artefacts: {}\n",
            self.artefacts.story(story.name).display()
        ));
        text
    }

    fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("write the report")
    }
}

/// The name under which a round keeps the story's pass.
fn kept_as(story: &Story, round: u32) -> String {
    match round {
        1 => story.name.to_owned(),
        _ => format!("{} (round {round})", story.name),
    }
}

/// Runs the story's function; a panic is a failure like another.
fn attempt(story: &Story, context: &mut Context) -> anyhow::Result<()> {
    match catch_unwind(AssertUnwindSafe(|| (story.run)(context))) {
        Ok(result) => result,
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            bail!(
                "the story panicked: {}",
                text.or(payload.downcast_ref::<&str>().copied())
                    .unwrap_or("no text")
            )
        }
    }
}

fn write_summary(
    folder: &Path,
    story: &Story,
    context: &Context,
    failure: Option<&anyhow::Error>,
    attempts: u32,
    duration: Duration,
) -> anyhow::Result<()> {
    let parts: Vec<_> = context
        .timings()
        .iter()
        .map(|(part, ms)| json!({ "part": part, "ms": ms }))
        .collect();
    let summary = json!({
        "story": story.name,
        "tier": story.tier,
        "outcome": if failure.is_none() { "passed" } else { "failed" },
        "reason": failure.map(|error| format!("{error:#}")),
        "machine_trouble": failure.is_some_and(is_trouble),
        "attempt": attempts,
        "duration_ms": as_ms(duration),
        "parts": parts,
        "power_ons": context.journal().summaries(),
    });
    // The story may have taken its own folder away; its failure is worth more than a second error.
    fs::create_dir_all(folder).with_context(|| format!("make artefact folder {}", folder.display()))?;
    write_atomically(
        &folder.join("summary.json"),
        &serde_json::to_vec_pretty(&summary)?,
    )
}

/// `file!()` is relative to the workspace's root, unless cargo was told otherwise.
fn source_path(story: &Story) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(story.source)
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
