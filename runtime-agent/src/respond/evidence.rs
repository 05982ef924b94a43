//! The signals that count: bounded for each kind, so that no flood of one hides another, and of strong ones also for each
//! unit and program, so that no unit's flood hides another unit. What keeps them over a restart of `bennud` is
//! [`super::memory`].

use super::groups::Groups;
use super::{Known, deny};
use crate::watch::Sighting;
use bennu_policy::drift::{Seen, Signal, Weight};
use std::collections::BTreeMap;

/// Sightings of one signal that are told apart, at most. What is beyond keeps the newest of them alive and is counted.
pub const MOST_OF_ONE: usize = 32;
/// Beyond these, the first of each unit and program that a strong signal is about, at most. One more place is for whoever is
/// beyond these, too: it names no unit, so that every unit is concerned.
pub const MOST_CONCERNED: usize = 256;

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

/// Whom a sighting is about: the unit, if one is named, and the program.
type Whom = (Option<String>, Option<String>);

/// Units of the sightings of one round: looking for one goes through all control groups or processes.
#[derive(Debug, Default)]
pub struct Units(BTreeMap<(Option<u64>, Option<String>), Option<String>>);

impl Units {
    /// The unit that a sighting names.
    pub fn of(&mut self, groups: &Groups, sighting: &Sighting) -> Option<String> {
        let key = (sighting.cgroup, sighting.program.clone());
        let unit = self
            .0
            .entry(key)
            .or_insert_with(|| deny::unit_of(groups, sighting));
        unit.clone()
    }
}

/// Adds a sighting to `known`; `unit_of` is asked only where it matters.
pub fn take(
    known: &mut Vec<Known>,
    sighting: Sighting,
    now_ms: u64,
    unit_of: &mut dyn FnMut(&Sighting) -> Option<String>,
) -> Taken {
    if let Some(same) = known.iter_mut().find(|known| known.sighting.is_again(&sighting)) {
        same.seen.at_ms = now_ms;
        return Taken::Again;
    }
    let signal = sighting.signal;
    let strong = signal.row().weight == Weight::Strong;
    let count = known.iter().filter(|known| known.seen.signal == signal).count();
    if count < MOST_OF_ONE {
        let unit = unit_of(&sighting);
        known.push(new(sighting, unit, now_ms));
        return Taken::New;
    }
    if !strong || count > MOST_OF_ONE + MOST_CONCERNED {
        stays(known, signal, None, now_ms);
        return Taken::Beyond;
    }
    let whom = (unit_of(&sighting), sighting.program.clone());
    if stays(known, signal, Some(&whom), now_ms) {
        return Taken::Beyond;
    }
    let last = count == MOST_OF_ONE + MOST_CONCERNED;
    known.push(match last {
        false => new(sighting, whom.0, now_ms),
        true => new(of_too_many(sighting), None, now_ms),
    });
    Taken::New
}

fn new(sighting: Sighting, unit: Option<String>, now_ms: u64) -> Known {
    Known {
        seen: Seen {
            signal: sighting.signal,
            at_ms: now_ms,
            answered: false,
        },
        // Windows count from the round that saw it, what followed is measured from the event.
        first_ms: sighting.at_ms.map_or(now_ms, |at_ms| at_ms.min(now_ms)),
        unit,
        sighting,
    }
}

/// The newest of this signal, and about these, goes on counting; gives whether there is one.
fn stays(known: &mut [Known], signal: Signal, whom: Option<&Whom>, now_ms: u64) -> bool {
    let is_about =
        |known: &Known, (unit, program): &Whom| known.unit == *unit && known.sighting.program == *program;
    let mut newest_first = known.iter_mut().rev();
    let newest = newest_first
        .find(|known| known.seen.signal == signal && whom.is_none_or(|whom| is_about(known, whom)));
    match newest {
        Some(newest) => {
            newest.seen.at_ms = now_ms;
            true
        }
        None => false,
    }
}

