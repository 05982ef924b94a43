//! Which slot starts, when a slot is given up, and what a failure leads to.
//!
//! Everything here is a pure function from facts to a decision. The facts come from places that an attacker
//! with the disk can write (file names on the ESP, the boot record), so a decision can cost availability but
//! opens nothing: signatures and TPM policy stand elsewhere.
//!
//! The ladder for a root that fails after the pivot: the kernel panics and restarts the slot with the reason kept
//! (pstore, then the record) → the other slot → the recovery screen. A block that does not match is proof and
//! takes the second rung at once; a block that cannot be read may pass and takes it the second time.
//!
//! `tests/boot/model` explores all of it, with a crash after every write.

mod failure;

pub use failure::{
    BLIND_RESTARTS, BootAction, FailureFacts, entry_after_failure, on_failure, on_failure_without_record,
};

use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, Stage};
use bennu_formats::handover::FellBack;
use bennu_formats::names::{BootCounter, ImageVersion, UkiFileName};

/// A boot entry on the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Version.
    pub version: ImageVersion,
    /// Tries left; `None` for an entry without a counter, which the loader always takes.
    pub tries_left: Option<u32>,
    /// Tries done since the counter was armed.
    pub tries_done: u32,
}

impl From<&UkiFileName> for Entry {
    fn from(name: &UkiFileName) -> Self {
        Self {
            version: name.version.clone(),
            tries_left: name.counter.map(|c| c.tries_left),
            tries_done: name.counter.map_or(0, |c| c.tries_done),
        }
    }
}

impl Entry {
    /// Whether the loader still prefers this entry to bad ones.
    fn may_start(&self) -> bool {
        self.tries_left != Some(0)
    }
}

/// What the kernel left behind of a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PanicNote {
    /// dm-verity met a block that does not match, with the kernel's words.
    VerityCorruption(String),
    /// dm-verity could not read a block, with the kernel's words.
    RootIo(String),
    /// Any other panic.
    Other(String),
}

/// What is known when bennu-init has found the ESP.
#[derive(Debug, Clone)]
pub struct StartFacts<'a> {
    /// Version of the slot that starts.
    pub this: &'a ImageVersion,
    /// Entries on the ESP, this one included.
    pub entries: &'a [Entry],
    /// Starts without becoming healthy that are allowed.
    pub max_attempts: u32,
    /// A note of an earlier panic is still in persistent storage and could not be removed: it must not be taken
    /// for one of this start.
    pub old_note_remains: bool,
}

/// The anti-rollback numbers of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// `security_version` of the slot that starts.
    pub security_version: u64,
    /// Lowest `security_version` that this machine still starts.
    pub floor: u64,
}

impl Floor {
    /// Whether the start has to end: asked once the TPM has told the floor, before anything is opened. The TPM refuses
    /// such a release besides.
    #[must_use]
    pub fn is_above(self) -> bool {
        self.security_version < self.floor
    }
}

/// What a start that goes on has to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The newer slot that was passed over.
    pub fell_back: Option<FellBack>,
    /// What went wrong in this slot last; forgotten once it is healthy, so it has to be told before.
    pub last_failure: Option<Failure>,
}

/// What to do with a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartDecision {
    /// Go on, and tell this.
    Go(Past),
    /// This slot is not to be started.
    GiveUp(Failure),
}

/// Digests the past, counts this start, and decides whether it goes on. The record is changed in place and
/// has to be written before anything else happens.
pub fn on_start(record: &mut BootRecord, facts: &StartFacts<'_>) -> StartDecision {
    record.starts = record.starts.saturating_add(1);
    end_the_row_of_flips(record, facts.this);
    note_entries_without_tries(record, facts);

    let slot = record.slot_mut(facts.this);
    if let Some(failure) = &slot.bad {
        return StartDecision::GiveUp(failure.clone());
    }
    if slot.attempts >= facts.max_attempts {
        let failure = slot
            .last_failure
            .clone()
            .unwrap_or_else(|| unhealthy(slot.attempts, slot.stage));
        slot.bad = Some(failure.clone());
        return StartDecision::GiveUp(failure);
    }
    slot.attempts += 1;
    slot.stage = Stage::Initrd;
    let last_failure = slot.last_failure.clone();
    record.last = (!facts.old_note_remains).then(|| facts.this.clone());
    StartDecision::Go(Past {
        fell_back: passed_over(record, facts),
        last_failure,
    })
}

