//! The integrity watch: looks at what cannot change on a sound machine, and gives typed signals.
//!
//! One file a subject. Each look compares with what was verified (hand-over record, golden-file index, predicted PCRs)
//! or, where nothing verified exists, with the first look of this boot. Nothing is decided here: `policy::drift` does.
//! What cannot be read is a signal where that is one (a silent TPM), and otherwise said once.
//!
//! Reads: sysfs, procfs, securityfs, efivarfs (`crate::kernel_files`), the TPM, the boot disk. Writes nothing.

mod asking;
mod before_good;
mod bpf;
mod clock;
mod disk;
mod ended;
mod firmware;
mod gate;
mod ima;
mod index;
mod kernel;
mod records;
mod scrub;
mod sight;
mod tpm;
mod verity;

pub use before_good::Watched;
pub use gate::Inbox;

use crate::kernel_files::KernelFiles;
use crate::records::Witness;
use crate::scrub::Scrubber;
use crate::tracing::file::TraceFile;
use asking::Tpm;
use bennu_formats::handover::Handover;
use bennu_linux::time;
use bennu_policy::drift::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the costly subjects are looked at: those that read files of the ESP.
const SLOWLY: Duration = Duration::from_secs(60);

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What.
    pub signal: Signal,
    /// What exactly, printable; one sighting a text.
    pub detail: String,
    /// The program that it is about, for killing.
    pub program: Option<String>,
    /// The process that did it, for killing; it began before `at_ms`.
    pub process: Option<u32>,
    /// Id of the control group of the process that it is about.
    pub cgroup: Option<u64>,
    /// When it came, by the kernel, milliseconds since the machine started; none for what is compared at each round.
    pub at_ms: Option<u64>,
}

impl Sighting {
    /// A sighting with its words, cut and made printable: they come from paths and from the disk.
    pub fn new(signal: Signal, detail: impl AsRef<str>) -> Self {
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self {
            signal,
            detail: detail.as_ref().chars().take(240).map(printable).collect(),
            program: None,
            process: None,
            cgroup: None,
            at_ms: None,
        }
    }

    /// Whether it is the same thing, at whatever time.
    pub fn is_again(&self, other: &Self) -> bool {
        let Self {
            signal,
            detail,
            program,
            cgroup,
            process: _,
            at_ms: _,
        } = other;
        (self.signal, &self.detail, &self.program, self.cgroup) == (*signal, detail, program, *cgroup)
    }
}

/// What one subject says: sightings, or why it cannot be looked at.
pub type Look = Result<Vec<Sighting>, String>;

/// A subject of the watch.
trait Subject {
    /// Its name, for words.
    fn name(&self) -> &'static str;
    /// Whether it is looked at once a minute only.
    fn is_slow(&self) -> bool {
        false
    }
    /// Looks. A condition that lasts is told at each look.
    fn look(&mut self) -> Look;
    /// What later looks are compared with, for a `bennud` that is started again in this boot; none before the first look, and
    /// where something verified is.
    fn first_look(&self) -> Option<Value> {
        None
    }
    /// Compares with this, which an earlier `bennud` of this boot saw first. What cannot be read counts as none.
    fn go_on_from(&mut self, _first: Value) -> serde_json::Result<()> {
        Ok(())
    }
}

/// A subject, and what became of looking at it.
struct Watching {
    subject: Box<dyn Subject>,
    /// Why it could not be looked at the last time.
    why_not: Option<String>,
    /// On a processor, all looks together.
    cost: Duration,
    /// Its first look was given away, or came from an earlier `bennud`.
    is_kept: bool,
}

/// All subjects.
pub struct Watch {
    subjects: Vec<Watching>,
    tpm: Tpm,
    looked_slowly: Option<Duration>,
    /// To be said in the next round.
    words: Vec<String>,
}

impl Watch {
    /// The subjects of this start; what the kernel tells is read from `kernel`, the gate puts what it denies into `denied`,
    /// the scrub has what it found, the witness knows what was written to the record log, and `trace` what was to the trace.
    pub fn new(
        handover: &Handover,
        kernel: Arc<KernelFiles>,
        denied: Inbox,
        scrubber: &Scrubber,
        witness: &Witness,
        trace: &TraceFile,
    ) -> Self {
        let (digests, tpm) = (disk::Digests::default(), Tpm::default());
        let subjects: Vec<Box<dyn Subject>> = vec![
            Box::new(sight::Sight(kernel.clone())),
            Box::new(tpm::Pcrs::of(handover, kernel.clone(), tpm.clone())),
            Box::new(tpm::Counters::of(tpm.clone())),
            Box::new(ima::ImaWatch::of(kernel.clone(), tpm.clone())),
            Box::new(verity::Root::of(handover)),
            Box::new(kernel::Modules::of(kernel.clone())),
            Box::new(kernel::Mounts::of(kernel.clone())),
            Box::new(gate::Gate(denied)),
            Box::new(bpf::Objects::default()),
            Box::new(records::Log(witness.clone())),
            Box::new(records::Trace(trace.clone())),
            Box::new(ended::Agent::of(handover)),
            Box::new(clock::Clock::default()),
            Box::new(disk::Table::of(handover)),
            Box::new(disk::Files::of(handover, digests.clone())),
            Box::new(scrub::Blocks(scrubber.clone())),
            Box::new(scrub::Ukis::of(handover, scrubber.clone(), digests)),
            Box::new(firmware::Variables::of(kernel.clone())),
        ];
        let watching = |subject| Watching {
            subject,
            why_not: None,
            cost: Duration::ZERO,
            is_kept: false,
        };
        Self {
            subjects: subjects.into_iter().map(watching).collect(),
            tpm,
            looked_slowly: None,
            words: Vec::new(),
        }
    }

