use super::*;
use crate::esp::EspAccessError;
use crate::health::Unmet;
use crate::kernel_files::KernelFiles;
use crate::limit::Lent;
use crate::records::{Journal, Witness};
use crate::respond::Known;
use crate::respond::memory::Memory;
use crate::scrub::Scrubber;
use crate::tracing::file::TraceFile;
use crate::watch::{Inbox, Sighting};
use bennu_esp::{Esp, EspError};
use bennu_formats::ImageVersion;
use bennu_formats::decode::Document as _;
use bennu_formats::drift::{DriftConfig, EnforcedAction};
use bennu_formats::handover::Handover;
use bennu_formats::health::{HealthCheck, HealthReport};
use bennu_policy::drift::{Seen, Signal, Why};
use bennu_records::certificate::Outcome;
use std::path::Path;
use std::sync::Arc;

/// Hears what is said; has no ESP and no checks.
#[derive(Default)]
struct World(Vec<String>);

impl Surroundings for World {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn pause(&mut self, _time: Duration) {}
    fn probe(&mut self, _check: &HealthCheck, _limit: Duration) -> Result<(), Unmet> {
        Ok(())
    }
    fn on_esp<T>(&mut self, _act: impl FnOnce(&Esp) -> Result<T, EspError>) -> Result<T, EspAccessError> {
        unreachable!("the warden opens it by itself")
    }
    fn remember_firmware(&mut self, _version: &ImageVersion) {}
    fn say(&mut self, _level: Level, text: &str) {
        self.0.push(text.to_owned());
    }
    fn publish(&mut self, _report: &HealthReport) {}
    fn lock_modules(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A machine whose disk and ESP cannot be opened, with two strong signals.
fn warden(folder: &Path, enforced: &[EnforcedAction]) -> Warden {
    let golden = include_bytes!("../../../../crates/formats/tests/golden/boot.json");
    let mut handover = Handover::decode(golden).unwrap();
    let nowhere = folder.join("no device").to_str().unwrap().to_owned();
    handover.disk.path.clone_from(&nowhere);
    handover.esp.path = nowhere;
    handover.state_volume = None;
    let golden = include_bytes!("../../../../crates/formats/tests/golden/drift-config.json");
    let config = DriftConfig {
        enforced: enforced.to_vec(),
        ..DriftConfig::decode(golden).unwrap()
    };
    let kernel = Arc::new(KernelFiles::at(folder));
    let (inbox, scrubber) = (Inbox::default(), Scrubber::default());
    let mut warden = Warden::new(
        &handover,
        Some(config),
        kernel,
        inbox,
        scrubber,
        TraceFile::default(),
    );
    warden.memory = Memory::at(&folder.join("memory"));
    warden.journal = Lent::new(Journal::at(&folder.join("records"), Witness::default()));
    let strong = |signal| Known {
        seen: Seen {
            signal,
            at_ms: time::since_boot_ms(),
            answered: true,
        },
        first_ms: 0,
        unit: None,
        sighting: Sighting::new(signal, "words"),
    };
    warden.known = [Signal::GateTampering, Signal::PcrChanged].map(strong).to_vec();
    warden
}

const BOTH: [EnforcedAction; 2] = [EnforcedAction::FlipSlot, EnforcedAction::Recovery];

fn outcomes(acts: &[Acted]) -> Vec<(&str, Outcome)> {
    acts.iter()
        .map(|act| (act.action.as_str(), act.outcome))
        .collect()
}

#[test]
fn a_slot_that_cannot_be_marked_bad_waits_for_a_person_and_once_only() {
    let kept = tempfile::tempdir().unwrap();
    let (mut warden, mut world) = (warden(kept.path(), &BOTH), World::default());
    let decision = warden.decide(&NOT_LOOKED_AT);
    let step = decision.plan.iter().find(|step| step.action == Action::FlipSlot);
    let rule = step
        .map(|step: &bennu_policy::drift::Step| Why::rule(step.why))
        .unwrap();
    let again = |warden: &mut Warden, world: &mut World| {
        // The ESP does not open, so nothing is marked and nothing restarts.
        let not_done = warden.flip_to(NOT_LOOKED_AT, &rule, &decision, &[], world);
        warden.instead(not_done, &rule, world)
    };
    let acts = again(&mut warden, &mut world);
    let flip = ("flip-slot", Outcome::Failed);
    assert_eq!(outcomes(&acts), [flip, ("recovery", Outcome::Done)]);
    assert!(warden.halted);
    assert!(
        !warden.memory.in_force().has(Action::FlipSlot),
        "it does not hold"
    );
    assert_eq!(warden.memory.spent().times(Action::FlipSlot), 1);
    assert!(world.0.iter().any(|said| said.starts_with("flip-slot FAILED: ")));
    let acts = again(&mut warden, &mut world);
    assert_eq!(outcomes(&acts), [flip], "the budget of both is spent");
    assert_eq!(warden.memory.spent().times(Action::Recovery), 1);
}

#[test]
fn a_slot_that_was_not_verified_in_time_is_no_slot_to_flip_to() {
    for (enforced, followed) in [(&BOTH[..], true), (&BOTH[..1], false)] {
        let kept = tempfile::tempdir().unwrap();
        let (mut warden, mut world) = (warden(kept.path(), enforced), World::default());
        let late = NotDone::unusable("the other slot: timed out after 600000 ms".to_owned());
        let acts = warden.instead(late, "rule", &mut world);
        assert_eq!(acts[0].words, "the other slot: timed out after 600000 ms");
        assert_eq!(warden.halted, followed, "as the image enforces it");
        assert_eq!(acts.len(), 1 + usize::from(followed));
        assert_eq!(
            warden.memory.spent().times(Action::FlipSlot),
            0,
            "nothing was tried"
        );
    }
}

#[test]
fn nothing_waits_for_a_person_when_no_flip_is_called_for_any_more() {
    let kept = tempfile::tempdir().unwrap();
    let (mut warden, mut world) = (warden(kept.path(), &BOTH), World::default());
    warden.known.clear();
    let late = NotDone::unusable("late".to_owned());
    assert_eq!(warden.instead(late, "rule", &mut world).len(), 1);
    assert!(!warden.halted);
}
