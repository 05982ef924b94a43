//! Everything that can go wrong in the initrd: one variant a failed act, one stable code a variant.

use bennu_formats::boot_record::Failure;
use bennu_formats::decode::DecodeError;
use bennu_formats::names::ImageVersion;
use bennu_formats::{Code, cmdline::CmdlineError};
use bennu_linux as linux;

/// A failed act.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts name the fields")]
pub enum InitError {
    #[error("{0}")]
    ApiMount(linux::mount::MountError),
    #[error("trust configuration: {0}")]
    TrustRead(linux::bounded::ReadError),
    #[error("{0}")]
    TrustFormat(DecodeError),
    #[error("{0}")]
    ModuleList(linux::modules::ListError),
    #[error("{0}")]
    Modaliases(linux::modules::ModaliasError),
    #[error("{0}")]
    ModuleLoad(linux::modules::LoadError),
    #[error("kernel command line: {0}")]
    CmdlineRead(linux::bounded::ReadError),
    #[error("{0}")]
    Cmdline(#[from] CmdlineError),
    #[error("{0}")]
    EfiVariable(linux::efivars::EfiVarError),
    #[error("secure boot: expected the firmware to enforce it, found it {found}")]
    SecureBootOff { found: &'static str },
    #[error("boot disk: expected the variable LoaderDevicePartUUID of systemd-boot, found none")]
    NoLoaderDevice,
    #[error("boot disk: partition {0} that systemd-boot was loaded from did not appear within {1} s")]
    NoBootDisk(uuid::Uuid, u64),
    #[error("block devices: {0}")]
    Block(#[from] linux::block::BlockError),

    #[error("partition {guid}: expected on one disk, found on {first} and {second}")]
    DuplicatePartition {
        guid: uuid::Uuid,
        first: String,
        second: String,
    },
    #[error("slot: expected partition {guid} ({what}) on {disk}, found none")]
    SlotMissing {
        guid: uuid::Uuid,
        what: &'static str,
        disk: String,
    },
    #[error("esp: {0}")]
    EspMount(linux::mount::MountError),
    #[error("{0}")]
    Esp(#[from] bennu_esp::EspError),
    #[error("{}", .0.reason)]
    GivenUp(Failure),
    #[error("manifest: cannot be read: {0}")]
    ManifestRead(std::io::Error),
    #[error("{0}")]
    VeritySig(DecodeError),
    #[error("{0}")]
    Manifest(#[from] bennu_policy::verify::SlotRefusal),
    #[error("manifest: expected version {expected} as in the UKI, found {found}")]
    ManifestVersion {
        expected: ImageVersion,
        found: ImageVersion,
    },
    #[error("manifest: expected the tpm policy key of this image, {expected}, found {found}")]
    PolicyKey { expected: String, found: String },
    #[error("dm-verity: {0}")]
    VerityParams(String),
    #[error("dm-verity: {0}")]
    VerityTable(linux::dm::DmError),
    #[error("dm-verity: the kernel refused the signature over the root hash: {0}")]
    VeritySignature(linux::dm::DmError),
    #[error("dm-verity: signature over the root hash: {0}")]
    VerityKey(linux::keyring::KeyringError),
    #[error("dm-verity: table read back is not the one loaded: {0}")]
    VerityReadBack(linux::dm::DmError),
    #[error("dm-verity: {what} does not match the root hash or cannot be read: {source}")]
    VerityCorrupt { what: String, source: std::io::Error },
    #[error("dm-verity: {what} cannot be read: {source}")]
    RootRead { what: String, source: std::io::Error },
    #[error("root: {0}")]
    RootMount(linux::mount::MountError),
    #[error("os-release in the root: expected {expected}, found {found}")]
    RootIdentity { expected: String, found: String },
    #[error("tpm: {0}")]
    TpmMissing(bennu_tpm::TransportError),
    #[error("{0}")]
    TpmExtend(bennu_tpm::TpmError),
    #[error("tpm: pcr values: {0}")]
    TpmRead(bennu_tpm::TpmError),
    #[error(
        "tpm: expected pcr {pcr} in an active bank sha256, found the banks: {found}; turn that bank on in the firmware"
    )]
    TpmBank { pcr: u8, found: String },
    #[error(
        "tpm: expected the firmware, which enforced secure boot, to have measured into pcr {pcr} of bank sha256, found zeros"
    )]
    TpmUnmeasured { pcr: u8 },
    #[error("secret {name}: {source}")]
    SecretBlob {
        name: String,
        source: bennu_tpm::BlobError,
    },
    #[error("secret {name}: {source}")]
    SecretSeal {
        name: String,
        source: bennu_tpm::SealError,
    },
    #[error("secret {name}: {source}")]
    SecretUnseal {
        name: String,
        source: bennu_tpm::UnsealError,
    },
    #[error("floor: {0}")]
    Floor(bennu_tpm::GuardedError),
    #[error(
        "floor: expected at most this slot's security_version {security_version}, found {floor}: a newer release was marked good"
    )]
    BelowFloor { security_version: u64, floor: u64 },
    #[error("floor: expected the nv index {index:#x} of a machine with sealed secrets, found {found}")]
    FloorMissing { index: u32, found: &'static str },
    #[error("secret tpm.owner: expected {expected} bytes, found {found}")]
    OwnerSecret { expected: usize, found: usize },
    #[error(
        "tpm owner: expected its sealed authorisation in /bennu/secrets/tpm.owner.sealed on the ESP, found none; \
         nothing can be pinned in this TPM without it"
    )]
    OwnerUnknown,
    #[error("tpm owner: {0}")]
    Owner(bennu_tpm::TpmError),
    #[error("state volume: expected one partition labelled `state` on the boot disk, found none or several")]
    StateNoPartition,
    #[error("{}", .0.reason)]
    StateRefused(Failure),
    #[error("state volume: {0}")]
    StateHeader(String),
    #[error("state volume: {0}")]
    StateIo(std::io::Error),
    #[error("state volume: {0}")]
    StateMount(linux::mount::MountError),
    #[error("state volume: {0}")]
    StateGrow(String),
    #[error("state volume: {0}")]
    StateDevice(linux::dm::DmError),
    #[error("{0}")]
    StateSchema(DecodeError),
    #[error("state volume: kept files of /etc: {0}")]
    Identity(std::io::Error),
    #[error("{0}")]
    FirstBoot(#[from] bennu_policy::verify::first_boot::FirstBootRefusal),
    #[error("first-boot configuration: time_zone: expected a zone that the image has, found {0}")]
    FirstBootZone(String),
    #[error("state volume: {0}")]
    StateKeyring(linux::keyring::KeyringError),
    #[error("state volume: pin: {0}")]
    StatePin(bennu_tpm::GuardedError),
    #[error("state volume: template: {0}")]
    StateTemplateRead(linux::bounded::ReadError),
    #[error("{0}")]
    StateTemplate(DecodeError),
    #[error("escrow: {0}")]
    Escrow(bennu_age::EncryptError),
    #[error("{0}")]
    Restart(linux::reboot::RebootError),
    #[error("consoles: {0}")]
    Consoles(std::io::Error),
    #[error("state volume: expected its PIN, found nobody who types it")]
    PinDeclined,
    #[error(
        "state volume: the tpm takes no pin: {wrong} wrong ones were counted, of at most {tries}; it forgets one every {} min \
         while the machine is on", .interval_s.div_ceil(60)
    )]
    PinLockout { wrong: u32, tries: u32, interval_s: u32 },
    #[error(
        "state volume: expected a sealed key that demands {missing}, as this image does, found one that does not"
    )]
    StateConditions { missing: &'static str },
    #[error("secret {name}: no volume key to guard it with")]
    Unguarded { name: String },
    #[error("factory reset: {0}")]
    ResetVariable(linux::efivars::EfiVarError),
    #[error("factory reset: {0}")]
    ResetClear(bennu_tpm::TpmError),
    #[error("factory reset: old secret {name}: {source}")]
    ResetAlive {
        name: String,
        source: bennu_tpm::StillAlive,
    },
    #[error("factory reset: state partition: {0}")]
    ResetErase(std::io::Error),
    #[error("secret: no random bytes: {0}")]
    Random(String),
    #[error("{0}")]
    Measured(bennu_tpm::UnsealError),
    #[error("latch: expected the TPM to refuse {0} for its PCRs, found that it does not")]
    LatchOpen(String),
    #[error("latch: expected the TPM to refuse for its PCRs, found: {0}")]
    LatchUnclear(bennu_tpm::UnsealError),
    #[error("ima policy: {0}")]
    ImaRead(linux::bounded::ReadError),
    #[error("{0}")]
    ImaLoad(linux::ima::ImaError),
    #[error("ima policy: {0}")]
    ImaLook(std::io::Error),
    #[error(
        "ima policy: expected the kernel to take no other one, found that it does: it dropped these rules, or its \
         policy can be replaced at any time"
    )]
    ImaNotFinal,
    #[error("{path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("hand-over record: {0}")]
    Handover(serde_json::Error),
    #[error(
        "root: expected an init program at one of /sbin/init, /usr/lib/systemd/systemd, /init, found none"
    )]
    NoInit,
    #[error("{0}")]
    SwitchRoot(#[from] linux::switch_root::SwitchRootError),
}

