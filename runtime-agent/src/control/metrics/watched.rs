//! Gate, trace, drift and alerts: what is not known has no metric.

use super::{Labels, one_of};
use crate::status::Status;
use bennu_policy::drift::{Action, Severity, Signal};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Registers what `status` knows.
pub fn register(registry: &mut Registry, status: &Status) {
    if let Some(gate) = &status.gate {
        let events = "Denials, or what would have been one in a dry run";
        counter(registry, "gate_events", events, gate.events);
        let lost = "Those of them of which nothing but the number is known";
        counter(registry, "gate_events_lost", lost, gate.lost);
    }
    if let Some(trace) = &status.trace {
        counter(
            registry,
            "trace_records",
            "Records of the trace that were written",
            trace.written,
        );
        counter(
            registry,
            "trace_records_lost",
            "Records of the trace that were lost",
            trace.lost,
        );
    }
    if let Some(watch) = &status.watch {
        let rules = Severity::ALL.map(Severity::rule);
        let help = "Severity that the last round of the watch came to, by its rule";
        one_of(registry, "drift_severity", help, &rules, &watch.rule);
        let silent = Gauge::<i64>::default();
        silent.set(watch.silent.into());
        registry.register("watch_silent", "1 if the watch does not look any more", silent);
        let cost = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (subject, us) in &watch.cost_us {
            let labels = vec![("subject".to_owned(), subject.clone())];
            cost.get_or_create(&labels)
                .inc_by(Duration::from_micros(*us).as_secs_f64());
        }
        let help = "Time on a processor that looking at a subject has cost since bennud started";
        registry.register("watch_cpu_seconds", help, cost);
    }
    drift(registry, status);
    if let Some(bytes) = status.unsent_bytes {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Bytes of the record log that no server has confirmed yet";
        registry.register("alert_queue_bytes", help, gauge);
    }
}

fn drift(registry: &mut Registry, status: &Status) {
    let Some(counts) = &status.drift else { return };
    let signals = Family::<Labels, Gauge>::default();
    for signal in Signal::ALL {
        let name = signal.row().name;
        let sightings = counts.sightings.get(name).copied().unwrap_or(0);
        let labels = vec![("signal".to_owned(), name.to_owned())];
        signals
            .get_or_create(&labels)
            .set(i64::try_from(sightings).unwrap_or(i64::MAX));
    }
    registry.register(
        "drift_sightings",
        "Sightings that are remembered, by signal",
        signals,
    );
    let actions = Family::<Labels, Counter>::default();
    for action in Action::ALL {
        let times = counts.actions.get(action.name()).copied().unwrap_or(0);
        let labels = vec![("action".to_owned(), action.name().to_owned())];
        actions.get_or_create(&labels).inc_by(times.into());
    }
    registry.register(
        "drift_actions",
        "How often an action was taken since the machine started",
        actions,
    );
    let in_force = Family::<Labels, Gauge>::default();
    for action in Action::ALL.into_iter().filter(|action| action.lasts()) {
        let holds = status.in_force.iter().any(|name| name == action.name());
        let labels = vec![("action".to_owned(), action.name().to_owned())];
        in_force.get_or_create(&labels).set(holds.into());
    }
    registry.register("drift_in_force", "1 for an action that is in force", in_force);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}
