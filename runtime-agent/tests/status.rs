//! What bennuctl shows. `BENNU_BLESS=1` writes the golden texts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bennu_esp::FoundRecord;
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, Stage};
use bennu_formats::handover::{FellBack, Handover, SecureBootState};
use bennu_formats::health::{HealthReport, HealthState};
use bennu_runtime::documents::DocumentError;
use bennu_runtime::status::measured::Measured;
use bennu_runtime::status::times::BootTimes;
use bennu_runtime::status::verity::VerityState;
use bennu_runtime::status::why::{History, Why};
use bennu_runtime::status::{Answer, Sources, Status, alerts, render};
use proptest::prelude::*;
use world::handover;

struct Files {
    dir: tempfile::TempDir,
    sources: Sources,
}

fn files(handover: &Handover, health: Option<HealthState>) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("boot.json"), serde_json::to_vec(handover).unwrap()).unwrap();
    if let Some(health) = health {
        let report = HealthReport {
            schema: 1,
            health,
            entry: "demo_2+3-0.efi".into(),
        };
        std::fs::write(at("health.json"), serde_json::to_vec(&report).unwrap()).unwrap();
    }
    std::fs::write(at("hostname"), "kiosk-7\n").unwrap();
    std::fs::write(at("7"), format!("{}\n", "07".repeat(32))).unwrap();
    std::fs::write(at("11"), format!("{}\n", "AB".repeat(32))).unwrap();
    let sources = Sources {
        handover: at("boot.json"),
        health: at("health.json"),
        gate: at("gate.json"),
        trace: at("trace.json"),
        alerts: alerts::Places {
            config: at("alerts"),
            cursor: at("cursor"),
            log: None,
        },
        scrub: at("scrub.json"),
        gate_config: at("gate-config.json"),
        watch: at("watch.json"),
        drift: at("drift-memory.json"),
        pcrs: dir.path().to_owned(),
        hostname: at("hostname"),
    };
    Files { dir, sources }
}

fn fell_back() -> Handover {
    let failure = Failure::new(
        Code::SlotUnhealthy,
        "expected all health checks to hold within 60 s, found: unit x",
    );
    Handover {
        machine: None,
        debug: None,
        factory_reset: None,
        fell_back: Some(FellBack {
            from_version: "3".parse().unwrap(),
            failure,
        }),
        ..handover(1)
    }
}

fn history() -> History {
    let mut record = BootRecord {
        starts: 9,
        ..BootRecord::default()
    };
    let slot = record.slot_mut(&"3".parse().unwrap());
    (slot.attempts, slot.stage) = (3, Stage::Pivoted);
    slot.bad = Some(Failure::new(Code::SlotUnhealthy, "expected b, found c"));
    slot.last_failure = slot.bad.clone();
    record.slot_mut(&"2".parse().unwrap()).last_failure = Some(Failure::new(Code::SlotPanic, "oops"));
    FoundRecord::Whole(record).into()
}

fn as_expected() -> Measured {
    Measured::AsExpected {
        events: 50,
        banks: vec!["sha256".into()],
        firmware_changes: vec!["PCR 7 changed: variable dbx is another one".into()],
    }
}

/// Words that anybody may have chosen.
fn unexpected(handover: &Handover) -> Measured {
    Measured::Unexpected {
        findings: vec![handover.entry.clone()],
        firmware_changes: vec![handover.steps[0].step.clone()],
    }
}

fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BENNU_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}");
}

/// The directory's name is another one each time.
fn without_dir(files: &Files, text: &str) -> String {
    text.replace(
        &files.dir.path().display().to_string(),
        "/sys/class/tpm/tpm0/pcr-sha256",
    )
}

#[test]
fn the_status_of_a_good_slot_is_shown_as_pinned() {
    let files = files(&handover(1), Some(HealthState::Good { at_ms: 4_250 }));
    let status = Status::gather(&files.sources, |_| VerityState::Verified).unwrap();
    golden("status-good.txt", &without_dir(&files, &render::status(&status)));
    assert_eq!(status.answer(), Answer::Yes);
}

#[test]
fn the_status_shows_the_ladder_with_the_first_broken_layer_also_as_json() {
    let broken = Handover {
        secure_boot: SecureBootState::Off,
        ..handover(1)
    };
    let files = files(&broken, Some(HealthState::Good { at_ms: 4_250 }));
    let status = Status::gather(&files.sources, |_| VerityState::Corrupted).unwrap();
    let text = render::status(&status);
    assert!(text.contains("\n[!!] root "), "{text}");
    let ground = text.lines().find(|line| line.starts_with("[!!] firmware "));
    assert!(ground.unwrap().ends_with("  <- first broken layer"), "{text}");
    assert_eq!(text.matches("first broken layer").count(), 1);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["chain"]["first_broken"], "firmware");
    assert_eq!(json["chain"]["layers"][2]["standing"], "broken");
    // The control.
    let sound = Handover {
        secure_boot: SecureBootState::Enforced,
        ..handover(1)
    };
    let files = self::files(&sound, Some(HealthState::Good { at_ms: 4_250 }));
    let status = Status::gather(&files.sources, |_| VerityState::Verified).unwrap();
    let text = render::status(&status);
    assert!(
        text.contains("\n[ok] firmware ") && !text.contains("first broken layer"),
        "{text}"
    );
}

