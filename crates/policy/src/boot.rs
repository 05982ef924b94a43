//! Which slot starts, when a slot is given up, and what a failure leads to.
//!
//! Everything here is a pure function from facts to a decision. The facts come from places that an attacker
//! with the disk can write (file names on the ESP, the boot record), so a decision can cost availability but
//! opens nothing: signatures and TPM policy stand elsewhere.

use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, Stage};
use bennu_formats::handover::FellBack;
use bennu_formats::names::{ImageVersion, UkiFileName};

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
    /// What the last start left in persistent storage.
    pub panic: Option<&'a PanicNote>,
}

/// What to do with a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartDecision {
    /// Go on; the newer slot that was passed over, if there is one.
    Go(Option<FellBack>),
    /// This slot is not to be started.
    GiveUp(Failure),
}

/// Digests the past, counts this start, and decides whether it goes on. The record is changed in place and
/// has to be written before anything else happens.
pub fn on_start(record: &mut BootRecord, facts: &StartFacts<'_>) -> StartDecision {
    record.starts = record.starts.saturating_add(1);
    note_panic(record, facts.panic);
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
    record.last = Some(facts.this.clone());
    StartDecision::Go(passed_over(record, facts))
}

/// Whether the last start of `version` ended in its good mark; asked before [`on_start`] counts the next one.
/// The floor rises on this word: who forges it can make older releases unusable, and open nothing.
pub fn was_healthy(record: &BootRecord, version: &ImageVersion) -> bool {
    record
        .slots
        .get(version)
        .is_some_and(|slot| slot.stage == Stage::Healthy && slot.attempts == 0 && slot.bad.is_none())
}

/// A panic belongs to the slot that started last.
fn note_panic(record: &mut BootRecord, panic: Option<&PanicNote>) {
    let (Some(panic), Some(last)) = (panic, record.last.clone()) else {
        return;
    };
    let slot = record.slot_mut(&last);
    match panic {
        PanicNote::VerityCorruption(words) => {
            let failure = Failure::new(Code::VerityCorrupt, &format!("the kernel said: {words}"));
            slot.bad = Some(failure.clone());
            slot.last_failure = Some(failure);
        }
        PanicNote::Other(words) => {
            slot.last_failure = Some(Failure::new(
                Code::SlotPanic,
                &format!("the kernel said: {words}"),
            ));
        }
    }
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

/// The one action that a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootAction {
    /// Mark this slot bad and restart; the loader takes the other one.
    FallBack,
    /// Restart without a verdict: the counters bound how often.
    Retry,
    /// Show code and sentence and stop; a restart would change nothing.
    Halt,
}

/// What kind of fault a code stands for, exhaustively.
fn fault(code: Code) -> BootAction {
    match code {
        // The slot's own bytes are at fault: the other slot may be sound.
        Code::Trust
        | Code::Module
        | Code::Cmdline
        | Code::SlotMissing
        | Code::ManifestFormat
        | Code::ManifestSignature
        | Code::ManifestImageId
        | Code::ManifestArchitecture
        | Code::ManifestRootHash
        | Code::ManifestGeometry
        | Code::ManifestPolicy
        | Code::VerityTable
        | Code::VerityReadBack
        | Code::VerityCorrupt
        | Code::RootMount
        | Code::RootIdentity
        | Code::PcrUnexpected
        | Code::SecretUnseal
        | Code::BelowFloor
        | Code::SwitchRoot
        | Code::SlotUnhealthy
        | Code::SlotPanic
        | Code::UkiNotStarted
        | Code::ApiMount
        | Code::Internal => BootAction::FallBack,
        // May pass by itself; the attempts are counted.
        Code::TpmMissing
        | Code::TpmExtend
        | Code::FloorAccess
        | Code::StateAccess
        | Code::SecretSeal
        | Code::BootDisk => BootAction::Retry,
        // The machine, not the slot: another slot or another start meets the same.
        Code::SecureBootOff
        | Code::DuplicatePartition
        | Code::Esp
        | Code::SecretBlob
        | Code::FloorMissing
        | Code::FloorForeign
        | Code::TpmOwned
        | Code::StateMissing
        | Code::StatePlain
        | Code::StateHeader
        | Code::StateSwapped
        | Code::StateForged
        | Code::StateRolledBack
        | Code::StateKeyMissing
        | Code::StateOtherTpm
        | Code::LatchOpen
        | Code::NoSlot => BootAction::Halt,
        // Codes of `bennu verify`, which never decides a start.
        Code::ImageGpt
        | Code::ImageEsp
        | Code::LoaderSignature
        | Code::UkiSignature
        | Code::UkiDigest
        | Code::UkiPcr
        | Code::VerityTree
        | Code::VeritySignature
        | Code::SlotName => BootAction::Halt,
    }
}

/// What is known when a step of bennu-init has failed.
#[derive(Debug, Clone)]
pub struct FailureFacts<'a> {
    /// This slot; `None` when the failure came before it was known.
    pub this: Option<&'a ImageVersion>,
    /// Entries on the ESP; `None` when the ESP could not be read.
    pub entries: Option<&'a [Entry]>,
}

/// Decides what a failure leads to and writes the verdict into the record. Falling back needs a slot to fall
/// back to and a place to write the verdict: without either the machine stops rather than restart for ever.
///
/// A slot that is bad already did not fail anew: [`on_start`] gave it up, for a fault that may be of any kind.
/// It falls back or stops and never tries again, since its next start would end in the same place.
pub fn on_failure(record: &mut BootRecord, failure: &Failure, facts: &FailureFacts<'_>) -> BootAction {
    let (Some(this), Some(entries)) = (facts.this, facts.entries) else {
        return BootAction::Halt;
    };
    let slot = record.slot_mut(this);
    slot.last_failure = Some(failure.clone());
    let given_up = slot.bad.is_some();
    match fault(failure.code) {
        BootAction::Halt if !given_up => BootAction::Halt,
        BootAction::Retry if !given_up => BootAction::Retry,
        BootAction::FallBack | BootAction::Halt | BootAction::Retry => {
            slot.bad.get_or_insert_with(|| failure.clone());
            fall_back_or_halt(record, this, entries)
        }
    }
}

/// `this` is given up: is there another slot that the loader prefers and that its own bennu-init would start?
fn fall_back_or_halt(record: &BootRecord, this: &ImageVersion, entries: &[Entry]) -> BootAction {
    let other_may_start = entries.iter().any(|e| {
        e.version != *this
            && e.may_start()
            && record.slots.get(&e.version).is_none_or(|slot| slot.bad.is_none())
    });
    if other_may_start {
        BootAction::FallBack
    } else {
        BootAction::Halt
    }
}

/// The root's init has been started.
pub fn on_pivot(record: &mut BootRecord, this: &ImageVersion) {
    record.slot_mut(this).stage = Stage::Pivoted;
}

/// The health checks passed: the slot's count starts anew and its past is forgiven.
pub fn on_healthy(record: &mut BootRecord, this: &ImageVersion) {
    let slot = record.slot_mut(this);
    slot.attempts = 0;
    slot.stage = Stage::Healthy;
    slot.bad = None;
    slot.last_failure = None;
}

/// The health checks did not pass in time: restart for another attempt, or give the slot up. `entries` are those
/// on the ESP now. [`BootAction::Halt`] means that no other slot is left: the system stays up as it is, because
/// a restart would end on the last screen of bennu-init.
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
    (failure, fall_back_or_halt(record, this, entries))
}