/// What is said of the first for whom there is no place.
fn of_too_many(sighting: Sighting) -> Sighting {
    let words = format!(
        "more units and programs than are told apart, so every unit is concerned; the first beyond: {}",
        sighting.detail
    );
    Sighting {
        program: sighting.program,
        at_ms: sighting.at_ms,
        ..Sighting::new(sighting.signal, words)
    }
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

    /// The words name the unit: `unit what`.
    fn unit_of(sighting: &Sighting) -> Option<String> {
        let unit = sighting.detail.split(' ').next().unwrap_or_default();
        (unit != "nobody").then(|| unit.to_owned())
    }

    fn taken(known: &mut Vec<Known>, signal: Signal, words: &str, now_ms: u64) -> Taken {
        take(known, Sighting::new(signal, words), now_ms, &mut unit_of)
    }

    #[test]
    fn a_flood_of_one_signal_hides_no_other_and_goes_on_counting() {
        let mut known = Vec::new();
        for n in 0..1000 {
            let taken = taken(&mut known, Signal::GateDenial, &format!("u{n}"), n);
            let expected = if n < MOST_OF_ONE as u64 {
                Taken::New
            } else {
                Taken::Beyond
            };
            assert_eq!(taken, expected, "{n}");
        }
        assert_eq!(
            taken(&mut known, Signal::GateTampering, "u disk", 1000),
            Taken::New
        );
        assert_eq!(
            taken(&mut known, Signal::GateTampering, "u disk", 1001),
            Taken::Again
        );
        assert_eq!(known.len(), MOST_OF_ONE + 1);
        assert_eq!(
            known[MOST_OF_ONE - 1].seen.at_ms,
            999,
            "the newest goes on counting"
        );
        assert_eq!(strong_first(&known)[0].seen.signal, Signal::GateTampering);
    }

    #[test]
    fn what_the_kernel_has_timed_begins_at_its_event_and_is_the_same_thing_at_another_time() {
        let at = |at_ms, detail: &str| Sighting {
            at_ms,
            ..Sighting::new(Signal::GateTampering, detail)
        };
        let mut known = Vec::new();
        for (sighting, now_ms, expected) in [
            (at(Some(700), "a"), 1000, Taken::New),
            (at(Some(1500), "a"), 2000, Taken::Again),
            (at(None, "b"), 2000, Taken::New),
            // A clock that cannot be believed.
            (at(Some(9000), "c"), 2000, Taken::New),
        ] {
            assert_eq!(take(&mut known, sighting, now_ms, &mut unit_of), expected);
        }
        let times: Vec<(u64, u64)> = known.iter().map(|one| (one.first_ms, one.seen.at_ms)).collect();
        assert_eq!(times, [(700, 2000), (2000, 2000), (2000, 2000)]);
    }

    #[test]
    fn a_flood_of_one_unit_hides_no_other_unit_and_nobody_that_is_not_known() {
        let (mut known, strong) = (Vec::new(), Signal::GateTampering);
        for n in 0..100 {
            let expected = if n < MOST_OF_ONE as u64 {
                Taken::New
            } else {
                Taken::Beyond
            };
            assert_eq!(taken(&mut known, strong, &format!("a {n}"), n), expected, "{n}");
        }
        assert_eq!(known[MOST_OF_ONE - 1].seen.at_ms, 99);
        for words in ["b 1", "nobody 1"] {
            assert_eq!(taken(&mut known, strong, words, 200), Taken::New, "{words}");
        }
        let units: Vec<_> = known
            .iter()
            .skip(MOST_OF_ONE)
            .map(|one| one.unit.as_deref())
            .collect();
        assert_eq!(units, [Some("b"), None]);
        assert_eq!(taken(&mut known, strong, "b 2", 300), Taken::Beyond);
        assert_eq!(
            known[MOST_OF_ONE].seen.at_ms, 300,
            "the unit's own goes on counting"
        );
    }

    #[test]
    fn a_flood_of_programs_in_one_unit_leaves_each_to_be_killed() {
        let mut known = Vec::new();
        let mut run = |n: usize| {
            let sighting = Sighting {
                program: Some(format!("/run/{n}")),
                ..Sighting::new(Signal::ImaDigestUnknown, format!("a {n}"))
            };
            take(&mut known, sighting, 1, &mut unit_of)
        };
        for n in 0..MOST_OF_ONE + 64 {
            assert_eq!(run(n), Taken::New, "{n}");
        }
    }

    #[test]
    fn more_units_than_there_are_places_for_are_all_of_them_and_that_is_said_once() {
        let (mut known, strong) = (Vec::new(), Signal::GateTampering);
        let most = MOST_OF_ONE + MOST_CONCERNED;
        for n in 0..=most {
            assert_eq!(taken(&mut known, strong, &format!("u{n}"), 1), Taken::New, "{n}");
        }
        for n in most + 1..most + 1000 {
            assert_eq!(
                taken(&mut known, strong, &format!("u{n}"), 2),
                Taken::Beyond,
                "{n}"
            );
        }
        assert_eq!(known.len(), most + 1);
        assert!(known[..most].iter().all(|one| one.unit.is_some()), "control");
        let last = &known[most];
        assert_eq!((last.unit.as_ref(), last.seen.at_ms), (None, 2));
        let said =
            "more units and programs than are told apart, so every unit is concerned; the first beyond: u288";
        assert_eq!(last.sighting.detail, said);
    }
}
