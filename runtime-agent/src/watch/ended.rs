//! That `bennud` itself was killed or hung before in this start of the machine (`crate::ended`).

use super::{Look, Sighting, Subject};
use crate::documents;
use crate::ended::{self, Ends};
use crate::records::boot_id;
use bennu_formats::handover::Handover;
use bennu_policy::drift::Signal;
use std::path::Path;

/// The ends before this one's start; told once.
pub(super) struct Agent {
    path: &'static Path,
    looked: bool,
}

impl Agent {
    pub(super) fn of(handover: &Handover) -> Self {
        Self {
            path: ended::place(handover),
            looked: false,
        }
    }
}

impl Subject for Agent {
    fn name(&self) -> &'static str {
        "ends of bennud"
    }

    fn look(&mut self) -> Look {
        if std::mem::replace(&mut self.looked, true) {
            return Ok(Vec::new());
        }
        let ends = documents::read_if_there::<Ends>(self.path).map_err(|error| error.to_string())?;
        Ok(ends.map_or_else(Vec::new, |ends| sightings(&ends, &boot_id())))
    }
}

/// Its own failures are no sign of anybody: the health checks and the start limit answer them.
fn sightings(ends: &Ends, boot: &str) -> Vec<Sighting> {
    let mut seen = Vec::new();
    if !ends.are_of(boot) {
        return seen;
    }
    if ends.hung > 0 {
        let words = format!(
            "bennud did not answer systemd, times in this start: {}",
            ends.hung
        );
        seen.push(Sighting::new(Signal::AgentHung, words));
    }
    if ends.killed > 0 {
        let words = format!(
            "bennud was ended by a signal, times in this start: {}",
            ends.killed
        );
        seen.push(Sighting::new(Signal::AgentKilled, words));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::Ending;

    #[test]
    fn a_hung_and_a_killed_agent_are_told_and_a_failure_and_another_start_are_not() {
        let signals = |ends: &Ends| -> Vec<Signal> {
            let seen = sightings(ends, "now");
            seen.into_iter().map(|one| one.signal).collect()
        };
        let none = Ends::none("now");
        assert_eq!(signals(&none), []);
        assert_eq!(signals(&none.clone().with(Ending::Failed, 1)), []);
        assert_eq!(signals(&none.clone().with(Ending::Hung, 1)), [Signal::AgentHung]);
        let both = none.with(Ending::Killed, 1).with(Ending::Hung, 2);
        assert_eq!(signals(&both), [Signal::AgentHung, Signal::AgentKilled]);
        assert_eq!(signals(&Ends::none("before").with(Ending::Hung, 1)), []);
    }
}
