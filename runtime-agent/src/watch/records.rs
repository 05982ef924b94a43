//! The record log: what was written to it has to be there.

use super::{Look, Sighting, Subject};
use crate::records::Witness;
use bennu_policy::drift::Signal;

/// The log of this start.
pub(super) struct Log(pub(super) Witness);

impl Subject for Log {
    fn name(&self) -> &'static str {
        "record log"
    }

    fn look(&mut self) -> Look {
        let broken = self.0.look().map_err(|error| error.to_string())?;
        let told = |words| Sighting::new(Signal::LogBroken, words);
        Ok(broken.into_iter().map(told).collect())
    }
}
