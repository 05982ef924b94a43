//! `flip-slot`: this slot is marked bad and the machine restarts into the other one, which is verified before.
//!
//! A flip that could not be done leaves a machine that should not run on. Then the decision is made once more without it: with
//! what was found of the other slot, or, where that was not found out or did not help, as for one that does not verify. If
//! that calls for `recovery`, it follows at once, within its budget; nothing is tried a second time here.

use super::carry_out::VERIFY_LIMIT;
use super::other::Found;
use super::{Acted, NOT_LOOKED_AT, Warden, other, report};
use crate::limit::within;
use crate::mark::Slot;
use crate::surroundings::Surroundings;
use bennu_esp::About;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_policy::drift::{Action, Decision, OtherSlot};
use std::time::Duration;

/// Why the machine still runs.
struct NotDone {
    words: String,
    /// For the decision without the flip.
    found: Found,
}

impl NotDone {
    /// The other slot is of no use, whatever was found of it.
    fn unusable(words: String) -> Self {
        let slot = OtherSlot {
            verifies: false,
            ..NOT_LOOKED_AT.slot
        };
        let found = Found {
            slot,
            words: words.clone(),
            ..NOT_LOOKED_AT
        };
        Self { words, found }
    }
}

impl Warden {
    /// Verifies the other slot, decides anew, writes the last certificate, marks this slot bad, restarts. Comes back
    /// only where that cannot be, with the reason and with what was done instead.
    pub(super) fn flip(
        &mut self,
        rule: &str,
        decision: &Decision,
        acted: &[Acted],
        world: &mut impl Surroundings,
    ) -> Vec<Acted> {
        let looked = self.look_at_the_other(world);
        let not_done = match looked {
            Ok(found) => self.flip_to(found, rule, decision, acted, world),
            Err(words) => NotDone::unusable(words),
        };
        self.instead(not_done, rule, world)
    }

    fn look_at_the_other(&self, world: &mut impl Surroundings) -> Result<Found, String> {
        let config = self.config.clone().ok_or("there is no drift configuration")?;
        let handover = self.handover.clone();
        let mut alive = || world.pause(Duration::ZERO);
        let looked = within(VERIFY_LIMIT, &mut alive, move || {
            other::look(&handover, &config, &mut || ())
        });
        looked.map_err(|late| format!("the other slot: {late}"))
    }

    /// Into a slot that was looked at.
    fn flip_to(
        &mut self,
        found: Found,
        rule: &str,
        decision: &Decision,
        acted: &[Acted],
        world: &mut impl Surroundings,
    ) -> NotDone {
        world.say(Level::Alert, &format!("flip: {}", found.words));
        let again = self.decide(&found);
        if !again.plan.iter().any(|step| step.action == Action::FlipSlot) {
            let because = again.withheld.iter().find(|w| w.action == Action::FlipSlot);
            let why = because.map_or("not called for", |withheld| withheld.because.words());
            let words = format!("{why}: {}", found.words);
            return NotDone { words, found };
        }
        if let Err(error) = self.memory.count(Action::FlipSlot) {
            world.say(Level::Error, &error);
        }
        let slot = Slot::of(&self.handover);
        match self.mark_drifted(&decision.reason, world) {
            Ok(true) => {}
            Ok(false) => return NotDone::unusable("no other slot may start".to_owned()),
            Err(words) => return NotDone::unusable(words),
        }
        let words = format!("slot {} is marked bad; {}", slot.version, found.words);
        let flipped = report::acted(Action::FlipSlot.name(), rule, Ok(words), time::since_boot_ms());
        world.say(Level::Alert, &report::sentence(&flipped));
        let acts: Vec<Acted> = acted.iter().cloned().chain([flipped]).collect();
        self.certify(decision, About::TheEnd, &acts, world);
        match self.restart(world) {
            Ok(_) => NotDone::unusable("the machine did not restart".to_owned()),
            Err(error) => NotDone::unusable(error),
        }
    }

    /// What the same signals call for where the flip cannot be had.
    fn instead(&mut self, not_done: NotDone, rule: &str, world: &mut impl Surroundings) -> Vec<Acted> {
        let NotDone { words, found } = not_done;
        if self.memory.in_force().has(Action::FlipSlot)
            && let Err(error) = self.memory.does_not_hold(Action::FlipSlot)
        {
            world.say(Level::Error, &error);
        }
        let refused = report::acted(Action::FlipSlot.name(), rule, Err(words), time::since_boot_ms());
        world.say(Level::Alert, &report::sentence(&refused));
        self.note(report::act_body(&refused), world);
        let mut acts = vec![refused];
        let again = self.decide(&found);
        if again.plan.iter().any(|step| step.action == Action::Recovery) {
            acts.extend(self.act(Action::Recovery, rule, world));
        }
        acts
    }
}

#[cfg(test)]
mod tests;
