//! What `bennud` must not forget when it is started again in the same boot: what was seen, what was done about it, and what
//! of that is in force.
//!
//! Written and read by `bennud` (`/run/bennu/drift-memory.json`); read by `bennuctl status`. Root can write it. One that
//! cannot be read is told and counts as none: budgets that begin anew cost a restart at worst, and budgets that are spent
//! would keep the secrets open. What is in force then stays in force until the machine restarts.

use super::Known;
use crate::documents::{self, DocumentError};
use crate::watch::Sighting;
use bennu_formats::decode::Document;
use bennu_formats::paths;
use bennu_policy::drift::{Action, ActionSet, Seen, Signal, Spent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// More often than any budget; what is read counts no further.
const MANY: u32 = 1000;

/// A sighting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    signal: String,
    detail: String,
    program: Option<String>,
    cgroup: Option<u64>,
    unit: Option<String>,
    at_ms: u64,
    first_ms: u64,
    answered: bool,
}

/// By the stable names of actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// Schema number; 1.
    schema: u32,
    /// How often each was taken.
    spent: BTreeMap<String, u32>,
    /// Lasting ones that hold.
    in_force: BTreeSet<String>,
    /// Control groups that were frozen and go on when that ends.
    frozen: BTreeSet<String>,
    /// What was seen and may count.
    seen: Vec<Kept>,
}

impl Document for Contents {
    const NAME: &'static str = "memory of what was done about drift";
    const SCHEMA: u32 = 1;
    // Of each signal at most 32 sightings, with words of 240 characters and a path each.
    const MAX_BYTES: usize = 2 << 20;
}

/// The file, as it was read and is written.
#[derive(Debug, Clone)]
pub struct Memory {
    path: PathBuf,
    contents: Contents,
    /// Why it begins anew although there was one.
    trouble: Option<String>,
}

/// Names of the actions that are in force, for people; what cannot be told is an error.
///
/// # Errors
/// The file is there and cannot be read.
pub fn in_force(path: &Path) -> Result<Vec<String>, DocumentError> {
    let contents: Option<Contents> = documents::read_if_there(path)?;
    Ok(contents.map_or_else(Vec::new, |contents| contents.in_force.into_iter().collect()))
}

impl Memory {
    /// Of this boot.
    pub fn load() -> Self {
        Self::load_from(Path::new(paths::RUN_DRIFT_MEMORY))
    }

    fn load_from(path: &Path) -> Self {
        let fresh = Contents {
            schema: Contents::SCHEMA,
            ..Contents::default()
        };
        let (contents, trouble) = match documents::read_if_there(path) {
            Ok(found) => (found.unwrap_or(fresh), None),
            Err(error) => (fresh, Some(error.to_string())),
        };
        Self {
            path: path.to_owned(),
            contents,
            trouble,
        }
    }

    /// Why it begins anew although there was one; told once.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Counts an action, and writes that down before it is taken.
    ///
    /// # Errors
    /// The file cannot be written; in words.
    pub fn count(&mut self, action: Action) -> Result<(), String> {
        let times = self.contents.spent.entry(action.name().to_owned()).or_default();
        *times = times.saturating_add(1);
        if action.lasts() {
            self.contents.in_force.insert(action.name().to_owned());
        }
        self.save()
    }

    /// A lasting action that did not succeed, or was undone, does not hold.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn does_not_hold(&mut self, action: Action) -> Result<(), String> {
        self.contents.in_force.remove(action.name());
        self.save()
    }

    /// These control groups are about to be frozen.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn will_freeze(&mut self, groups: &[String]) -> Result<(), String> {
        self.contents.frozen.extend(groups.iter().cloned());
        self.save()
    }

    /// Whether some were asked to freeze.
    pub fn has_frozen(&self) -> bool {
        !self.contents.frozen.is_empty()
    }

    /// Those that were frozen, and are forgotten with this.
    pub fn take_frozen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.contents.frozen).into_iter().collect()
    }

    /// Writes down what was seen, if that changed.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn keep(&mut self, known: &[Known]) -> Result<(), String> {
        let seen: Vec<Kept> = known.iter().map(kept).collect();
        if seen == self.contents.seen {
            return Ok(());
        }
        self.contents.seen = seen;
        self.save()
    }

    /// What was seen before `bennud` was started again; a signal that this version does not know is left out.
    pub fn seen(&self) -> Vec<Known> {
        self.contents.seen.iter().filter_map(known).collect()
    }

    fn save(&self) -> Result<(), String> {
        documents::write(&self.path, &self.contents).map_err(|error| error.to_string())
    }

    /// For the decision.
    pub fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        for action in Action::ALL {
            let times = self.contents.spent.get(action.name()).copied().unwrap_or(0);
            (0..times.min(MANY)).for_each(|_| spent.count(action));
        }
        spent
    }

    /// For the decision.
    pub fn in_force(&self) -> ActionSet {
        let names = self.contents.in_force.iter();
        names
            .filter_map(|name| Action::of_name(name))
            .fold(ActionSet::NONE, ActionSet::with)
    }
}

