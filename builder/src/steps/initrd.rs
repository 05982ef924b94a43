//! The initrd: bennu-init, whom to trust, kernel modules. Nothing else: no shell, no library, no tool.

use crate::plan::Plan;
use crate::steps::agents::{AgentError, Agents};
use crate::steps::cpio::Cpio;
use crate::steps::ima::{self, ImaError};
use crate::steps::keys::{self, KeySet, KeySetError};
use crate::steps::modules::{self, ModuleError};
use crate::steps::state_template::{self, TemplateError};
use bennu_erofs::Tree;
use bennu_formats::decode::Document;
use bennu_formats::initrd_modules::{FASTER_STATE, FOR_STATE, KEYBOARD};
use bennu_formats::paths;
use bennu_formats::trust::{StateRule, TrustConfig};
use std::io;

/// zstd level: 19 gains 3 % over 12 and takes five times as long.
const ZSTD_LEVEL: i32 = 12;

/// Why the initrd cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InitrdError {
    /// bennu-init.
    #[error("initrd: {0}")]
    Agent(#[from] AgentError),
    /// Modules.
    #[error("initrd: {0}")]
    Modules(#[from] ModuleError),
    /// The state volume's empty file system.
    #[error("initrd: {0}")]
    Template(#[from] TemplateError),
    /// A configuration or debug key.
    #[error("initrd: {0}")]
    Keys(#[from] KeySetError),
    /// IMA rules.
    #[error("initrd: {0}")]
    Ima(#[from] ImaError),
    /// Writing to memory.
    #[error("initrd: {0}")]
    Write(#[from] io::Error),
    /// The trust configuration is not one that bennu-init would take.
    #[error("initrd: {0}")]
    Trust(#[from] bennu_formats::DecodeError),
    /// The trust configuration as JSON.
    #[error("initrd: trust configuration: {0}")]
    Json(#[from] serde_json::Error),
}

/// Makes the compressed initrd.
///
/// # Errors
/// See [`InitrdError`].
pub fn build(
    plan: &Plan,
    boot: &Tree,
    release: &str,
    keys: &KeySet,
    agents: &Agents,
) -> Result<Vec<u8>, InitrdError> {
    let init = agents.read("bennu-init")?;
    let mut wanted = plan.modules.clone();
    let mut if_there = Vec::new();
    if plan.state_rule == StateRule::Encrypted {
        wanted.extend(FOR_STATE.map(str::to_owned));
        if_there.extend(FASTER_STATE);
        // A prompt for the recovery key or the PIN may come.
        if_there.extend(KEYBOARD);
    }
    let set = modules::collect(boot, release, &wanted, &if_there)?;
    let trust = trust(plan, keys)?;
    let mut cpio = Cpio::new(Vec::new(), plan.epoch);
    for path in [
        "dev",
        "etc",
        "etc/bennu",
        "lib",
        "lib/modules",
        "proc",
        "root",
        "run",
        "sys",
        "sysroot",
    ] {
        cpio.directory(path, 0o755)?;
    }
    cpio.character_device("dev/console", 0o600, 5, 1)?;
    cpio.file("init", 0o755, &init)?;
    cpio.file(relative(paths::INITRD_TRUST), 0o644, &trust)?;
    cpio.file(relative(paths::INITRD_MODULE_LIST), 0o644, set.list.as_bytes())?;
    if plan.state_rule == StateRule::Encrypted {
        let template = state_template::make(plan.epoch)?;
        cpio.file(relative(paths::INITRD_STATE_TEMPLATE), 0o644, &template)?;
    }
    if let Some(rules) = ima::rules(&plan.ima)? {
        cpio.file(relative(paths::INITRD_IMA_POLICY), 0o644, rules.as_bytes())?;
    }
    for (path, content) in &set.files {
        cpio.file(relative(path), 0o644, content)?;
    }
    Ok(zstd::bulk::compress(&cpio.finish()?, ZSTD_LEVEL)?)
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn trust(plan: &Plan, keys: &KeySet) -> Result<Vec<u8>, InitrdError> {
    let config = TrustConfig {
        schema: TrustConfig::SCHEMA,
        image_id: plan.image_id.clone(),
        version: plan.version.clone(),
        architecture: plan.architecture,
        release_keys: keys.trusted_release_keys(),
        release_threshold: plan.release_threshold,
        tpm_policy_modulus: keys.policy_modulus.to_vec(),
        secure_boot: plan.secure_boot,
        secrets: plan.secrets.clone(),
        state: plan.state_rule,
        state_readable_from: plan.state_readable_from,
        identity: plan.identity.clone(),
        configuration_keys: keys::trusted_keys(&plan.configuration_keys, plan.accept)?,
        recovery: plan.recovery.clone(),
        local: plan.local,
        debug_keys: keys::trusted_keys(&plan.debug_keys, plan.accept)?,
        max_attempts: plan.health.max_attempts,
    };
    let bytes = serde_json::to_vec_pretty(&config)?;
    // What bennu-init would refuse is refused here.
    TrustConfig::decode(&bytes)?;
    Ok(bytes)
}
