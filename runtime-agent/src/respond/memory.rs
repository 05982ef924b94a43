//! What `bennud` must not forget when it is started again in the same boot: what was seen, what was done about it, and what
//! of that is in force.
//!
//! Written and read by `bennud` (`/run/bennu/drift-memory.json`); read by `bennuctl status`. Root can write it, and behind a
//! gate not unseen (`super::guarded`): one that is not as it was written is a strong signal and not used
//! (`Contents::after_a_loss`). Where a gate is wanted and does not say what was written, each counts as such a one; that
//! there is none is told then and no signal. Without a gate one that cannot be read is told and counts as none.

use super::groups::Groups;
use super::guarded::{self, Found, Guarded, Keeper};
use super::{Known, deny, freeze};
use crate::documents;
use crate::watch::Sighting;
use bennu_ebpf::interface::respond::Denied;
use bennu_formats::decode::Document;
use bennu_formats::paths;
use bennu_policy::drift::{Action, ActionSet, Seen, Signal, Spent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod shown;

pub use shown::{Counts, counts, in_force};

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
    /// What the watch compares with, by the names of its subjects.
    #[serde(default)]
    first_looks: BTreeMap<String, Value>,
}

impl Document for Contents {
    const NAME: &'static str = "memory of what was done about drift";
    const SCHEMA: u32 = 1;
    // Of each signal at most 32 sightings, of each strong one that names units or programs 257 more, with words of 240
    // characters, a unit and a path each; and names and digests of the ESP's files, the largest of the first looks.
    const MAX_BYTES: usize = 16 << 20;
}

/// What can be seen to be in force, for when the memory is lost.
#[derive(Debug, Default)]
struct InSight {
    actions: ActionSet,
    /// Control groups.
    frozen: Vec<String>,
    /// What could not be looked at.
    trouble: Option<String>,
}

impl Contents {
    fn fresh() -> Self {
        Self {
            schema: Self::SCHEMA,
            ..Self::default()
        }
    }

    /// What is assumed when somebody took the memory away or put another one in its place.
    ///
    /// Signals: what was seen is lost. The loss itself is a strong signal that names no unit, so the severity is not lower
    /// than before: with two strong ones everything would have been answered already.
    ///
    /// Budgets: what `bennud` undoes by itself (deny, freeze, cut network) counts as done as often as one boot allows but
    /// once. So whoever forges memories does not open the network again and again: it is cut once more at most, and stays
    /// cut. What the gate does at this moment stays, too, and so does what is frozen: a group that somebody else froze where
    /// `bennud` would have cannot be told from one of its own ([`freeze::frozen`]), and to stay frozen is right for both.
    /// Such groups are in force and remembered as any that `bennud` froze, and are let go on when that ends.
    ///
    /// Everything else begins anew: if it counted as spent, removing a file would keep the secrets open for the rest of the boot.
    /// That makes no loop: a second purge finds nothing left to destroy, a flip and a fail-safe end the boot that their budgets are for, what is killed has to be started again, what
    /// is repaired has to be broken again, and each time takes the death of `bennud`, of which the sixth in ten minutes
    /// restarts the machine.
    fn after_a_loss(in_sight: InSight) -> Self {
        let in_force = in_sight.actions;
        let ends = Action::ALL.into_iter().filter(|action| action.ends_by_itself());
        let spent = ends.clone().filter_map(|action| {
            let left = u32::from(!in_force.has(action));
            Some((action.name().to_owned(), action.budget()?.saturating_sub(left)))
        });
        Self {
            spent: spent.collect(),
            in_force: ends
                .filter(|action| in_force.has(*action))
                .map(|action| action.name().to_owned())
                .collect(),
            frozen: in_sight.frozen.into_iter().collect(),
            ..Self::fresh()
        }
    }
}

/// The file, as it was read and is written.
pub struct Memory {
    path: PathBuf,
    file: Guarded,
    contents: Contents,
    /// Why it begins anew although there was one, or is not guarded.
    trouble: Option<String>,
    /// That it is not the one that was written.
    loss: Option<String>,
}

