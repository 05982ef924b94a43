//! What was done about drift is undone when nothing calls for it any more (`policy::drift::reverts`), and told. What stays,
//! because it could not be done again, is told as well. A failure is tried again in the next round.

use super::{Acted, NOT_LOOKED_AT, Warden, carry_out, deny, freeze, network, report};
use crate::limit::within;
use crate::surroundings::Surroundings;
use bennu_esp::About;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_policy::drift::{self, Action, Concerned, Hold};
use bennu_records::certificate::UNDO;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Stable name of the rule.
const RULE: &str = "drift.nothing-strong-counts";

impl Warden {
    pub(super) fn undo(&mut self, world: &mut impl Surroundings) {
        let signals = self.signals();
        let facts = self.facts(&signals, &NOT_LOOKED_AT);
        let stays = Action::ALL
            .into_iter()
            .find(|action| drift::hold(*action, &facts) == Hold::LastOfBudget);
        let undone: Vec<Acted> = drift::reverts(&facts)
            .into_iter()
            .filter_map(|action| self.undo_one(action, world))
            .collect();
        if !undone.is_empty() {
            let decision = self.decide(&NOT_LOOKED_AT);
            self.certify(&decision, About::TheRest, &undone, world);
        }
        if let Some(action) = stays {
            let words = format!(
                "{} stays until the machine restarts: it was done as often as one boot allows",
                action.name()
            );
            self.say_once(words, world);
        }
    }

    fn undo_one(&mut self, action: Action, world: &mut impl Surroundings) -> Option<Acted> {
        let frozen = match action {
            Action::FreezeCgroup => self.memory.take_frozen(),
            _ => Vec::new(),
        };
        let (kept, groups) = (frozen.clone(), Arc::clone(&self.groups));
        let act = move || match action {
            Action::Deny => deny::undo(),
            Action::FreezeCgroup => freeze::thaw(&groups, &frozen),
            Action::CutNetwork => network::undo(),
            other => Err(format!("{} is not undone", other.name())),
        };
        let mut alive = || world.pause(Duration::ZERO);
        let done = within(carry_out::ACT_LIMIT, &mut alive, act).unwrap_or_else(|late| Err(late.to_string()));
        let words = match done {
            Ok(words) => words,
            Err(why) => {
                if let Err(error) = self.memory.will_freeze(&kept) {
                    world.say(Level::Error, &error);
                }
                self.say_once(format!("{} not undone: {why}", action.name()), world);
                return None;
            }
        };
        if let Err(error) = self.memory.does_not_hold(action) {
            world.say(Level::Error, &error);
        }
        if action == Action::Deny {
            self.concerned = Concerned::default();
        }
        self.undoing = None;
        world.say(Level::Notice, &format!("{} undone: {words}", action.name()));
        let up_ms = time::since_boot_ms();
        let line = self.note(
            json!({
                "event": "undo",
                "severity": "suspicious",
                "action": action.name(),
                "rule": RULE,
                "words": words,
                "up_ms": up_ms,
            }),
            world,
        );
        self.line = line.unwrap_or(self.line);
        let name = format!("{UNDO}{}", action.name());
        Some(report::acted(&name, RULE, Ok(words), up_ms))
    }

    fn say_once(&mut self, words: String, world: &mut impl Surroundings) {
        if self.undoing.as_ref() == Some(&words) {
            return;
        }
        world.say(Level::Warning, &words);
        self.note(
            json!({"event": "not-undone", "severity": "suspicious", "words": words}),
            world,
        );
        self.undoing = Some(words);
    }

    /// More units may be concerned than when `deny` was done, and a slice that was made again is another one.
    pub(super) fn deny_more(&mut self, world: &mut impl Surroundings) {
        let now = self.concerned_now();
        let all = Concerned {
            units: self.concerned.units.union(&now.units).cloned().collect(),
            everything: self.concerned.everything || now.everything,
        };
        let more = all != self.concerned;
        let done = self.deny(&all, world);
        if !more {
            return;
        }
        let words = match done {
            Ok(words) | Err(words) => words,
        };
        world.say(Level::Alert, &format!("deny: {words}"));
        self.note(
            json!({"event": "deny-concerns", "severity": "serious", "words": words}),
            world,
        );
    }

    pub(super) fn concerned_now(&self) -> Concerned {
        let signals = self.known.iter().map(|known| (known.seen, known.unit.as_deref()));
        drift::concerned(signals, time::since_boot_ms(), &self.windows())
    }

    pub(super) fn deny(&mut self, whom: &Concerned, world: &mut impl Surroundings) -> Result<String, String> {
        self.concerned = whom.clone();
        let spared = self
            .config
            .as_ref()
            .map_or_else(Vec::new, |config| config.spared.clone());
        let (whom, groups) = (whom.clone(), Arc::clone(&self.groups));
        let mut alive = || world.pause(Duration::ZERO);
        within(carry_out::ACT_LIMIT, &mut alive, move || {
            deny::deny(&groups, &whom, &spared)
        })
        .unwrap_or_else(|late| Err(late.to_string()))
    }
}
