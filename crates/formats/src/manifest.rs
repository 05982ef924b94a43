//! The slot manifest: what a slot is, signed by the release key.
//!
//! Written by `bennu build` into the root-verity-sig partition's JSON ([`crate::verity_sig`]); read by
//! `bennu-init` before anything of the slot is used, by `bennu verify` and by `bennud`. Normative text:
//! `docs/spec/slot-manifest.md`.

use crate::decode::{DecodeError, Document};
use crate::digest::{RootHash, Sha256Digest, base64_bytes, hex_bytes};
use crate::names::{ImageId, ImageVersion};
use crate::units::{BLOCK_BYTES, Blocks4K, Bytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// policyRef of the policies that open our sealed secrets and state.
pub const POLICY_REF: &str = "bennu-state-v1";
/// The PCRs that the policy of a release names, in the order of the selection.
pub const POLICY_PCRS: [u32; 4] = [11, 12, 13, 15];
/// Most sections that a manifest names; systemd-stub 257 measures 11.
pub const MAX_SECTIONS: usize = 16;
/// Members that this version of the format knows; a name in `critical` outside this list is a refusal.
const KNOWN_MEMBERS: [&str; 14] = [
    "schema",
    "critical",
    "image_id",
    "version",
    "security_version",
    "architecture",
    "root",
    "verity",
    "uki",
    "pcrs",
    "tpm_policy",
    "state_schema",
    "golden_index",
    "build",
];

/// CPU architecture, in the words of UAPI.2 and systemd (`ConditionArchitecture=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// AMD64 / Intel 64.
    #[serde(rename = "x86-64")]
    X86_64,
    /// AArch64: known by name so that a manifest for it is refused by its name.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// The architecture this program was compiled for; `None` where Bennu does not support it.
    pub fn of_this_program() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        })
    }
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootImage {
    /// Length in bytes, a multiple of 4096.
    pub bytes: Bytes,
    /// Kernel's name of the file system: `erofs`.
    pub filesystem: String,
}

/// dm-verity parameters: the only ones a table is ever made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerityParameters {
    /// On-disk format; always 1.
    pub format: u32,
    /// Hash; always `sha256`.
    pub hash: String,
    /// Root hash.
    pub root_hash: RootHash,
    /// Salt, 32 bytes, constant for an image id, prepended to every block.
    #[serde(with = "hex_bytes")]
    pub salt: Vec<u8>,
    /// Bytes of a data block; always 4096.
    pub data_block_bytes: u32,
    /// Bytes of a hash block; always 4096.
    pub hash_block_bytes: u32,
    /// Number of data blocks.
    pub data_blocks: Blocks4K,
    /// First hash block on the hash partition; 1, because block 0 holds the (ignored) superblock.
    pub hash_start: Blocks4K,
    /// Length of superblock and tree in bytes.
    pub tree_bytes: Bytes,
}

/// What binds the UKI of this release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UkiBinding {
    /// SHA-256 of the signed file.
    pub sha256: Sha256Digest,
    /// Length in bytes.
    pub bytes: Bytes,
    /// Version of the systemd-stub inside, as `.sdmagic` spells it.
    pub stub_version: String,
}

/// PCR values (SHA-256 bank) predicted at build time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictedPcrs {
    /// What the stub measures: SHA-256 of each section's content, by its name. It explains a PCR 11 that differs;
    /// empty in releases of an older bennu.
    #[serde(default)]
    pub sections: BTreeMap<String, Sha256Digest>,
    /// PCR 11 when the stub has measured the sections.
    pub pcr11_sections: Sha256Digest,
    /// PCR 11 after `enter-initrd`: the value sealed to.
    pub pcr11_enter_initrd: Sha256Digest,
    /// PCR 11 after `leave-initrd`.
    pub pcr11_leave_initrd: Sha256Digest,
    /// PCR 11 after `sysinit`.
    pub pcr11_sysinit: Sha256Digest,
    /// PCR 11 after `ready`.
    pub pcr11_ready: Sha256Digest,
    /// PCR 12: zero, or one command-line event with systemd-boot 252.
    pub pcr12: Sha256Digest,
    /// PCR 13: zero.
    pub pcr13: Sha256Digest,
}

/// The TPM policy of this release with its signature by the TPM policy key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmPolicy {
    /// policyRef; [`POLICY_REF`].
    pub policy_ref: String,
    /// PCRs of the PolicyPCR selection; [`POLICY_PCRS`].
    pub pcrs: Vec<u32>,
    /// TPM Name of the policy key's public area: 000b ‖ SHA-256.
    #[serde(with = "hex_bytes")]
    pub key_name: Vec<u8>,
    /// Policy digest that is approved.
    pub approved_policy: Sha256Digest,
    /// RSASSA-PKCS1-v1_5 / SHA-256 over approved_policy ‖ policyRef (TPM 2.0 part 3, PolicyAuthorize).
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

/// What binds the golden-file index, which cannot list itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenIndexBinding {
    /// SHA-256 of the file [`crate::paths::ROOT_GOLDEN_INDEX`] on the root.
    pub sha256: Sha256Digest,
    /// Length in bytes.
    pub bytes: Bytes,
}

