//! The record log and the trace: what was written to them has to be there.

use super::{Look, Sighting, Subject};
use crate::records::Witness;
use crate::tracing::file::TraceFile;
use bennu_policy::drift::Signal;

/// The log of this start.
pub(super) struct Log(pub(super) Witness);

impl Subject for Log {
    fn name(&self) -> &'static str {
        "record log"
    }

    fn look(&mut self) -> Look {
        told(self.0.look())
    }
}

/// The trace, where the image has one.
pub(super) struct Trace(pub(super) TraceFile);

impl Subject for Trace {
    fn name(&self) -> &'static str {
        "trace"
    }

    fn look(&mut self) -> Look {
        told(self.0.look())
    }
}

fn told(found: std::io::Result<Vec<String>>) -> Look {
    let broken = found.map_err(|error| error.to_string())?;
    let told = |words| Sighting::new(Signal::LogBroken, words);
    Ok(broken.into_iter().map(told).collect())
}
