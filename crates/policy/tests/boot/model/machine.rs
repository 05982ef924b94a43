//! The steps that a machine may take: each ends with at most one write, and the power may go after each.
//!
//! The order of the writes is that of `initrd-agent/src/esp.rs` and `initrd-agent/src/failure.rs`, of bennud's in
//! `agent.rs`; every decision is a call of a shipped function through `Rules`, which the
//! tests replace one by one by broken ones.

use super::state::{At, Left, Note, Record, Shown, Slot, State, TRIES};
use super::world::{Attack, By, Fault, POWER_ONS, Steps, World};
use bennu_formats::Code;
use bennu_formats::boot_record::Failure;
use bennu_policy::boot::{self, BootAction, FailureFacts, Floor, Past, StartDecision, StartFacts};

/// How often bootfallback starts systemd-boot (`crates/bootfallback/bootfallback.c`, `MAX_STARTS`).
const LOADER_STARTS: u8 = 8;

impl World {
    /// Everything that may happen next.
    pub fn steps(&self, state: &State) -> Steps {
        let mut steps = Steps::new();
        match state.at {
            At::Off => self.off(state, &mut steps),
            At::Loader(starts) => self.loader(state, starts, &mut steps),
            At::Loaded(slot, starts) => self.loaded(state, slot, starts, &mut steps),
            At::Initrd(slot) => self.initrd(state, slot, &mut steps),
            At::PanicOnRecord(slot) => self.forget_note(state, slot, &mut steps),
            At::Counting(slot, old_note) => self.count(state, slot, old_note, &mut steps),
            At::Counted(slot, ends) => self.forget_starts(state, slot, ends, &mut steps),
            At::Went(slot, shown) => self.went(state, slot, shown, &mut steps),
            At::Failing(slot, code, memory) => self.fail(state, slot, code, memory, &mut steps),
            At::Verdict(slot, action, renamed) => self.rename(state, slot, action, renamed, &mut steps),
            At::Pivoting(slot, shown) => {
                let at = At::Running(slot, shown);
                steps.push((
                    By::Itself,
                    State {
                        blind: 0,
                        at,
                        ..*state
                    },
                ));
            }
            At::Running(slot, shown) => self.running(state, slot, shown, &mut steps),
            At::Unhealthy(slot, action, shown) => self.unhealthy(state, slot, action, shown, &mut steps),
            At::Drifted(slot) => self.leave_drifted(state, slot, &mut steps),
            At::StaysUp(slot, shown) => {
                self.mark_entry(state, slot, shown, &mut steps);
                steps.push((By::Person, off(state)));
            }
            At::Marking(slot, _) => self.mark_record(state, slot, &mut steps),
            At::Healthy(slot) => {
                self.panics(state, slot, &mut steps);
                self.drift(state, slot, &mut steps);
                steps.push((By::Person, off(state)));
            }
            At::Halted | At::Prompt => steps.push((By::Person, off(state))),
        }
        if state.at != At::Off && state.cuts != Some(0) {
            let cuts = state.cuts.map(|left| left - 1);
            steps.push((By::Cut, State { cuts, ..off(state) }));
        }
        steps
    }

    pub fn may(&self, slot: Slot, fault: Fault) -> bool {
        self.faults[slot as usize].contains(&fault)
    }

    /// A write to the ESP: done, or failed.
    fn write(&self, done: State, failed: Option<State>, steps: &mut Steps) {
        self.write_and(By::Itself, done, failed, steps);
    }

    /// The same, with what follows at once.
    pub fn write_and(&self, by: By, done: State, failed: Option<State>, steps: &mut Steps) {
        steps.push((by, done));
        steps.extend(failed.filter(|_| self.esp_fails).map(|state| (By::Medium, state)));
    }

    fn off(&self, state: &State, steps: &mut Steps) {
        steps.push((By::Itself, self.power_on(state)));
        for attack in self.attacks {
            let mut after = *state;
            match attack {
                Attack::ResetRecord => after.record = Record::default(),
                Attack::ForgeNote => after.note = panicked(state, Note::Verity).note,
                Attack::FillStarts => after.starts = POWER_ONS,
                Attack::ArmEntries => after.tries = State::flashed(None).tries,
            }
            steps.push((By::Attacker, after));
        }
    }

