//! What the firmware measured differently from an earlier start: PCRs 0 to 7 against a record of the last good one.
//!
//! The record ([`FirmwareRecord`]) lies on the ESP, where everybody with the disk can write: what follows from it is
//! words. No policy of ours names these PCRs.

use crate::event::{Event, Origin};
use crate::meaning::Meaning;
use bennu_formats::ImageVersion;
use bennu_formats::Sha256Digest;
use bennu_formats::firmware_record::{FirmwareEvent, FirmwareRecord, MAX_EVENTS, MAX_WHAT_BYTES};
use bennu_tpm::HashAlg;
use std::collections::BTreeMap;
use std::fmt;

/// PCRs of the firmware.
pub const FIRMWARE_PCRS: std::ops::RangeInclusive<u8> = 0..=7;
/// Most differences of one PCR that are named.
const MAX_NAMED: usize = 3;

/// A PCR of the firmware with another value than at the last good start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The PCR.
    pub pcr: u8,
    /// What is new, gone or changed.
    pub differences: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCR {} changed: ", self.pcr)?;
        let named: Vec<&str> = self
            .differences
            .iter()
            .take(MAX_NAMED)
            .map(String::as_str)
            .collect();
        f.write_str(&named.join(", "))?;
        match self.differences.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The record of this start, made from its log and the values of the PCRs.
pub fn record(
    version: &ImageVersion,
    events: &[Event],
    values: &BTreeMap<u8, Sha256Digest>,
) -> FirmwareRecord {
    let firmware = events.iter().filter_map(|event| {
        let pcr = event.extends().filter(|pcr| FIRMWARE_PCRS.contains(pcr))?;
        let digest = event.digest(HashAlg::Sha256)?.as_bytes();
        (event.origin == Origin::Firmware).then(|| FirmwareEvent {
            pcr: pcr.into(),
            what: label(&event.meaning),
            digest: hex::encode(digest.get(..8).unwrap_or(digest)),
        })
    });
    let values = values.iter().filter(|(pcr, _)| FIRMWARE_PCRS.contains(pcr));
    FirmwareRecord {
        schema: 1,
        version: version.clone(),
        pcrs: values.map(|(pcr, value)| (u32::from(*pcr), *value)).collect(),
        events: firmware.take(MAX_EVENTS).collect(),
    }
}

/// What an event is called in the record. The name of a boot entry counts its tries, which is no difference.
fn label(meaning: &Meaning) -> String {
    let mut label = meaning.to_string();
    if let (Some(plus), Some(end)) = (label.rfind('+'), label.to_ascii_lowercase().rfind(".efi"))
        && matches!(meaning, Meaning::Program(_))
        && plus < end
    {
        label.replace_range(plus..end, "");
    }
    label.truncate(MAX_WHAT_BYTES);
    label
}

/// What changed since `before`. Another release has another UKI, whose digest in PCR 4 is no news.
pub fn changes(before: &FirmwareRecord, now: &FirmwareRecord) -> Vec<Change> {
    let mut changes = Vec::new();
    for pcr in FIRMWARE_PCRS {
        let number = u32::from(pcr);
        let (Some(old), Some(new)) = (before.pcrs.get(&number), now.pcrs.get(&number)) else {
            continue;
        };
        if old == new {
            continue;
        }
        let differences = differences(pcr, before, now);
        let own_uki = |difference: &String| difference.contains("\\EFI\\Linux\\");
        if before.version != now.version && !differences.is_empty() && differences.iter().all(own_uki) {
            continue;
        }
        changes.push(Change { pcr, differences });
    }
    changes
}

fn differences(pcr: u8, before: &FirmwareRecord, now: &FirmwareRecord) -> Vec<String> {
    let of = |record: &FirmwareRecord| -> Vec<FirmwareEvent> {
        let events = record.events.iter().filter(|e| e.pcr == u32::from(pcr));
        events.cloned().collect()
    };
    let (mut gone, mut new) = (of(before), Vec::new());
    for event in of(now) {
        match gone
            .iter()
            .position(|old| old.what == event.what && old.digest == event.digest)
        {
            Some(at) => drop(gone.remove(at)),
            None => new.push(event),
        }
    }
    let mut differences = Vec::new();
    for event in new {
        match gone.iter().position(|old| old.what == event.what) {
            Some(at) => {
                gone.remove(at);
                differences.push(format!("{} is another one", event.what));
            }
            None => differences.push(format!("{} is new", event.what)),
        }
    }
    differences.extend(gone.iter().map(|event| format!("{} is gone", event.what)));
    if differences.is_empty() {
        differences.push("the log does not say what".to_owned());
    }
    differences
}
