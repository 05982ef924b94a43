//! What `bennuctl` tells, as data: read from the files of the agents and from the kernel, then shown as text
//! ([`render`]) or as JSON.
//!
//! Read: `/run/bennu/boot.json`, `/run/bennu/health.json`, sysfs, device-mapper, and the boot record on the ESP.
//! Nothing is written. What only root may ask is reported as unknown to others, never left out.

pub mod alerts;
pub mod chain;
pub mod event_log;
pub mod identity;
pub mod kernel;
pub mod measured;
pub mod pcrs;
pub mod render;
pub mod times;
pub mod verdict;
pub mod verity;
pub mod watch;
pub mod why;

use crate::documents::{self, DocumentError};
use crate::respond::memory::{self, Counts};
use crate::scrub::report::{self, ScrubReport};
use bennu_formats::boot_record::Failure;
use bennu_formats::gate::{GateConfig, GateMode, GateReport};
use bennu_formats::handover::{
    DebugStart, FactoryReset, FellBack, Handover, KernelFacts, SecureBootState, StateVolume,
};
use bennu_formats::health::{HealthReport, HealthState};
use bennu_formats::names::UkiFileName;
use bennu_formats::trace::TraceReport;
use bennu_formats::{ImageId, ImageVersion, RootHash, Sha256Digest, paths};
use bennu_linux::time;
use chain::Chain;
use identity::Identity;
use pcrs::PcrRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use verity::VerityState;
use watch::WatchStatus;

/// Schema number of every JSON object that `bennuctl` writes.
pub const SCHEMA: u32 = 1;

/// Where the facts are.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The hand-over record.
    pub handover: PathBuf,
    /// The health report.
    pub health: PathBuf,
    /// The gate's report.
    pub gate: PathBuf,
    /// What became of the trace's records.
    pub trace: PathBuf,
    /// The way of the alerts.
    pub alerts: alerts::Places,
    /// The scrub's report.
    pub scrub: PathBuf,
    /// What the image asks of the gate.
    pub gate_config: PathBuf,
    /// What the watch last saw.
    pub watch: PathBuf,
    /// What bennud remembers of drift.
    pub drift: PathBuf,
    /// The directory with one file a PCR, SHA-256 bank.
    pub pcrs: PathBuf,
    /// The file with the kernel's host name.
    pub hostname: PathBuf,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            handover: PathBuf::from(paths::RUN_HANDOVER),
            health: PathBuf::from(paths::RUN_HEALTH),
            gate: PathBuf::from(paths::RUN_GATE),
            trace: PathBuf::from(paths::RUN_TRACE),
            alerts: alerts::Places::default(),
            scrub: PathBuf::from(report::PATH),
            gate_config: PathBuf::from(paths::ROOT_GATE),
            watch: PathBuf::from(paths::RUN_WATCH),
            drift: PathBuf::from(paths::RUN_DRIFT_MEMORY),
            pcrs: pcrs::directory(),
            hostname: PathBuf::from("/proc/sys/kernel/hostname"),
        }
    }
}

impl Sources {
    /// Reads the hand-over record.
    ///
    /// # Errors
    /// It is missing, cannot be read, or is malformed.
    pub fn handover(&self) -> Result<Handover, DocumentError> {
        documents::read(&self.handover)
    }

    /// Reads the health report; none before `bennud` has written one.
    ///
    /// # Errors
    /// It cannot be read or is malformed.
    pub fn health(&self) -> Result<Option<HealthReport>, DocumentError> {
        documents::read_if_there(&self.health)
    }

    /// What the image asks of the gate; a root without the document asks for none.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub fn wanted_gate(&self) -> Result<GateMode, DocumentError> {
        let config: Option<GateConfig> = documents::read_if_there(&self.gate_config)?;
        Ok(config.map_or(GateMode::None, |config| config.mode))
    }
}

/// `bennuctl status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Image id.
    pub image_id: ImageId,
    /// Version of the slot that runs.
    pub version: ImageVersion,
    /// Its anti-rollback number.
    pub security_version: u64,
    /// The machine's floor.
    pub floor: u64,
    /// Its boot entry now.
    pub entry: String,
    /// Tries that the entry has left; none for an entry without a counter.
    pub tries_left: Option<u32>,
    /// Starts since the last healthy one, this one included, when this start began.
    pub attempts: u32,
    /// Health; none before `bennud` has reported.
    pub health: Option<HealthState>,
    /// dm-verity root hash.
    pub root_hash: RootHash,
    /// The root's device.
    pub verity_device: String,
    /// What the kernel says of it.
    pub verity: VerityState,
    /// Key ids of the release keys that signed the manifest.
    pub verified_by: Vec<Sha256Digest>,
    /// SHA-256 of the manifest's signed bytes.
    pub manifest_sha256: Sha256Digest,
    /// Secure Boot.
    pub secure_boot: SecureBootState,
    /// The kernel when bennu-init was done.
    pub kernel: KernelFacts,
    /// Names of the secrets that were unsealed.
    pub secrets: Vec<String>,
    /// The state volume; none where the image keeps nothing.
    pub state_volume: Option<StateVolume>,
    /// Names, and what of `/etc` is kept.
    pub identity: Identity,
    /// The machine's identity, as a debug token names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Sha256Digest>,
    /// Set at a start with an accepted debug token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<DebugStart>,
    /// What became of a factory reset that was asked for before this start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factory_reset: Option<FactoryReset>,
    /// The execution gate; none where the image asks for none or `bennud` has not reported.
    pub gate: Option<GateReport>,
    /// The trace; none where the image asks for none or `bennud` has not reported, or where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceCounts>,
    /// The watch for drift; none before its first round.
    pub watch: Option<WatchStatus>,
    /// What was seen and done about drift in this start; none where that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Counts>,
    /// Bytes of the record log that no server has confirmed yet; none where they are sent nowhere, or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsent_bytes: Option<u64>,
    /// What is in force about drift, by the names of actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_force: Vec<String>,
    /// Why what should be here is not known, by the name of its member: `trace`, `unsent_bytes`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_known: BTreeMap<String, String>,
    /// The background scrub; none before `bennud` watches, and where its report cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubReport>,
    /// PCRs.
    pub pcrs: Vec<PcrRow>,
    /// The layers, each of which counts only when those below it hold; none in what was written by an older `bennuctl`.
    #[serde(default)]
    pub chain: Option<Chain>,
    /// Why a newer slot was passed over.
    pub fell_back: Option<FellBackStatus>,
}

