//! What bennu-init hands to the running system: `/run/bennu/boot.json`.
//!
//! Written once by `bennu-init` before `switch_root`, read by `bennud` and `bennuctl`. `/run` is a tmpfs that
//! only root writes; the file is a report, not a root of trust.

use crate::boot_record::Failure;
use crate::debug_token::UtcDay;
use crate::decode::Document;
use crate::digest::{RootHash, Sha256Digest};
use crate::hardening::HardeningState;
use crate::identity::IdentityRule;
use crate::manifest::PredictedPcrs;
use crate::names::{ImageId, ImageVersion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Path in devtmpfs, as `/dev/vda1`.
    pub path: String,
    /// `major:minor`.
    pub number: String,
}

/// Time that one step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTime {
    /// Name of the step.
    pub step: String,
    /// Milliseconds since kernel start when it began.
    pub start_ms: u64,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// Why this slot runs and not a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FellBack {
    /// The slot that would have been taken.
    pub from_version: ImageVersion,
    /// Why it was not.
    pub failure: Failure,
}

/// Whether the firmware enforced Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBootState {
    /// `SecureBoot` = 1.
    Enforced,
    /// `SecureBoot` = 0 or missing.
    Off,
}

/// Who checked the PKCS#7 signature over the root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootHashCheck {
    /// The kernel, against the firmware's db, besides `bennu-init`'s check of the manifest.
    ByKernel,
    /// Nobody: the kernel cannot, or the image leaves it out. The manifest binds the root hash.
    ManifestOnly,
}

/// An option of the command line and what the kernel says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardeningFact {
    /// The word on the command line.
    pub option: String,
    /// State.
    pub state: HardeningState,
}

/// How the kernel was when bennu-init was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// Its release, as `6.12.1-amd64`.
    pub release: String,
    /// Hardening of [`crate::hardening::DEFAULT`] that is on the command line.
    pub hardening: Vec<HardeningFact>,
    /// Signature over the root hash.
    pub root_hash_check: RootHashCheck,
    /// SHA-256 of the IMA rules that were loaded; none where the image has none.
    pub ima_policy_sha256: Option<Sha256Digest>,
}

/// The open state volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateVolume {
    /// UUID in its LUKS2 header, as text.
    pub uuid: String,
    /// How often it was opened; 1 when it was made.
    pub generation: u64,
    /// Where its file system is mounted.
    pub mounted: String,
    /// Which releases can read it.
    pub schema: KeptSchema,
}

/// `state_schema` of the volume and of the release that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSchema {
    /// Of the release that runs.
    pub of_release: u32,
    /// The highest of the releases that have used the volume.
    pub written: u32,
    /// The lowest whose releases can read it.
    pub readable_from: u32,
}

/// What became of a factory reset that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum FactoryReset {
    /// At this start: everything in this record is that of a first start.
    Done {
        /// The anti-rollback floor, as it was before.
        floor: u64,
        /// Old sealed files that the cleared TPM was given and refused.
        refused: Vec<RefusedSecret>,
    },
    /// Not, and nothing was touched.
    NotDone {
        /// Why.
        reason: String,
    },
}

/// An old sealed file that the TPM refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSecret {
    /// Its name.
    pub name: String,
    /// The TPM's response code, with its meaning.
    pub code: String,
}

/// A start with an accepted debug token: nothing sealed was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugStart {
    /// SHA-256 of the token's signed bytes, as measured into PCR 12.
    pub digest: Sha256Digest,
    /// Key id of the debug key.
    pub signed_by: Sha256Digest,
    /// The day it was for.
    pub day: UtcDay,
    /// Its note.
    pub note: String,
}

/// Where the machine id of this start comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineIdSource {
    /// Not from `bennu-init`: the list does not have it.
    #[default]
    NotKept,
    /// Carried over from the start before.
    Kept,
    /// `bennu-init` made one.
    Made,
    /// The first-boot configuration names it.
    FirstBootConfiguration,
    /// The image asks systemd for a first boot, and systemd makes it.
    LeftToSystemd,
}

/// What became of `/etc`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityReport {
    /// How many files were carried over from the start before.
    pub kept: u32,
    /// What was refused, with the reason; at most 32, so that nobody who writes there makes the report too long.
    pub refused: Vec<String>,
    /// SHA-256 of the first-boot configuration that this start applied.
    pub first_boot: Option<Sha256Digest>,
    /// Where the machine id comes from.
    pub machine_id: MachineIdSource,
    /// The image's signed list.
    pub list: IdentityRule,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Schema number; 1.
    pub schema: u32,
    /// Image id of the slot that runs.
    pub image_id: ImageId,
    /// Its version.
    pub version: ImageVersion,
    /// Its anti-rollback number.
    pub security_version: u64,
    /// The machine's floor when bennu-init was done: no release with a lower `security_version` opens a secret.
    pub floor: u64,
    /// Its root hash.
    pub root_hash: RootHash,
    /// Key ids of the release keys whose signatures were checked and good.
    pub verified_by: Vec<Sha256Digest>,
    /// SHA-256 of the manifest's signed bytes.
    pub manifest_sha256: Sha256Digest,
    /// Whole boot disk.
    pub disk: BlockDevice,
    /// EFI system partition.
    pub esp: BlockDevice,
    /// Root partition.
    pub root: BlockDevice,
    /// Root-verity partition.
    pub verity: BlockDevice,
    /// dm-verity device that is the root.
    pub verity_device: BlockDevice,
    /// The dm-verity table line as read back from the kernel.
    pub verity_table: String,
    /// Secure Boot.
    pub secure_boot: SecureBootState,
    /// Kernel.
    pub kernel: KernelFacts,
    /// Name of the boot entry on the ESP when this start began.
    pub entry: String,
    /// Starts of this slot since the last healthy one, this one included.
    pub attempts: u32,
    /// PCR values that the manifest's signer predicted.
    pub predicted_pcrs: PredictedPcrs,
    /// PCR values, SHA-256 bank, when bennu-init was done.
    pub pcrs: BTreeMap<u32, Sha256Digest>,
    /// Names of the secrets in `/run/secrets`.
    pub secrets: Vec<String>,
    /// The state volume; none where the image keeps nothing.
    pub state_volume: Option<StateVolume>,
    /// The machine's identity, as a debug token names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Sha256Digest>,
    /// Set at a start with an accepted debug token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<DebugStart>,
    /// A factory reset that was asked for before this start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factory_reset: Option<FactoryReset>,
    /// What is kept of `/etc`; none where nothing is.
    pub identity: Option<IdentityReport>,
    /// Set when a newer slot was passed over.
    pub fell_back: Option<FellBack>,
    /// Times.
    pub steps: Vec<StepTime>,
}

impl Document for Handover {
    const NAME: &'static str = "hand-over record";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;
}
