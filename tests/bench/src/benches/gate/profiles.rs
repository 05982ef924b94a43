//! What a profile costs the unit that has it: then the gate looks at each connection as well.

use super::{BOOTS, Measuring, OPERATIONS, PEER, STANDS, name, row, with_limit};
use crate::benches::Session;
use crate::guest;
use crate::host;
use crate::report::Row;
use anyhow::{Context as _, Result, ensure};
use bennu_harness::machine::GuestClock;

const NAME: &str = "gate-profile";
pub(super) const DEFINITION: &str = "images/bench/gate-profiles.toml";
/// Behind the gate, to an address that the profile does not name.
const STRAY: &str = "MEASURE STRAY ";

/// Measures.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = host::missing(&guest::TOOLS) {
        let rows = OPERATIONS.iter();
        return Ok(rows
            .map(|operation| Row::not_run(&name(NAME, operation), PEER, &reason))
            .collect());
    }
    let scratch = session.scratch()?;
    let folder = scratch.path().join("counted");
    let mut guest = Measuring::new(&folder, DEFINITION, GuestClock::Instructions)?;
    for _ in 0..BOOTS {
        guest.boot(STANDS)?;
        ensure_profile_holds(&guest.lines)?;
    }
    OPERATIONS
        .iter()
        .map(|operation| Ok(with_limit(row(NAME, operation, &guest)?, guest.limit(operation)?)))
        .collect()
}

/// A profile that lets everything pass would be measured for nothing.
fn ensure_profile_holds(lines: &[String]) -> Result<()> {
    let found = guest::word_after(lines, STRAY).context("the guest did not try a stray connection")?;
    ensure!(
        found.trim() == "EPERM",
        "a connection against the profile: expected EPERM, found {found}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_does_not_hold_is_an_error() {
        let lines = |word: &str| [format!("[  9.1] MEASURE STRAY {word}")];
        assert!(ensure_profile_holds(&lines("EPERM")).is_ok());
        for word in ["ECONNREFUSED", "passed"] {
            assert!(ensure_profile_holds(&lines(word)).is_err(), "{word}");
        }
        assert!(ensure_profile_holds(&[]).is_err());
    }
}
