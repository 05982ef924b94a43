//! The background scrub: every block of both slots is read from the medium and judged, so that a block which nobody
//! reads does not go bad unseen until the day on which it is needed.
//!
//! A thread of `bennud` reads one group of 512 KiB after the other, with idle priority and at most so many MiB a second
//! (`[drift] scrub_mib_per_s`) and so much of a processor (`scrub_processor_permille`), past the page cache. Blocks are judged by the slot's own hash tree, the tree by the root
//! hash of the manifest, the manifest by the release keys. Written: `/run/bennu/scrub.json`. What is bad is told on the
//! console at once, and becomes a signal of the watch: for the running slot with its first block, for the other one when
//! all of it was read, so that one repair sees everything. The UKIs are judged by the watch itself
//! ([`crate::watch`]): the ESP has one user at a time.
//!
//! A disk that cannot be read at all is told, and tried again a minute later. The scrub holds up nothing else.

mod pace;
mod pass;
pub mod report;
pub mod words;

pub use pace::Pace;
pub use pass::{Outside, Reader};

use crate::console::Console;
use crate::documents;
use crate::medium::Medium;
use crate::slots::{self, Slot, Slots, Which};
use crate::watch::Sighting;
use bennu_formats::drift::DriftConfig;
use bennu_formats::handover::Handover;
use bennu_formats::{ImageVersion, RootHash, Sha256Digest};
use bennu_linux::kmsg::Level;
use bennu_linux::priority;
use bennu_policy::drift::Signal;
use report::ScrubReport;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two rounds over both slots.
const REST: Duration = Duration::from_secs(6 * 60 * 60);
/// After a disk that could not be looked at.
const RETRY: Duration = Duration::from_secs(60);

/// What thread, watch, repair and `bennuctl` share.
#[derive(Debug, Clone, Default)]
pub struct Scrubber(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Held while blocks are read to be judged, and while they are written.
    disk: Mutex<()>,
    state: Mutex<State>,
    /// Somebody wants a round.
    called: Condvar,
}

/// What the thread does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// There is none: not yet, or not at all.
    #[default]
    Off,
    /// It waits for the next round.
    Resting,
    /// It reads.
    Reading,
}

/// What becomes of a wish for a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A round begins.
    Begins,
    /// One is on its way.
    Runs,
    /// There is no scrub: the image asks for none, or the slot is not marked good yet.
    Off,
}

#[derive(Debug, Default)]
struct State {
    report: Option<ScrubReport>,
    /// What is told of each slot.
    of_slots: BTreeMap<String, Vec<Sighting>>,
    /// What is told of slots without a verified manifest.
    of_disk: Vec<Sighting>,
    ukis: Vec<Uki>,
    /// Rises when a repair has written.
    writes: u64,
    /// Rises when a round begins.
    rounds: u64,
    phase: Phase,
    wished: bool,
}

/// What the manifest of a slot says of its UKI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uki {
    /// Whether the slot runs.
    pub which: Which,
    /// Its version.
    pub version: ImageVersion,
    /// SHA-256 of the file.
    pub sha256: Sha256Digest,
}

impl Scrubber {
    /// Starts the thread. What keeps it from reading is told.
    pub fn start(&self, handover: &Handover, config: Option<&DriftConfig>, console: &mut Console) {
        let Some(config) = config.filter(|config| config.scrub_mib_per_s > 0) else {
            self.with(|state| state.report = Some(ScrubReport::new(0)));
            self.save(console);
            let words = "scrub: off: blocks that nobody reads are not checked";
            return console.say(Level::Warning, words);
        };
        let (shared, handover, config) = (self.clone(), handover.clone(), config.clone());
        let thread = std::thread::Builder::new().name("scrub".to_owned());
        // Never joined: it ends with the program.
        if let Err(error) = thread.spawn(move || shared.run(&handover, &config)) {
            console.say(Level::Error, &format!("scrub: no thread to be had: {error}"));
        }
    }

    fn run(&self, handover: &Handover, config: &DriftConfig) {
        let mut console = Console::open();
        if let Err(error) = priority::idle() {
            console.say(Level::Warning, &format!("scrub: not at idle priority: {error}"));
        }
        let earlier = documents::read_if_there::<ScrubReport>(Path::new(report::PATH));
        let earlier = earlier.unwrap_or_else(|error| {
            console.say(Level::Warning, &format!("{error}; both slots are read anew"));
            None
        });
        let mut report = earlier.unwrap_or_else(|| ScrubReport::new(0));
        report.mib_per_s = config.scrub_mib_per_s;
        self.with(|state| {
            state.report = Some(report);
            state.phase = Phase::Reading;
        });
        loop {
            let rest = match self.round(handover, config, &mut console) {
                Ok(()) => REST,
                Err(error) => {
                    console.say(Level::Error, &format!("scrub: {error}"));
                    self.with(|state| state.set_troubles(vec![error]));
                    RETRY
                }
            };
            self.save(&mut console);
            self.rest(rest);
        }
    }

    /// Waits, but not when somebody wants a round.
    fn rest(&self, time: Duration) {
        let mut state = self.state();
        state.phase = Phase::Resting;
        let waited = self
            .0
            .called
            .wait_timeout_while(state, time, |state| !state.wished);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wished = false;
        state.phase = Phase::Reading;
    }