#[test]
fn the_status_after_a_fall_back_is_shown_as_pinned() {
    let waiting = HealthState::Waiting {
        on: "unit x: expected active, found failed".into(),
    };
    let files = files(&fell_back(), Some(waiting));
    let unknown = |number: &str| VerityState::Unknown {
        why: format!("{number} needs root"),
    };
    let status = Status::gather(&files.sources, unknown).unwrap();
    golden(
        "status-fell-back.txt",
        &without_dir(&files, &render::status(&status)),
    );
    assert_eq!(status.answer(), Answer::No);
}

#[test]
fn why_and_boot_times_are_shown_as_pinned() {
    golden("why.txt", &Why::of(fell_back(), history(), as_expected()).text());
    golden(
        "why-nothing.txt",
        &Why::of(handover(1), FoundRecord::None.into(), as_expected()).text(),
    );
    let report = HealthReport {
        schema: 1,
        health: HealthState::Good { at_ms: 4_250 },
        entry: String::new(),
    };
    golden(
        "boot-times.txt",
        &BootTimes::of(handover(1), Some(&report)).text(),
    );
}

#[test]
fn why_answers_yes_only_where_the_newest_slot_runs_and_measured_what_was_predicted() {
    let unknown = Measured::Unknown {
        why: "needs root".into(),
    };
    let answer =
        |handover: Handover, measured: &Measured| Why::of(handover, history(), measured.clone()).answer();
    for (fallen, measured, expected) in [
        (false, as_expected(), Some(Answer::Yes)),
        (true, as_expected(), Some(Answer::No)),
        (false, unexpected(&handover(1)), Some(Answer::No)),
        (true, unknown.clone(), Some(Answer::No)),
        (false, unknown, None),
    ] {
        let handover = if fallen { fell_back() } else { handover(1) };
        assert_eq!(answer(handover, &measured), expected, "{fallen} {measured:?}");
    }
}

#[test]
fn only_a_slot_marked_good_is_a_yes() {
    let failure = Failure::new(Code::SlotUnhealthy, "x");
    for (health, answer) in [
        (Some(HealthState::Good { at_ms: 1 }), Answer::Yes),
        (Some(HealthState::Waiting { on: "x".into() }), Answer::No),
        (Some(HealthState::Unhealthy { failure }), Answer::No),
        (None, Answer::No),
    ] {
        let files = files(&handover(1), health);
        assert_eq!(
            Status::gather(&files.sources, |_| VerityState::Verified)
                .unwrap()
                .answer(),
            answer
        );
    }
}

#[test]
fn json_decodes_to_what_was_encoded() {
    let files = files(&fell_back(), Some(HealthState::Good { at_ms: 1 }));
    let status = Status::gather(&files.sources, |_| VerityState::Corrupted).unwrap();
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["fell_back"]["code"], "SLOT-UNHEALTHY");
    assert_eq!(value["verity"]["state"], "corrupted");
    let why = Why::of(fell_back(), history(), as_expected());
    assert_eq!(
        serde_json::from_str::<Why>(&serde_json::to_string(&why).unwrap()).unwrap(),
        why
    );
    let times = BootTimes::of(handover(1), None);
    assert_eq!(
        serde_json::from_str::<BootTimes>(&serde_json::to_string(&times).unwrap()).unwrap(),
        times
    );
}

#[test]
fn a_missing_record_and_a_malformed_one_are_refused_each_with_its_reason() {
    let files = files(&handover(1), None);
    assert!(Status::gather(&files.sources, |_| VerityState::Verified).is_ok());
    std::fs::write(&files.sources.health, "{}").unwrap();
    let refused = Status::gather(&files.sources, |_| VerityState::Verified);
    assert!(matches!(refused, Err(DocumentError::Decode { .. })));
    std::fs::remove_file(&files.sources.handover).unwrap();
    let refused = Status::gather(&files.sources, |_| VerityState::Verified).unwrap_err();
    assert!(refused.is_absent(), "{refused}");
}