/// Records of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceCounts {
    /// In the file.
    pub written: u64,
    /// Told as lost.
    pub lost: u64,
}

impl From<TraceReport> for TraceCounts {
    fn from(report: TraceReport) -> Self {
        let (written, lost) = report.sums();
        Self { written, lost }
    }
}

/// A fall back with its explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FellBackStatus {
    /// The slot that was passed over.
    pub from_version: ImageVersion,
    /// Code and reason.
    #[serde(flatten)]
    pub failure: Failure,
    /// What the code means.
    pub meaning: String,
    /// What to do.
    pub advice: String,
}

impl From<FellBack> for FellBackStatus {
    fn from(fell_back: FellBack) -> Self {
        let code = fell_back.failure.code;
        Self {
            from_version: fell_back.from_version,
            failure: fell_back.failure,
            meaning: code.meaning().to_owned(),
            advice: code.advice().to_owned(),
        }
    }
}

/// The answer in one word, and in the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Status 0.
    Yes,
    /// Status 1.
    No,
}

/// What could be found out; else why not is kept beside it.
fn known<T>(
    member: &str,
    found: Result<Option<T>, impl std::fmt::Display>,
    not_known: &mut BTreeMap<String, String>,
) -> Option<T> {
    found.unwrap_or_else(|error| {
        not_known.insert(member.to_owned(), error.to_string());
        None
    })
}

impl Status {
    /// Collects the facts; `verity` is asked for the state of the root's device number.
    ///
    /// # Errors
    /// The hand-over record, the health report, or what the image asks of the gate cannot be used.
    pub fn gather(
        sources: &Sources,
        verity: impl FnOnce(&str) -> VerityState,
    ) -> Result<Self, DocumentError> {
        let status = Self::facts(sources, verity)?;
        let chain = Chain::of(&status, sources.wanted_gate()?);
        Ok(Self {
            chain: Some(chain),
            ..status
        })
    }

    fn facts(sources: &Sources, verity: impl FnOnce(&str) -> VerityState) -> Result<Self, DocumentError> {
        let handover = sources.handover()?;
        let report = sources.health()?;
        // Root's own files: one that cannot be read is no reason to say nothing else.
        let mut not_known = BTreeMap::new();
        let unsent_bytes = known(
            "unsent_bytes",
            sources.alerts.unsent_bytes(&handover),
            &mut not_known,
        );
        let trace: Option<TraceReport> =
            known("trace", documents::read_if_there(&sources.trace), &mut not_known);
        let (entry, health) = match report {
            Some(report) => (report.entry, Some(report.health)),
            None => (handover.entry, None),
        };
        let counter = entry.parse::<UkiFileName>().ok().and_then(|name| name.counter);
        Ok(Self {
            schema: SCHEMA,
            image_id: handover.image_id,
            version: handover.version,
            security_version: handover.security_version,
            floor: handover.floor,
            tries_left: counter.map(|counter| counter.tries_left),
            entry,
            attempts: handover.attempts,
            health,
            root_hash: handover.root_hash,
            verity: verity(&handover.verity_device.number),
            verity_device: handover.verity_device.path,
            verified_by: handover.verified_by,
            manifest_sha256: handover.manifest_sha256,
            secure_boot: handover.secure_boot,
            kernel: handover.kernel,
            secrets: handover.secrets,
            state_volume: handover.state_volume,
            identity: Identity::gather(&sources.hostname, handover.identity),
            machine: handover.machine,
            debug: handover.debug,
            factory_reset: handover.factory_reset,
            gate: documents::read_if_there(&sources.gate)?,
            trace: trace.map(TraceCounts::from),
            drift: memory::counts(&sources.drift).ok(),
            unsent_bytes,
            not_known,
            watch: documents::read_if_there(&sources.watch)?
                .map(|report| WatchStatus::of(report, time::since_boot_ms())),
            in_force: memory::in_force(&sources.drift)
                .unwrap_or_else(|error| vec![format!("not known: {error}")]),
            // Whoever can write it can also remove it: it is no reason to say nothing else.
            scrub: documents::read_if_there(&sources.scrub).unwrap_or_default(),
            pcrs: pcrs::rows(&handover.pcrs, Path::new(&sources.pcrs)),
            chain: None,
            fell_back: handover.fell_back.map(FellBackStatus::from),
        })
    }

    /// Whether the slot is marked good.
    pub fn answer(&self) -> Answer {
        match self.health {
            Some(HealthState::Good { .. }) => Answer::Yes,
            Some(HealthState::Waiting { .. } | HealthState::Unhealthy { .. }) | None => Answer::No,
        }
    }
}
