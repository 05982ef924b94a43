//! Waiting for `bennud`'s verdict on the slot: `bennuctl status --wait`.
//!
//! Read: `/run/bennu/health.json`, which `bennud` replaces whole, once a quarter of a second.

use super::Sources;
use crate::documents::DocumentError;
use bennu_formats::health::{HealthReport, HealthState};
use std::time::{Duration, Instant};

/// Between two looks.
const ROUND: Duration = Duration::from_millis(250);

/// Returns as soon as the slot is marked good or unhealthy, at the latest after `longest`; which of them it is
/// the status tells.
///
/// # Errors
/// The health report is there and cannot be used.
pub fn wait(sources: &Sources, longest: Duration) -> Result<(), DocumentError> {
    let end = Instant::now() + longest;
    while !is_given(sources.health()?.as_ref()) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(ROUND.min(left));
    }
    Ok(())
}

fn is_given(report: Option<&HealthReport>) -> bool {
    match report.map(|report| &report.health) {
        Some(HealthState::Good { .. } | HealthState::Unhealthy { .. }) => true,
        Some(HealthState::Waiting { .. }) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents;
    use std::path::Path;

    fn sources(dir: &Path) -> Sources {
        Sources {
            health: dir.join("health.json"),
            ..Sources::default()
        }
    }

    fn publish(path: &Path, health: HealthState) {
        let report = HealthReport {
            schema: 1,
            health,
            entry: "demo_2+2-1.efi".into(),
        };
        documents::write(path, &report).unwrap();
    }

    #[test]
    fn it_ends_with_the_verdict_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let sources = sources(dir.path());
        let path = sources.health.clone();
        let waiting = HealthState::Waiting { on: "a unit".into() };
        publish(&path, waiting);
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(400));
            publish(&path, HealthState::Good { at_ms: 7 });
        });
        let begin = Instant::now();
        wait(&sources, Duration::from_secs(60)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(300));
        assert!(is_given(sources.health().unwrap().as_ref()));
        writer.join().unwrap();
    }

    #[test]
    fn without_a_verdict_it_ends_after_its_time() {
        let dir = tempfile::tempdir().unwrap();
        wait(&sources(dir.path()), Duration::from_millis(300)).unwrap();
    }

    #[test]
    fn a_malformed_report_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let sources = sources(dir.path());
        std::fs::write(&sources.health, b"{").unwrap();
        wait(&sources, Duration::from_secs(1)).unwrap_err();
    }
}
