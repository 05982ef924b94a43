//! What `bennud` does about drift: signals in, one pure decision, actions out, each recorded, announced and certified.
//!
//! The decision is `policy::drift`'s. Here it is carried out, in its order, with two promises kept by the order of the
//! code: nothing is destroyed before the certificate is on the ESP and the alert is out (or both were tried: a TPM or
//! an ESP that an intruder silenced does not keep the secrets open), and the other slot is verified whole before this
//! one is marked bad. Normative for the words: `docs/explanation/drift-ladder.md`.

mod carry_out;
pub mod certificates;
mod certify;
mod deny;
mod enforced;
mod evidence;
mod flip;
mod freeze;
mod groups;
mod guarded;
mod kill;
pub mod memory;
mod network;
mod other;
pub mod purge;
mod purged;
mod repair;
mod report;
mod signer;
mod tell;
mod trace;
mod undo;
mod watch_report;

use crate::console::Console;
use crate::documents;
use crate::ended::{self, Ends};
use crate::kernel_files::KernelFiles;
use crate::limit::{Lent, within};
use crate::records::{Journal, Witness, boot_id, place};
use crate::scrub::Scrubber;
use crate::surroundings::Surroundings;
use crate::tracing::file::TraceFile;
use crate::watch::{Inbox, Sighting, Watch};
use bennu_formats::Sha256Digest;
use bennu_formats::drift::{DEFAULT_INTERVAL_MS, DriftConfig, EnforcedAction};
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_policy::drift::{self, Action, ActionSet, Concerned, Decision, Facts, OtherSlot, Seen, Windows};
use bennu_records::certificate::Outcome;
use carry_out::ACT_LIMIT;
use certificates::Store;
use evidence::Taken;
use groups::Groups;
use memory::Memory;
use network::Sinks;
use other::Found;
use serde_json::json;
use signer::LimitedSigner;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trace::Seals;

/// Before the decision asks for a flip nobody reads a whole slot: it is taken as good, and verified when it counts.
const NOT_LOOKED_AT: Found = Found {
    slot: OtherSlot {
        present: true,
        verifies: true,
        marked_bad: false,
        security_version: u64::MAX,
        floor: 0,
    },
    flips_in_a_row: 0,
    words: String::new(),
};

/// A sighting and when it came.
#[derive(Debug, Clone)]
pub struct Known {
    /// For the decision.
    pub seen: Seen,
    /// First time, milliseconds since the machine started: the kernel's where it has timed the event, else the round's.
    pub first_ms: u64,
    /// The unit that it is about, by the path of its control group.
    pub unit: Option<String>,
    /// What.
    pub sighting: Sighting,
}

/// What became of an action.
#[derive(Debug, Clone)]
pub struct Acted {
    /// Stable name.
    pub action: String,
    /// Stable name of the rule.
    pub rule: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why not, or what was done.
    pub words: String,
    /// When it ended.
    pub up_ms: Option<u64>,
}

/// The watch and what it leads to, in one start.
pub struct Warden {
    handover: Handover,
    config: Option<DriftConfig>,
    watch: Watch,
    scrubber: Scrubber,
    journal: Lent<Journal>,
    witness: Witness,
    trace: Seals,
    groups: Arc<Groups>,
    /// Lines that never came to the log, because it was away.
    unwritten: u64,
    signer: Option<LimitedSigner>,
    /// When the TPM was last asked for it in vain.
    asked_tpm: Option<Duration>,
    store: Store,
    known: Vec<Known>,
    memory: Memory,
    sinks: Sinks,
    /// How far whoever sends the log has come.
    cursor: &'static Path,
    /// Whom `deny` was last told to concern.
    concerned: Concerned,
    /// What was said last about undoing, so that it is said once.
    undoing: Option<String>,
    /// For the next certificate.
    next: (u64, Sha256Digest),
    /// Line of the decision, and the chain after it; the last that was written.
    line: (u64, Sha256Digest),
    /// The line of the decision, if a server's confirmation of it can be told.
    awaited: Option<u64>,
    unsigned_lines: bool,
    /// The report could not be written, which was told.
    report_fails: bool,
    /// Nothing is watched any more: a person has to come.
    halted: bool,
}

