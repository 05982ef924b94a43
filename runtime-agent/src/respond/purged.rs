//! The purge within the answer to drift, and the end without a flip: the machine waits in `purged.target`, and says so.
//!
//! Who sent the records was killed by the purge with everybody else, and what it read is gone with the state volume. From here
//! on the log is in `/run`, and systemd starts another sender with `purged.target` (`bennu-purged-alert.service`): out of the
//! verified root, with nothing of what was purged.

use super::carry_out::limited;
use super::tell::is_confirmed;
use super::{Acted, Warden, purge, report};
use crate::health::command;
use crate::records::Journal;
use crate::surroundings::Surroundings;
use bennu_formats::paths;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_policy::drift::{Action, Severity};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Leaves nothing but systemd, `bennud` and who sends the records.
const ISOLATE: [&str; 4] = [command::SYSTEMCTL, "--no-block", "isolate", "purged.target"];
/// The sender of before has nothing to read any more; systemd would try to start it for ever.
const STOP_SENDER: [&str; 4] = [command::SYSTEMCTL, "--no-block", "stop", "bennu-alert.service"];
/// How long systemd has to accept these, when nothing else is left to do.
const ISOLATE_LIMIT: Duration = Duration::from_secs(10);
/// It is there where systemd is PID 1 (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
/// Between two looks at what the server has.
const LOOK: Duration = Duration::from_secs(5);

const WAITS: &str = "nothing is watched any more: the machine waits for a person";

/// Asks systemd for `purged.target`.
///
/// # Errors
/// In words.
pub fn isolate(limit: Duration) -> Result<String, String> {
    if !Path::new(SYSTEMD).is_dir() {
        return Ok("there is no systemd".to_owned());
    }
    command::run(&ISOLATE, limit)
        .map(|_| "systemd goes to purged.target".to_owned())
        .map_err(|error| format!("purged.target: {error}"))
}

impl Warden {
    pub(super) fn purge(&mut self, rule: &str, world: &mut impl Surroundings) -> Vec<Acted> {
        // The volume beneath the log loses its key: the log ends in good order before.
        let begins = json!({"event": "state-purge-begins", "severity": report::severity(Severity::Lost)});
        self.note(begins.clone(), world);
        self.sign_head(world);
        self.stop_log(world);
        self.trace.forget();
        let journal = Journal::at(Path::new(paths::RUN_RECORDS), self.witness.clone());
        self.journal.replace(journal);
        self.cursor = Path::new(paths::RUN_PURGED_CURSOR);
        // Nobody brings that one to the server any more.
        self.note(begins, world);
        self.leave_sinks(world);
        self.halted = true;
        let done = purge::purge(Arc::clone(&self.groups), &mut || world.pause(Duration::ZERO));
        let failed = done.iter().any(|step| step.result.is_err());
        let mut acted: Vec<Acted> = Vec::new();
        for step in done {
            let name = format!("state-purge.{}", step.step);
            let act = report::acted(&name, rule, step.result, step.up_ms);
            world.say(Level::Alert, &report::sentence(&act));
            acted.push(act);
        }
        let whole = match failed {
            false => Ok("all steps".to_owned()),
            true => Err("not all steps succeeded".to_owned()),
        };
        let name = Action::StatePurge.name();
        acted.push(report::acted(name, rule, whole, time::since_boot_ms()));
        for act in &acted {
            self.note(report::act_body(act), world);
        }
        acted
    }

    /// Before anything is frozen: somebody may have to answer.
    fn leave_sinks(&mut self, world: &mut impl Surroundings) {
        if !self.sinks.is_named() {
            return;
        }
        if !self.sinks.is_known() {
            self.sinks.refresh(&mut || world.pause(Duration::ZERO));
        }
        let sinks = self.sinks.clone();
        if let Err(error) = limited(world, move || sinks.leave(Path::new(paths::RUN_PURGED_SINKS))) {
            let words = format!("{error}: nobody sends the records of the purge");
            world.say(Level::Error, &words);
        }
    }

    /// Nothing runs and nothing is left to protect: systemd takes what is left away, and a person has to come. That is the
    /// last line of the log.
    pub(super) fn wait_for_a_person(&mut self, world: &mut impl Surroundings) -> ! {
        world.say(Level::Alert, WAITS);
        let lost = report::severity(Severity::Lost);
        let body = json!({"event": "waits-for-a-person", "severity": lost, "words": WAITS});
        let line = self.note(body, world).map(|(number, _)| number);
        self.sign_head(world);
        if let Err(error) = isolate(ISOLATE_LIMIT) {
            world.say(Level::Error, &error);
        }
        let purged = self.cursor == Path::new(paths::RUN_PURGED_CURSOR);
        if purged
            && self.sinks.is_named()
            && let Err(error) = command::run(&STOP_SENDER, ISOLATE_LIMIT)
        {
            world.say(Level::Warning, &error.to_string());
        }
        let mut awaited = line.filter(|_| self.sinks.is_named());
        loop {
            if awaited.is_some_and(|line| is_confirmed(self.cursor, line)) {
                awaited = None;
                world.say(
                    Level::Alert,
                    "the syslog server knows that the machine waits for a person",
                );
            }
            world.pause(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_systemd_there_are_no_units_to_stop_and_with_it_a_refusal_is_told() {
        let asked = isolate(ISOLATE_LIMIT);
        match Path::new(SYSTEMD).is_dir() {
            false => assert_eq!(asked.as_deref(), Ok("there is no systemd")),
            // Whoever runs this has no such target.
            true => assert!(asked.unwrap_err().starts_with("purged.target: ")),
        }
    }
}