/// Flips are in a row until a slot starts twice without another one in between, and was marked good and did not drift the
/// first time. The good mark alone is not enough: it comes minutes after each start, before whoever came in acts.
fn end_the_row_of_flips(record: &mut BootRecord, this: &ImageVersion) {
    if record.last.as_ref() == Some(this) && was_healthy(record, this) {
        record.drift_flips = 0;
    }
}

/// Whether the last start of `version` ended in its good mark; asked before [`on_start`] counts the next one.
/// The floor rises on this word: who forges it can make older releases unusable, and open nothing.
pub fn was_healthy(record: &BootRecord, version: &ImageVersion) -> bool {
    record
        .slots
        .get(version)
        .is_some_and(|slot| slot.stage == Stage::Healthy && slot.attempts == 0 && slot.bad.is_none())
}

/// Attributes a panic to the slot that started last, and takes that name off the record: a note that a crash
/// leaves in persistent storage after the record was written belongs to nobody and counts once. To be called
/// before [`on_start`], with the record written and the note removed in between.
pub fn on_panic(record: &mut BootRecord, panic: &PanicNote) {
    let Some(last) = record.last.take() else {
        return;
    };
    let slot = record.slot_mut(&last);
    let (code, words) = match panic {
        PanicNote::VerityCorruption(words) => (Code::VerityCorrupt, words),
        PanicNote::RootIo(words) => (Code::RootIo, words),
        PanicNote::Other(words) => (Code::SlotPanic, words),
    };
    let failure = Failure::new(code, &format!("the kernel said: {words}"));
    let again = slot.last_failure.as_ref().is_some_and(|f| f.code == code);
    if code == Code::VerityCorrupt || (code == Code::RootIo && again) {
        slot.bad = Some(failure.clone());
    }
    slot.last_failure = Some(failure);
}

/// An entry that has no tries left and is not this one was given up by the loader: say why.
fn note_entries_without_tries(record: &mut BootRecord, facts: &StartFacts<'_>) {
    for entry in facts
        .entries
        .iter()
        .filter(|e| !e.may_start() && e.version != *facts.this)
    {
        let slot = record.slot_mut(&entry.version);
        if slot.bad.is_some() {
            continue;
        }
        slot.bad = Some(match (&slot.last_failure, slot.attempts) {
            (Some(failure), _) => failure.clone(),
            (None, 0) => Failure::new(
                Code::UkiNotStarted,
                &format!(
                    "expected the UKI to start within {} tries, found that it never did",
                    entry.tries_done
                ),
            ),
            (None, attempts) => unhealthy(attempts, slot.stage),
        });
    }
}

fn unhealthy(attempts: u32, stage: Stage) -> Failure {
    let got = match stage {
        Stage::Initrd => "the last one did not reach the root",
        Stage::Pivoted => "the last one reached the root and no further",
        Stage::Healthy => "the last one was healthy once",
    };
    Failure::new(
        Code::SlotUnhealthy,
        &format!("expected a healthy start, found {attempts} starts without one; {got}"),
    )
}

/// The newest version is what the loader prefers; if it is not this one and cannot start, we fell back.
fn passed_over(record: &BootRecord, facts: &StartFacts<'_>) -> Option<FellBack> {
    let newest = facts.entries.iter().map(|e| &e.version).max()?;
    if newest <= facts.this {
        return None;
    }
    let failure = record.slots.get(newest)?.bad.clone()?;
    Some(FellBack {
        from_version: newest.clone(),
        failure,
    })
}

/// The root's init has been started.
pub fn on_pivot(record: &mut BootRecord, this: &ImageVersion) {
    record.slot_mut(this).stage = Stage::Pivoted;
}

