//! Names of files that two programs must agree on.

/// In the initrd: whom to trust ([`crate::trust::TrustConfig`]). Written by `bennu build`, measured in PCR 11
/// with the rest of `.initrd`, read by `bennu-init`.
pub const INITRD_TRUST: &str = "/etc/bennu/trust.json";
/// In the initrd: kernel modules and their order. Written by `bennu build`, read by `bennu-init`.
pub const INITRD_MODULE_LIST: &str = "/lib/modules/list";

/// On the ESP: the boot loader's directory of UKIs (UAPI.1, type 2).
pub const ESP_UKI_DIRECTORY: &str = "EFI/Linux";
/// On the ESP: our own directory. Everything in it is untrusted, length-limited input.
pub const ESP_BENNU_DIRECTORY: &str = "bennu";
/// On the ESP: the boot record ([`crate::boot_record::BootRecord`]), first copy.
pub const ESP_BOOT_RECORD: &str = "bennu/boot-record.json";
/// On the ESP: its second copy, which is written first.
pub const ESP_BOOT_RECORD_2: &str = "bennu/boot-record.2.json";
/// On the ESP: the log of the last start that failed ([`crate::failure_log`]), for people.
pub const ESP_FAILURE_LOG: &str = "bennu/last-failure.log";
/// On the ESP: one sealed secret a file, named `<secret>.sealed`.
pub const ESP_SECRETS_DIRECTORY: &str = "bennu/secrets";
/// Name, among the sealed secrets, of the TPM's owner and lockout authorisations. No secret of an image can have
/// it: their names have no dot.
pub const OWNER_SECRET: &str = "tpm.owner";
/// Name, among the sealed secrets, of the state volume's key.
pub const STATE_SECRET: &str = "state.volume";
/// In the initrd: the empty file system of the state volume ([`crate::state::VolumeTemplate`]).
pub const INITRD_STATE_TEMPLATE: &str = "/etc/bennu/state.template";
/// In the running system: where the state volume is mounted.
pub const RUN_STATE: &str = "/run/bennu/state";
/// File name suffix of a sealed secret.
pub const SEALED_SUFFIX: &str = ".sealed";

/// In the running system: what bennu-init did ([`crate::handover::Handover`]).
pub const RUN_HANDOVER: &str = "/run/bennu/boot.json";
/// In the running system: the event log of everything we extended, CEL-JSON, one record a line.
pub const RUN_EVENT_LOG: &str = "/run/bennu/tpm2-measure.log";
/// In the running system: unsealed secrets (ramfs, 0700).
pub const RUN_SECRETS: &str = "/run/secrets";
/// In the root image: health checks and tries ([`crate::health::HealthConfig`]).
pub const ROOT_HEALTH: &str = "/usr/lib/bennu/health.json";
/// In the root image: what every other file of it is (`docs/spec/golden-index.md`).
pub const ROOT_GOLDEN_INDEX: &str = "/usr/lib/bennu/golden.idx";
/// In the running system: `bennud`'s state for `bennuctl` ([`crate::health::HealthReport`]).
pub const RUN_HEALTH: &str = "/run/bennu/health.json";
