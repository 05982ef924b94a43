//! The life of a slot's start: wait until all health checks hold, mark the slot good; or, when the deadline
//! passes first, write the verdict and leave the restart to the caller, or stay up where no other slot is left.
//!
//! Only the health checks have a deadline. A slot that is healthy and whose ESP does not take the mark keeps
//! running: a restart would cost the service and mend nothing, and the attempts are counted anyway.

use crate::esp::EspAccessError;
use crate::health::Unmet;
use crate::mark::{self, Marked, Slot, Verdict};
use crate::surroundings::Surroundings;
use bennu_formats::Code;
use bennu_formats::boot_record::Failure;
use bennu_formats::decode::Document as _;
use bennu_formats::handover::Handover;
use bennu_formats::health::{HealthCheck, HealthConfig, HealthReport, HealthState, ModulesRule};
use bennu_formats::names::UkiFileName;
use bennu_linux::kmsg::Level;
use bennu_policy::boot::BootAction;
use std::time::Duration;

/// Between two rounds of checks.
const ROUND: Duration = Duration::from_secs(1);
/// Longest time of one check; below `WatchdogSec=` of the unit.
pub const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// First pause after the ESP did not take the mark; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries to mark the slot.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the verdict on an unhealthy slot is tried to be written, a second apart, before the restart.
pub const VERDICT_TRIES: u32 = 3;

/// How the start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy and marked good.
    Good,
    /// Not healthy in time, or without the gate that the image demands; the machine is to be restarted.
    Restart,
}

/// What becomes of a slot that is given up where no other one may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastSlot {
    /// It stays up: a service that is late may still come.
    StaysUp,
    /// It restarts: bennu-init finds no slot to start and shows its recovery screen.
    Restarts,
}

/// One start of one slot.
pub struct Agent {
    slot: Slot,
    entry: String,
    config: HealthConfig,
    started: Duration,
}

impl Agent {
    /// The start that `handover` reports, judged by `config`, its deadline counted from `started`.
    pub fn new(handover: &Handover, config: HealthConfig, started: Duration) -> Self {
        Self {
            slot: Slot::of(handover),
            entry: handover.entry.clone(),
            config,
            started,
        }
    }

    /// Runs until there is an outcome. `previous` is the report of an agent that ran before in this boot: a
    /// slot that it marked good stays good.
    pub fn run(mut self, previous: Option<&HealthReport>, world: &mut impl Surroundings) -> Outcome {
        if let Some(HealthReport {
            health: HealthState::Good { .. },
            entry,
            ..
        }) = previous
        {
            let version = &self.slot.version;
            world.say(
                Level::Info,
                &format!("slot {version} is marked good already, as {entry}"),
            );
            self.follow_modules_rule(world);
            return Outcome::Good;
        }
        if let Err(unmet) = self.wait_until_healthy(world) {
            let words = format!(
                "expected all health checks to hold within {} s, found: {unmet}",
                self.config.deadline_s
            );
            match self.give_up(&words, LastSlot::StaysUp, world) {
                BootAction::FallBack | BootAction::Retry => return Outcome::Restart,
                // No slot is left to restart into. If this one becomes healthy late, it is taken back.
                BootAction::Halt => self.wait_however_long(world),
            }
        }
        self.mark_good(world);
        self.follow_modules_rule(world);
        Outcome::Good
    }

    /// A slot whose image demands a gate and that has none is given up at once: no check can make it good, and nothing
    /// of it may run. So it restarts even where no other slot may start.
    pub fn run_without_gate(mut self, why: &str, world: &mut impl Surroundings) -> Outcome {
        let words = format!("{}: {}: {why}", Code::Gate, Code::Gate.meaning());
        self.give_up(&words, LastSlot::Restarts, world);
        Outcome::Restart
    }

    /// A kernel that does not take it is told of, not restarted: the service runs, and modules are still signed.
    fn follow_modules_rule(&self, world: &mut impl Surroundings) {
        if self.config.modules_after_start == ModulesRule::Allowed {
            return;
        }
        match world.lock_modules() {
            Ok(()) => world.say(
                Level::Notice,
                "no kernel module can be loaded until the next start",
            ),
            Err(error) => world.say(
                Level::Error,
                &format!("kernel.modules_disabled: {error}; modules can still be loaded"),
            ),
        }
    }

    fn wait_until_healthy(&self, world: &mut impl Surroundings) -> Result<(), Unmet> {
        let deadline = self
            .started
            .saturating_add(Duration::from_secs(self.config.deadline_s.into()));
        let mut told = None;
        loop {
            let left = deadline.saturating_sub(world.now());
            let Err(unmet) = first_unmet(&self.config.checks, left, world) else {
                return Ok(());
            };
            if world.now() >= deadline {
                return Err(unmet);
            }
            let words = unmet.to_string();
            if told.as_ref() != Some(&words) {
                world.say(Level::Info, &format!("waiting: {words}"));
                self.publish(HealthState::Waiting { on: words.clone() }, world);
                told = Some(words);
            }
            world.pause(ROUND);
        }
    }