impl InitError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::ApiMount(_) => Code::ApiMount,
            Self::TrustRead(_) | Self::TrustFormat(_) => Code::Trust,
            Self::ModuleList(_) | Self::Modaliases(_) | Self::ModuleLoad(_) => Code::Module,
            Self::CmdlineRead(_) | Self::Cmdline(_) => Code::Cmdline,
            Self::EfiVariable(_) | Self::NoLoaderDevice | Self::NoBootDisk(..) | Self::Block(_) => {
                Code::BootDisk
            }
            Self::SecureBootOff { .. } => Code::SecureBootOff,
            Self::DuplicatePartition { .. } => Code::DuplicatePartition,
            Self::SlotMissing { .. } => Code::SlotMissing,
            Self::EspMount(_) | Self::Esp(_) => Code::Esp,
            Self::GivenUp(failure) => failure.code,
            Self::ManifestRead(_) | Self::VeritySig(_) => Code::ManifestFormat,
            Self::Manifest(refusal) => refusal.code(),
            Self::ManifestVersion { .. } | Self::RootIdentity { .. } => Code::RootIdentity,
            Self::PolicyKey { .. } => Code::ManifestPolicy,
            Self::VerityParams(_) | Self::VerityTable(_) => Code::VerityTable,
            Self::VeritySignature(_) | Self::VerityKey(_) => Code::VeritySignature,
            Self::VerityReadBack(_) => Code::VerityReadBack,
            Self::VerityCorrupt { .. } => Code::VerityCorrupt,
            Self::RootRead { .. } => Code::RootIo,
            Self::RootMount(_) => Code::RootMount,
            Self::TpmMissing(_) => Code::TpmMissing,
            Self::TpmExtend(_) | Self::TpmRead(_) => Code::TpmExtend,
            Self::TpmBank { .. } | Self::TpmUnmeasured { .. } => Code::TpmBank,
            Self::StateNoPartition => Code::StateMissing,
            Self::StateRefused(failure) => failure.code,
            Self::StateHeader(_) => Code::StateHeader,
            Self::StateSchema(_) => Code::StateSchema,
            Self::FirstBoot(refusal) => refusal.code(),
            Self::FirstBootZone(_) => Code::FirstBootFormat,
            Self::Identity(_)
            | Self::StateIo(_)
            | Self::StateMount(_)
            | Self::StateGrow(_)
            | Self::StateDevice(_)
            | Self::StateKeyring(_) => Code::StateAccess,
            Self::StatePin(error) => floor_code(error),
            // A recipient that nothing can be encrypted to came with the trust configuration.
            Self::StateTemplateRead(_) | Self::StateTemplate(_) | Self::Escrow(_) => Code::Trust,
            Self::Consoles(_) | Self::PinDeclined => Code::StatePin,
            Self::PinLockout { .. } => Code::TpmLockout,
            Self::StateConditions { .. } => Code::StateConditions,
            Self::Unguarded { .. } => Code::Internal,
            Self::ResetVariable(_) | Self::ResetClear(_) | Self::ResetAlive { .. } | Self::ResetErase(_) => {
                Code::FactoryReset
            }
            Self::BelowFloor { .. } => Code::BelowFloor,
            Self::FloorMissing { .. } => Code::FloorMissing,
            Self::Floor(error) => floor_code(error),
            Self::Owner(error) if error.base_code() == Some(bennu_tpm::ResponseCode::BAD_AUTH) => {
                Code::TpmOwned
            }
            Self::OwnerUnknown => Code::TpmOwned,
            Self::Owner(_) => Code::FloorAccess,
            Self::SecretBlob { .. } | Self::OwnerSecret { .. } => Code::SecretBlob,
            Self::SecretSeal { .. } | Self::Random(_) => Code::SecretSeal,
            Self::SecretUnseal {
                source: bennu_tpm::UnsealError::PcrMismatch { .. },
                ..
            }
            | Self::Measured(bennu_tpm::UnsealError::PcrMismatch { .. }) => Code::PcrUnexpected,
            Self::Measured(_) => Code::TpmExtend,
            Self::SecretUnseal {
                source: bennu_tpm::UnsealError::SecureBootChanged { .. },
                ..
            } => Code::StateSecureBoot,
            Self::SecretUnseal { .. } => Code::SecretUnseal,
            Self::LatchOpen(_) | Self::LatchUnclear(_) => Code::LatchOpen,
            Self::ImaRead(_) | Self::ImaLoad(_) | Self::ImaLook(_) | Self::ImaNotFinal => Code::ImaPolicy,
            Self::Write { .. } | Self::Handover(_) | Self::Restart(_) => Code::Internal,
            Self::NoInit | Self::SwitchRoot(_) => Code::SwitchRoot,
        }
    }

    /// For the boot record and the screen.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), &self.to_string())
    }
}

fn floor_code(error: &bennu_tpm::GuardedError) -> Code {
    use bennu_tpm::{GuardedError, UnsealError};
    match error {
        GuardedError::Foreign { .. } => Code::FloorForeign,
        GuardedError::Owned { .. } => Code::TpmOwned,
        // What the same finding is called when a secret meets it.
        GuardedError::SrkDiffers { .. } => Code::SecretUnseal,
        GuardedError::Policy(UnsealError::NvConditionFailed { .. }) => Code::BelowFloor,
        GuardedError::Policy(UnsealError::PcrMismatch { .. }) => Code::PcrUnexpected,
        GuardedError::Policy(_) | GuardedError::Tpm(_) => Code::FloorAccess,
    }
}
