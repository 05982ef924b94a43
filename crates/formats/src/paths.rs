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
/// On the ESP: what the firmware measured at the last good start ([`crate::firmware_record::FirmwareRecord`]).
pub const ESP_FIRMWARE_RECORD: &str = "bennu/firmware-record.json";
/// On the ESP: the recovery key of the state volume, encrypted to the image's escrow key (age v1, armored). Written by
/// `bennu-init` when it makes the volume, copied by `bennuctl`, read by whoever has the escrow key's other half.
pub const ESP_RECOVERY_BLOB: &str = "bennu/recovery.age";
/// On the ESP: one sealed secret a file, named `<secret>.sealed`.
pub const ESP_SECRETS_DIRECTORY: &str = "bennu/secrets";
/// Name, among the sealed secrets, of the TPM's owner and lockout authorisations. No secret of an image can have
/// it: their names have no dot.
pub const OWNER_SECRET: &str = "tpm.owner";
/// Name, among the sealed secrets, of the state volume's key.
pub const STATE_SECRET: &str = "state.volume";
/// On the ESP: a debug token ([`crate::debug_token`]). Written by people, read by `bennu-init`.
pub const ESP_DEBUG_TOKEN: &str = "bennu/debug-token.json";
/// On the ESP: the wish for a factory reset ([`crate::factory_reset`]). Written by `bennuctl`, read by `bennu-init`.
pub const ESP_FACTORY_RESET: &str = "bennu/factory-reset.request";
/// In the initrd: IMA rules that are loaded before the root starts; no file where the image wants none.
pub const INITRD_IMA_POLICY: &str = "/etc/bennu/ima-policy";
/// In the initrd: the empty file system of the state volume ([`crate::state::VolumeTemplate`]).
pub const INITRD_STATE_TEMPLATE: &str = "/etc/bennu/state.template";
/// On the ESP: the signed first-boot configuration ([`crate::first_boot`]).
pub const ESP_FIRST_BOOT: &str = "bennu/first-boot.json";
/// On the state volume: what is kept of `/etc` ([`crate::identity`]).
pub const STATE_IDENTITY: &str = "identity";
/// In the running system: where the state volume is mounted.
pub const RUN_STATE: &str = "/run/bennu/state";
/// File name suffix of a sealed secret.
pub const SEALED_SUFFIX: &str = ".sealed";

/// On the ESP: action certificates, `<prefix><place, 0 to 7>.json`. Written by `bennud`, read by it and `bennuctl`.
pub const ESP_CERTIFICATE_PREFIX: &str = "bennu/certificate-";