/// The slot uses the state volume: its own `state_schema`, and the lowest that can read the volume from now on. Written
/// down so that a slot that is given up later knows whether the other one could go on. Whoever forges it can keep a
/// machine from falling back, or cost it a restart; it opens nothing.
pub fn on_state(record: &mut BootRecord, this: &ImageVersion, state_schema: u32, readable_from: u32) {
    record.slot_mut(this).state_schema = Some(state_schema);
    record.state_readable_from = Some(readable_from);
}

/// Somebody typed the recovery key, and another TPM has the machine now: the starts before failed for want of that, not
/// for this slot. Each costs a right key, so nothing loops.
pub fn on_recovered(record: &mut BootRecord, this: &ImageVersion) {
    let slot = record.slot_mut(this);
    slot.attempts = 0;
    slot.last_failure = None;
}

/// Somebody is asked for what only they know: until they answer the start does not count.
pub fn on_waiting(record: &mut BootRecord, this: &ImageVersion) {
    let slot = record.slot_mut(this);
    slot.attempts = slot.attempts.saturating_sub(1);
}

/// They have answered, rightly: it counts again, so that a slot that never becomes healthy is given up as ever.
pub fn on_answered(record: &mut BootRecord, this: &ImageVersion) {
    let slot = record.slot_mut(this);
    slot.attempts = slot.attempts.saturating_add(1);
}

/// The name of the boot entry from [`on_waiting`] on; [`on_answered`] puts the old one back.
pub fn entry_while_waiting(entry: &UkiFileName) -> UkiFileName {
    let counter = entry
        .counter
        .map(|counter| match counter.tries_done.checked_sub(1) {
            Some(tries_done) => BootCounter {
                tries_left: counter.tries_left.saturating_add(1),
                tries_done,
            },
            None => counter,
        });
    UkiFileName {
        counter,
        ..entry.clone()
    }
}

/// The health checks passed: the slot's count starts anew and its past is forgiven. Only a block that could not be
/// read stays noted: it is forgiven once, or a slot that fails an hour after each healthy start would do so for
/// ever.
pub fn on_healthy(record: &mut BootRecord, this: &ImageVersion) {
    let slot = record.slot_mut(this);
    slot.attempts = 0;
    slot.stage = Stage::Healthy;
    slot.bad = None;
    slot.last_failure.take_if(|failure| failure.code != Code::RootIo);
}

/// The health checks did not pass in time: restart for another attempt, or give the slot up. `entries` are those
/// on the ESP now. [`BootAction::Halt`] means that no other slot is left: the system stays up as it is, because
/// a restart would end on the last screen of bennu-init. It is restarted all the same without the gate that it demands.
pub fn on_unhealthy(
    record: &mut BootRecord,
    this: &ImageVersion,
    words: &str,
    max_attempts: u32,
    entries: &[Entry],
) -> (Failure, BootAction) {
    let slot = record.slot_mut(this);
    let failure = Failure::new(Code::SlotUnhealthy, words);
    slot.last_failure = Some(failure.clone());
    if slot.attempts < max_attempts {
        return (failure, BootAction::Retry);
    }
    slot.bad = Some(failure.clone());
    (failure, failure::fall_back_or_halt(record, this, entries))
}

/// The running system drifted from what was verified: its slot is given up, if there is another one to start. `None`,
/// and nothing is changed, where there is none. What drifted is the running system, not the slot's bytes: where
/// nothing else may start any more the mark may be forgiven.
pub fn on_drift(
    record: &mut BootRecord,
    this: &ImageVersion,
    words: &str,
    entries: &[Entry],
) -> Option<Failure> {
    if failure::fall_back_or_halt(record, this, entries) != BootAction::FallBack {
        return None;
    }
    let failure = Failure::new(Code::SlotDrifted, words);
    let slot = record.slot_mut(this);
    // Written before, and the entry could not be renamed: one flip.
    let again = slot.bad.as_ref().is_some_and(|bad| bad.code == Code::SlotDrifted);
    slot.bad = Some(failure.clone());
    slot.last_failure = Some(failure.clone());
    if !again {
        record.drift_flips = record.drift_flips.saturating_add(1);
    }
    Some(failure)
}