impl Warden {
    /// The watch of this start. An image without a configuration is watched in dry run.
    pub fn new(
        handover: &Handover,
        config: Option<DriftConfig>,
        kernel: Arc<KernelFiles>,
        denied: Inbox,
        scrubber: Scrubber,
        trace: TraceFile,
    ) -> Self {
        let (groups, witness) = (Groups::new(kernel.clone()), Witness::default());
        let freezes = |config: &DriftConfig| config.enforced.contains(&EnforcedAction::FreezeCgroup);
        let memory = Memory::load(&groups, config.as_ref().is_some_and(freezes));
        let mut watch = Watch::new(handover, kernel, denied, &scrubber, &witness, &trace);
        watch.go_on_from(memory.first_looks());
        Self {
            handover: handover.clone(),
            config,
            watch,
            scrubber,
            journal: Lent::new(Journal::at(place(handover), witness.clone())),
            witness,
            trace: Seals::of(trace),
            groups,
            unwritten: 0,
            signer: None,
            asked_tpm: None,
            store: Store::of(handover),
            known: memory.seen(),
            memory,
            sinks: Sinks::default(),
            cursor: Path::new(paths::STATE_ALERT_CURSOR),
            concerned: Concerned::default(),
            undoing: None,
            next: (0, Sha256Digest::ZERO),
            line: (0, Sha256Digest::ZERO),
            awaited: None,
            unsigned_lines: false,
            report_fails: false,
            halted: false,
        }
    }

    /// Watches for ever, or until the machine restarts.
    pub fn run(mut self, world: &mut impl Surroundings) -> ! {
        // Not earlier: what the boot reads has to be there first.
        self.scrubber
            .start(&self.handover, self.config.as_ref(), &mut Console::open());
        loop {
            self.round(world);
            world.pause(self.interval());
        }
    }