    /// bootfallback counts, or stops and leaves room for one more.
    fn power_on(&self, state: &State) -> State {
        if !(self.with_count && self.rules.power_ons_are_counted) {
            return state.to(At::Loader(1));
        }
        let (starts, at) = match state.starts {
            POWER_ONS.. => (self.rules.count_at_a_stop, At::Prompt),
            before => (before + 1, At::Loader(1)),
        };
        State { starts, at, ..*state }
    }

    /// systemd-boot counts before it loads; it goes on if it cannot.
    fn loader(&self, state: &State, starts: u8, steps: &mut Steps) {
        let slot = state.preferred();
        let uncounted = state.to(At::Loaded(slot, starts));
        let mut counted = uncounted;
        if let Some(left @ 1..) = counted.tries[slot as usize] {
            counted.tries[slot as usize] = Some(left - 1);
        }
        self.write(counted, Some(uncounted), steps);
    }

    fn loaded(&self, state: &State, slot: Slot, starts: u8, steps: &mut Steps) {
        steps.push((By::Itself, state.to(At::Initrd(slot))));
        if self.may(slot, Fault::Refused) {
            let next = match starts {
                LOADER_STARTS if self.rules.loader_is_bounded => At::Prompt,
                LOADER_STARTS => At::Loader(1),
                starts => At::Loader(starts + 1),
            };
            steps.push((By::Itself, state.to(next)));
        }
        if self.may(slot, Fault::DiesEarly) {
            steps.push((By::Restart, panicked(state, Note::Other)));
        }
    }

    fn initrd(&self, state: &State, slot: Slot, steps: &mut Steps) {
        if self.may(slot, Fault::BeforeEsp) {
            let blind = state.blind.saturating_add(1).min(boot::BLIND_RESTARTS + 1);
            steps.push(match (self.rules.on_blind_failure)(blind) {
                BootAction::Halt => (
                    By::Itself,
                    State {
                        blind,
                        starts: 0,
                        ..state.to(At::Halted)
                    },
                ),
                BootAction::Retry | BootAction::FallBack => (By::Restart, State { blind, ..off(state) }),
            });
        }
        let Some(left) = state.note else {
            steps.push((By::Itself, state.to(At::Counting(slot, false))));
            return;
        };
        let mut record = state.record.shipped();
        (self.rules.on_panic)(&mut record, &left.note.shipped());
        let record = Record::of(&record);
        if self.rules.record_before_note {
            let done = State {
                record,
                note: Some(Left {
                    on_record: true,
                    ..left
                }),
                ..state.to(At::PanicOnRecord(slot))
            };
            self.write(done, Some(state.to(At::Failing(slot, Code::Esp, record))), steps);
        } else {
            // The broken order: the note is gone, the record is written with the count only.
            steps.push((
                By::Itself,
                State {
                    note: None,
                    ..state.to(At::Counting(slot, false))
                },
            ));
        }
    }

    fn forget_note(&self, state: &State, slot: Slot, steps: &mut Steps) {
        steps.push((
            By::Itself,
            State {
                note: None,
                ..state.to(At::Counting(slot, false))
            },
        ));
        steps.push((By::Medium, state.to(At::Counting(slot, true))));
    }

    fn count(&self, state: &State, slot: Slot, old_note_remains: bool, steps: &mut Steps) {
        let mut record = state.record.shipped();
        let decision = (self.rules.on_start)(
            &mut record,
            &StartFacts {
                this: &slot.version(),
                entries: &state.entries(),
                max_attempts: TRIES,
                old_note_remains,
            },
        );
        let record = Record::of(&record);
        let at = match decision {
            StartDecision::Go(Past {
                fell_back,
                last_failure,
            }) => {
                let shown = Shown {
                    fell_back: fell_back.map(|f| f.failure.code),
                    last_failure: last_failure.map(|f| f.code),
                };
                At::Counted(slot, Ok(shown))
            }
            StartDecision::GiveUp(failure) => At::Counted(slot, Err(failure.code)),
        };
        let failed = state.to(At::Failing(slot, Code::Esp, record));
        self.write(
            State {
                record,
                ..state.to(at)
            },
            Some(failed),
            steps,
        );
    }

    fn forget_starts(&self, state: &State, slot: Slot, ends: Result<Shown, Code>, steps: &mut Steps) {
        let at = match ends {
            Ok(shown) => At::Went(slot, shown),
            Err(code) => At::Failing(slot, code, state.record),
        };
        steps.push((
            By::Itself,
            State {
                starts: 0,
                ..state.to(at)
            },
        ));
    }