    fn wait_however_long(&self, world: &mut impl Surroundings) {
        while first_unmet(&self.config.checks, CHECK_LIMIT, world).is_err() {
            world.pause(LONGEST_PAUSE);
        }
    }

    fn mark_good(&mut self, world: &mut impl Surroundings) {
        let tries = self.config.tries;
        let mut pause = FIRST_PAUSE;
        let marked = loop {
            let slot = &self.slot;
            match world.on_esp(|esp| mark::mark_good(esp, slot, tries)) {
                Ok(marked) => break marked,
                Err(error) => self.mark_failed(&error, pause, world),
            }
            world.pause(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        let Marked { entry, new_record } = marked;
        tell_of_new_record(new_record, world);
        self.entry = entry.to_string();
        let at_ms = u64::try_from(world.now().as_millis()).unwrap_or(u64::MAX);
        world.remember_firmware(&self.slot.version);
        world.say(
            Level::Notice,
            &format!("slot {} marked good (+{tries})", self.slot.version),
        );
        // Last: who waits for it may end the machine at once.
        self.publish(HealthState::Good { at_ms }, world);
    }

    fn mark_failed(&self, error: &EspAccessError, pause: Duration, world: &mut impl Surroundings) {
        let version = &self.slot.version;
        let words = format!("slot {version} is healthy and could not be marked good: {error}");
        world.say(
            Level::Warning,
            &format!("{words}; next try in {} s", pause.as_secs()),
        );
        self.publish(HealthState::Waiting { on: words }, world);
    }

    fn give_up(&mut self, words: &str, last: LastSlot, world: &mut impl Surroundings) -> BootAction {
        let failure = Failure::new(Code::SlotUnhealthy, words);
        world.say(
            Level::Critical,
            &format!("FAILED {}: {}", failure.code, failure.reason),
        );
        let advice = format!("{}: {}", failure.code.meaning(), failure.code.advice());
        world.say(Level::Critical, &advice);
        match self.write_verdict(words, world) {
            Some(verdict) => self.tell_verdict(verdict, last, world),
            None => {
                self.publish(HealthState::Unhealthy { failure }, world);
                BootAction::Retry
            }
        }
    }

    fn write_verdict(&self, words: &str, world: &mut impl Surroundings) -> Option<Verdict> {
        for _ in 0..VERDICT_TRIES {
            let (slot, most) = (&self.slot, self.config.max_attempts);
            match world.on_esp(|esp| mark::mark_unhealthy(esp, slot, words, most)) {
                Ok(verdict) => return Some(verdict),
                Err(error) => {
                    world.say(
                        Level::Error,
                        &format!("the verdict could not be written: {error}"),
                    );
                }
            }
            world.pause(ROUND);
        }
        world.say(
            Level::Critical,
            "restarting without a written verdict; bennu-init counts this attempt",
        );
        None
    }

    fn tell_verdict(
        &mut self,
        verdict: Verdict,
        last: LastSlot,
        world: &mut impl Surroundings,
    ) -> BootAction {
        let Verdict {
            failure,
            action,
            entry,
            new_record,
        } = verdict;
        tell_of_new_record(new_record, world);
        self.entry = entry.as_ref().map(UkiFileName::to_string).unwrap_or_default();
        self.publish(HealthState::Unhealthy { failure }, world);
        let (version, most) = (&self.slot.version, self.config.max_attempts);
        let attempts = self.slot.attempts;
        let next = match action {
            BootAction::FallBack => format!("slot {version} is marked bad; restarting into the other one"),
            BootAction::Retry => {
                format!("slot {version}: attempt {attempts} of {most} failed; restarting for another one")
            }
            BootAction::Halt => {
                let then = match last {
                    LastSlot::StaysUp => "the system stays up as it is",
                    LastSlot::Restarts => "restarting into the recovery screen",
                };
                format!("slot {version} is marked bad and no other one may start; {then}")
            }
        };
        world.say(Level::Critical, &next);
        action
    }

    fn publish(&self, health: HealthState, world: &mut impl Surroundings) {
        world.publish(&HealthReport {
            schema: HealthReport::SCHEMA,
            health,
            entry: self.entry.clone(),
        });
    }
}

/// Makes the checks in their order, each within `left` and [`CHECK_LIMIT`] but at least a second, so that the
/// last round is a fair one.
fn first_unmet(checks: &[HealthCheck], left: Duration, world: &mut impl Surroundings) -> Result<(), Unmet> {
    let limit = left.clamp(ROUND, CHECK_LIMIT);
    checks.iter().try_for_each(|check| world.probe(check, limit))
}

fn tell_of_new_record(why: Option<String>, world: &mut impl Surroundings) {
    if let Some(why) = why {
        world.say(Level::Warning, &format!("{why}; a new one is begun"));
    }
}
