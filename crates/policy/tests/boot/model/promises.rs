//! What is promised of every step. Promises about runs are in `checker.rs`.

use super::state::{At, Record, SLOTS, Slot, State, TRIES};
use super::world::{Attack, By, Fault, World};
use bennu_formats::Code;
use bennu_policy::boot::BootAction;

/// The promises of ARCHITECTURE, "Slot machine".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// No slot below the floor goes on.
    NeverBelowTheFloor,
    /// No slot that is marked bad goes on.
    NeverABadSlot,
    /// Every run of restarts ends healthy or stops.
    NoStorm,
    /// With a sound slot every run ends healthy.
    EndsHealthy,
    /// A recorded reason stays until a start that has shown it becomes healthy.
    ReasonKept,
    /// `mark_good` arms the counter, and nothing removes it.
    CounterStays,
    /// The machine stops only where no other slot may start, or for a fault of its own.
    StopsLast,
    /// Falling back leads to a slot that may start.
    FallsBackToASlot,
    /// A slot that was given up for drift does not run again before somebody has been there.
    NoWayBack,
    /// No slot is given up for what another one met, or for one note twice.
    OwnFaults,
}

/// The promise that this step breaks.
pub fn broken_by(world: &World, before: &State, by: By, after: &State) -> Option<Promise> {
    let checks = [
        starts(world, before, after),
        reasons(before, by, after),
        counters(before, after),
        actions(before, after),
        verdicts(world, before, after),
    ];
    checks.into_iter().flatten().next()
}

fn when(holds_not: bool, promise: Promise) -> Option<Promise> {
    holds_not.then_some(promise)
}

fn starts(world: &World, before: &State, after: &State) -> Option<Promise> {
    let (slot, shown) = match (before.at, after.at) {
        (At::Counting(..), At::Counted(slot, Ok(shown))) => (slot, shown),
        (At::Went(slot, _), _) => {
            let goes_on = matches!(after.at, At::Pivoting(..)) || after.raised != before.raised;
            return when(
                goes_on && world.below_floor[slot as usize],
                Promise::NeverBelowTheFloor,
            );
        }
        _ => return None,
    };
    let newer = after.record[Slot::Newer].bad;
    let unsaid = (slot == Slot::Older && shown.fell_back != newer)
        || shown.last_failure != after.record[slot].last_failure;
    when(before.record[slot].bad.is_some(), Promise::NeverABadSlot).or(when(unsaid, Promise::ReasonKept))
}

fn reasons(before: &State, by: By, after: &State) -> Option<Promise> {
    if by == By::Attacker {
        return None;
    }
    let of = |record: &Record, slot: Slot| record[slot].bad.or(record[slot].last_failure);
    let shown_by_this_start = |slot| {
        matches!(before.at, At::Marking(marked, shown)
            if marked == slot && shown.last_failure == before.record[slot].last_failure)
    };
    let lost = SLOTS.into_iter().any(|slot| {
        of(&before.record, slot).is_some() && of(&after.record, slot).is_none() && !shown_by_this_start(slot)
    });
    // A note is removed when it is on the record, and there it has the name of the slot that it belongs to.
    let note_lost =
        before.note.is_some() && after.note.is_none() && !matches!(before.at, At::PanicOnRecord(_));
    let noted_wrongly = match (before.note, before.record.last, after.at) {
        (Some(left), Some(last), At::PanicOnRecord(_)) => {
            after.record[last].last_failure != Some(left.note.code())
        }
        _ => false,
    };
    when(lost || note_lost || noted_wrongly, Promise::ReasonKept)
}

fn counters(before: &State, after: &State) -> Option<Promise> {
    let removed = SLOTS
        .into_iter()
        .any(|slot| before.tries[slot as usize].is_some() && after.tries[slot as usize].is_none());
    let unarmed = match after.at {
        At::Marking(slot, _) => after.tries[slot as usize] != Some(TRIES as u8),
        _ => false,
    };
    when(removed || unarmed, Promise::CounterStays)
}

/// Faults after which the machine stops at once: it, not the slot, is at fault.
fn of_the_machine(code: Code) -> bool {
    matches!(code, Code::Esp | Code::SecretBlob)
}

fn actions(before: &State, after: &State) -> Option<Promise> {
    let (slot, action, excused, verdicts) = match (before.at, after.at) {
        (At::Failing(_, code, memory), At::Verdict(slot, action, 0)) => {
            let excused = of_the_machine(code) && memory[slot].bad.is_none();
            (slot, action, excused, memory)
        }
        (At::Running(..), At::Unhealthy(slot, action, _)) => (slot, action, false, before.record),
        (At::Running(..) | At::StaysUp(..) | At::Healthy(_), At::Drifted(slot)) => {
            (slot, BootAction::FallBack, false, before.record)
        }
        _ => return None,
    };
    let other_may_start = before.may_start(&verdicts, slot.other());
    match action {
        BootAction::Halt => when(other_may_start && !excused, Promise::StopsLast),
        BootAction::FallBack => when(!other_may_start, Promise::FallsBackToASlot),
        BootAction::Retry => None,
    }
}

fn verdicts(world: &World, before: &State, after: &State) -> Option<Promise> {
    if world.attacks.contains(&Attack::ForgeNote) {
        return None;
    }
    let innocent = |slot: Slot| {
        let new = after.record[slot]
            .bad
            .filter(|_| before.record[slot].bad.is_none());
        new.is_some_and(|code| !may_be_met(world, slot, code))
    };
    // A note that a crash has left there counts once.
    let twice = matches!(after.at, At::PanicOnRecord(_))
        && before.note.is_some_and(|left| left.on_record)
        && before.record.slots != after.record.slots;
    when(twice || SLOTS.into_iter().any(innocent), Promise::OwnFaults)
}

/// Whether a start of this slot may come to this end by itself.
fn may_be_met(world: &World, slot: Slot, code: Code) -> bool {
    let faults = world.faults[slot as usize];
    let panics = |code| {
        faults
            .iter()
            .any(|f| matches!(f, Fault::Panics(note) if note.code() == code))
    };
    match code {
        Code::VerityCorrupt | Code::RootIo => faults.contains(&Fault::Fails(code)) || panics(code),
        Code::BelowFloor => world.below_floor[slot as usize],
        // Before the ESP is found nobody knows whose a panic was; nor does it prove anything.
        Code::SlotPanic => panics(code) || world.faults.iter().any(|f| f.contains(&Fault::DiesEarly)),
        Code::SlotUnhealthy | Code::UkiNotStarted => true,
        Code::SlotDrifted => faults.contains(&Fault::Drifts),
        Code::Esp => world.esp_fails,
        Code::StateSchema => {
            faults.contains(&Fault::Fails(code)) || world.newer_raises_state && slot == Slot::Older
        }
        code => faults.contains(&Fault::Fails(code)),
    }
}
