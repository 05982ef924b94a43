//! The states in which decisions are tried.

use bennu_policy::drift::{
    Action, ActionSet, BUDGET, FLIP_LIMIT, Facts, OtherSlot, Seen, Signal, Spent, Windows,
};

/// An hour after the start.
pub const NOW_MS: u64 = 3_600_000 * 2;

/// A slot that may be taken.
pub const SOUND: OtherSlot = OtherSlot {
    present: true,
    verifies: true,
    marked_bad: false,
    security_version: 7,
    floor: 7,
};

/// A signal that came just now.
pub fn new(signal: Signal) -> Seen {
    Seen {
        signal,
        at_ms: NOW_MS,
        answered: false,
    }
}

/// A machine on which nothing was done yet, with everything enforced and a sound other slot.
pub fn fresh(signals: &[Seen]) -> Facts<'_> {
    Facts {
        signals,
        now_ms: NOW_MS,
        windows: Windows::default(),
        enforced: ActionSet::ALL,
        spent: Spent::default(),
        in_force: ActionSet::NONE,
        other: SOUND,
        flips_in_a_row: 0,
    }
}

/// Everything done as often as is allowed.
pub fn all_spent() -> Spent {
    let mut spent = Spent::default();
    for (action, most) in BUDGET {
        (0..most).for_each(|_| spent.count(action));
    }
    spent
}

/// `signals` in every kind of state.
pub fn states(signals: &[Seen]) -> Vec<Facts<'_>> {
    let base = fresh(signals);
    let other = |other| Facts {
        other,
        ..base.clone()
    };
    let mut states = vec![
        base.clone(),
        other(OtherSlot {
            present: false,
            ..SOUND
        }),
        other(OtherSlot {
            verifies: false,
            ..SOUND
        }),
        other(OtherSlot {
            marked_bad: true,
            ..SOUND
        }),
        other(OtherSlot {
            security_version: 6,
            ..SOUND
        }),
        other(OtherSlot {
            security_version: 8,
            ..SOUND
        }),
    ];
    for flips_in_a_row in [FLIP_LIMIT - 1, FLIP_LIMIT, u32::MAX] {
        states.push(Facts {
            flips_in_a_row,
            ..base.clone()
        });
    }
    for enforced in [
        ActionSet::NONE,
        ActionSet::ALL.without(Action::StatePurge),
        ActionSet::ALL.without(Action::FlipSlot),
        ActionSet::NONE.with(Action::StatePurge).with(Action::FlipSlot),
    ] {
        states.push(Facts {
            enforced,
            ..base.clone()
        });
    }
    states.push(Facts {
        spent: all_spent(),
        ..base.clone()
    });
    for in_force in [
        ActionSet::ALL,
        ActionSet::NONE
            .with(Action::FreezeCgroup)
            .with(Action::CutNetwork),
        ActionSet::NONE.with(Action::StatePurge),
    ] {
        states.push(Facts {
            in_force,
            ..base.clone()
        });
    }
    states
}

/// Every set of up to `most` signals.
pub fn sets(most: usize) -> Vec<Vec<Seen>> {
    sets_of(Signal::ALL, most)
}

/// Every set of up to `most` of `signals`, which are in order.
pub fn sets_of(signals: &[Signal], most: usize) -> Vec<Vec<Seen>> {
    let mut sets = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..most {
        let until = sets.len();
        for at in from..until {
            let last = sets[at].last().map(|seen: &Seen| seen.signal);
            for signal in signals.iter().filter(|s| last.is_none_or(|last| **s > last)) {
                let mut longer = sets[at].clone();
                longer.push(new(*signal));
                sets.push(longer);
            }
        }
        from = until;
    }
    sets
}
