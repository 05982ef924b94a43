//! `[health]` and the counts of `[boot]`: when a slot is good, and how often it is tried.

use super::Checker;
use crate::definition::{BootSection, DefinitionError, HealthSection};
use bennu_formats::health::{HealthConfig, MAX_CHECKS, ModulesRule};

impl Checker<'_> {
    /// What `bennud` and systemd-boot count.
    pub(super) fn health(
        &self,
        boot: &BootSection,
        health: HealthSection,
    ) -> Result<HealthConfig, DefinitionError> {
        let tries = self.within("boot.tries", "1 to 9", boot.tries.unwrap_or(3), 1..=9)?;
        let max_attempts = self.within(
            "boot.max_attempts",
            "1 to 9",
            boot.max_attempts.unwrap_or(tries),
            1..=9,
        )?;
        let deadline_s = self.within(
            "health.deadline_s",
            "1 to 86400",
            health.deadline_s.unwrap_or(300),
            1..=86_400,
        )?;
        if health.check.len() > MAX_CHECKS {
            let found = health.check.len().to_string();
            return Err(self.value("health.check", "at most 64 checks", found));
        }
        Ok(HealthConfig {
            schema: 1,
            checks: health.check,
            deadline_s,
            tries,
            max_attempts,
            modules_after_start: boot.modules_after_start.unwrap_or(ModulesRule::Allowed),
        })
    }
}
