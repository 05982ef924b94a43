//! `image.toml`: what an image is.
//!
//! Written by people, read by `bennu build`. Unknown keys are errors with their line. A file may build on
//! another one (`extends`): tables are merged, lists are appended, other values replace those of the base.
//! Reference: `docs/reference/image-toml.md`.

mod error;
mod sections;

pub use error::DefinitionError;
pub use sections::*;

use bennu_formats::trust::SecretSpec;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Largest `image.toml` in bytes.
const MAX_DEFINITION_BYTES: u64 = 1 << 20;
/// How deep `extends` may go.
const MAX_EXTENDS: usize = 8;

/// `image.toml` as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Definition {
    /// Base file, relative to this one.
    pub extends: Option<PathBuf>,
    /// `[image]`
    pub image: ImageSection,
    /// `[root]`
    pub root: SourceSection,
    /// `[boot]`
    pub boot: BootSection,
    /// `[ima]`
    pub ima: ImaSection,
    /// `[disk]`
    pub disk: DiskSection,
    /// `[state]`
    pub state: StateSection,
    /// `[alerts]`
    pub alerts: AlertsSection,
    /// `[debug]`
    pub debug: DebugSection,
    /// `[workloads]`
    pub workloads: WorkloadsSection,
    /// `[identity]`
    pub identity: IdentitySection,
    /// `[first_boot]`
    pub first_boot: FirstBootSection,
    /// `[drift]`
    pub drift: DriftSection,
    /// `[keys]`
    pub keys: KeysSection,
    /// `[health]`
    pub health: HealthSection,
    /// `[gate]`
    pub gate: GateSection,
    /// Agents.
    pub agents: Option<AgentsRule>,
    /// `[[secret]]`
    pub secret: Vec<SecretSpec>,
}

impl Definition {
    /// Reads a definition and what it extends; relative paths become paths relative to where they were written.
    ///
    /// # Errors
    /// See [`DefinitionError`].
    pub fn load(path: &Path) -> Result<Self, DefinitionError> {
        Self::load_at(path, 0)
    }

    fn load_at(path: &Path, depth: usize) -> Result<Self, DefinitionError> {
        if depth > MAX_EXTENDS {
            return Err(DefinitionError::Circle(path.to_owned()));
        }
        let read = |source| DefinitionError::Read {
            path: path.to_owned(),
            source,
        };
        let found = std::fs::metadata(path).map_err(read)?.len();
        if found > MAX_DEFINITION_BYTES {
            return Err(DefinitionError::TooLong {
                path: path.to_owned(),
                found,
            });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let mut this: Self = toml::from_str(&text).map_err(|e| DefinitionError::Parse {
            path: path.to_owned(),
            detail: e.to_string(),
        })?;
        let directory = path.parent().unwrap_or(Path::new("."));
        this.anchor(directory);
        match this.extends.take() {
            None => Ok(this),
            Some(base) => Ok(Self::load_at(&base, depth + 1)?.merged(this)),
        }
    }

    /// Makes the relative paths of this file relative to `directory`.
    fn anchor(&mut self, directory: &Path) {
        let fix = |path: &mut PathBuf| *path = directory.join(&*path);
        self.extends.iter_mut().for_each(fix);
        self.keys.directory.iter_mut().for_each(fix);
        self.debug.keys.iter_mut().for_each(fix);
        self.alerts.authorities.iter_mut().for_each(fix);
        self.gate.profile.iter_mut().for_each(fix);
        self.first_boot.keys.iter_mut().for_each(fix);
        let words = [Path::new("default"), Path::new("none")];
        let named = |path: &&mut PathBuf| !words.contains(&path.as_path());
        self.ima.policy.iter_mut().filter(named).for_each(fix);
        let boot = self.boot.source.as_mut();
        for section in std::iter::once(&mut self.root).chain(boot) {
            section.path.iter_mut().for_each(fix);
            section
                .file
                .iter_mut()
                .filter_map(|f| f.source.as_mut())
                .for_each(fix);
        }
    }

    fn merged(self, over: Self) -> Self {
        let mut secret = self.secret;
        secret.extend(over.secret);
        Self {
            extends: None,
            image: self.image.merged(over.image),
            root: self.root.merged(over.root),
            boot: self.boot.merged(over.boot),
            ima: self.ima.merged(over.ima),
            disk: self.disk.merged(over.disk),
            state: self.state.merged(over.state),
            alerts: self.alerts.merged(over.alerts),
            debug: self.debug.merged(over.debug),
            workloads: self.workloads.merged(over.workloads),
            identity: self.identity.merged(over.identity),
            first_boot: self.first_boot.merged(over.first_boot),
            drift: self.drift.merged(over.drift),
            keys: self.keys.merged(over.keys),
            health: self.health.merged(over.health),
            gate: self.gate.merged(over.gate),
            agents: over.agents.or(self.agents),
            secret,
        }
    }
}

#[cfg(test)]
mod tests;