    /// Begins the next round now.
    pub fn wish(&self) -> Wish {
        let mut state = self.state();
        match state.phase {
            Phase::Off => Wish::Off,
            Phase::Reading => Wish::Runs,
            Phase::Resting => {
                state.wished = true;
                self.0.called.notify_one();
                Wish::Begins
            }
        }
    }

    /// Both slots once.
    fn round(&self, handover: &Handover, config: &DriftConfig, console: &mut Console) -> Result<(), String> {
        let medium = Medium::of(&handover.disk).map_err(|error| error.to_string())?;
        let slots = slots::look(&medium, handover, config)?;
        self.with(|state| state.enter(&slots));
        for unjudged in &slots.unjudged {
            console.say(
                Level::Warning,
                &format!("scrub: {}", without_manifest(unjudged.which, &unjudged.words)),
            );
        }
        for slot in &slots.verified {
            let (data, hash) = (slot.root.of_disk(&medium), slot.tree.of_disk(&medium));
            let reader = Reader {
                scrubber: self,
                slot,
                data: &data,
                hash: &hash,
                pace: Pace {
                    mib_per_s: config.scrub_mib_per_s,
                    processor_permille: config.scrub_processor_permille,
                },
            };
            let mut outside = Thread {
                scrubber: self,
                console,
            };
            reader.pass(&mut outside);
        }
        Ok(())
    }

    /// What is known, for the watch.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.with(|state| {
            let of_slots = state.of_slots.values().flatten();
            of_slots.chain(&state.of_disk).cloned().collect()
        })
    }

    /// What UKIs there should be, and the number of the round that found that.
    pub fn ukis(&self) -> (u64, Vec<Uki>) {
        self.with(|state| (state.rounds, state.ukis.clone()))
    }

    /// Keeps everybody else from the slots' blocks.
    pub fn hold_disk(&self) -> MutexGuard<'_, ()> {
        // It guards no data of ours.
        self.0.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left a report that the next pass puts right.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at, or changes, what is known of one slot; none before it was looked at.
    pub fn slot<T>(&self, root_hash: &RootHash, act: impl FnOnce(&mut report::SlotReport) -> T) -> Option<T> {
        self.with(|state| state.report.as_mut()?.slot_mut(root_hash).map(act))
    }

    /// Tells the watch what is known of a slot now.
    pub fn tell(&self, root_hash: &RootHash) {
        let told = self
            .slot(root_hash, |slot| words::sightings(slot))
            .unwrap_or_default();
        self.with(|state| state.of_slots.insert(root_hash.to_string(), told));
    }

    /// How often a repair has written; what was read before does not count any more.
    fn writes(&self) -> u64 {
        self.with(|state| state.writes)
    }

    /// A repair has written.
    pub fn wrote(&self) {
        self.with(|state| state.writes += 1);
    }

    /// Writes the report.
    pub fn save(&self, console: &mut Console) {
        let Some(report) = self.with(|state| state.report.clone()) else {
            return;
        };
        if let Err(error) = documents::write(Path::new(report::PATH), &report) {
            console.say(
                Level::Warning,
                &format!("bennuctl will show an old scrub: {error}"),
            );
        }
    }
}

/// The thread's world.
struct Thread<'a> {
    scrubber: &'a Scrubber,
    console: &'a mut Console,
}

impl Outside for Thread<'_> {
    fn rest(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn say(&mut self, level: Level, words: &str) {
        self.console.say(level, words);
    }

    fn save(&mut self) {
        self.scrubber.save(self.console);
    }
}

fn without_manifest(which: Which, words: &str) -> String {
    format!("a slot that {}: {words}", which.words())
}

impl State {
    fn set_troubles(&mut self, troubles: Vec<String>) {
        if let Some(report) = &mut self.report {
            report.troubles = troubles;
        }
    }

    /// A new round over these slots.
    fn enter(&mut self, slots: &Slots) {
        let words = |unjudged: &slots::Unjudged| without_manifest(unjudged.which, &unjudged.words);
        if let Some(report) = &mut self.report {
            report.take_over(&slots.verified);
        }
        self.set_troubles(slots.unjudged.iter().map(words).collect());
        self.of_disk = slots
            .unjudged
            .iter()
            .map(|unjudged| {
                let signal = match unjudged.which {
                    Which::Running => Signal::VerityCorruptActive,
                    Which::Other => Signal::VerityCorruptInactive,
                };
                Sighting::new(signal, words(unjudged))
            })
            .collect();
        let of_slot = |slot: &Slot| Uki {
            which: slot.which,
            version: slot.manifest.version.clone(),
            sha256: slot.manifest.uki.sha256,
        };
        self.ukis = slots.verified.iter().map(of_slot).collect();
        let there: Vec<String> = slots
            .verified
            .iter()
            .map(|slot| slot.manifest.verity.root_hash.to_string())
            .collect();
        self.of_slots.retain(|root_hash, _| there.contains(root_hash));
        self.rounds += 1;
    }
}

#[cfg(test)]
mod tests;