impl Memory {
    /// Of this boot. Where the image does not enforce it, `freezes` is false: what is frozen is none of ours.
    pub fn load(groups: &Groups, freezes: bool) -> Self {
        let path = Path::new(paths::RUN_DRIFT_MEMORY);
        Self::load_from(path, guarded::of_gate(), || {
            in_sight(in_force_by_the_gate(), groups, freezes)
        })
    }

    /// One of its own, in an image without a gate.
    #[cfg(test)]
    pub(super) fn at(path: &Path) -> Self {
        Self::load_from(path, Ok(None), InSight::default)
    }

    fn load_from(
        path: &Path,
        keeper: Result<Option<Box<dyn Keeper>>, String>,
        in_sight: impl FnOnce() -> InSight,
    ) -> Self {
        let (file, found, mut trouble) = Guarded::open(path, Contents::MAX_BYTES, keeper);
        let mut loss = None;
        let contents = match found {
            Found::Nothing => Contents::fresh(),
            Found::Whole(bytes) => Contents::decode(&bytes).unwrap_or_else(|error| {
                trouble = Some(format!("{}: {error}", path.display()));
                Contents::fresh()
            }),
            Found::Unreadable(words) => {
                trouble = Some(words);
                Contents::fresh()
            }
            Found::Other(words) => {
                loss = Some(words);
                lost(in_sight(), &mut trouble)
            }
            Found::Unmarked(words) => {
                trouble = Some(words);
                lost(in_sight(), &mut trouble)
            }
        };
        Self {
            path: path.to_owned(),
            file,
            contents,
            trouble,
            loss,
        }
    }

    /// What failed when it was loaded; told once.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// That somebody took it away or put another one in its place. Given once, and not before it can be written down: until
    /// the next write each start finds it again.
    pub fn take_loss(&mut self) -> Option<Sighting> {
        let words = self.loss.take()?;
        Some(Sighting::new(
            Signal::LogBroken,
            format!("memory of bennud: {words}"),
        ))
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

    /// What the watch of an earlier `bennud` of this boot saw first.
    pub fn first_looks(&self) -> &BTreeMap<String, Value> {
        &self.contents.first_looks
    }

    /// Writes down what the watch saw first.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn keep_first_looks(&mut self, new: BTreeMap<String, Value>) -> Result<(), String> {
        if new.is_empty() {
            return Ok(());
        }
        self.contents.first_looks.extend(new);
        self.save()
    }

    /// What was seen before `bennud` was started again; a signal that this version does not know is left out.
    pub fn seen(&self) -> Vec<Known> {
        self.contents.seen.iter().filter_map(known).collect()
    }

    fn save(&mut self) -> Result<(), String> {
        let bytes = documents::encode(&self.path, &self.contents).map_err(|error| error.to_string())?;
        self.file.write(&bytes)
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

/// What the gate itself says of what is in force, for when the memory is lost; nothing where it cannot be asked.
fn in_force_by_the_gate() -> ActionSet {
    let now = deny::open().and_then(|gate| gate.now().map_err(|error| error.to_string()));
    let now = now.unwrap_or_default();
    let denies = (now.denied != Denied::Nobody).then_some(Action::Deny);
    let cuts = now.cut.map(|_| Action::CutNetwork);
    denies
        .into_iter()
        .chain(cuts)
        .fold(ActionSet::NONE, ActionSet::with)
}

/// The same, with what is frozen where `bennud` would freeze.
fn in_sight(actions: ActionSet, groups: &Groups, freezes: bool) -> InSight {
    if !freezes {
        return InSight {
            actions,
            ..InSight::default()
        };
    }
    let (frozen, trouble) = match freeze::frozen(groups) {
        Ok(frozen) => (frozen, None),
        Err(error) => (Vec::new(), Some(format!("what is frozen is not known: {error}"))),
    };
    let actions = match frozen.is_empty() {
        false => actions.with(Action::FreezeCgroup),
        true => actions,
    };
    InSight {
        actions,
        frozen,
        trouble,
    }
}

fn lost(mut in_sight: InSight, trouble: &mut Option<String>) -> Contents {
    let all: Vec<String> = trouble
        .take()
        .into_iter()
        .chain(in_sight.trouble.take())
        .collect();
    *trouble = (!all.is_empty()).then(|| all.join("; "));
    Contents::after_a_loss(in_sight)
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
mod tests;
