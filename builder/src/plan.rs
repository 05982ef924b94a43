//! The plan: a definition with every default filled in and every value checked, before anything is written.

mod alerts;
mod checks;
mod drift;
mod gate;
mod health;
mod local;
mod workloads;

pub use alerts::{AlertError, AlertPlan};
use checks::Checker;
pub use drift::DriftPlan;

use crate::cmdline::{HardeningPlan, HardeningRule};
use crate::definition::{AcceptedKeys, AgentsRule, Definition, DefinitionError, SourceSection};
use crate::steps::ima::ImaPlan;
use bennu_formats::gate::{GateConfig, GateMode};
use bennu_formats::health::HealthConfig;
use bennu_formats::identity::IdentityRule;
use bennu_formats::manifest::Architecture;
use bennu_formats::trust::{LocalRule, RecoveryRule, SecretSpec, SecureBootRule, StateRule};
use bennu_formats::units::Bytes;
use bennu_formats::{ImageId, ImageVersion};
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
    /// What is done about drift.
    pub drift: DriftPlan,
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
        let health = check.health(&definition.boot, definition.health)?;
        check.secrets(&definition.secret)?;
        check.sources(&definition.root, definition.boot.source.as_ref())?;
        let agents = definition.agents.unwrap_or(AgentsRule::Included);
        let secure_boot = definition.boot.secure_boot.unwrap_or(SecureBootRule::Required);
        let hardening = check.hardening(HardeningPlan {
            rule: definition.boot.hardening.unwrap_or(HardeningRule::Default),
            without: definition.boot.hardening_without,
            secure_boot_required: secure_boot == SecureBootRule::Required,
        })?;
        let state_rule = definition.state.kind.unwrap_or(StateRule::Encrypted);
        let (state_schema, state_readable_from) = check.state_schema(&definition.image)?;
        let configuration_keys = check.configuration_keys(definition.first_boot.keys, state_rule)?;
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
            alerts: AlertPlan::of(definition.alerts, agents, &check)?,
            debug_keys: definition.debug.keys,
            keys: over.keys.or(definition.keys.directory).ok_or_else(|| {
                check.missing(
                    "keys.directory",
                    "make one with `bennu keys generate` and name it, or give --keys",
                )
            })?,
            release_threshold: definition.keys.release_threshold.unwrap_or(1),
            accept: definition.keys.accept.unwrap_or(AcceptedKeys::Production),
            drift: check.drift(definition.drift, definition.gate.mode.unwrap_or(GateMode::None))?,
            health,
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
