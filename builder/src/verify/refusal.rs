//! Why `bennu verify` refuses: one variant for each failed act, each with a stable code.

use crate::image::{RootError, golden::ImageError};
use crate::sentence::sentence;
use bennu_disk::fat::reader::ReadError;
use bennu_disk::gpt::TableError;
use bennu_formats::cmdline::CmdlineError;
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::{Code, DecodeError};
use bennu_policy::verify::SlotRefusal;
use bennu_uki::authenticode::AuthenticodeError;
use bennu_uki::keys::KeyError;
use bennu_uki::measure::MeasureError;
use bennu_uki::pcrsig::PcrSigError;
use bennu_uki::root_hash::RootHashSignatureError;
use bennu_uki::tpm_policy::PolicyError;
use bennu_verity::{ParamsError, VerityError};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The table contradicts itself.
    #[error("partition table: {0}")]
    Table(TableError),
    /// None or several ESPs.
    #[error("partition table: expected one EFI system partition, found {0}")]
    EspCount(usize),
    /// The ESP is no FAT32 volume.
    #[error("EFI system partition: {0}")]
    Esp(ReadError),
    /// A file of the ESP.
    #[error("EFI system partition: {path}: {source}")]
    EspFile {
        /// Path.
        path: String,
        /// Why.
        source: ReadError,
    },
    /// More boot entries than are looked at.
    #[error("EFI system partition: expected at most {limit} boot entries, found {found}")]
    TooManyEntries {
        /// Looked at.
        limit: usize,
        /// There.
        found: usize,
    },
    /// A boot program's signature.
    #[error("{path}: {}", sentence(.source))]
    Loader {
        /// Path on the ESP.
        path: &'static str,
        /// Why.
        source: AuthenticodeError,
    },
    /// No slot with a release in it.
    #[error("expected at least one slot with a release, found none")]
    NoSlot,
    /// A slot lacks a partition.
    #[error("expected root, root-verity and root-verity-sig partitions, found no {0}")]
    PartitionMissing(&'static str),
    /// A boot entry without a slot.
    #[error("{path}: expected a slot with {wanted}, found none that no other boot entry has")]
    StrayEntry {
        /// Path on the ESP.
        path: String,
        /// What would make it this entry's.
        wanted: String,
    },
    /// A slot without a boot entry.
    #[error(
        "expected a UKI in EFI/Linux that names the slot's root hash {root_hash} or version {label}, found none"
    )]
    UkiMissing {
        /// Root hash that the partitions' GUIDs make up.
        root_hash: RootHash,
        /// Label of the root partition.
        label: String,
    },
    /// The boot entry's file name.
    #[error("boot entry: expected a file name as {expected}+3-0.efi, found {found}")]
    UkiName {
        /// Name without counter.
        expected: String,
        /// Name found.
        found: String,
    },
    /// A partition's label.
    #[error("partition {number}: expected label {expected}, found {found}")]
    Label {
        /// Number.
        number: u32,
        /// Label.
        expected: String,
        /// Label found.
        found: String,
    },
    /// A partition's unique GUID.
    #[error("partition {number}: expected GUID {expected} after the root hash, found {found}")]
    Guid {
        /// Number.
        number: u32,
        /// GUID.
        expected: uuid::Uuid,
        /// GUID found.
        found: uuid::Uuid,
    },
    /// The UKI's signature.
    #[error("{path}: {}", sentence(.source))]
    UkiSignature {
        /// Path on the ESP.
        path: String,
        /// Why.
        source: AuthenticodeError,
    },
    /// The UKI's command line.
    #[error("UKI: {0}")]
    Cmdline(CmdlineError),
    /// The manifest.
    #[error("{0}")]
    Manifest(SlotRefusal),
    /// The UKI is not the manifest's.
    #[error(
        "UKI: expected SHA-256 {expected} and {expected_bytes} bytes as in the manifest, found {found} and {found_bytes} bytes"
    )]
    UkiDigest {
        /// Of the manifest.
        expected: Sha256Digest,
        /// Of the manifest.
        expected_bytes: u64,
        /// Of the file.
        found: Sha256Digest,
        /// Of the file.
        found_bytes: u64,
    },
    /// The PCRs cannot be predicted.
    #[error("{}", sentence(.0))]
    Predict(MeasureError),
    /// A PCR value.
    #[error("manifest: {member}: expected {expected} as this UKI makes it, found {found}")]
    Pcr {
        /// Member of the manifest.
        member: &'static str,
        /// Predicted now.
        expected: Sha256Digest,
        /// Of the manifest.
        found: Sha256Digest,
    },
    /// A section that every UKI of ours has.
    #[error("UKI: expected a section {0}, found none")]
    SectionMissing(&'static str),
    /// `.pcrsig`.
    #[error("{}", sentence(.0))]
    PcrSig(PcrSigError),
    /// `.pcrsig` signs other values.
    #[error(".pcrsig: expected a signature for the policy {expected} of phase {phase}, found none")]
    PcrSigPhase {
        /// Phase.
        phase: &'static str,
        /// Policy digest, hex.
        expected: String,
    },
    /// `.pcrpkey`.
    #[error(".pcrpkey: expected the key in tpm-policy.pub, found another one")]
    PcrKey,
    /// `.pcrpkey` is no key.
    #[error(".pcrpkey: {0}")]
    PcrKeyFormat(KeyError),
    /// The policy digest.
    #[error("TPM policy: expected {expected} for the PCR values in the manifest, found {found}")]
    Policy {
        /// Computed.
        expected: Sha256Digest,
        /// Of the manifest.
        found: Sha256Digest,
    },
    /// The policy cannot be computed, or its signature does not hold.
    #[error("TPM policy: {}; expected a signature by the key in tpm-policy.pub", sentence(.0))]
    PolicySignature(PolicyError),
    /// The name of the policy key.
    #[error("TPM policy: expected key name {expected} of tpm-policy.pub, found {found}")]
    PolicyKeyName {
        /// Computed, hex.
        expected: String,
        /// Of the manifest, hex.
        found: String,
    },
    /// The JSON around the manifest.
    #[error("{0}")]
    SigFormat(DecodeError),
    /// PKCS#7.
    #[error("{0}")]
    RootSignature(RootHashSignatureError),
    /// Fingerprint of the certificate.
    #[error("root-verity-sig: expected certificate fingerprint {expected} of db.crt, found {found}")]
    Fingerprint {
        /// Of db.crt.
        expected: Sha256Digest,
        /// In the JSON.
        found: Sha256Digest,
    },
    /// The manifest's sizes do not fit the partitions.
    #[error("hash tree: expected {what} to fit its partition of {partition} bytes, found {found} bytes")]
    Geometry {
        /// What.
        what: &'static str,
        /// Bytes of the partition.
        partition: u64,
        /// Bytes needed.
        found: u64,
    },
    /// The manifest's parameters have no tree.
    #[error("hash tree: {0}")]
    VerityParams(ParamsError),
    /// Data or tree.
    #[error("{0}")]
    Verity(VerityError),
    /// The superblock, which standard tools go by.
    #[error(
        "root-verity: expected a superblock with the manifest's salt and {data_blocks} data blocks, found {found}"
    )]
    Superblock {
        /// Of the manifest.
        data_blocks: u64,
        /// What is there.
        found: String,
    },
    /// The root file system.
    #[error("{0}")]
    Root(RootError),
    /// The golden-file index.
    #[error("golden-file index: {0}")]
    Golden(ImageError),
    /// The index on the root is not the manifest's, or the root's.
    #[error("golden-file index: expected {expected} {whose}, found {found}")]
    GoldenDigest {
        /// Digest.
        expected: Sha256Digest,
        /// Whose.
        whose: &'static str,
        /// Digest found, or what was found instead.
        found: String,
    },
    /// os-release.
    #[error("os-release in {place}: expected {key}={expected}, found {found}")]
    Identity {
        /// The UKI or the root.
        place: &'static str,
        /// Key.
        key: &'static str,
        /// Value.
        expected: String,
        /// Value found.
        found: String,
    },
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Table(TableError::DuplicateGuid { .. }) => Code::DuplicatePartition,
            Self::Table(TableError::Outside { .. } | TableError::Overlap { .. }) => Code::ImageGpt,
            Self::EspCount(_)
            | Self::Esp(_)
            | Self::EspFile { .. }
            | Self::TooManyEntries { .. }
            | Self::UkiMissing { .. } => Code::ImageEsp,
            Self::Loader { .. } => Code::LoaderSignature,
            Self::NoSlot => Code::NoSlot,
            Self::PartitionMissing(_) | Self::StrayEntry { .. } => Code::SlotMissing,
            Self::UkiName { .. } | Self::Label { .. } | Self::Guid { .. } => Code::SlotName,
            Self::UkiSignature { .. } => Code::UkiSignature,
            Self::Cmdline(_) => Code::Cmdline,
            Self::Manifest(refusal) => refusal.code(),
            Self::UkiDigest { .. } => Code::UkiDigest,
            Self::Predict(_) | Self::Pcr { .. } | Self::SectionMissing(_) | Self::PcrSigPhase { .. } => {
                Code::UkiPcr
            }
            Self::PcrSig(error) => pcrsig_code(error),
            Self::PcrKey
            | Self::PcrKeyFormat(_)
            | Self::Policy { .. }
            | Self::PolicySignature(_)
            | Self::PolicyKeyName { .. } => Code::ManifestPolicy,
            Self::SigFormat(_) => Code::ManifestFormat,
            Self::RootSignature(_) | Self::Fingerprint { .. } => Code::VeritySignature,
            Self::Geometry { .. } => Code::ManifestGeometry,
            Self::VerityParams(_) | Self::Verity(_) | Self::Superblock { .. } => Code::VerityTree,
            Self::Root(_) => Code::RootMount,
            Self::Golden(_) | Self::GoldenDigest { .. } => Code::GoldenIndex,
            Self::Identity { .. } => Code::RootIdentity,
        }
    }
}

/// A wrong key is the policy key's matter, wrong values are the prediction's.
fn pcrsig_code(error: &PcrSigError) -> Code {
    match error {
        PcrSigError::OtherKey { .. } | PcrSigError::PolicyRef { .. } | PcrSigError::BadSignature { .. } => {
            Code::ManifestPolicy
        }
        _ => Code::UkiPcr,
    }
}
