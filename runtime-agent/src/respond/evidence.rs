//! The signals that count, bounded for each kind, so that no flood of one hides another.

use super::Known;
use crate::watch::Sighting;
use bennu_policy::drift::{Seen, Weight};

/// Sightings of one signal that are told apart, at most. What is beyond keeps the newest of them alive and is counted.
pub const MOST_OF_ONE: usize = 32;

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The first of its kind and words: to be told and answered.
    New,
    /// It lasts, or came again.
    Again,
    /// One of too many of its signal: counted only.
    Beyond,
}

/// Adds a sighting to `known`.
pub fn take(known: &mut Vec<Known>, sighting: Sighting, now_ms: u64) -> Taken {
    if let Some(same) = known.iter_mut().find(|known| known.sighting == sighting) {
        same.seen.at_ms = now_ms;
        return Taken::Again;
    }
    let signal = sighting.signal;
    let alike = known.iter().filter(|known| known.seen.signal == signal);
    if alike.count() >= MOST_OF_ONE {
        let newest = known.iter_mut().rev().find(|known| known.seen.signal == signal);
        if let Some(newest) = newest {
            newest.seen.at_ms = now_ms;
        }
        return Taken::Beyond;
    }
    known.push(Known {
        seen: Seen {
            signal,
            at_ms: now_ms,
            answered: false,
        },
        first_ms: now_ms,
        sighting,
    });
    Taken::New
}

/// Strong ones first, for a list that is cut.
pub fn strong_first(known: &[Known]) -> Vec<&Known> {
    let mut sorted: Vec<&Known> = known.iter().collect();
    sorted.sort_by_key(|known| known.seen.signal.row().weight != Weight::Strong);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_policy::drift::Signal;

    #[test]
    fn a_flood_of_one_signal_hides_no_other_and_goes_on_counting() {
        let mut known = Vec::new();
        for n in 0..1000 {
            let taken = take(&mut known, Sighting::new(Signal::GateDenial, format!("{n}")), n);
            let expected = if n < MOST_OF_ONE as u64 {
                Taken::New
            } else {
                Taken::Beyond
            };
            assert_eq!(taken, expected, "{n}");
        }
        let strong = Sighting::new(Signal::GateTampering, "the disk");
        assert_eq!(take(&mut known, strong.clone(), 1000), Taken::New);
        assert_eq!(take(&mut known, strong, 1001), Taken::Again);
        assert_eq!(known.len(), MOST_OF_ONE + 1);
        assert_eq!(
            known[MOST_OF_ONE - 1].seen.at_ms,
            999,
            "the newest goes on counting"
        );
        assert_eq!(strong_first(&known)[0].seen.signal, Signal::GateTampering);
    }
}
