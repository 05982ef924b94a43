//! The signals that count: bounded for each kind, so that no flood of one hides another, and kept in
//! `/run/bennu/drift-signals.json`, so that killing `bennud` makes it forget nothing.
//!
//! Written and read by `bennud`. A file that cannot be read is told and begun anew: the ends of `bennud` are a signal of
//! their own. Root can remove the file; what was told before stands in the record log.

use super::Known;
use crate::documents;
use crate::watch::Sighting;
use bennu_formats::decode::Document;
use bennu_policy::drift::{Seen, Signal, Weight};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Sightings of one signal that are told apart, at most. What is beyond keeps the newest of them alive and is counted.
pub const MOST_OF_ONE: usize = 32;

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The first of its kind and words: to be told and answered.
    New,
    /// It lasts, or came again.
    Again,
    /// One of too many of its signal: counted only.
    Beyond,
}

/// Adds a sighting to `known`.
pub fn take(known: &mut Vec<Known>, sighting: Sighting, now_ms: u64) -> Taken {
    if let Some(same) = known.iter_mut().find(|known| known.sighting == sighting) {
        same.seen.at_ms = now_ms;
        return Taken::Again;
    }
    let signal = sighting.signal;
    let alike = known.iter().filter(|known| known.seen.signal == signal);
    if alike.count() >= MOST_OF_ONE {
        let newest = known.iter_mut().rev().find(|known| known.seen.signal == signal);
        if let Some(newest) = newest {
            newest.seen.at_ms = now_ms;
        }
        return Taken::Beyond;
    }
    known.push(Known {
        seen: Seen {
            signal,
            at_ms: now_ms,
            answered: false,
        },
        first_ms: now_ms,
        sighting,
    });
    Taken::New
}

/// Strong ones first, for a list that is cut.
pub fn strong_first(known: &[Known]) -> Vec<&Known> {
    let mut sorted: Vec<&Known> = known.iter().collect();
    sorted.sort_by_key(|known| known.seen.signal.row().weight != Weight::Strong);
    sorted
}

/// One signal in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    signal: String,
    detail: String,
    #[serde(default)]
    program: Option<String>,
    first_ms: u64,
    at_ms: u64,
    answered: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    known: Vec<Line>,
}

impl Document for File {
    const NAME: &'static str = "signals of this start";
    const SCHEMA: u32 = 1;
    /// Each of all signals as often as it is kept, with 240 characters and a path.
    const MAX_BYTES: usize = 4 << 20;
}

/// What an earlier `bennud` of this start knew; nothing where there was none.
///
/// # Errors
/// A file that is there and cannot be used, in words.
pub fn load(path: &Path) -> Result<Vec<Known>, String> {
    let file = documents::read_if_there::<File>(path).map_err(|error| error.to_string())?;
    let mut known = Vec::new();
    for line in file.into_iter().flat_map(|file| file.known) {
        // A name of another version's.
        let Some(signal) = Signal::ALL.iter().find(|signal| signal.row().name == line.signal) else {
            continue;
        };
        let mut sighting = Sighting::new(*signal, line.detail);
        sighting.program = line.program;
        if take(&mut known, sighting, line.at_ms) == Taken::New
            && let Some(last) = known.last_mut()
        {
            last.first_ms = line.first_ms;
            last.seen.answered = line.answered;
        }
    }
    Ok(known)
}

/// Keeps what is known.
///
/// # Errors
/// The file cannot be written, in words.
pub fn save(path: &Path, known: &[Known]) -> Result<(), String> {
    let line = |known: &Known| Line {
        signal: known.seen.signal.row().name.to_owned(),
        detail: known.sighting.detail.clone(),
        program: known.sighting.program.clone(),
        first_ms: known.first_ms,
        at_ms: known.seen.at_ms,
        answered: known.seen.answered,
    };
    let file = File {
        schema: File::SCHEMA,
        known: known.iter().map(line).collect(),
    };
    documents::write(path, &file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_signal_hides_no_other_and_goes_on_counting() {
        let mut known = Vec::new();
        for n in 0..1000 {
            let taken = take(&mut known, Sighting::new(Signal::GateDenial, format!("{n}")), n);
            let expected = if n < MOST_OF_ONE as u64 {
                Taken::New
            } else {
                Taken::Beyond
            };
            assert_eq!(taken, expected, "{n}");
        }
        let strong = Sighting::new(Signal::GateTampering, "the disk");
        assert_eq!(take(&mut known, strong.clone(), 1000), Taken::New);
        assert_eq!(take(&mut known, strong, 1001), Taken::Again);
        assert_eq!(known.len(), MOST_OF_ONE + 1);
        assert_eq!(
            known[MOST_OF_ONE - 1].seen.at_ms,
            999,
            "the newest goes on counting"
        );
        assert_eq!(strong_first(&known)[0].seen.signal, Signal::GateTampering);
    }

    #[test]
    fn an_agent_that_was_killed_knows_what_was_seen_and_answered_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signals");
        assert!(load(&path).unwrap().is_empty());
        let mut known = Vec::new();
        take(&mut known, Sighting::new(Signal::GateTampering, "one"), 5);
        take(&mut known, Sighting::new(Signal::PcrChanged, "two"), 6);
        known[0].seen.answered = true;
        known[1].sighting.program = Some("/tmp/x".into());
        known[1].seen.at_ms = 9;
        save(&path, &known).unwrap();
        let again = load(&path).unwrap();
        assert_eq!(again.len(), 2);
        for (found, expected) in again.iter().zip(&known) {
            assert_eq!(found.seen, expected.seen);
            assert_eq!(found.first_ms, expected.first_ms);
            assert_eq!(found.sighting, expected.sighting);
        }
        std::fs::write(&path, "{").unwrap();
        assert!(load(&path).is_err());
    }
}