#[test]
fn words_from_the_disk_do_not_steer_the_terminal() {
    let mut handover = fell_back();
    if let Some(fell_back) = &mut handover.fell_back {
        fell_back.failure.reason = "red \u{1b}[31m\u{202e}".into();
    }
    handover.entry = "a\u{7}\nb".into();
    handover.steps[0].step = "\u{1b}c".into();
    let files = files(&handover, None);
    let status = Status::gather(&files.sources, |_| VerityState::Verified).unwrap();
    let texts = [
        render::status(&status),
        Why::of(handover.clone(), history(), unexpected(&handover)).text(),
        BootTimes::of(handover, None).text(),
    ];
    for text in texts {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_in_the_records_make_bennuctl_panic(boot in any::<Vec<u8>>(), health in any::<Vec<u8>>()) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("boot"), &boot).unwrap();
        std::fs::write(at("health"), &health).unwrap();
        let sources = Sources {
            handover: at("boot"), health: at("health"), gate: at("gate"), gate_config: at("config"), watch: at("watch"),
            drift: at("drift"), scrub: at("scrub"), trace: at("trace"), alerts: alerts::Places::default(), pcrs: dir.path().to_owned(), hostname: at("hostname"),
        };
        prop_assert!(Status::gather(&sources, |_| VerityState::Verified).is_err());
    }

    #[test]
    fn a_record_with_one_byte_changed_is_refused_or_shown(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let files = files(&fell_back(), Some(HealthState::Good { at_ms: 1 }));
        let mut bytes = std::fs::read(&files.sources.handover).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        std::fs::write(&files.sources.handover, &bytes).unwrap();
        if let Ok(status) = Status::gather(&files.sources, |_| VerityState::Verified) {
            let handover = files.sources.handover().unwrap();
            let text = render::status(&status) + &Why::of(handover.clone(), history(), unexpected(&handover)).text()
                + &BootTimes::of(handover, None).text();
            let steered = text.contains('\u{1b}');
            prop_assert!(!steered);
        }
    }

    #[test]
    fn no_times_make_the_bars_panic_or_grow(times in prop::collection::vec((any::<u64>(), any::<u64>()), 0..8)) {
        let step = |(start_ms, took_ms)| bennu_formats::handover::StepTime { step: "s".into(), start_ms, took_ms };
        let handover = Handover { steps: times.into_iter().map(step).collect(), ..handover(1) };
        let text = BootTimes::of(handover, None).text();
        prop_assert!(text.lines().all(|line| line.chars().count() <= 4 + 2 * 21 + 44 + 40));
    }
}

#[test]
fn the_scrub_is_shown_with_passes_and_bad_blocks_and_a_report_that_cannot_be_read_is_left_out() {
    let files = files(&handover(1), None);
    let shown = |text: &[u8]| {
        std::fs::write(files.dir.path().join("scrub.json"), text).unwrap();
        let status = Status::gather(&files.sources, |_| VerityState::Verified).unwrap();
        render::status(&status)
    };
    let text = shown(include_bytes!("golden/scrub.json"));
    for line in [
        "scrub        slot 2 (runs): no bad block; pass 3 ended 90 s after start: 16 MiB in 16 s; at most 1 MiB/s",
        "             slot 1 (does not run): UNREPAIRABLE, BAD BLOCKS: 2, 5 mended; no whole pass yet; now at 25 %; at \
         most 1 MiB/s",
        "             tree block 2 of level 0 (byte 16384 of partition 3): wrong bytes; not repaired: no source has its bytes",
        "             root block 9 (byte 36864 of partition 2): cannot be read (EIO)",
    ] {
        assert!(text.contains(line), "expected `{line}`, found {text}");
    }
    assert!(!shown(b"{}").contains("scrub  "), "{}", shown(b"{}"));
    let off = br#"{"schema": 1, "mib_per_s": 0, "slots": [], "troubles": []}"#;
    assert!(shown(off).contains("scrub        OFF: blocks that nobody reads are not checked"));
}

#[test]
fn a_trace_or_an_alert_queue_that_cannot_be_read_is_said_to_be_not_known() {
    let mut files = files(&handover(1), Some(HealthState::Good { at_ms: 1 }));
    let gather = |sources: &Sources| Status::gather(sources, |_| VerityState::Verified).unwrap();
    let sound = gather(&files.sources);
    assert!(!render::status(&sound).contains("not known"));
    let json = serde_json::to_value(&sound).unwrap();
    assert!(json.get("not_known").is_none(), "as before");
    for name in ["trace.json", "alerts", "cursor"] {
        std::fs::write(files.dir.path().join(name), "{").unwrap();
    }
    files.sources.alerts.log = Some(files.dir.path().to_owned());
    let status = gather(&files.sources);
    assert_eq!(status.answer(), Answer::Yes, "no reason to say nothing else");
    let text = render::status(&status);
    for (label, why) in [
        ("trace", "trace.json"),
        ("alerts", "expected a cursor of version 1"),
    ] {
        let line = text.lines().find(|line| line.starts_with(label)).unwrap();
        assert!(line.contains("not known: ") && line.contains(why), "{line}");
    }
    let json = serde_json::to_value(&status).unwrap();
    for member in ["trace", "unsent_bytes"] {
        assert!(json.get(member).is_none() && json["not_known"][member].is_string());
    }
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
}
