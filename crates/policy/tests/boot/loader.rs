//! A machine as small as can be: two boot entries, the rules of systemd-boot, the boot record, and the calls
//! that bennu-init and bennud make, in their order.

use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_formats::handover::FellBack;
use bennu_formats::names::{BootCounter, ImageVersion, UkiFileName};
use bennu_policy::boot::{
    BootAction, Entry, FailureFacts, PanicNote, StartDecision, StartFacts, entry_after_failure, on_failure,
    on_healthy, on_panic, on_pivot, on_start, on_unhealthy,
};

/// Tries that a fresh or good entry has (`mark_good` arms `+3`).
pub const TRIES: u32 = 3;

/// What a start runs into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The firmware refuses the UKI; the loader's decrement has happened.
    Refused,
    /// A step of bennu-init fails with this code.
    Fails(Code),
    /// The same, and the power goes after the record was written and before the entry was renamed.
    FailsThenPowerCut(Code),
    /// The power goes in the initrd, after the start was counted.
    PowerCut,
    /// dm-verity panics after the pivot.
    VerityPanic,
    /// The kernel panics for another reason.
    OtherPanic,
    /// The root starts and its health checks do not pass.
    Unhealthy,
    /// The root starts and is healthy.
    Healthy,
}

/// How a power-on ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The machine restarts by itself.
    Restarts,
    /// It stands with a code on the screen, at the firmware's prompt, or runs on unhealthy.
    Stops,
    /// It runs and is healthy.
    Runs,
}

/// What can be seen from outside of one power-on.
#[derive(Debug)]
pub struct Seen {
    /// The slot that the loader took.
    pub slot: ImageVersion,
    /// What bennu-init decided first; `None` where it was not reached.
    pub decision: Option<StartDecision>,
    /// What the failure led to.
    pub action: Option<BootAction>,
    /// The end.
    pub ending: Ending,
}

impl Seen {
    /// The newer slot that this start says was passed over.
    pub fn fell_back(&self) -> Option<&FellBack> {
        match &self.decision {
            Some(StartDecision::Go(past)) => past.fell_back.as_ref(),
            _ => None,
        }
    }

    pub fn went(&self) -> bool {
        matches!(self.decision, Some(StartDecision::Go(_)))
    }
}

/// The machine between two power-ons.
#[derive(Debug, Clone)]
pub struct Machine {
    pub entries: Vec<Entry>,
    pub record: BootRecord,
    pub panic: Option<PanicNote>,
    pub max_attempts: u32,
    /// The last fault that each slot is known to have had since it was healthy: the tests' own memory.
    pub causes: Vec<(ImageVersion, Code)>,
}

pub fn version(text: &str) -> ImageVersion {
    text.parse().unwrap()
}

impl Machine {
    /// A freshly flashed machine.
    pub fn flashed(versions: &[&str], tries: Option<u32>, max_attempts: u32) -> Self {
        let entries = versions
            .iter()
            .map(|v| Entry {
                version: version(v),
                tries_left: tries,
                tries_done: 0,
            })
            .collect();
        Self {
            entries,
            record: BootRecord::default(),
            panic: None,
            max_attempts,
            causes: Vec::new(),
        }
    }

    fn entry_mut(&mut self, v: &ImageVersion) -> &mut Entry {
        self.entries.iter_mut().find(|e| e.version == *v).unwrap()
    }

    pub fn cause(&self, v: &ImageVersion) -> Option<Code> {
        self.causes.iter().find(|(of, _)| of == v).map(|(_, code)| *code)
    }

    fn set_cause(&mut self, v: &ImageVersion, code: Option<Code>) {
        self.causes.retain(|(of, _)| of != v);
        self.causes.extend(code.map(|code| (v.clone(), code)));
        self.causes.sort();
    }

    /// systemd-boot's choice: entries without tries left last, among the rest the newest.
    pub fn preferred(&self) -> ImageVersion {
        let rank = |e: &&Entry| (e.tries_left != Some(0), e.version.clone());
        self.entries.iter().max_by_key(rank).unwrap().version.clone()
    }

