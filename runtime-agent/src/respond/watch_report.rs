//! What a round saw, for `bennuctl` and for `bennu-verified.service`.

use super::Warden;
use crate::documents;
use crate::surroundings::Surroundings;
use bennu_formats::paths;
use bennu_formats::watch::{MAX_NAMES, WatchReport};
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_policy::drift::{Decision, Severity};
use std::collections::BTreeSet;
use std::path::Path;

impl Warden {
    /// Tells what this round came to.
    pub(super) fn report(&mut self, decision: &Decision, world: &mut impl Surroundings) {
        let (now_ms, windows) = (time::since_boot_ms(), self.windows());
        let counting = self
            .known
            .iter()
            .filter(|known| known.seen.counts(now_ms, &windows));
        let names: BTreeSet<&str> = counting.map(|known| known.seen.signal.row().name).collect();
        let report = WatchReport {
            schema: 1,
            at_ms: now_ms,
            interval_ms: self.interval_ms(),
            clean: decision.severity < Severity::Serious && self.watch.sees_everything(),
            rule: decision.severity.rule().to_owned(),
            signals: names.into_iter().take(MAX_NAMES).map(str::to_owned).collect(),
            blind: self.watch.blind().take(MAX_NAMES).map(str::to_owned).collect(),
            cost_us: self.watch.cost_us().take(MAX_NAMES).collect(),
        };
        match documents::write(Path::new(paths::RUN_WATCH), &report) {
            Ok(()) => self.report_fails = false,
            Err(error) if !self.report_fails => {
                self.report_fails = true;
                world.say(
                    Level::Warning,
                    &format!("bennuctl will show an old watch: {error}"),
                );
            }
            Err(_) => {}
        }
    }
}
