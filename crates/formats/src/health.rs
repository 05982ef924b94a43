//! Health checks: when a slot counts as good.
//!
//! [`HealthConfig`] is written by `bennu build` into the verified root and read by `bennud`;
//! [`HealthReport`] is written by `bennud` for `bennuctl`.

use crate::boot_record::Failure;
use crate::decode::{DecodeError, Document};
use serde::{Deserialize, Serialize};

/// Most checks that an image may have.
pub const MAX_CHECKS: usize = 64;

/// One thing that must hold before the slot is marked good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HealthCheck {
    /// A systemd unit is active.
    UnitActive {
        /// Unit name.
        unit: String,
    },
    /// A program of the verified root exits with status 0. No shell takes part.
    Command {
        /// Absolute path and arguments.
        argv: Vec<String>,
    },
    /// A file exists.
    FileExists {
        /// Absolute path.
        path: String,
    },
}

/// Whether kernel modules may be loaded once the slot is marked good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModulesRule {
    /// As before: those that are signed by a key the kernel knows.
    Allowed,
    /// None until the next start (`kernel.modules_disabled`).
    Locked,
}

/// The image's health checks, and what follows when they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// Schema number; 1.
    pub schema: u32,
    /// All must hold.
    pub checks: Vec<HealthCheck>,
    /// Seconds from the start of `bennud` until the slot counts as unhealthy.
    pub deadline_s: u32,
    /// Tries that marking good arms the boot entry with.
    pub tries: u32,
    /// Starts without becoming healthy before the slot is given up.
    pub max_attempts: u32,
    /// What happens to module loading when the slot has been marked good.
    pub modules_after_start: ModulesRule,
}

impl Document for HealthConfig {
    const NAME: &'static str = "health configuration";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if self.checks.len() > MAX_CHECKS {
            return Err(Self::bad_value("checks", "at most 64", self.checks.len()));
        }
        if !(1..=86_400).contains(&self.deadline_s) {
            return Err(Self::bad_value("deadline_s", "1 to 86400", self.deadline_s));
        }
        if !(1..=9).contains(&self.tries) {
            return Err(Self::bad_value("tries", "1 to 9", self.tries));
        }
        if !(1..=9).contains(&self.max_attempts) {
            return Err(Self::bad_value("max_attempts", "1 to 9", self.max_attempts));
        }
        Ok(())
    }
}

/// What `bennud` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HealthState {
    /// Checks are still being made.
    Waiting {
        /// The first check that does not hold yet.
        on: String,
    },
    /// All hold and the slot is marked good on the ESP.
    Good {
        /// Milliseconds since kernel start.
        at_ms: u64,
    },
    /// The deadline passed; the machine restarts.
    Unhealthy {
        /// Why.
        failure: Failure,
    },
}

/// `/run/bennu/health.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// Schema number; 1.
    pub schema: u32,
    /// State.
    pub health: HealthState,
    /// Name of this slot's boot entry now.
    pub entry: String,
}

impl Document for HealthReport {
    const NAME: &'static str = "health report";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}
