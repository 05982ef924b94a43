//! `bennuctl why`: one sentence on what was measured and on the last fall back, and what the boot record remembers of
//! each slot.

use super::measured::Measured;
use super::render::{fell_back_block, visible};
use super::{Answer, FellBackStatus, SCHEMA};
use bennu_esp::FoundRecord;
use bennu_formats::ImageVersion;
use bennu_formats::boot_record::{BootRecord, Failure, Stage};
use bennu_formats::handover::Handover;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// `bennuctl why --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The slot that runs.
    pub version: ImageVersion,
    /// The answer in one sentence.
    pub sentence: String,
    /// Whether what was measured in this start is as predicted.
    pub measured: Measured,
    /// Why a newer slot was passed over at this start.
    pub fell_back: Option<FellBackStatus>,
    /// What earlier starts left.
    pub history: History,
}

/// The boot record on the ESP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum History {
    /// Read.
    Known {
        /// Starts of bennu-init on this disk.
        starts: u64,
        /// Slots, oldest version first.
        slots: Vec<SlotHistory>,
    },
    /// Not known.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What is remembered of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHistory {
    /// Version.
    pub version: ImageVersion,
    /// Starts since the last healthy one.
    pub attempts: u32,
    /// How far the last start got.
    pub stage: Stage,
    /// Set while the slot is given up.
    pub bad: Option<Failure>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

impl From<FoundRecord> for History {
    fn from(found: FoundRecord) -> Self {
        match found {
            FoundRecord::Whole(record) | FoundRecord::OneCopy { record, .. } => Self::of(record),
            FoundRecord::None => Self::Unknown {
                why: "the ESP has no boot record".to_owned(),
            },
            FoundRecord::Damaged(error) => Self::Unknown {
                why: error.to_string(),
            },
        }
    }
}

impl History {
    fn of(record: BootRecord) -> Self {
        let slot = |(version, slot): (ImageVersion, bennu_formats::boot_record::SlotRecord)| SlotHistory {
            version,
            attempts: slot.attempts,
            stage: slot.stage,
            bad: slot.bad,
            last_failure: slot.last_failure,
        };
        Self::Known {
            starts: record.starts,
            slots: record.slots.into_iter().map(slot).collect(),
        }
    }
}

impl Why {
    /// The answer from the hand-over record, the boot record, and what was measured.
    pub fn of(handover: Handover, history: History, measured: Measured) -> Self {
        let fell_back = handover.fell_back.map(FellBackStatus::from);
        let version = handover.version;
        let slot = sentence(&version, fell_back.as_ref(), &history);
        Self {
            schema: SCHEMA,
            version,
            sentence: format!("{}; {slot}", measured.sentence()),
            measured,
            fell_back,
            history,
        }
    }

    /// Yes where all is as it should be: the newest slot runs and measured what was predicted. `None` where that
    /// cannot be told.
    pub fn answer(&self) -> Option<Answer> {
        match (&self.measured, &self.fell_back) {
            (Measured::Unexpected { .. }, _) | (_, Some(_)) => Some(Answer::No),
            (Measured::AsExpected { .. }, None) => Some(Answer::Yes),
            (Measured::Unknown { .. }, None) => None,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", visible(&self.sentence));
        for change in self.measured.firmware_changes() {
            let _ok = writeln!(out, "\nsince the last good start {}", visible(change));
        }
        if let Some(fell_back) = &self.fell_back {
            let _ok = write!(out, "\n{}", fell_back_block(fell_back));
        }
        match &self.history {
            History::Unknown { why } => {
                let _ok = writeln!(out, "\nhistory unknown: {}", visible(why));
            }
            History::Known { starts, slots } => {
                let _ok = writeln!(out, "\n{starts} starts on this disk");
                slots.iter().for_each(|slot| slot_lines(&mut out, slot));
            }
        }
        out
    }
}

fn sentence(version: &ImageVersion, fell_back: Option<&FellBackStatus>, history: &History) -> String {
    if let Some(FellBackStatus {
        from_version,
        failure,
        meaning,
        ..
    }) = fell_back
    {
        let Failure { code, reason } = failure;
        return format!("slot {version} runs instead of {from_version}: {code}: {meaning}; {reason}");
    }
    let slots = match history {
        History::Known { slots, .. } => slots.as_slice(),
        History::Unknown { .. } => &[],
    };
    let own = slots
        .iter()
        .find(|slot| slot.version == *version)
        .and_then(|slot| slot.last_failure.as_ref());
    match own {
        Some(Failure { code, reason }) => {
            format!(
                "slot {version} runs, no newer one was passed over; its last failure was {code}: {reason}"
            )
        }
        None => format!("slot {version} runs, no newer one was passed over"),
    }
}

fn slot_lines(out: &mut String, slot: &SlotHistory) {
    let reached = match slot.stage {
        Stage::Initrd => "the last start did not reach the root",
        Stage::Pivoted => "the last start reached the root",
        Stage::Healthy => "the last start was healthy",
    };
    let _ok = writeln!(
        out,
        "  {}: {} attempts since the last healthy start, {reached}",
        slot.version, slot.attempts
    );
    let mut told = |label: &str, failure: &Failure| {
        let _ok = writeln!(out, "    {label} {}: {}", failure.code, visible(&failure.reason));
    };
    if let Some(failure) = &slot.bad {
        told("given up:", failure);
    }
    match &slot.last_failure {
        Some(failure) if slot.bad.as_ref() != Some(failure) => told("last failure:", failure),
        Some(_) | None => {}
    }
}
