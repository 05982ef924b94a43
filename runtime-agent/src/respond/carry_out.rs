//! Carrying a decision out, in its order.

use super::kill::{self, Named};
use super::{Acted, Warden, freeze, network, other, repair, report};
use crate::esp::{Access, with_esp};
use crate::limit::within;
use crate::mark::{self, Slot};
use crate::surroundings::Surroundings;
use bennu_esp::About;
use bennu_linux::kmsg::Level;
use bennu_linux::reboot::{End, end_at_once, sync};
use bennu_linux::time;
use bennu_policy::drift::{Action, Decision, Signal};
use bennu_records::certificate::Outcome;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Longest time for an act that is not a purge or a flip.
pub const ACT_LIMIT: Duration = Duration::from_secs(6);
/// Longest time for a certificate to be on the ESP.
pub const ESP_LIMIT: Duration = Duration::from_secs(15);
/// Longest time to verify every block of the other slot: 16 GiB at 30 MB/s.
pub(super) const VERIFY_LIMIT: Duration = Duration::from_secs(600);

impl Warden {
    /// Record and alert, then certificate where the machine may not live to sign another, then everything up to the purge;
    /// then the slot, which is decided anew. What was done is signed.
    pub(super) fn answer(&mut self, decision: Decision, world: &mut impl Surroundings) {
        self.tell(&decision, world);
        let ends = |action: Action| action.cannot_be_undone() || action == Action::FailSafe;
        let ends = decision.plan.iter().any(|step| ends(step.action));
        let about = if ends { About::TheEnd } else { About::TheRest };
        if ends {
            self.certify(&decision, about, &report::planned(&decision), world);
            self.let_the_alert_out(world);
        }
        let mut acted = report::withheld(&decision);
        for step in &decision.plan {
            if step.action.is_report() || step.action == Action::FlipSlot {
                continue;
            }
            let rule = step.why.rule();
            acted.extend(self.act(step.action, &rule, world));
        }
        for known in &mut self.known {
            known.seen.answered = true;
        }
        self.remember_seen(world);
        let flip = decision.plan.iter().find(|step| step.action == Action::FlipSlot);
        if let Some(step) = flip {
            let flipped = self.flip(&step.why.rule(), &decision, &acted, world);
            acted.extend(flipped);
        }
        if ends || acted.iter().any(|act| act.outcome != Outcome::Withheld) {
            self.certify(&decision, about, &acted, world);
        }
        if self.halted {
            self.wait_for_a_person(world);
        }
    }

    fn tell(&mut self, decision: &Decision, world: &mut impl Surroundings) {
        let body = report::body(decision);
        self.note_decision(body, world);
        self.sign_head(world);
        if decision.plan.iter().any(|step| step.action == Action::Alert) {
            world.say(Level::Alert, &format!("ALERT {}", decision.reason));
        }
    }

    /// Takes one action; gives what became of it.
    pub(super) fn act(&mut self, action: Action, rule: &str, world: &mut impl Surroundings) -> Vec<Acted> {
        let named = self.named();
        if action == Action::Kill && named.is_nobody() {
            // Nobody to kill is no act, and costs nothing of its budget.
            return Vec::new();
        }
        if let Err(error) = self.memory.count(action) {
            world.say(Level::Error, &error);
        }
        let done = match action {
            Action::StatePurge => return self.purge(rule, world),
            Action::Record | Action::Alert | Action::FlipSlot => return Vec::new(),
            Action::FailSafe => self.fail_safe(world),
            Action::Recovery => Ok("waiting for a person".to_owned()),
            Action::RepairInactiveSlot => {
                let (handover, scrubber) = (self.handover.clone(), self.scrubber.clone());
                limited_by(VERIFY_LIMIT, world, move || {
                    repair::repair(&handover, &scrubber, &mut || ())
                })
            }
            Action::Deny => {
                let whom = self.concerned_now();
                self.deny(&whom, world)
            }
            Action::Kill => limited(world, move || kill::kill(&named)),
            Action::FreezeCgroup => self.freeze(world),
            Action::CutNetwork => {
                let plan = self.sinks.plan();
                limited(world, move || network::cut(plan))
            }
        };
        // A group that does not stop in time was asked to, and has to be let go on one day.
        let holds = action == Action::FreezeCgroup && self.memory.has_frozen();
        if done.is_err()
            && !holds
            && let Err(error) = self.memory.does_not_hold(action)
        {
            world.say(Level::Error, &error);
        }
        let acted = report::acted(action.name(), rule, done, time::since_boot_ms());
        world.say(Level::Alert, &report::sentence(&acted));
        self.note(report::act_body(&acted), world);
        if action == Action::Recovery {
            self.halted = true;
        }
        vec![acted]
    }

