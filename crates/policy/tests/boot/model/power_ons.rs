//! bootfallback's count of power-ons: what it is there for, and what somebody who writes it can do.

use super::mutants::breaks;
use super::promises::Promise;
use super::state::At;
use super::world::{Attack, Fault, POWER_ONS, Rules, SHIPPED, World};
use super::worlds::{Promised, check, world};

/// One slot's faults for both, without power cuts: what is looked for does not need them.
fn alike(faults: &'static [Fault]) -> World {
    World {
        cuts: Some(0),
        ..world(faults, faults)
    }
}

/// Somebody sets the count.
fn set() -> World {
    World {
        attacks: &[Attack::FillStarts],
        with_count: true,
        ..alike(&[])
    }
}

#[test]
fn kernels_that_die_early_in_both_slots_make_a_storm_that_only_bootfallback_counts() {
    let rules = Rules {
        power_ons_are_counted: false,
        ..SHIPPED
    };
    let dies = alike(&[Fault::DiesEarly]);
    breaks(Promise::NoStorm, rules, &dies, Promised::NoStorm);
}

#[test]
fn a_stop_that_leaves_no_room_for_another_start_is_one_for_good() {
    let rules = Rules {
        count_at_a_stop: POWER_ONS,
        ..SHIPPED
    };
    breaks(Promise::EndsHealthy, rules, &set(), Promised::Healthy);
}

/// A hand gets the machine back each time.
#[test]
fn a_count_that_somebody_sets_stops_the_machine_and_no_more() {
    assert!(check(&set(), Promised::Healthy).is_ok());
    let stopped = check(&set(), Promised::HealthyByItself).map(drop).unwrap_err();
    assert_eq!(stopped.way.last().unwrap().at, At::Prompt);
}
