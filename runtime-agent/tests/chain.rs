//! The chain of layers: which one is the first that does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bennu_formats::Sha256Digest;
use bennu_formats::gate::{GateMode, GateReport};
use bennu_formats::handover::SecureBootState;
use bennu_formats::health::HealthState;
use bennu_runtime::status::chain::{Chain, Standing};
use bennu_runtime::status::pcrs::{PcrNow, PcrRow};
use bennu_runtime::status::verity::VerityState;
use bennu_runtime::status::watch::WatchStatus;
use bennu_runtime::status::{Answer, Sources, Status, alerts};

fn sound() -> Status {
    let dir = tempfile::tempdir().unwrap();
    let boot = dir.path().join("boot.json");
    std::fs::write(&boot, serde_json::to_vec(&world::handover(1)).unwrap()).unwrap();
    let nowhere = |name: &str| dir.path().join(name);
    let sources = Sources {
        handover: boot,
        health: nowhere("health"),
        gate: nowhere("gate"),
        trace: nowhere("trace"),
        alerts: alerts::Places {
            config: nowhere("alerts"),
            cursor: nowhere("cursor"),
            log: None,
        },
        scrub: nowhere("scrub"),
        gate_config: nowhere("config"),
        watch: nowhere("watch"),
        drift: nowhere("drift"),
        pcrs: nowhere("pcrs"),
        hostname: nowhere("hostname"),
    };
    let mut status = Status::gather(&sources, |_| VerityState::Verified).unwrap();
    for row in &mut status.pcrs {
        row.now = PcrNow::Same;
    }
    status.health = Some(HealthState::Good { at_ms: 7 });
    status.gate = Some(report(GateMode::Enforce));
    status.watch = Some(clean());
    status
}

fn clean() -> WatchStatus {
    WatchStatus {
        age_ms: 1000,
        silent: false,
        clean: true,
        rule: "drift.calm".into(),
        signals: Vec::new(),
        blind: Vec::new(),
        cost_us: std::collections::BTreeMap::new(),
    }
}

fn report(mode: GateMode) -> GateReport {
    GateReport {
        schema: 1,
        mode,
        root: "253:0".into(),
        events: 1,
        lost: 0,
        recent: Vec::new(),
    }
}

fn first_broken(status: &Status, gate: GateMode) -> Option<String> {
    let chain = Chain::of(status, gate);
    assert_eq!(chain.answer() == Answer::Yes, chain.first_broken.is_none());
    chain.first_broken
}

#[test]
fn a_sound_machine_has_every_layer() {
    let chain = Chain::of(&sound(), GateMode::Enforce);
    assert_eq!(chain.first_broken, None);
    assert_eq!(chain.answer(), Answer::Yes);
    let names: Vec<&str> = chain.layers.iter().map(|layer| layer.layer.as_str()).collect();
    assert_eq!(
        names,
        ["firmware", "release", "root", "tpm", "gate", "watch", "health"]
    );
    let text = chain.text();
    assert!(text.starts_with("[ok] health "), "{text}");
    assert!(!text.contains("first broken"), "{text}");
}

/// Breaks one layer of a sound machine.
type Break<'a> = &'a dyn Fn(&mut Status);

#[test]
fn each_layer_that_does_not_hold_is_named() {
    let changed = PcrRow {
        pcr: 12,
        at_handover: Sha256Digest::ZERO,
        now: PcrNow::Changed {
            value: Sha256Digest([1; 32]),
        },
    };
    let breaks: [(&str, Break<'_>); 8] = [
        ("firmware", &|status| status.secure_boot = SecureBootState::Off),
        ("release", &|status| status.verified_by.clear()),
        ("release", &|status| status.floor = status.security_version + 1),
        ("root", &|status| status.verity = VerityState::Corrupted),
        ("tpm", &|status| status.pcrs.push(changed.clone())),
        ("gate", &|status| status.gate = Some(report(GateMode::DryRun))),
        ("watch", &|status| {
            status.watch.as_mut().unwrap().clean = false;
        }),
        ("watch", &|status| {
            status.watch.as_mut().unwrap().silent = true;
        }),
    ];
    for (layer, act) in breaks {
        let mut status = sound();
        act(&mut status);
        assert_eq!(first_broken(&status, GateMode::Enforce).as_deref(), Some(layer));
        // Of several the lowest.
        status.watch.as_mut().unwrap().clean = false;
        assert_eq!(first_broken(&status, GateMode::Enforce).as_deref(), Some(layer));
    }
}

#[test]
fn what_is_not_known_yet_does_not_count_as_held() {
    let mut status = sound();
    status.gate = None;
    let chain = Chain::of(&status, GateMode::Enforce);
    assert_eq!(chain.answer(), Answer::No);
    assert_eq!(chain.first_broken, None);
    assert_eq!(chain.layers[4].standing, Standing::Pending);
    // An image without a gate does without.
    assert_eq!(Chain::of(&status, GateMode::None).answer(), Answer::Yes);

    // Nor is a watch that has not looked yet.
    let mut status = sound();
    status.watch = None;
    let chain = Chain::of(&status, GateMode::Enforce);
    assert_eq!((chain.answer(), chain.first_broken), (Answer::No, None));

    let mut status = sound();
    status.verity = VerityState::Unknown {
        why: "needs root".into(),
    };
    assert_eq!(Chain::of(&status, GateMode::Enforce).answer(), Answer::No);
    let mut status = sound();
    status.pcrs[0].now = PcrNow::Unknown {
        why: "no file".into(),
    };
    assert_eq!(Chain::of(&status, GateMode::Enforce).answer(), Answer::No);
}

#[test]
fn workloads_do_not_wait_for_the_health_that_they_make() {
    let mut status = sound();
    status.health = Some(HealthState::Waiting { on: "nginx".into() });
    let chain = Chain::of(&status, GateMode::Enforce);
    assert_eq!(chain.answer(), Answer::Yes);
    assert!(
        chain.text().starts_with("[..] health     waiting: nginx"),
        "{}",
        chain.text()
    );
}
