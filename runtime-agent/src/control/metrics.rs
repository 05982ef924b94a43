//! The numbers for Prometheus (OpenMetrics 1.0), out of what `bennuctl status` knows. Pure.
//!
//! Names and labels are stable: `docs/reference/metrics.md`.

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

/// A state as one gauge a word, 1 for the one that holds.
fn one_of(registry: &mut Registry, name: &str, help: &str, words: &[&str], holds: &str) {
    let family = Family::<Labels, Gauge>::default();
    for word in words {
        let labels = vec![("state".to_owned(), (*word).to_owned())];
        family.get_or_create(&labels).set((*word == holds).into());
    }
    registry.register(name, help, family);
}
