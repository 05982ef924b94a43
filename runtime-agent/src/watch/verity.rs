//! dm-verity's own word on the running root.

use super::{Look, Sighting, Subject};
use crate::status::verity::{self, VerityState};
use bennu_formats::handover::Handover;
use bennu_policy::drift::Signal;

/// The running root.
pub struct Root {
    number: String,
}

impl Root {
    /// The device of the hand-over.
    pub fn of(handover: &Handover) -> Self {
        Self {
            number: handover.verity_device.number.clone(),
        }
    }
}

impl Subject for Root {
    fn name(&self) -> &'static str {
        "dm-verity"
    }

    fn look(&mut self) -> Look {
        match verity::ask(&self.number) {
            VerityState::Verified => Ok(Vec::new()),
            VerityState::Corrupted => Ok(vec![Sighting::new(
                Signal::VerityCorruptActive,
                "dm-verity met a block of the running root that does not match",
            )]),
            VerityState::Unknown { why } => Err(why),
        }
    }
}
