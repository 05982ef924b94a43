//! One health check: does it hold now, and if not, what was found.
//!
//! Written by `bennu build` into the verified root; what they name runs as root inside `bennud.service`'s
//! sandbox. An answer that cannot be had is an unmet check with its reason, never a met one.

use super::command::{self, CommandError};
use bennu_formats::health::HealthCheck;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a check does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Unmet {
    /// The unit is in another state.
    #[error("unit {unit}: expected active, found {state}")]
    Unit {
        /// Unit.
        unit: String,
        /// The state, in systemd's word.
        state: String,
    },
    /// systemd did not answer.
    #[error("unit {unit}: expected active, found no answer: {source}")]
    NoAnswer {
        /// Unit.
        unit: String,
        /// Why.
        source: CommandError,
    },
    /// The command failed.
    #[error(transparent)]
    Command(CommandError),
    /// No such file.
    #[error("file {path}: expected to exist, found none")]
    NoFile {
        /// Path.
        path: String,
    },
    /// Whether there is such a file cannot be told.
    #[error("file {path}: cannot be looked at: {source}")]
    File {
        /// Path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A path that is not absolute.
    #[error("file {path}: expected an absolute path; build the image with one")]
    Relative {
        /// Path.
        path: String,
    },
}

/// Makes one check; no longer than `limit`.
///
/// # Errors
/// What does not hold.
pub fn probe(check: &HealthCheck, limit: Duration) -> Result<(), Unmet> {
    match check {
        HealthCheck::UnitActive { unit } => unit_active(unit, limit),
        HealthCheck::Command { argv } => command::run(argv, limit).map(drop).map_err(Unmet::Command),
        HealthCheck::FileExists { path } => file_exists(path),
    }
}

/// systemctl(1), `is-active`: status 0 and nothing else means active; the state is on standard output.
fn unit_active(unit: &str, limit: Duration) -> Result<(), Unmet> {
    match command::run(&[command::SYSTEMCTL, "is-active", "--", unit], limit) {
        Ok(_) => Ok(()),
        Err(CommandError::Status { output, .. }) if !output.is_empty() => Err(Unmet::Unit {
            unit: unit.to_owned(),
            state: output,
        }),
        Err(source) => Err(Unmet::NoAnswer {
            unit: unit.to_owned(),
            source,
        }),
    }
}

fn file_exists(path: &str) -> Result<(), Unmet> {
    let named = || path.to_owned();
    if !path.starts_with('/') {
        return Err(Unmet::Relative { path: named() });
    }
    match Path::new(path).try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unmet::NoFile { path: named() }),
        Err(source) => Err(Unmet::File {
            path: named(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn file(path: &str) -> HealthCheck {
        HealthCheck::FileExists {
            path: path.to_owned(),
        }
    }

    #[test]
    fn a_file_check_tells_a_missing_file_from_one_that_cannot_be_looked_at() {
        assert!(probe(&file("/dev/null"), LIMIT).is_ok());
        assert!(matches!(
            probe(&file("/nowhere/x"), LIMIT),
            Err(Unmet::NoFile { .. })
        ));
        assert!(matches!(
            probe(&file("/dev/null/x"), LIMIT),
            Err(Unmet::File { .. } | Unmet::NoFile { .. })
        ));
        let long = format!("/{}", "x".repeat(5000));
        assert!(matches!(probe(&file(&long), LIMIT), Err(Unmet::File { .. })));
        assert!(matches!(
            probe(&file("dev/null"), LIMIT),
            Err(Unmet::Relative { .. })
        ));
    }

    #[test]
    fn a_command_check_holds_with_status_zero_only() {
        let command = |argv: &[&str]| HealthCheck::Command {
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        };
        assert!(probe(&command(&["/bin/true"]), LIMIT).is_ok());
        let refused = probe(&command(&["/bin/false"]), LIMIT);
        assert!(matches!(
            refused,
            Err(Unmet::Command(CommandError::Status { .. }))
        ));
        let refused = probe(&command(&[]), LIMIT);
        assert!(matches!(refused, Err(Unmet::Command(CommandError::Empty))));
    }
}
