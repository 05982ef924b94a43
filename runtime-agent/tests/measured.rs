//! What `bennuctl why` and `event-log` make of logs and PCRs: those of a real firmware, and logs that were changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bennu_eventlog::{Event, Meaning, Origin, cel, changes, firmware, replay};
use bennu_formats::Sha256Digest;
use bennu_formats::handover::Handover;
use bennu_runtime::kernel_files::KernelFiles;
use bennu_runtime::status::event_log::EventLog;
use bennu_runtime::status::measured::{Facts, Measured, Places};
use bennu_tpm::{EventKind, EventRecord, HashAlg};
use std::path::PathBuf;
use std::sync::Arc;

/// Beneath directories that stand for the kernel's file systems.
const BANK: &str = "sysfs/class/tpm/tpm0/pcr-sha256";
const FIRMWARE_LOG: &str = "securityfs/tpm0/binary_bios_measurements";
const FIRMWARE: &[u8] = include_bytes!("../../crates/eventlog/tests/fixtures/firmware-257.log");

struct Machine {
    dir: tempfile::TempDir,
    places: Places,
    handover: Handover,
}

fn record(pcr: u8, text: &str) -> String {
    let record = EventRecord {
        pcr,
        digests: vec![HashAlg::Sha256.digest(text.as_bytes())],
        kind: EventKind::Phase,
        text: text.to_owned(),
    };
    record.cel_json(&[0; 16], 1)
}

/// What bennu-init leaves of a start without a state volume.
fn records(handover: &Handover) -> [String; 4] {
    let manifest = handover.manifest_sha256.to_string();
    [
        record(11, "enter-initrd"),
        record(15, &manifest),
        record(15, "none"),
        record(11, "leave-initrd"),
    ]
}

/// A machine that measured `user` after the real firmware's log, and whose release predicted just that.
fn machine(user: &[String]) -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for directory in [BANK, "securityfs/tpm0"] {
        std::fs::create_dir_all(at(directory)).unwrap();
    }
    let places = Places {
        kernel: Arc::new(KernelFiles::at(dir.path())),
        user_log: at("user"),
    };
    std::fs::write(at(FIRMWARE_LOG), FIRMWARE).unwrap();
    std::fs::write(at("user"), user.concat()).unwrap();
    let mut handover = world::handover(1);
    let mut events = firmware::read(FIRMWARE).events;
    let value = |events: &[Event]| {
        let value = replay::value(11, HashAlg::Sha256, events);
        Sha256Digest(value.as_bytes().try_into().unwrap())
    };
    handover.predicted_pcrs.pcr11_sections = value(&events);
    events.extend(cel::read(user.concat().as_bytes()).events);
    handover.predicted_pcrs.pcr11_leave_initrd = value(&events);
    let machine = Machine {
        dir,
        places,
        handover,
    };
    for pcr in 0..16 {
        machine.set(pcr, &replay::value(pcr, HashAlg::Sha256, &events).to_string());
    }
    machine
}

impl Machine {
    fn firmware_log(&self) -> PathBuf {
        self.dir.path().join(FIRMWARE_LOG)
    }

    fn set(&self, pcr: u8, value: &str) {
        let path = self.dir.path().join(BANK).join(pcr.to_string());
        std::fs::write(path, value.to_uppercase() + "\n").unwrap();
    }

    fn judged(&self) -> Measured {
        Measured::of(&Facts::gather(&self.places).unwrap(), &self.handover, None)
    }

    fn events(&self) -> EventLog {
        EventLog::of(&Facts::gather(&self.places).unwrap())
    }
}

fn good() -> Machine {
    machine(&records(&world::handover(1)))
}

