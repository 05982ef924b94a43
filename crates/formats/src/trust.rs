//! The initrd's trust configuration: whom `bennu-init` believes, and what it does with the TPM.
//!
//! Written by `bennu build` into the initrd (so it is signed with the UKI and measured in PCR 11), read by
//! `bennu-init`, which has no other source of keys.

use crate::decode::{DecodeError, Document};
use crate::digest::hex_bytes;
use crate::escrow::EscrowKey;
use crate::identity::IdentityRule;
use crate::manifest::Architecture;
use crate::names::{ImageId, ImageVersion, ReleaseName};
use serde::{Deserialize, Serialize};

/// A raw ed25519 public key (RFC 8032), 32 bytes, hex in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseKey(#[serde(with = "hex_bytes")] pub Vec<u8>);

/// A secret that is made on first boot, sealed to the TPM and unsealed at each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// File name in `/run/secrets`: 1–32 characters of `[a-z0-9-]`.
    pub name: String,
    /// Length in bytes, 16 to 64 (a TPM seals 128 at most).
    pub bytes: u32,
}

impl SecretSpec {
    /// Whether the name can be a file name and the length can be sealed.
    pub fn is_well_formed(&self) -> bool {
        (1..=32).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && (16..=64).contains(&self.bytes)
    }
}

/// What happens on a machine whose firmware does not enforce Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBootRule {
    /// The slot is refused.
    Required,
    /// The slot starts, and status says so. For machines without Secure Boot keys of ours.
    UnprotectedWithoutSecureBoot,
}

/// Whether the machine keeps anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateRule {
    /// `/var` is gone with the power.
    Volatile,
    /// `/var` lies on a LUKS2 volume whose key is sealed to the TPM.
    Encrypted,
}

/// Who gets the recovery key of a new state volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryRule {
    /// Whoever reads the console at the first start.
    Console,
    /// Whoever has the other half of this key; it is not shown.
    Escrow(EscrowKey),
}

/// Whether the state volume's key takes a PIN besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinRule {
    /// None: the machine starts with nobody in front of it.
    None,
    /// One is chosen at the first start and asked for at each later one.
    Required,
}

/// Whether the state volume's key is sealed to PCR 7 besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBootBinding {
    /// No: a change of keys, db or dbx costs nothing.
    Free,
    /// Yes: after such a change the recovery key is needed.
    Bound,
}

/// Whether somebody in front of a halted machine may reset it to its factory state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScreenResetRule {
    /// Whoever types both confirmations.
    Offered,
    /// Nobody: the recovery screen reads no key.
    Never,
}

/// What this image demands of a machine on top of the signed policy, and what somebody in front of it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalRule {
    /// PIN.
    pub pin: PinRule,
    /// PCR 7.
    pub secure_boot: SecureBootBinding,
    /// Factory reset at the recovery screen.
    pub screen_reset: ScreenResetRule,
}

impl LocalRule {
    /// Whether the volume key demands more than the signed policy.
    pub fn guards(&self) -> bool {
        self.pin == PinRule::Required || self.secure_boot == SecureBootBinding::Bound
    }
}

/// The trust configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustConfig {
    /// Schema number; 1.
    pub schema: u32,
    /// The only image id that this initrd starts.
    pub image_id: ImageId,
    /// The release that this initrd belongs to: names its boot entry before any manifest is read.
    pub version: ImageVersion,
    /// The only architecture.
    pub architecture: Architecture,
    /// Release keys.
    pub release_keys: Vec<ReleaseKey>,
    /// How many different release keys must have signed.
    pub release_threshold: u32,
    /// Modulus of the RSA-2048 TPM policy key (exponent 65537), 256 bytes, big-endian.
    #[serde(with = "hex_bytes")]
    pub tpm_policy_modulus: Vec<u8>,
    /// What to do without Secure Boot.
    pub secure_boot: SecureBootRule,
    /// Secrets.
    pub secrets: Vec<SecretSpec>,
    /// State volume.
    pub state: StateRule,
    /// Its recovery key.
    pub recovery: RecoveryRule,
    /// What its key demands besides.
    pub local: LocalRule,
    /// Keys whose debug tokens count; none means that no token ever does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub debug_keys: Vec<ReleaseKey>,
    /// Lowest `state_schema` whose releases can read what this one keeps.
    pub state_readable_from: u32,
    /// What is kept of `/etc`.
    pub identity: IdentityRule,
    /// Keys that sign first-boot configurations; none: no such file is accepted.
    pub configuration_keys: Vec<ReleaseKey>,
    /// Starts that a slot gets without becoming healthy before the other one is taken.
    pub max_attempts: u32,
}

impl TrustConfig {
    /// The release that this initrd belongs to.
    pub fn release(&self) -> ReleaseName {
        ReleaseName {
            image_id: self.image_id.clone(),
            version: self.version.clone(),
        }
    }
}

impl Document for TrustConfig {
    const NAME: &'static str = "trust configuration";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if !(1..=16).contains(&self.release_keys.len()) || self.release_keys.iter().any(|k| k.0.len() != 32) {
            return Err(Self::bad_value(
                "release_keys",
                "1 to 16 keys of 32 bytes",
                self.release_keys.len(),
            ));
        }
        if !(1..=self.release_keys.len() as u32).contains(&self.release_threshold) {
            return Err(Self::bad_value(
                "release_threshold",
                "1 to the number of keys",
                self.release_threshold,
            ));
        }
        if self.tpm_policy_modulus.len() != 256 {
            return Err(Self::bad_value(
                "tpm_policy_modulus",
                "256 bytes",
                self.tpm_policy_modulus.len(),
            ));
        }
        if let Some(wrong) = self.secrets.iter().find(|s| !s.is_well_formed()) {
            return Err(Self::bad_value(
                "secrets",
                "name of [a-z0-9-], 16 to 64 bytes",
                format!("{wrong:?}"),
            ));
        }
        if self.local.guards() && self.state == StateRule::Volatile {
            return Err(Self::bad_value(
                "local",
                "a pin or a binding only with an encrypted state volume",
                format!("{:?}", self.local),
            ));
        }
        if self.secrets.len() > 16 {
            return Err(Self::bad_value("secrets", "at most 16", self.secrets.len()));
        }
        let keys = self.debug_keys.len();
        if keys > crate::debug_token::MAX_KEYS || self.debug_keys.iter().any(|k| k.0.len() != 32) {
            return Err(Self::bad_value("debug_keys", "at most 4 keys of 32 bytes", keys));
        }
        if !self.identity.is_bounded() {
            return Err(Self::bad_value(
                "identity",
                "at most 16 classes and 64 paths",
                self.identity.paths.len(),
            ));
        }
        let keys = &self.configuration_keys;
        if keys.len() > 16 || keys.iter().any(|k| k.0.len() != 32) {
            return Err(Self::bad_value(
                "configuration_keys",
                "at most 16 keys of 32 bytes",
                keys.len(),
            ));
        }
        if !(1..=9).contains(&self.max_attempts) {
            return Err(Self::bad_value("max_attempts", "1 to 9", self.max_attempts));
        }
        Ok(())
    }
}
