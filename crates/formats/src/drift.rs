//! What `bennud` may do about drift: `/usr/lib/bennu/drift.json`.
//!
//! Written by `bennu build` into the verified root from `[drift]` of image.toml; read by `bennud`. An image without
//! the file is watched and nothing is done about it (dry run). A file that is there and damaged cannot be: dm-verity
//! proves it; `bennud` ends with status 2.

use crate::decode::{DecodeError, Document};
use crate::trust::ReleaseKey;
use serde::{Deserialize, Serialize};

/// Milliseconds between two rounds of the watch where the image says nothing: the cost stays below 0.5 % of a core.
pub const DEFAULT_INTERVAL_MS: u32 = 5_000;
/// Shortest and longest time between two rounds.
pub const INTERVAL_MS: std::ops::RangeInclusive<u32> = 200..=600_000;

/// Seconds that a weak signal counts where the image says nothing.
pub const DEFAULT_WEAK_WINDOW_S: u32 = 600;
/// Seconds that a strong signal counts where the image says nothing.
pub const DEFAULT_STRONG_WINDOW_S: u32 = 3_600;
/// Shortest and longest time that a signal counts, in seconds. Shorter, and two signs of one intrusion would not meet;
/// longer than a day, and what was done about them would not end while anybody remembers why.
pub const WINDOW_S: std::ops::RangeInclusive<u32> = 60..=86_400;
/// Most control groups that `deny` spares.
pub const MAX_SPARED: usize = 16;
/// Longest path of one, in bytes.
pub const MAX_SPARED_BYTES: usize = 255;
/// MiB of both slots that are read and judged in a second, at most, where the image says nothing.
pub const DEFAULT_SCRUB_MIB_PER_S: u32 = 1;
/// The bounds of that; 0 reads nothing.
pub const SCRUB_MIB_PER_S: std::ops::RangeInclusive<u32> = 0..=1024;
/// Thousandths of a processor: with the SHA instructions of x86 it keeps up with [`DEFAULT_SCRUB_MIB_PER_S`].
pub const DEFAULT_SCRUB_PROCESSOR_PERMILLE: u32 = 2;
/// The bounds of that.
pub const SCRUB_PROCESSOR_PERMILLE: std::ops::RangeInclusive<u32> = 1..=1000;

/// An action that an image enforces; all others are told and not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcedAction {
    /// Units that a strong signal concerns start no more programs.
    Deny,
    /// Kill what the signal names.
    Kill,
    /// Freeze every control group but those of systemd and `bennud`.
    FreezeCgroup,
    /// Drop all packets but those of loopback and those to and from the alert sinks.
    CutNetwork,
    /// Rewrite bad blocks of the slot that does not run.
    RepairInactiveSlot,
    /// Destroy the secrets of the running system.
    StatePurge,
    /// Mark the slot bad and restart into the other one.
    FlipSlot,
    /// Restart at once.
    FailSafe,
    /// Stay where nothing runs.
    Recovery,
}

impl EnforcedAction {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Deny,
        Self::Kill,
        Self::FreezeCgroup,
        Self::CutNetwork,
        Self::RepairInactiveSlot,
        Self::StatePurge,
        Self::FlipSlot,
        Self::FailSafe,
        Self::Recovery,
    ];

    /// Whether the kernel programs of the execution gate carry it out: an image enforces it beside a gate that enforces.
    pub fn needs_gate(self) -> bool {
        matches!(self, Self::Deny | Self::CutNetwork)
    }
}

/// Whether `path` names a control group: components below the hierarchy's root, as `systemctl show -P ControlGroup`
/// gives them without the slash before the first.
pub fn is_group(path: &str) -> bool {
    let is_component = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    path.len() <= MAX_SPARED_BYTES && path.split('/').all(is_component)
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftConfig {
    /// Schema number; 1.
    pub schema: u32,
    /// Milliseconds between two rounds.
    pub interval_ms: u32,
    /// MiB of both slots that are read and judged in a second, at most; 0: none.
    pub scrub_mib_per_s: u32,
    /// Thousandths of one processor that it spends with that, at most.
    pub scrub_processor_permille: u32,
    /// What is enforced.
    pub enforced: Vec<EnforcedAction>,
    /// Seconds that a weak signal counts.
    pub weak_window_s: u32,
    /// Seconds that a strong signal counts; not fewer.
    pub strong_window_s: u32,
    /// Control groups that `deny` spares when it concerns every unit.
    pub spared: Vec<String>,
    /// Release keys, for the manifests of both slots.
    pub release_keys: Vec<ReleaseKey>,
    /// How many of them must have signed.
    pub release_threshold: u32,
}

impl Document for DriftConfig {
    const NAME: &'static str = "drift configuration";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 16 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if !INTERVAL_MS.contains(&self.interval_ms) {
            return Err(Self::bad_value("interval_ms", "200 to 600000", self.interval_ms));
        }
        if !SCRUB_MIB_PER_S.contains(&self.scrub_mib_per_s) {
            return Err(Self::bad_value(
                "scrub_mib_per_s",
                "0 to 1024",
                self.scrub_mib_per_s,
            ));
        }
        if !SCRUB_PROCESSOR_PERMILLE.contains(&self.scrub_processor_permille) {
            return Err(Self::bad_value(
                "scrub_processor_permille",
                "1 to 1000",
                self.scrub_processor_permille,
            ));
        }
        if self.enforced.len() > EnforcedAction::ALL.len() {
            return Err(Self::bad_value(
                "enforced",
                "each action once",
                self.enforced.len(),
            ));
        }
        for (member, window) in [
            ("weak_window_s", self.weak_window_s),
            ("strong_window_s", self.strong_window_s),
        ] {
            if !WINDOW_S.contains(&window) {
                return Err(Self::bad_value(member, "60 to 86400", window));
            }
        }
        if self.strong_window_s < self.weak_window_s {
            return Err(Self::bad_value(
                "strong_window_s",
                "not less than weak_window_s",
                self.strong_window_s,
            ));
        }
        if self.spared.len() > MAX_SPARED {
            return Err(Self::bad_value("spared", "at most 16", self.spared.len()));
        }
        if let Some(wrong) = self.spared.iter().find(|path| !is_group(path)) {
            return Err(Self::bad_value(
                "spared",
                "paths of control groups without a slash before the first",
                wrong,
            ));
        }
        let keys = &self.release_keys;
        if !(1..=16).contains(&keys.len()) || keys.iter().any(|key| key.0.len() != 32) {
            return Err(Self::bad_value(
                "release_keys",
                "1 to 16 keys of 32 bytes",
                keys.len(),
            ));
        }
        if !(1..=keys.len() as u32).contains(&self.release_threshold) {
            return Err(Self::bad_value(
                "release_threshold",
                "1 to the number of keys",
                self.release_threshold,
            ));
        }
        Ok(())
    }
}