    /// One power-on in which `event` happens to whichever slot starts.
    pub fn power_on(&mut self, event: Event) -> Seen {
        let slot = self.preferred();
        let entry = self.entry_mut(&slot);
        // The loader counts before it loads, and does not count entries without a counter or without tries.
        let counted = matches!(entry.tries_left, Some(1..));
        if counted {
            entry.tries_left = entry.tries_left.map(|left| left - 1);
            entry.tries_done += 1;
        }
        if event == Event::Refused {
            // Back to the firmware, which goes on to its next boot option: as many as there are tries.
            let ending = if counted { Ending::Restarts } else { Ending::Stops };
            return Seen {
                slot,
                decision: None,
                action: None,
                ending,
            };
        }
        let decision = self.begin(&slot);
        let (action, ending) = match &decision {
            StartDecision::GiveUp(failure) => self.fail(&slot, &failure.clone(), true),
            StartDecision::Go(_) => self.meet(&slot, event),
        };
        Seen {
            slot,
            decision: Some(decision),
            action,
            ending,
        }
    }

    fn begin(&mut self, slot: &ImageVersion) -> StartDecision {
        if let Some(panic) = self.panic.take() {
            on_panic(&mut self.record, &panic);
        }
        let facts = StartFacts {
            this: slot,
            entries: &self.entries,
            max_attempts: self.max_attempts,
            old_note_remains: false,
        };
        on_start(&mut self.record, &facts)
    }

    fn meet(&mut self, slot: &ImageVersion, event: Event) -> (Option<BootAction>, Ending) {
        match event {
            Event::Refused | Event::PowerCut => (None, Ending::Restarts),
            Event::Fails(code) | Event::FailsThenPowerCut(code) => {
                self.set_cause(slot, Some(code));
                let cut = matches!(event, Event::FailsThenPowerCut(_));
                self.fail(slot, &Failure::new(code, "as the test wants"), !cut)
            }
            Event::VerityPanic => {
                on_pivot(&mut self.record, slot);
                self.set_cause(slot, Some(Code::VerityCorrupt));
                self.panic = Some(PanicNote::VerityCorruption("data block 7 is corrupted".into()));
                (None, Ending::Restarts)
            }
            Event::OtherPanic => {
                self.set_cause(slot, Some(Code::SlotPanic));
                self.panic = Some(PanicNote::Other("Attempted to kill init!".into()));
                (None, Ending::Restarts)
            }
            Event::Unhealthy => {
                on_pivot(&mut self.record, slot);
                self.set_cause(slot, Some(Code::SlotUnhealthy));
                let words = "unit x.service is not active";
                let (_, action) =
                    on_unhealthy(&mut self.record, slot, words, self.max_attempts, &self.entries);
                self.carry_out(slot, action)
            }
            Event::Healthy => {
                on_pivot(&mut self.record, slot);
                on_healthy(&mut self.record, slot);
                self.set_cause(slot, None);
                let entry = self.entry_mut(slot);
                entry.tries_left = entry.tries_left.map(|_| TRIES);
                entry.tries_done = 0;
                (None, Ending::Runs)
            }
        }
    }

    fn fail(
        &mut self,
        slot: &ImageVersion,
        failure: &Failure,
        renamed: bool,
    ) -> (Option<BootAction>, Ending) {
        let facts = FailureFacts {
            this: Some(slot),
            entries: Some(&self.entries),
        };
        let action = on_failure(&mut self.record, failure, &facts);
        if renamed {
            self.rename_entries(slot, action);
        }
        let stops = action == BootAction::Halt && renamed;
        (Some(action), if stops { Ending::Stops } else { Ending::Restarts })
    }

    /// What bennu-init does with a verdict.
    fn rename_entries(&mut self, slot: &ImageVersion, action: BootAction) {
        for entry in &mut self.entries {
            let name = UkiFileName {
                image_id: "demo".parse().unwrap(),
                version: entry.version.clone(),
                counter: entry.tries_left.map(|tries_left| BootCounter {
                    tries_left,
                    tries_done: entry.tries_done,
                }),
            };
            *entry = Entry::from(&entry_after_failure(&self.record, action, slot, &name, TRIES));
        }
    }

    /// What bennud does with a verdict: a bad slot's entry is renamed, then restart or stay up.
    fn carry_out(&mut self, slot: &ImageVersion, action: BootAction) -> (Option<BootAction>, Ending) {
        if self.record.slots[slot].bad.is_some() {
            self.entry_mut(slot).tries_left = Some(0);
        }
        let stops = action == BootAction::Halt;
        (Some(action), if stops { Ending::Stops } else { Ending::Restarts })
    }
}
