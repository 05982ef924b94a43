//! What `bennud` must not forget when it is started again in the same boot: what was done already.
//!
//! Written and read by `bennud` (`/run/bennu/drift-memory.json`, 0600 by the unit's umask and the directory). A file
//! that cannot be read counts as one in which every budget is spent: a budget that an intruder resets is none.

use crate::documents;
use bennu_formats::decode::Document;
use bennu_formats::paths;
use bennu_policy::drift::{Action, ActionSet, Spent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// More often than any budget.
const MANY: u32 = 1000;

/// By the stable names of actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Schema number; 1.
    schema: u32,
    /// How often each was taken.
    spent: BTreeMap<String, u32>,
    /// Lasting ones that hold.
    in_force: BTreeSet<String>,
}

impl Document for Memory {
    const NAME: &'static str = "memory of what was done about drift";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}

impl Memory {
    /// Of this boot.
    pub fn load() -> Self {
        Self::load_from(Path::new(paths::RUN_DRIFT_MEMORY))
    }

    fn load_from(path: &Path) -> Self {
        match documents::read_if_there(path) {
            Ok(Some(memory)) => memory,
            Ok(None) => Self {
                schema: Self::SCHEMA,
                ..Self::default()
            },
            Err(_) => Self {
                schema: Self::SCHEMA,
                spent: Action::ALL.map(|a| (a.name().to_owned(), MANY)).into(),
                in_force: BTreeSet::new(),
            },
        }
    }

    /// Counts an action, and writes that down before it is taken.
    ///
    /// # Errors
    /// The file cannot be written; in words.
    pub fn count(&mut self, action: Action) -> Result<(), String> {
        let times = self.spent.entry(action.name().to_owned()).or_default();
        *times = times.saturating_add(1);
        if action.lasts() {
            self.in_force.insert(action.name().to_owned());
        }
        self.save()
    }

    /// A lasting action that did not succeed does not hold.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn does_not_hold(&mut self, action: Action) -> Result<(), String> {
        self.in_force.remove(action.name());
        self.save()
    }

    fn save(&self) -> Result<(), String> {
        documents::write(Path::new(paths::RUN_DRIFT_MEMORY), self).map_err(|error| error.to_string())
    }

    /// For the decision.
    pub fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        for action in Action::ALL {
            let times = self.spent.get(action.name()).copied().unwrap_or(0);
            (0..times.min(MANY)).for_each(|_| spent.count(action));
        }
        spent
    }

    /// For the decision.
    pub fn in_force(&self) -> ActionSet {
        let held = |action: &Action| self.in_force.contains(action.name());
        let all = Action::ALL.into_iter().filter(held);
        all.fold(ActionSet::NONE, ActionSet::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_that_cannot_be_read_has_no_budget_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let fresh = Memory::load_from(&path);
        assert!(fresh.spent().allows(Action::StatePurge), "control");
        std::fs::write(&path, "{}").unwrap();
        let damaged = Memory::load_from(&path);
        for action in Action::ALL.into_iter().filter(|action| !action.is_report()) {
            assert!(!damaged.spent().allows(action), "{action:?}");
        }
        assert_eq!(damaged.in_force(), ActionSet::NONE);
    }

    #[test]
    fn what_holds_and_what_was_spent_is_read_back() {
        let mut memory = Memory::default();
        for action in [Action::StatePurge, Action::Kill, Action::Kill] {
            // The path of a real machine is not there in a test.
            let _not_written = memory.count(action);
        }
        assert_eq!(memory.spent().times(Action::Kill), 2);
        assert!(memory.in_force().has(Action::StatePurge) && !memory.in_force().has(Action::Kill));
        let _not_written = memory.does_not_hold(Action::StatePurge);
        assert_eq!(memory.in_force(), ActionSet::NONE);
    }
}