    /// Between two rounds.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms().into())
    }

    fn interval_ms(&self) -> u32 {
        let config = self.config.as_ref();
        config.map_or(DEFAULT_INTERVAL_MS, |config| config.interval_ms)
    }

    fn enforced(&self) -> ActionSet {
        enforced::set(self.config.as_ref())
    }

    /// Tells the log what begins, and takes over what an earlier life left on the ESP.
    pub fn begin(&mut self, world: &mut impl Surroundings) {
        if let Some(trouble) = self.memory.take_trouble() {
            world.say(
                Level::Error,
                &format!("{trouble}; what was seen and done before may be forgotten"),
            );
        }
        if let Err(error) = self.groups.all() {
            let words = format!("{error}: no unit is denied, frozen or told from another one");
            world.say(Level::Error, &words);
            self.note(json!({"event": "cannot-act", "words": words}), world);
        }
        match Sinks::of_image() {
            Ok(sinks) => self.sinks = sinks,
            Err(error) => world.say(Level::Error, &format!("alert sinks: {error}")),
        }
        let enforced = self.config.as_ref().map_or(&[][..], |config| &config.enforced);
        let body = json!({
            "event": "watch-begins",
            "image": self.handover.image_id.as_str(),
            "version": self.handover.version.as_str(),
            "root_hash": self.handover.root_hash.to_string(),
            "enforced": enforced,
        });
        self.note(body, world);
        self.ask_tpm(world);
        self.tell_of_earlier_ends(world);
        self.sign_head(world);
        let words = match enforced::words(self.config.as_ref()) {
            words if words.is_empty() => "watching for drift: dry run, nothing is done about it".to_owned(),
            words => format!("watching for drift; enforced: {words}"),
        };
        world.say(Level::Notice, &words);
    }

    /// One look at everything, and what follows from it.
    pub fn round(&mut self, world: &mut impl Surroundings) {
        self.ask_tpm(world);
        let (mut sightings, troubles) = self.watch.round(&mut || world.pause(Duration::ZERO));
        sightings.extend(self.memory.take_loss());
        self.refresh(world);
        for trouble in troubles {
            world.say(Level::Warning, &trouble);
            self.note(json!({"event": "cannot-watch", "words": trouble}), world);
        }
        let news = self.remember(sightings, world);
        let decision = self.decide(&NOT_LOOKED_AT);
        self.report(&decision, world);
        let acts = decision.plan.iter().any(|step| !step.action.is_report());
        self.seal_trace(news || acts, world);
        if news || acts {
            self.answer(decision, world);
        }
        self.undo(world);
        if self.unsigned_lines {
            self.sign_head(world);
        }
        self.remember_seen(world);
    }

    /// What has to be known before nobody resolves names any more, and what a restarted unit must not escape.
    fn refresh(&mut self, world: &mut impl Surroundings) {
        let in_force = self.memory.in_force();
        let ends_names = |action| self.enforced().has(action);
        if [Action::CutNetwork, Action::StatePurge]
            .into_iter()
            .any(ends_names)
            && !in_force.has(Action::CutNetwork)
        {
            self.sinks.refresh(&mut || world.pause(Duration::ZERO));
        }
        if in_force.has(Action::Deny) {
            self.deny_more(world);
        }
    }

    fn remember_seen(&mut self, world: &mut impl Surroundings) {
        let first_looks = self.watch.new_first_looks();
        let kept = self.memory.keep_first_looks(first_looks);
        if let Err(error) = kept.and_then(|()| self.memory.keep(&self.known)) {
            world.say(Level::Error, &error);
        }
    }

    /// How `bennud` ended in the start before this one, which only a restart of the machine could answer.
    fn tell_of_earlier_ends(&mut self, world: &mut impl Surroundings) {
        let ends = documents::read_if_there::<Ends>(ended::place(&self.handover));
        // One that cannot be read is told by the watch.
        let Ok(Some(ends)) = ends else { return };
        if ends.are_of(&boot_id()) {
            return;
        }
        let words = format!("before this start of the machine bennud ended {}", ends.words());
        world.say(Level::Warning, &words);
        self.note(json!({"event": "agent-ended-before", "words": words}), world);
        let place = ended::place(&self.handover);
        let mut alive = || world.pause(Duration::ZERO);
        let removed = within(ACT_LIMIT, &mut alive, move || std::fs::remove_file(place));
        let failed = match removed {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        world.say(
            Level::Warning,
            &format!("{words}: it will be told again: {failed}"),
        );
    }

    /// Adds what is new; what lasts goes on counting and is answered once. Gives whether something is new.
    fn remember(&mut self, sightings: Vec<Sighting>, world: &mut impl Surroundings) -> bool {
        let (now_ms, windows) = (time::since_boot_ms(), self.windows());
        self.known.retain(|known| known.seen.counts(now_ms, &windows));
        let (mut news, mut beyond) = (false, BTreeMap::<&str, u64>::new());
        let (mut units, groups) = (evidence::Units::default(), Arc::clone(&self.groups));
        for sighting in sightings {
            let row = sighting.signal.row();
            let mut unit_of = |sighting: &Sighting| units.of(&groups, sighting);
            match evidence::take(&mut self.known, sighting, now_ms, &mut unit_of) {
                Taken::Again => {}
                Taken::Beyond => *beyond.entry(row.name).or_default() += 1,
                Taken::New => {
                    news = true;
                    // As it was taken: the last one says that there are more.
                    if let Some(known) = self.known.last() {
                        let sighting = known.sighting.clone();
                        self.tell_of(&sighting, world);
                    }
                }
            }
        }
        for (signal, more) in beyond {
            let body = json!({"event": "more-signals", "signal": signal, "more": more});
            self.note(body, world);
        }
        if news {
            // Before anything is done about it: whoever stops bennud here does not get rid of what was seen.
            self.remember_seen(world);
        }
        news
    }

    fn windows(&self) -> Windows {
        let ms = |seconds: u32| u64::from(seconds) * 1000;
        self.config
            .as_ref()
            .map_or_else(Windows::default, |config| Windows {
                weak_ms: ms(config.weak_window_s),
                strong_ms: ms(config.strong_window_s),
            })
    }

    fn signals(&self) -> Vec<Seen> {
        self.known.iter().map(|known| known.seen).collect()
    }

    fn decide(&self, other: &Found) -> Decision {
        drift::decide(&self.facts(&self.signals(), other))
    }

    fn facts<'s>(&self, signals: &'s [Seen], other: &Found) -> Facts<'s> {
        Facts {
            signals,
            now_ms: time::since_boot_ms(),
            windows: self.windows(),
            enforced: self.enforced(),
            spent: self.memory.spent(),
            in_force: self.memory.in_force(),
            other: other.slot,
            flips_in_a_row: other.flips_in_a_row,
        }
    }
}