    /// Goes on from what an earlier `bennud` of this boot saw first, by the names of the subjects: what was changed while none
    /// ran is seen in the first round.
    pub fn go_on_from(&mut self, first_looks: &BTreeMap<String, Value>) {
        for watching in &mut self.subjects {
            let name = watching.subject.name();
            let Some(first) = first_looks.get(name) else {
                continue;
            };
            match watching.subject.go_on_from(first.clone()) {
                Ok(()) => watching.is_kept = true,
                Err(error) => self
                    .words
                    .push(format!("{name}: the first look is not known any more: {error}")),
            }
        }
    }

    /// First looks that were not given yet, by the names of the subjects.
    pub fn new_first_looks(&mut self) -> BTreeMap<String, Value> {
        let new = self.subjects.iter_mut().filter(|watching| !watching.is_kept);
        let first = |watching: &mut Watching| {
            let first = watching.subject.first_look()?;
            watching.is_kept = true;
            Some((watching.subject.name().to_owned(), first))
        };
        new.filter_map(first).collect()
    }

    /// One round; gives what was seen, and what is new to say of subjects that cannot be looked at. `alive` is called before
    /// each subject.
    pub fn round(&mut self, alive: &mut dyn FnMut()) -> (Vec<Sighting>, Vec<String>) {
        let now = time::monotonic();
        let slowly = self
            .looked_slowly
            .is_none_or(|last| now.saturating_sub(last) >= SLOWLY);
        if slowly {
            self.looked_slowly = Some(now);
        }
        let (mut seen, mut words) = (Vec::new(), std::mem::take(&mut self.words));
        for watching in &mut self.subjects {
            if watching.subject.is_slow() && !slowly {
                continue;
            }
            alive();
            let begun = time::of_thread();
            let look = watching.subject.look();
            watching.cost += time::of_thread().saturating_sub(begun) + self.tpm.take_cost();
            match look {
                Ok(sightings) => {
                    seen.extend(sightings);
                    watching.why_not = None;
                }
                Err(why) if watching.why_not.as_ref() == Some(&why) => {}
                Err(why) => {
                    words.push(format!("{}: cannot be watched: {why}", watching.subject.name()));
                    watching.why_not = Some(why);
                }
            }
        }
        (seen, words)
    }

    /// Whether every subject could be looked at in its last round; else a round without signals means little.
    pub fn sees_everything(&self) -> bool {
        self.blind().next().is_none()
    }

    /// Names of the subjects that could not be looked at in their last round.
    pub fn blind(&self) -> impl Iterator<Item = &'static str> {
        let blind = self.subjects.iter().filter(|watching| watching.why_not.is_some());
        blind.map(|watching| watching.subject.name())
    }

    /// What looking at each has cost, microseconds on a processor.
    pub fn cost_us(&self) -> impl Iterator<Item = (String, u64)> {
        self.subjects.iter().map(|watching| {
            let us = u64::try_from(watching.cost.as_micros()).unwrap_or(u64::MAX);
            (watching.subject.name().to_owned(), us)
        })
    }
}

/// Compares with the first look.
#[derive(Debug)]
struct Baseline<T>(Option<T>);

impl<T> Default for Baseline<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Baseline<T> {
    /// For a `bennud` that is started again.
    fn kept(&self) -> Option<Value>
    where
        T: Serialize,
    {
        serde_json::to_value(self.0.as_ref()?).ok()
    }

    /// That of an earlier one.
    fn go_on_from(&mut self, first: Value) -> serde_json::Result<()>
    where
        T: DeserializeOwned,
    {
        self.0 = Some(serde_json::from_value(first)?);
        Ok(())
    }

    /// What was found first, with what is found now; none at the first look.
    fn first(&mut self, now: T) -> Option<(&T, T)> {
        match &mut self.0 {
            Some(first) => Some((first, now)),
            none => {
                *none = Some(now);
                None
            }
        }
    }
}