/// How the image was built; informative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildParameters {
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub source_date_epoch: u64,
    /// Version of `bennu`.
    pub builder: String,
}

/// The manifest of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotManifest {
    /// Schema number; 1.
    pub schema: u32,
    /// Members that a reader must understand or refuse.
    pub critical: Vec<String>,
    /// `IMAGE_ID`.
    pub image_id: ImageId,
    /// `IMAGE_VERSION`.
    pub version: ImageVersion,
    /// Anti-rollback number; compared with the floor in the TPM.
    pub security_version: u64,
    /// Architecture.
    pub architecture: Architecture,
    /// Root file system.
    pub root: RootImage,
    /// dm-verity.
    pub verity: VerityParameters,
    /// UKI.
    pub uki: UkiBinding,
    /// PCR values.
    pub pcrs: PredictedPcrs,
    /// TPM policy.
    pub tpm_policy: TpmPolicy,
    /// Schema version of the state volume that this release writes.
    pub state_schema: u32,
    /// Golden-file index; releases built before it was there have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_index: Option<GoldenIndexBinding>,
    /// Build parameters.
    pub build: BuildParameters,
}

impl Document for SlotManifest {
    const NAME: &'static str = "slot manifest";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        for member in &self.critical {
            if !KNOWN_MEMBERS.contains(&member.as_str()) {
                return Err(DecodeError::UnknownCritical {
                    document: Self::NAME,
                    member: member.chars().take(64).collect(),
                });
            }
        }
        self.check_verity()?;
        self.check_sections()?;
        self.check_policy()
    }
}

impl SlotManifest {
    /// Only one shape of tree exists for us, so everything else is refused by name.
    fn check_verity(&self) -> Result<(), DecodeError> {
        let v = &self.verity;
        if v.format != 1 {
            return Err(Self::bad_value("verity.format", "1", v.format));
        }
        if v.hash != "sha256" {
            return Err(Self::bad_value("verity.hash", "sha256", &v.hash));
        }
        if v.data_block_bytes != 4096 || v.hash_block_bytes != 4096 {
            return Err(Self::bad_value(
                "verity.data_block_bytes",
                "4096 (both sizes)",
                v.data_block_bytes,
            ));
        }
        if v.salt.len() != 32 {
            return Err(Self::bad_value("verity.salt", "32 bytes", v.salt.len()));
        }
        if v.hash_start.0 != 1 {
            return Err(Self::bad_value("verity.hash_start", "1", v.hash_start.0));
        }
        if self.root.filesystem != "erofs" {
            return Err(Self::bad_value("root.filesystem", "erofs", &self.root.filesystem));
        }
        // 2^40 blocks = 4 PiB: far above any disk, far below an overflow.
        if !(1..=1 << 40).contains(&v.data_blocks.0) {
            return Err(Self::bad_value(
                "verity.data_blocks",
                "1 to 2^40",
                v.data_blocks.0,
            ));
        }
        if v.data_blocks.to_bytes() != Some(self.root.bytes) {
            return Err(Self::bad_value(
                "root.bytes",
                "verity.data_blocks × 4096",
                self.root.bytes.0,
            ));
        }
        if !v.tree_bytes.0.is_multiple_of(BLOCK_BYTES) || v.tree_bytes.0 < BLOCK_BYTES {
            return Err(Self::bad_value(
                "verity.tree_bytes",
                "a positive multiple of 4096",
                v.tree_bytes.0,
            ));
        }
        Ok(())
    }

    /// The names go to consoles.
    fn check_sections(&self) -> Result<(), DecodeError> {
        let sections = &self.pcrs.sections;
        if sections.len() > MAX_SECTIONS {
            return Err(Self::bad_value("pcrs.sections", "at most 16", sections.len()));
        }
        let is_name =
            |name: &&String| (2..=8).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        match sections.keys().find(|name| !is_name(name)) {
            Some(name) => Err(Self::bad_value(
                "pcrs.sections",
                "names of 2 to 8 printable ASCII characters",
                format!("{} bytes", name.len()),
            )),
            None => Ok(()),
        }
    }

    fn check_policy(&self) -> Result<(), DecodeError> {
        let p = &self.tpm_policy;
        if p.policy_ref != POLICY_REF {
            return Err(Self::bad_value(
                "tpm_policy.policy_ref",
                POLICY_REF,
                &p.policy_ref,
            ));
        }
        if p.pcrs != POLICY_PCRS {
            return Err(Self::bad_value(
                "tpm_policy.pcrs",
                "[11, 12, 13, 15]",
                format!("{:?}", p.pcrs),
            ));
        }
        if p.key_name.len() != 34 {
            return Err(Self::bad_value(
                "tpm_policy.key_name",
                "34 bytes",
                p.key_name.len(),
            ));
        }
        if p.signature.len() != 256 {
            return Err(Self::bad_value(
                "tpm_policy.signature",
                "256 bytes (RSA-2048)",
                p.signature.len(),
            ));
        }
        Ok(())
    }
}
