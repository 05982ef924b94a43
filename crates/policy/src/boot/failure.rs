//! What a failure leads to: exactly one action, from one exhaustive function over the codes.

use super::Entry;
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, SlotRecord};
use bennu_formats::names::{ImageVersion, UkiFileName};

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
        | Code::VeritySignature
        | Code::VerityReadBack
        | Code::VerityCorrupt
        | Code::RootMount
        | Code::RootIdentity
        | Code::PcrUnexpected
        | Code::SecretUnseal
        | Code::ImaPolicy
        | Code::SwitchRoot
        | Code::SlotUnhealthy
        | Code::SlotDrifted
        | Code::SlotPanic
        | Code::RootIo
        | Code::BelowFloor
        | Code::StateSchema
        | Code::UkiNotStarted
        | Code::ApiMount
        | Code::Internal => BootAction::FallBack,
        // May pass by itself; the attempts are counted.
        Code::TpmMissing
        | Code::TpmExtend
        | Code::FloorAccess
        | Code::StateAccess
        | Code::SecretSeal
        | Code::FactoryReset
        | Code::BootDisk => BootAction::Retry,
        // The machine, not the slot: another slot or another start meets the same.
        Code::SecureBootOff
        | Code::DuplicatePartition
        | Code::Esp
        | Code::SecretBlob
        | Code::FloorMissing
        | Code::FloorForeign
        | Code::TpmOwned
        | Code::TpmBank
        | Code::StateMissing
        | Code::StatePlain
        | Code::StateHeader
        | Code::StateSwapped
        | Code::StateForged
        | Code::StateRolledBack
        | Code::StateKeyMissing
        | Code::StateOtherTpm
        | Code::StatePin
        | Code::TpmLockout
        | Code::StateSecureBoot
        | Code::StateConditions
        | Code::LatchOpen
        | Code::FirstBootFormat
        | Code::FirstBootSignature
        | Code::FirstBootOther
        | Code::NoSlot => BootAction::Halt,
        // Is told, and never ends a start.
        Code::IdentityRefused => BootAction::Halt,
        // Codes that never decide a start: those of `bennu verify`, and what bennud says beside SLOT-UNHEALTHY.
        Code::Gate
        | Code::ImageGpt
        | Code::ImageEsp
        | Code::LoaderSignature
        | Code::UkiSignature
        | Code::UkiDigest
        | Code::UkiPcr
        | Code::VerityTree
        | Code::GoldenIndex
        | Code::SlotName
        // Of a log server, never of a boot.
        | Code::RecordsConflict
        | Code::RecordsFork
        | Code::RecordsGap
        | Code::RecordsAnew
        | Code::RecordsSender
        | Code::RecordsTorn
        | Code::RecordsInput
        | Code::RecordsFull => BootAction::Halt,
    }
}

/// Whether a slot that was given up for this may be sound all the same at a later start: nothing was proven
/// against its bytes, or the machine was at fault. What the TPM refused is of that kind: a file that somebody put on
/// the ESP, a device on the bus, a lockout.
fn may_pass(code: Code) -> bool {
    match fault(code) {
        BootAction::Retry | BootAction::Halt => true,
        BootAction::FallBack => matches!(
            code,
            Code::SlotUnhealthy
                | Code::SlotDrifted
                | Code::SlotPanic
                | Code::RootIo
                | Code::UkiNotStarted
                | Code::PcrUnexpected
                | Code::SecretUnseal
                | Code::StateSchema
        ),
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
            let action = fall_back_or_halt(record, this, entries);
            if action == BootAction::Halt {
                forgive_what_may_pass(record);
            }
            action
        }
    }
}

/// Nothing may start any more, so the machine stops until somebody switches it off and on. What is not proven
/// gets its attempts back for then: a power that failed too often, or a TPM that was switched off, must not cost
/// a machine for good.
fn forgive_what_may_pass(record: &mut BootRecord) {
    for slot in record.slots.values_mut() {
        if slot.bad.as_ref().is_some_and(|failure| may_pass(failure.code)) {
            slot.last_failure = slot.bad.take();
            slot.attempts = 0;
        }
    }
}

/// The name that a boot entry gets after [`on_failure`]: that of `this` says that it is bad; at a halt the others
/// that are not bad get `tries` again, for the start that somebody's hand makes.
pub fn entry_after_failure(
    record: &BootRecord,
    action: BootAction,
    this: &ImageVersion,
    entry: &UkiFileName,
    tries: u32,
) -> UkiFileName {
    let bad = record
        .slots
        .get(&entry.version)
        .is_some_and(|slot| slot.bad.is_some());
    if bad && entry.version == *this {
        entry.bad()
    } else if !bad && action == BootAction::Halt && !Entry::from(entry).may_start() {
        entry.armed(tries)
    } else {
        entry.clone()
    }
}

/// Restarts that are made without an ESP to write to: the tries of two slots and one more.
pub const BLIND_RESTARTS: u8 = 7;

/// A failure without a record: the loader counts this entry's tries all the same, so a few restarts reach the
/// other slot. `restarts` is their number, this one included. Where the machine is at fault every slot meets the
/// same, and it stops at once; an ESP that could not be read may be readable the next time.
pub fn on_failure_without_record(code: Code, restarts: u8) -> BootAction {
    let passes = code == Code::Esp || fault(code) != BootAction::Halt;
    if passes && restarts <= BLIND_RESTARTS {
        BootAction::Retry
    } else {
        BootAction::Halt
    }
}

/// `this` is given up: is there another slot that the loader prefers and that its own bennu-init would start? One that
/// cannot read the state volume any more would end in `STATE-SCHEMA`.
pub(super) fn fall_back_or_halt(record: &BootRecord, this: &ImageVersion, entries: &[Entry]) -> BootAction {
    let other_may_start = entries.iter().any(|e| {
        e.version != *this
            && e.may_start()
            && record
                .slots
                .get(&e.version)
                .is_none_or(|slot| slot.bad.is_none() && reads_state(record, slot))
    });
    if other_may_start {
        BootAction::FallBack
    } else {
        BootAction::Halt
    }
}

/// Whether the slot's releases can read the state volume, as far as the record says: what is not known is tried.
fn reads_state(record: &BootRecord, slot: &SlotRecord) -> bool {
    match (slot.state_schema, record.state_readable_from) {
        (Some(schema), Some(readable_from)) => schema >= readable_from,
        (None, _) | (_, None) => true,
    }
}
