//! The report to the running system, `/run/bennu/boot.json`.

use crate::error::InitError;
use crate::esp::Start;
use crate::journal::Journal;
use crate::slot::Slot;
use crate::verity::Opened;
use bennu_formats::Sha256Digest;
use bennu_formats::decode::Document;
use bennu_formats::handover::{
    BlockDevice, DebugStart, FactoryReset, Handover, IdentityReport, KernelFacts, SecureBootState,
    StateVolume,
};
use bennu_formats::manifest::SlotManifest;
use bennu_formats::paths;
use bennu_policy::verify::Verified;
use std::collections::BTreeMap;

/// What the report says besides the manifest.
pub struct Facts {
    /// Partitions.
    pub slot: Slot,
    /// Verity device.
    pub device: Opened,
    /// Secure Boot.
    pub secure_boot: SecureBootState,
    /// Kernel.
    pub kernel: KernelFacts,
    /// This start.
    pub start: Start,
    /// Names of open secrets.
    pub secrets: Vec<String>,
    /// Floor.
    pub floor: u64,
    /// State volume.
    pub state: Option<StateVolume>,
    /// The machine's identity.
    pub machine: Sha256Digest,
    /// A start with a debug token.
    pub debug: Option<DebugStart>,
    /// A factory reset at this start.
    pub factory_reset: Option<FactoryReset>,
    /// What is kept of `/etc`.
    pub identity: Option<IdentityReport>,
    /// PCR values.
    pub pcrs: BTreeMap<u32, Sha256Digest>,
}

/// Writes the report.
pub fn write(manifest: &Verified<SlotManifest>, facts: Facts, journal: &Journal) -> Result<(), InitError> {
    let m = manifest.get();
    let device = |d: &bennu_linux::block::BlockDevice| BlockDevice {
        path: format!("/dev/{}", d.name),
        number: d.number.to_string(),
    };
    let report = Handover {
        schema: Handover::SCHEMA,
        image_id: m.image_id.clone(),
        version: m.version.clone(),
        security_version: m.security_version,
        floor: facts.floor,
        root_hash: m.verity.root_hash,
        verified_by: manifest.signed_by().to_vec(),
        manifest_sha256: manifest.signed_bytes_sha256(),
        disk: device(&facts.slot.disk),
        esp: device(&facts.slot.esp),
        root: device(&facts.slot.root),
        verity: device(&facts.slot.verity),
        verity_device: BlockDevice {
            path: facts.device.path.display().to_string(),
            number: facts.device.number.clone(),
        },
        verity_table: facts.device.table.clone(),
        secure_boot: facts.secure_boot,
        kernel: facts.kernel,
        entry: facts.start.entry,
        attempts: facts.start.attempts,
        predicted_pcrs: m.pcrs.clone(),
        pcrs: facts.pcrs,
        secrets: facts.secrets,
        state_volume: facts.state,
        machine: Some(facts.machine),
        debug: facts.debug,
        factory_reset: facts.factory_reset,
        identity: facts.identity,
        fell_back: facts.start.fell_back,
        steps: journal.steps(),
    };
    put(&report)
}

/// Ends the last step and writes the report once more, with all of them.
pub fn complete_steps(journal: &mut Journal) -> Result<(), InitError> {
    let bytes = std::fs::read(paths::RUN_HANDOVER).map_err(failed)?;
    let mut report: Handover = serde_json::from_slice(&bytes).map_err(InitError::Handover)?;
    journal.end_step();
    report.steps = journal.steps();
    put(&report)
}

/// The old report or the new one is there, whatever fails.
fn put(report: &Handover) -> Result<(), InitError> {
    let bytes = serde_json::to_vec_pretty(report).map_err(InitError::Handover)?;
    let new = format!("{}.new", paths::RUN_HANDOVER);
    std::fs::create_dir_all("/run/bennu")
        .and_then(|()| std::fs::write(&new, bytes))
        .and_then(|()| std::fs::rename(&new, paths::RUN_HANDOVER))
        .map_err(failed)
}

fn failed(source: std::io::Error) -> InitError {
    InitError::Write {
        path: paths::RUN_HANDOVER.to_owned(),
        source,
    }
}