fn findings(measured: Measured) -> Vec<String> {
    match measured {
        Measured::Unexpected { findings, .. } => findings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_start_as_predicted_is_as_expected_and_every_row_matches() {
    let machine = good();
    let judged = machine.judged();
    assert_eq!(
        judged.sentence(),
        "all measurements are as expected: 49 events account for every PCR (sha256)"
    );
    let log = machine.events();
    assert!(log.all_match());
    assert_eq!(log.events.len(), 49);
    let text = log.text();
    assert!(text.contains("  7  yes      "), "{text}");
    assert!(text.contains("user-space  phase enter-initrd"), "{text}");
}

#[test]
fn a_record_that_was_taken_away_is_noticed_and_its_pcr_named() {
    let machine = good();
    let [enter, manifest, _none, leave] = records(&machine.handover);
    std::fs::write(&machine.places.user_log, [enter, manifest, leave].concat()).unwrap();
    let found = findings(machine.judged());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("PCR 15 has another value than the event logs give: "),
        "{found:?}"
    );
    let log = machine.events();
    assert!(!log.all_match());
    assert!(log.text().contains(" 15  NO "), "{}", log.text());
    let wrong = log.events.iter().filter(|row| row.matches == Some(false));
    assert!(wrong.into_iter().all(|row| row.pcr == Some(15)));
}

#[test]
fn a_latch_by_something_else_a_log_without_it_and_a_log_cut_off_are_told() {
    let mut other = records(&world::handover(1));
    other[1] = record(15, "failed");
    let found = findings(machine(&other).judged());
    assert_eq!(
        found,
        ["PCR 15 begins with phase failed and not with this release's manifest"]
    );
    let machine = good();
    std::fs::write(&machine.places.user_log, "").unwrap();
    let found = findings(machine.judged());
    assert!(
        found
            .iter()
            .any(|f| f == "the event log has no record of the latch (PCR 15)"),
        "{found:?}"
    );
    let machine = good();
    std::fs::write(machine.firmware_log(), &FIRMWARE[..FIRMWARE.len() - 1]).unwrap();
    let found = findings(machine.judged());
    assert!(
        found.iter().any(|f| f.contains("the log is truncated")),
        "{found:?}"
    );
}

#[test]
fn a_foreign_measurement_is_explained() {
    let machine = good();
    let mut log = FIRMWARE.to_vec();
    let words: Vec<u8> = "Credentials initrd\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for word in [12_u32, 13, 1] {
        log.extend(word.to_le_bytes());
    }
    log.extend(HashAlg::Sha256.id().to_le_bytes());
    log.extend(HashAlg::Sha256.digest(b"x").as_bytes());
    log.extend(u32::try_from(words.len()).unwrap().to_le_bytes());
    log.extend(&words);
    std::fs::write(machine.firmware_log(), &log).unwrap();
    let value = replay::value(12, HashAlg::Sha256, &firmware::read(&log).events);
    machine.set(12, &value.to_string());
    assert_eq!(
        findings(machine.judged()),
        ["PCR 12 is not the expected value: credentials beside the UKI were measured"]
    );
}

#[test]
fn changes_of_the_firmware_are_told_and_are_no_finding() {
    let machine = good();
    let facts = Facts::gather(&machine.places).unwrap();
    let version = &machine.handover.version;
    let same = changes::record(version, &facts.events, &facts.sha256());
    let judged = Measured::of(&facts, &machine.handover, Some(&same));
    assert!(judged.firmware_changes().is_empty());
    let mut earlier: Vec<Event> = facts.events.clone();
    for event in &mut earlier {
        if event.origin == Origin::Firmware && event.meaning == Meaning::TrustVariable("dbx".into()) {
            event.digests = vec![HashAlg::Sha256.digest(b"an older dbx")];
        }
    }
    let mut values = facts.sha256();
    values.insert(7, Sha256Digest([7; 32]));
    let before = changes::record(version, &earlier, &values);
    let judged = Measured::of(&facts, &machine.handover, Some(&before));
    assert!(matches!(judged, Measured::AsExpected { .. }));
    assert_eq!(
        judged.firmware_changes(),
        ["PCR 7 changed: variable dbx is another one"]
    );
}

#[test]
fn what_cannot_be_read_is_said_and_never_taken_for_good() {
    let machine = good();
    assert!(Facts::gather(&machine.places).is_ok(), "control");
    std::fs::remove_file(machine.firmware_log()).unwrap();
    assert!(
        Facts::gather(&machine.places)
            .unwrap_err()
            .contains("cannot open /sys/kernel/security/tpm0/binary_bios_measurements")
    );
    std::fs::write(machine.firmware_log(), FIRMWARE).unwrap();
    machine.set(3, "00");
    assert!(
        Facts::gather(&machine.places)
            .unwrap_err()
            .contains("expected a digest in hex")
    );
    std::fs::remove_dir_all(machine.dir.path().join(BANK)).unwrap();
    assert!(
        Facts::gather(&machine.places)
            .unwrap_err()
            .contains("expected a bank sha256")
    );
}