/// In the running system: what bennu-init did ([`crate::handover::Handover`]).
pub const RUN_HANDOVER: &str = "/run/bennu/boot.json";
/// In the running system: the event log of everything we extended, CEL-JSON, one record a line.
pub const RUN_EVENT_LOG: &str = "/run/bennu/tpm2-measure.log";
/// In the running system: the same records at the beginning of the log that systemd's own programs append to and
/// read (systemd 257; Debian 12's 252 knows no such log).
pub const RUN_SYSTEMD_EVENT_LOG: &str = "/run/log/systemd/tpm2-measure.log";
/// In the running system: the firmware's event log with everything we extended behind it, in the firmware's form; no
/// file where the firmware's log cannot be read.
pub const RUN_MEASUREMENTS: &str = "/run/bennu/measurements.bin";
/// In the running system: unsealed secrets (ramfs, 0700).
pub const RUN_SECRETS: &str = "/run/secrets";
/// In the running system: there at a start with an accepted debug token only, for `ConditionPathExists=`.
pub const RUN_DEBUG: &str = "/run/bennu/debug";
/// In the running system: the key that makes a wish for a factory reset count, 32 bytes, 0400.
pub const RUN_RESET_KEY: &str = "/run/bennu/factory-reset.key";
/// In the running system: a factory reset that was confirmed once, 0600.
pub const RUN_RESET_PENDING: &str = "/run/bennu/factory-reset.pending";
/// In the root image: health checks and tries ([`crate::health::HealthConfig`]).
pub const ROOT_HEALTH: &str = "/usr/lib/bennu/health.json";
/// In the root image: what is done about drift ([`crate::drift::DriftConfig`]).
pub const ROOT_DRIFT: &str = "/usr/lib/bennu/drift.json";
/// In the root image: what every other file of it is (`docs/spec/golden-index.md`).
pub const ROOT_GOLDEN_INDEX: &str = "/usr/lib/bennu/golden.idx";
/// In the running system: `bennud`'s state for `bennuctl` ([`crate::health::HealthReport`]).
pub const RUN_HEALTH: &str = "/run/bennu/health.json";
/// In the root image: what the execution gate does ([`crate::gate::GateConfig`]). Missing: there is no gate.
pub const ROOT_GATE: &str = "/usr/lib/bennu/gate.json";
/// In the root image: an empty directory, where the gate's pins are mounted (bpffs).
pub const ROOT_GATE_PINS: &str = "/usr/lib/bennu/gate";
/// In the root image: profiles of units ([`crate::profile::ProfileSet`]). Missing: there are none.
pub const ROOT_PROFILES: &str = "/usr/lib/bennu/profiles.json";
/// In the running system: the trace, one [`crate::trace::TraceLine`] a line.
pub const VAR_TRACE: &str = "/var/log/bennu/trace.jsonl";
/// In the running system: what became of the trace's records ([`crate::trace::TraceReport`]).
pub const RUN_TRACE: &str = "/run/bennu/trace.json";
/// In the running system: what the gate denied ([`crate::gate::GateReport`]).
pub const RUN_GATE: &str = "/run/bennu/gate.json";
/// In the running system: what the watch for drift last saw ([`crate::watch::WatchReport`]).
pub const RUN_WATCH: &str = "/run/bennu/watch.json";
/// On the state volume: the record log, a directory of files of JSON lines (`docs/spec/records.md`), 0700.
pub const STATE_RECORDS: &str = "/var/lib/bennu/records";
/// In the running system: the same where the image keeps no state.
pub const RUN_RECORDS: &str = "/run/bennu/records";
/// Name of the device-mapper device over the state volume. Made by `bennu-init`; `bennud` wipes its key first.
pub const STATE_DEVICE: &str = "bennu-state";

/// On the state volume: action certificates of earlier starts, one a file, 0700.
pub const STATE_CERTIFICATES: &str = "/var/lib/bennu/certificates";
/// In the running system: what `bennud` must not forget when it is started again: budgets and counters, 0644.
pub const RUN_DRIFT_MEMORY: &str = "/run/bennu/drift-memory.json";
/// On the state volume: the latest day that made a profile's rule stricter, `YYYY-MM-DD` and a line feed, 0644.
pub const STATE_PROFILE_DAY: &str = "/var/lib/bennu/profile-day";
/// On the state volume: how `bennud` ended in this start and the one before, 0600.
pub const STATE_AGENT_ENDS: &str = "/var/lib/bennu/agent-ends.json";
/// In the running system: the same where the image keeps no state.
pub const RUN_AGENT_ENDS: &str = "/run/bennu/agent-ends.json";
/// In the root image: where the record log is sent to ([`crate::alerts::AlertConfig`]).
pub const ROOT_ALERTS: &str = "/usr/lib/bennu/alerts.json";
/// On the state volume: how far the record log has been sent.
pub const STATE_ALERT_CURSOR: &str = "/var/lib/bennu-alert/cursor.json";
/// On the state volume: certificate chain and key of this machine for the syslog server, PEM; put there by whoever sets the
/// machine up.
pub const STATE_ALERT_CLIENT: &str = "/var/lib/bennu-alert/client.pem";
/// In the running system, after a State Purge: addresses of the syslog server ([`crate::alerts::PurgedSinks`]), 0644. That it
/// is there says that the state volume is gone: `bennu-alert.service` gives way to `bennu-purged-alert.service`.
pub const RUN_PURGED_SINKS: &str = "/run/bennu/purged-sinks.json";
/// In the running system, after a State Purge: how far [`RUN_RECORDS`] has been sent.
pub const RUN_PURGED_CURSOR: &str = "/run/bennu-purged-alert/cursor.json";
/// In the running system: where `bennud` answers questions.
pub const RUN_CONTROL: &str = "/run/bennu/control.sock";
