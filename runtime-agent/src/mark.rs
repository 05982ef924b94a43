//! The verdict on a slot, written to the ESP: good, or one more failed attempt, or bad.
//!
//! The decisions are `bennu_policy::boot`'s; here they are written down. A good mark goes to the entry first and
//! to the record last, a bad one the other way round: a power cut between the two leaves a slot with an attempt
//! too few, or one that `bennu-init` gives up by its record. Both acts are idempotent; where the first of the
//! two writes fails the ESP holds the old state.

use bennu_esp::{Esp, EspError, FoundRecord};
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_formats::handover::Handover;
use bennu_formats::names::UkiFileName;
use bennu_formats::{ImageId, ImageVersion};
use bennu_policy::boot::{self, BootAction, Entry};

/// The slot that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Image id.
    pub image_id: ImageId,
    /// Version.
    pub version: ImageVersion,
    /// Starts since the last healthy one, as `bennu-init` counted.
    pub attempts: u32,
}

impl Slot {
    /// The slot that `bennu-init` handed over.
    pub fn of(handover: &Handover) -> Self {
        Self {
            image_id: handover.image_id.clone(),
            version: handover.version.clone(),
            attempts: handover.attempts,
        }
    }
}

/// A slot that is marked good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The entry's name now.
    pub entry: UkiFileName,
    /// What was wrong with the record, if it was begun anew.
    pub new_record: Option<String>,
}

/// A slot that did not become healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub failure: Failure,
    /// Another attempt, the other slot, or neither because none is left.
    pub action: BootAction,
    /// The entry's name now; none where the ESP has no entry of this slot.
    pub entry: Option<UkiFileName>,
    /// What was wrong with the record, if it was begun anew.
    pub new_record: Option<String>,
}

/// Marks the slot good: its count starts anew and its entry has `tries` tries again.
///
/// # Errors
/// The ESP could not be read or written, or has no entry of the slot.
pub fn mark_good(esp: &Esp, slot: &Slot, tries: u32) -> Result<Marked, EspError> {
    let (mut record, new_record) = record_of(esp, slot)?;
    let entry = esp.rename_entry(&slot.image_id, &slot.version, |entry| entry.armed(tries))?;
    let before = record.clone();
    boot::on_healthy(&mut record, &slot.version);
    if new_record.is_some() || record != before {
        esp.write_boot_record(&record)?;
    }
    Ok(Marked { entry, new_record })
}

/// Writes down that the slot did not become healthy, and marks it bad when its attempts are used up.
///
/// # Errors
/// The ESP could not be read or written.
pub fn mark_unhealthy(esp: &Esp, slot: &Slot, words: &str, max_attempts: u32) -> Result<Verdict, EspError> {
    let (mut record, new_record) = record_of(esp, slot)?;
    let names = esp.entries(&slot.image_id)?;
    let entries: Vec<Entry> = names.iter().map(Entry::from).collect();
    let (failure, action) = boot::on_unhealthy(&mut record, &slot.version, words, max_attempts, &entries);
    esp.write_boot_record(&record)?;
    let entry = if record.slot_mut(&slot.version).bad.is_some() {
        mark_bad(esp, slot)?
    } else {
        names.into_iter().find(|entry| entry.version == slot.version)
    };
    Ok(Verdict {
        failure,
        action,
        entry,
        new_record,
    })
}

/// Gives the slot up because the running system drifted from what was verified; `None`, and nothing is written, where
/// no other slot may start.
///
/// # Errors
/// The ESP could not be read or written.
pub fn mark_drifted(esp: &Esp, slot: &Slot, words: &str) -> Result<Option<Failure>, EspError> {
    let (mut record, _) = record_of(esp, slot)?;
    let names = esp.entries(&slot.image_id)?;
    let entries: Vec<Entry> = names.iter().map(Entry::from).collect();
    let Some(failure) = boot::on_drift(&mut record, &slot.version, words, &entries) else {
        return Ok(None);
    };
    esp.write_boot_record(&record)?;
    mark_bad(esp, slot)?;
    Ok(Some(failure))
}

/// An entry that is gone cannot be started: as good as a bad one.
fn mark_bad(esp: &Esp, slot: &Slot) -> Result<Option<UkiFileName>, EspError> {
    match esp.rename_entry(&slot.image_id, &slot.version, UkiFileName::bad) {
        Ok(entry) => Ok(Some(entry)),
        Err(EspError::NoEntry { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The record, or a new one with what `bennu-init` counted: it has written one in this very boot, so a missing
/// one is as odd as a damaged one and must not give the slot its attempts back.
fn record_of(esp: &Esp, slot: &Slot) -> Result<(BootRecord, Option<String>), EspError> {
    let why = match esp.boot_record()? {
        FoundRecord::Whole(record) | FoundRecord::OneCopy { record, .. } => return Ok((record, None)),
        FoundRecord::None => "boot record: expected the one that bennu-init wrote, found none".to_owned(),
        FoundRecord::Damaged(error) => error.to_string(),
    };
    let mut record = BootRecord {
        last: Some(slot.version.clone()),
        ..BootRecord::default()
    };
    boot::on_pivot(&mut record, &slot.version);
    record.slot_mut(&slot.version).attempts = slot.attempts;
    Ok((record, Some(why)))
}
