//! bennud's steps: good, not healthy, drifted. The order of the writes is that of `runtime-agent/src/mark.rs`.

use super::machine::off;
use super::state::{At, Record, Shown, Slot, State, TRIES};
use super::world::{By, Fault, Steps, World};
use bennu_policy::boot::BootAction;

impl World {
    pub fn running(&self, state: &State, slot: Slot, shown: Shown, steps: &mut Steps) {
        self.panics(state, slot, steps);
        self.drift(state, slot, steps);
        self.mark_entry(state, slot, shown, steps);
        if self.may(slot, Fault::Unhealthy) {
            let mut record = state.record.shipped();
            let entries = state.entries();
            let (_, action) =
                (self.rules.on_unhealthy)(&mut record, &slot.version(), "words", TRIES, &entries);
            let done = State {
                record: Record::of(&record),
                ..state.to(At::Unhealthy(slot, action, shown))
            };
            steps.push((By::Itself, done));
            if self.esp_fails {
                steps.push((By::Restart, off(state)));
            }
        }
    }

    pub fn unhealthy(&self, state: &State, slot: Slot, action: BootAction, shown: Shown, steps: &mut Steps) {
        let mut done = *state;
        if state.record[slot].bad.is_some() {
            done.rename(slot, &state.name(slot).bad());
            if self.esp_fails {
                steps.push((By::Restart, off(state)));
            }
        }
        steps.push(match action {
            BootAction::FallBack | BootAction::Retry => (By::Restart, off(&done)),
            BootAction::Halt => {
                // bennud has told the reason itself.
                let last_failure = done.record[slot].last_failure;
                (
                    By::Itself,
                    done.to(At::StaysUp(
                        slot,
                        Shown {
                            last_failure,
                            ..shown
                        },
                    )),
                )
            }
        });
    }

    /// The system runs on where no other slot may start, or the ESP does not take the record: no step. Nor is there one where it
    /// stays up already: a boot has one flip.
    pub fn drift(&self, state: &State, slot: Slot, steps: &mut Steps) {
        if !self.may(slot, Fault::Drifts) {
            return;
        }
        let mut record = state.record.shipped();
        let entries = state.entries();
        if (self.rules.on_drift)(&mut record, &slot.version(), "words", &entries).is_some() {
            let record = Record::of(&record);
            let at = At::Drifted(slot);
            steps.push((
                By::Itself,
                State {
                    record,
                    ..state.to(at)
                },
            ));
        }
    }

    /// The entry's new name, and the restart. Where the ESP does not take the name the system runs on, told of by bennud.
    pub fn leave_drifted(&self, state: &State, slot: Slot, steps: &mut Steps) {
        let mut done = off(state);
        done.rename(slot, &state.name(slot).bad());
        let told = Shown {
            last_failure: state.record[slot].last_failure,
            ..Shown::default()
        };
        let stays = state.to(At::StaysUp(slot, told));
        self.write_and(By::Restart, done, Some(stays), steps);
    }

    /// A mark that the ESP does not take is tried again: no step.
    pub fn mark_entry(&self, state: &State, slot: Slot, shown: Shown, steps: &mut Steps) {
        let mut done = state.to(At::Marking(slot, shown));
        done.rename(slot, &(self.rules.armed)(state.name(slot), TRIES));
        steps.push((By::Itself, done));
    }

    pub fn mark_record(&self, state: &State, slot: Slot, steps: &mut Steps) {
        let mut record = state.record.shipped();
        (self.rules.on_healthy)(&mut record, &slot.version());
        let done = State {
            record: Record::of(&record),
            cuts: self.cuts,
            ..state.to(At::Healthy(slot))
        };
        steps.push((By::Itself, done));
    }
}
