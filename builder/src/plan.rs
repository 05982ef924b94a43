//! The plan: a definition with every default filled in and every value checked, before anything is written.

mod alerts;
mod checks;
mod gate;
mod local;
mod workloads;

pub use alerts::{AlertError, AlertPlan};
use checks::Checker;

use crate::cmdline::{HardeningPlan, HardeningRule};
use crate::definition::{AcceptedKeys, AgentsRule, Definition, DefinitionError, SourceSection};
use crate::steps::ima::ImaPlan;
use bennu_formats::drift::{self, EnforcedAction};
use bennu_formats::gate::GateConfig;
use bennu_formats::health::{HealthConfig, ModulesRule};
use bennu_formats::identity::IdentityRule;
use bennu_formats::manifest::Architecture;
use bennu_formats::trust::{LocalRule, RecoveryRule, SecretSpec, SecureBootRule, StateRule};
use bennu_formats::units::Bytes;
use bennu_formats::{ImageId, ImageVersion};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Default length of the ESP: three UKIs of 32 MiB and some room.
const DEFAULT_ESP: Bytes = Bytes(128 << 20);
/// Default length of a slot's root partition.
const DEFAULT_SLOT: Bytes = Bytes(1 << 30);

/// What overrides the definition from the command line.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--version`
    pub version: Option<ImageVersion>,
    /// `--security-version`
    pub security_version: Option<u64>,
    /// `--keys`
    pub keys: Option<PathBuf>,
}

/// A build, fully decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `IMAGE_ID`.
    pub image_id: ImageId,
    /// `IMAGE_VERSION`.
    pub version: ImageVersion,
    /// Anti-rollback number.
    pub security_version: u64,
    /// `PRETTY_NAME` without the version; `None` keeps the root's.
    pub title: Option<String>,
    /// Schema of the state volume.
    pub state_schema: u32,
    /// Lowest schema whose releases can read what this one keeps.
    pub state_readable_from: u32,
    /// What is kept of `/etc`.
    pub identity: IdentityRule,
    /// Public keys of first-boot configurations.
    pub configuration_keys: Vec<PathBuf>,
    /// Architecture.
    pub architecture: Architecture,
    /// Where the root comes from.
    pub root: SourceSection,
    /// Where kernel, modules, stub and loader come from; `None`: the root.
    pub boot_source: Option<SourceSection>,
    /// Command line besides ours.
    pub cmdline: String,
    /// Hardening on the command line.
    pub hardening: HardeningPlan,
    /// IMA rules.
    pub ima: ImaPlan,
    /// Extra modules.
    pub modules: Vec<String>,
    /// Tries of a boot entry.
    pub tries: u32,
    /// What happens without Secure Boot.
    pub secure_boot: SecureBootRule,
    /// Length of the ESP.
    pub esp: Bytes,
    /// Length of a slot's root partition.
    pub slot: Bytes,
    /// Length of the state partition.
    pub state: Bytes,
    /// What the state partition is for.
    pub state_rule: StateRule,
    /// Who gets its recovery key.
    pub recovery: RecoveryRule,
    /// PIN, Secure Boot binding, reset at the machine.
    pub local: LocalRule,
    /// Where the record log is sent to.
    pub alerts: Option<AlertPlan>,
    /// Public keys whose debug tokens count.
    pub debug_keys: Vec<PathBuf>,
    /// Keys.
    pub keys: PathBuf,
    /// Release keys that must have signed.
    pub release_threshold: u32,
    /// Which keys may be used.
    pub accept: AcceptedKeys,
    /// Milliseconds between two rounds of the watch for drift.
    pub drift_interval_ms: u32,
    /// MiB of both slots that are read and judged in a second, at most.
    pub drift_scrub_mib_per_s: u32,
    /// What is done about drift, each once; in dry run everything else.
    pub drift_enforced: Vec<EnforcedAction>,
    /// Health checks.
    pub health: HealthConfig,
    /// The execution gate.
    pub gate: GateConfig,
    /// Units that start only when every layer below them holds.
    pub workloads: Vec<String>,
    /// Files with profiles of units.
    pub profiles: Vec<PathBuf>,
    /// Whether the agents are put into the root.
    pub agents: AgentsRule,
    /// Secrets.
    pub secrets: Vec<SecretSpec>,
    /// Seconds since 1970 for every time stamp.
    pub epoch: u64,
}

