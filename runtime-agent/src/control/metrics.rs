//! The numbers for Prometheus (OpenMetrics 1.0), out of what `bennuctl status` knows. Pure.
//!
//! Names and labels are stable: `docs/reference/metrics.md`.

mod watched;

use crate::scrub::report::{BadKind, ScrubReport, SlotReport};
use crate::status::Status;
use crate::status::pcrs::{PcrNow, expected_change};
use crate::status::times::BootTimes;
use crate::status::verity::VerityState;
use bennu_formats::health::HealthState;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

type Labels = Vec<(String, String)>;

/// The text.
pub fn text(status: &Status, times: &BootTimes) -> String {
    let mut registry = Registry::with_prefix("bennu");
    registry.register(
        "slot",
        "The slot that runs",
        Info::new(vec![
            ("image".to_owned(), status.image_id.to_string()),
            ("version".to_owned(), status.version.to_string()),
            ("root_hash".to_owned(), status.root_hash.to_string()),
            ("entry".to_owned(), status.entry.clone()),
        ]),
    );
    let health = match &status.health {
        Some(HealthState::Good { .. }) => "good",
        Some(HealthState::Waiting { .. }) => "waiting",
        Some(HealthState::Unhealthy { .. }) => "unhealthy",
        None => "unknown",
    };
    one_of(
        &mut registry,
        "slot_health",
        "Health of the slot",
        &["good", "waiting", "unhealthy", "unknown"],
        health,
    );
    let verity = match &status.verity {
        VerityState::Verified => "verified",
        VerityState::Corrupted => "corrupted",
        VerityState::Unknown { .. } => "unknown",
    };
    one_of(
        &mut registry,
        "root_verity",
        "What dm-verity says of the root",
        &["verified", "corrupted", "unknown"],
        verity,
    );
    numbers(&mut registry, status);
    watched::register(&mut registry, status);
    if let Some(report) = &status.scrub {
        scrub(&mut registry, report);
    }
    let steps = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for step in &times.steps {
        let labels = vec![("step".to_owned(), step.step.clone())];
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a boot")]
        steps.get_or_create(&labels).set(step.took_ms as f64 / 1000.0);
    }
    registry.register("boot_step_seconds", "How long a step of the initrd took", steps);
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _infallible = encode(&mut text, &registry);
    text
}

fn numbers(registry: &mut Registry, status: &Status) {
    let unexpected = status
        .pcrs
        .iter()
        .filter(|row| matches!(row.now, PcrNow::Changed { .. }) && expected_change(row.pcr).is_none())
        .count() as u64;
    for (name, help, value) in [
        (
            "security_version",
            "Anti-rollback number of the slot",
            status.security_version,
        ),
        (
            "floor",
            "Lowest anti-rollback number that opens secrets",
            status.floor,
        ),
        (
            "slot_attempts",
            "Starts since the last healthy one, this one included",
            status.attempts.into(),
        ),
        (
            "slot_tries_left",
            "Tries that the boot entry has left",
            status.tries_left.unwrap_or(0).into(),
        ),
        (
            "secrets_unsealed",
            "Secrets that the TPM released in this start",
            status.secrets.len() as u64,
        ),
        (
            "pcrs_unexpected",
            "PCRs that changed since the initrd and that nothing should extend",
            unexpected,
        ),
        (
            "fell_back",
            "1 if a newer slot was passed over",
            status.fell_back.is_some().into(),
        ),
        (
            "debug_start",
            "1 at a start with a debug token",
            status.debug.is_some().into(),
        ),
    ] {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
}

/// A number of one slot.
type OfSlot = fn(&SlotReport) -> u64;

/// The background scrub; each slot by its version and by whether it runs.
fn scrub(registry: &mut Registry, report: &ScrubReport) {
    let rate = Gauge::<i64>::default();
    rate.set(i64::from(report.mib_per_s) << 20);
    registry.register(
        "scrub_limit_bytes_per_second",
        "Bytes of both slots that are read in a second, at most; 0: none",
        rate,
    );
    let kind = |slot: &SlotReport, kind| slot.bad.iter().filter(|bad| bad.kind == kind).count() as u64;
    let numbers: [(&str, &str, OfSlot); 9] = [
        ("scrub_passes", "Whole passes since the machine started", |slot| {
            slot.passes
        }),
        (
            "scrub_last_pass_ended_seconds",
            "When the last whole pass ended, since the machine started",
            |slot| slot.last_pass.map_or(0, |pass| pass.ended_ms / 1000),
        ),
        (
            "scrub_last_pass_seconds",
            "How long the last whole pass took",
            |slot| slot.last_pass.map_or(0, |pass| pass.took_ms / 1000),
        ),
        (
            "scrub_last_pass_bytes",
            "Bytes that the last whole pass read",
            |slot| slot.last_pass.map_or(0, |pass| pass.bytes),
        ),
        ("scrub_groups", "Groups of 128 blocks that the slot has", |slot| {
            slot.groups
        }),
        (
            "scrub_groups_read",
            "Groups that were read in this pass",
            |slot| slot.next_group,
        ),
        (
            "scrub_unjudged_blocks",
            "Data blocks below bad tree blocks",
            |slot| slot.unjudged,
        ),
        (
            "scrub_mended_blocks",
            "Blocks that were mended since the machine started",
            |slot| slot.mended,
        ),
        ("scrub_unrepairable", "1 if a repair left bad blocks", |slot| {
            slot.unrepairable.into()
        }),
    ];
    let labels = |slot: &SlotReport| {
        let runs = if slot.running { "running" } else { "other" };
        vec![
            ("slot".to_owned(), runs.to_owned()),
            ("version".to_owned(), slot.version.to_string()),
        ]
    };
    let signed = |value| i64::try_from(value).unwrap_or(i64::MAX);
    for (name, help, of) in numbers {
        let family = Family::<Labels, Gauge>::default();
        for slot in &report.slots {
            family.get_or_create(&labels(slot)).set(signed(of(slot)));
        }
        registry.register(name, help, family);
    }
    let bad = Family::<Labels, Gauge>::default();
    for slot in &report.slots {
        for (fault, count) in [
            ("wrong", kind(slot, BadKind::Wrong)),
            ("unreadable", kind(slot, BadKind::Unreadable)),
            ("not-kept", slot.more_bad),
        ] {
            let mut labels = labels(slot);
            labels.push(("fault".to_owned(), fault.to_owned()));
            bad.get_or_create(&labels).set(signed(count));
        }
    }
    registry.register("scrub_bad_blocks", "Bad blocks that are known", bad);
}

/// A state as one gauge a word, 1 for the one that holds.
fn one_of(registry: &mut Registry, name: &str, help: &str, words: &[&str], holds: &str) {
    let family = Family::<Labels, Gauge>::default();
    for word in words {
        let labels = vec![("state".to_owned(), (*word).to_owned())];
        family.get_or_create(&labels).set((*word == holds).into());
    }
    registry.register(name, help, family);
}
