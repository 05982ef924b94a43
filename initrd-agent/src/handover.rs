//! The report to the running system, `/run/bennu/boot.json`.

use crate::error::InitError;
use crate::esp::Start;
use crate::journal::Journal;
use crate::slot::Slot;
use crate::verity::Opened;
use bennu_formats::Sha256Digest;
use bennu_formats::decode::Document;
use bennu_formats::handover::{
    BlockDevice, DebugStart, FactoryReset, Handover, IdentityReport, SecureBootState, StateVolume,
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
pub fn write(
    manifest: &Verified<SlotManifest>,
    facts: Facts,
    journal: &mut Journal,
) -> Result<(), InitError> {
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
    let bytes = serde_json::to_vec_pretty(&report).map_err(InitError::Handover)?;
    let failed = |source| InitError::Write {
        path: paths::RUN_HANDOVER.to_owned(),
        source,
    };
    std::fs::create_dir_all("/run/bennu")
        .and_then(|()| std::fs::write(paths::RUN_HANDOVER, bytes))
        .map_err(failed)
}