    fn went(&self, state: &State, slot: Slot, shown: Shown, steps: &mut Steps) {
        for fault in self.faults[slot as usize] {
            if let Fault::Fails(code) = *fault {
                steps.push((By::Itself, state.to(At::Failing(slot, code, state.record))));
            }
        }
        self.panics(state, slot, steps);
        // `initrd-agent/src/floor.rs`, before the volume is looked at.
        let numbers = Floor {
            security_version: 2 - u64::from(self.below_floor[slot as usize]),
            floor: 2,
        };
        if (self.rules.is_below)(numbers) {
            let code = Code::BelowFloor;
            return steps.push((By::Itself, state.to(At::Failing(slot, code, state.record))));
        }
        if self.newer_raises_state && slot == Slot::Older && state.raised {
            let code = Code::StateSchema;
            return steps.push((By::Itself, state.to(At::Failing(slot, code, state.record))));
        }
        // The volume is written before the record is.
        if self.newer_raises_state && slot == Slot::Newer && !state.raised {
            let raised = true;
            return steps.push((By::Itself, State { raised, ..*state }));
        }
        let failed = state.to(At::Failing(slot, Code::Esp, state.record));
        let mut pivoted = state.to(At::Pivoting(slot, shown));
        if self.newer_raises_state {
            let mut record = state.record.shipped();
            let from = if state.raised { Slot::Newer } else { Slot::Older };
            boot::on_state(
                &mut record,
                &slot.version(),
                slot.state_schema(),
                from.state_schema(),
            );
            pivoted.record = Record::of(&record);
        }
        self.write(pivoted, Some(failed), steps);
    }

    /// Panics and silent restarts, with or without a root.
    pub fn panics(&self, state: &State, slot: Slot, steps: &mut Steps) {
        for fault in self.faults[slot as usize] {
            match *fault {
                Fault::Panics(note) => steps.push((By::Restart, panicked(state, note))),
                Fault::Silent => steps.push((By::Restart, off(state))),
                _ => {}
            }
        }
    }

    fn fail(&self, state: &State, slot: Slot, code: Code, memory: Record, steps: &mut Steps) {
        let mut record = memory.shipped();
        let facts = FailureFacts {
            this: Some(&slot.version()),
            entries: Some(&state.entries()),
        };
        let action = (self.rules.on_failure)(&mut record, &Failure::new(code, "words"), &facts);
        let at = At::Verdict(slot, action, 0);
        let record = Record::of(&record);
        self.write(
            State {
                record,
                ..state.to(at)
            },
            Some(state.to(At::Halted)),
            steps,
        );
    }

    fn rename(&self, state: &State, slot: Slot, action: BootAction, renamed: u8, steps: &mut Steps) {
        let newest_first = [Slot::Newer, Slot::Older];
        let Some(&entry) = newest_first.get(usize::from(renamed)) else {
            steps.push(match action {
                BootAction::FallBack | BootAction::Retry => (By::Restart, off(state)),
                BootAction::Halt => (By::Itself, state.to(At::Halted)),
            });
            return;
        };
        let mut done = state.to(At::Verdict(slot, action, renamed + 1));
        let name = state.name(entry);
        let record = state.record.shipped();
        let new = (self.rules.entry_after_failure)(&record, action, &slot.version(), name, TRIES);
        done.rename(entry, &new);
        let written = done.tries != state.tries;
        self.write(done, written.then_some(state.to(At::Halted)), steps);
    }
}

impl State {
    pub fn to(&self, at: At) -> Self {
        Self { at, ..*self }
    }
}

pub fn off(state: &State) -> State {
    state.to(At::Off)
}

/// The kernel leaves a note; beside an older one the graver is found.
fn panicked(state: &State, note: Note) -> State {
    let note = state.note.map_or(note, |left| left.note.max(note));
    State {
        note: Some(Left {
            note,
            on_record: false,
        }),
        ..off(state)
    }
}

#[test]
fn the_numbers_of_the_model_are_those_of_bootfallback() {
    let program = include_str!("../../../../bootfallback/bootfallback.c");
    for (name, number) in [("MAX_STARTS", LOADER_STARTS), ("MAX_POWER_ONS", POWER_ONS)] {
        let line = format!("#define {name} {number}\n");
        assert!(program.contains(&line), "{line}");
    }
    // bennu-init stops by itself first, with a code of its own; and two slots use up their tries.
    const { assert!(POWER_ONS > boot::BLIND_RESTARTS && POWER_ONS as u32 > 2 * TRIES) };
}