fn kept(known: &Known) -> Kept {
    Kept {
        signal: known.seen.signal.row().name.to_owned(),
        detail: known.sighting.detail.clone(),
        program: known.sighting.program.clone(),
        cgroup: known.sighting.cgroup,
        unit: known.unit.clone(),
        at_ms: known.seen.at_ms,
        first_ms: known.first_ms,
        answered: known.seen.answered,
    }
}

fn known(kept: &Kept) -> Option<Known> {
    let signal = Signal::of_name(&kept.signal)?;
    Some(Known {
        seen: Seen {
            signal,
            at_ms: kept.at_ms,
            answered: kept.answered,
        },
        first_ms: kept.first_ms,
        unit: kept.unit.clone(),
        sighting: Sighting {
            program: kept.program.clone(),
            cgroup: kept.cgroup,
            ..Sighting::new(signal, &kept.detail)
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        (dir, path)
    }

    #[test]
    fn a_memory_that_cannot_be_read_is_told_and_keeps_no_secret_open() {
        let (_dir, path) = empty();
        let mut fresh = Memory::load_from(&path);
        assert_eq!(fresh.take_trouble(), None, "control");
        std::fs::write(&path, "{}").unwrap();
        let mut damaged = Memory::load_from(&path);
        assert!(damaged.take_trouble().is_some());
        for action in [Action::StatePurge, Action::FlipSlot, Action::Deny] {
            assert!(damaged.spent().allows(action), "{action:?}");
        }
        assert!(in_force(&path).is_err());
    }

    #[test]
    fn what_holds_and_what_was_spent_is_read_back() {
        let (_dir, path) = empty();
        let mut memory = Memory::load_from(&path);
        for action in [Action::StatePurge, Action::Kill, Action::Kill, Action::CutNetwork] {
            memory.count(action).unwrap();
        }
        memory.will_freeze(&["a".into(), "b".into()]).unwrap();
        let mut memory = Memory::load_from(&path);
        assert_eq!(memory.spent().times(Action::Kill), 2);
        assert!(memory.in_force().has(Action::StatePurge) && !memory.in_force().has(Action::Kill));
        assert_eq!(in_force(&path).unwrap(), ["cut-network", "state-purge"]);
        assert_eq!(memory.take_frozen(), ["a", "b"]);
        memory.does_not_hold(Action::StatePurge).unwrap();
        let mut memory = Memory::load_from(&path);
        assert_eq!(memory.in_force(), ActionSet::NONE.with(Action::CutNetwork));
        assert_eq!(memory.take_frozen(), Vec::<String>::new());
    }

    #[test]
    fn what_was_seen_counts_after_a_restart_and_is_not_answered_again() {
        let (_dir, path) = empty();
        let seen = Known {
            seen: Seen {
                signal: Signal::GateTampering,
                at_ms: 7,
                answered: true,
            },
            first_ms: 5,
            unit: Some("a.service".into()),
            sighting: Sighting {
                program: Some("/x".into()),
                cgroup: Some(9),
                ..Sighting::new(Signal::GateTampering, "words")
            },
        };
        let mut memory = Memory::load_from(&path);
        memory.keep(std::slice::from_ref(&seen)).unwrap();
        let found = Memory::load_from(&path).seen();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].seen, found[0].first_ms), (seen.seen, 5));
        assert_eq!((&found[0].sighting, &found[0].unit), (&seen.sighting, &seen.unit));
        memory.contents.seen[0].signal = "of-a-later-version".into();
        assert!(memory.seen().is_empty());
    }
}