    /// What signals name that are not answered yet.
    fn named(&self) -> Named {
        let new = self.known.iter().filter(|known| !known.seen.answered);
        let sightings = new.map(|known| &known.sighting);
        Named {
            programs: sightings
                .clone()
                .filter_map(|seen| seen.program.clone())
                .collect(),
            processes: sightings
                .filter_map(|seen| Some((seen.process?, seen.at_ms?)))
                .collect(),
        }
    }

    /// What is frozen is written down before it is: somebody has to let it go on.
    fn freeze(&mut self, world: &mut impl Surroundings) -> Result<String, String> {
        let groups = Arc::clone(&self.groups);
        let paths = limited(world, move || freeze::groups(&groups))?;
        self.memory.will_freeze(&paths)?;
        let groups = Arc::clone(&self.groups);
        limited(world, move || freeze::freeze(&groups, &paths))
    }

    /// Whether another slot may start.
    pub(super) fn mark_drifted(&self, reason: &str, world: &mut impl Surroundings) -> Result<bool, String> {
        let (slot, reason, device) = (
            Slot::of(&self.handover),
            reason.to_owned(),
            self.handover.esp.clone(),
        );
        let mut alive = || world.pause(Duration::ZERO);
        let marked = within(ESP_LIMIT, &mut alive, move || {
            with_esp(&device, Access::ReadWrite, |esp| {
                mark::mark_drifted(esp, &slot, &reason)
            })
        });
        match marked {
            Ok(Ok(entry)) => Ok(entry.is_some()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(late) => Err(format!("ESP: {late}")),
        }
    }

    /// Restarts, so that the boot decides anew. It cannot decide about a block that no boot reads: a running slot with
    /// one is marked bad first, as a panic would mark it, or the machine would restart after each scrub for ever. It runs
    /// on where the other slot is no better.
    fn fail_safe(&mut self, world: &mut impl Surroundings) -> Result<String, String> {
        let corrupt = self
            .known
            .iter()
            .find(|known| known.seen.signal == Signal::VerityCorruptActive);
        if let Some(words) = corrupt.map(|known| known.sighting.detail.clone()) {
            let config = self.config.clone().ok_or("there is no drift configuration")?;
            let handover = self.handover.clone();
            let found = limited_by(VERIFY_LIMIT, world, move || {
                Ok(other::look(&handover, &config, &mut || ()))
            })?;
            if !found.slot.may_start() {
                return Err(format!(
                    "the machine stays up: the other slot is no better: {}",
                    found.words
                ));
            }
            if !self.mark_drifted(&words, world)? {
                return Err("the machine stays up: no other slot may start".to_owned());
            }
            let slot = Slot::of(&self.handover);
            let words = format!("slot {} is marked bad; {}", slot.version, found.words);
            world.say(Level::Alert, &words);
        }
        world.say(Level::Alert, "restarting: the boot decides anew");
        self.restart(world)
    }

    /// At once: what is frozen or killed cannot be stopped in good order.
    pub(super) fn restart(&mut self, world: &mut impl Surroundings) -> Result<String, String> {
        self.stop_log(world);
        // A disk that does not come back holds up no restart: what counts was synced where it was written.
        let _late = within(ACT_LIMIT, &mut || world.pause(Duration::ZERO), sync);
        let ended: Result<Infallible, _> = end_at_once(End::Reboot);
        match ended {
            Err(error) => Err(error.to_string()),
        }
    }
}

/// An act within [`ACT_LIMIT`].
pub(super) fn limited<T: Send + 'static>(
    world: &mut impl Surroundings,
    act: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    limited_by(ACT_LIMIT, world, act)
}

pub(super) fn limited_by<T: Send + 'static>(
    limit: Duration,
    world: &mut impl Surroundings,
    act: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let mut alive = || world.pause(Duration::ZERO);
    within(limit, &mut alive, act).unwrap_or_else(|late| Err(late.to_string()))
}