impl Plan {
    /// Fills in the defaults and checks.
    ///
    /// # Errors
    /// A missing key or a value that cannot be.
    pub fn new(path: &Path, definition: Definition, over: Overrides) -> Result<Self, DefinitionError> {
        let check = Checker { path };
        let tries = check.within("boot.tries", "1 to 9", definition.boot.tries.unwrap_or(3), 1..=9)?;
        let max_attempts = check.within(
            "boot.max_attempts",
            "1 to 9",
            definition.boot.max_attempts.unwrap_or(tries),
            1..=9,
        )?;
        let deadline_s = check.within(
            "health.deadline_s",
            "1 to 86400",
            definition.health.deadline_s.unwrap_or(300),
            1..=86_400,
        )?;
        let checks = definition.health.check.len();
        if checks > bennu_formats::health::MAX_CHECKS {
            return Err(check.value("health.check", "at most 64 checks", checks.to_string()));
        }
        if let Some(wrong) = definition.secret.iter().find(|s| !s.is_well_formed()) {
            return Err(check.value(
                "secret",
                "name of [a-z0-9-], 16 to 64 bytes",
                format!("{wrong:?}"),
            ));
        }
        check.source("root.kind", &definition.root)?;
        if let Some(source) = &definition.boot.source {
            check.source("boot.source.kind", source)?;
            if !(source.exclude.is_empty() && source.file.is_empty() && source.link.is_empty()) {
                return Err(check.value(
                    "boot.source",
                    "a source without `exclude`, `file` and `link`, which belong to [root]",
                    "some of them".into(),
                ));
            }
        }
        let agents = definition.agents.unwrap_or(AgentsRule::Included);
        let secure_boot = definition.boot.secure_boot.unwrap_or(SecureBootRule::Required);
        let hardening = check.hardening(HardeningPlan {
            rule: definition.boot.hardening.unwrap_or(HardeningRule::Default),
            without: definition.boot.hardening_without,
            secure_boot_required: secure_boot == SecureBootRule::Required,
        })?;
        let state_rule = definition.state.kind.unwrap_or(StateRule::Encrypted);
        let state_schema = definition.image.state_schema.unwrap_or(1);
        let state_readable_from = check.within(
            "image.state_readable_from",
            "at most image.state_schema",
            definition.image.state_readable_from.unwrap_or(state_schema),
            0..=state_schema,
        )?;
        let configuration_keys = definition.first_boot.keys;
        if !configuration_keys.is_empty() && state_rule == StateRule::Volatile {
            return Err(check.value(
                "first_boot.keys",
                "none where [state] is volatile: nothing of the configuration would be kept",
                configuration_keys.len().to_string(),
            ));
        }
        Ok(Self {
            image_id: definition
                .image
                .id
                .ok_or_else(|| check.missing("image.id", "write id = \"my-appliance\" under [image]"))?,
            version: over.version.or(definition.image.version).ok_or_else(|| {
                check.missing(
                    "image.version",
                    "write version = \"1\" under [image] or give --version",
                )
            })?,
            security_version: over
                .security_version
                .or(definition.image.security_version)
                .unwrap_or(1),
            title: definition.image.title,
            state_schema,
            state_readable_from,
            identity: check.identity(definition.identity)?,
            configuration_keys,
            architecture: Architecture::X86_64,
            root: definition.root,
            boot_source: definition.boot.source,
            cmdline: check.cmdline(definition.boot.cmdline.unwrap_or_default(), &hardening)?,
            hardening,
            ima: ImaPlan::of(definition.ima.policy.as_deref()),
            modules: definition.boot.modules,
            tries,
            secure_boot,
            esp: check.size("disk.esp_size", definition.disk.esp_size.as_deref(), DEFAULT_ESP)?,
            slot: check.size(
                "disk.slot_size",
                definition.disk.slot_size.as_deref(),
                DEFAULT_SLOT,
            )?,
            state: check.state(definition.disk.state_size.as_deref(), state_rule)?,
            state_rule,
            local: local::rule(&check, &definition.state, state_rule, secure_boot)?,
            recovery: check.recovery(definition.state.recovery, state_rule)?,
            alerts: AlertPlan::of(definition.alerts, &check)?,
            debug_keys: definition.debug.keys,
            keys: over.keys.or(definition.keys.directory).ok_or_else(|| {
                check.missing(
                    "keys.directory",
                    "make one with `bennu keys generate` and name it, or give --keys",
                )
            })?,
            release_threshold: definition.keys.release_threshold.unwrap_or(1),
            accept: definition.keys.accept.unwrap_or(AcceptedKeys::Production),
            drift_interval_ms: check.within(
                "drift.interval_ms",
                "200 to 600000",
                definition.drift.interval_ms.unwrap_or(drift::DEFAULT_INTERVAL_MS),
                drift::INTERVAL_MS,
            )?,
            drift_scrub_mib_per_s: check.within(
                "drift.scrub_mib_per_s",
                "0 to 1024",
                definition
                    .drift
                    .scrub_mib_per_s
                    .unwrap_or(drift::DEFAULT_SCRUB_MIB_PER_S),
                drift::SCRUB_MIB_PER_S,
            )?,
            // An image and what it extends may name the same one.
            drift_enforced: BTreeSet::from_iter(definition.drift.enforce)
                .into_iter()
                .collect(),
            health: HealthConfig {
                schema: 1,
                checks: definition.health.check,
                deadline_s,
                tries,
                max_attempts,
                modules_after_start: definition
                    .boot
                    .modules_after_start
                    .unwrap_or(ModulesRule::Allowed),
            },
            profiles: definition.gate.profile.clone(),
            gate: check.gate(definition.gate, agents)?,
            workloads: check.workloads(definition.workloads, agents)?,
            agents,
            secrets: definition.secret,
            epoch: check.epoch()?,
        })
    }

    /// `<image id>_<version>`.
    pub fn name(&self) -> String {
        bennu_formats::names::slot_label(&self.image_id, &self.version)
    }
}
