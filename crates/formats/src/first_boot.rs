//! First-boot configuration: what a machine is to be called and how it reaches its network, from the ESP, signed.
//! Normative text: `docs/spec/first-boot.md`.
//!
//! Written by `bennu first-boot sign`; lies on the ESP, where anybody with the disk can write; read by `bennu-init` on a
//! machine's first start only, after `bennu_policy::verify::first_boot` has proven it.

use crate::decode::{DecodeError, Document};
use crate::identity::{self, IdentityClass, IdentityRule, Place};
use crate::names::ImageId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `payloadType` of the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.bennu.first-boot+json";
/// Most network files.
pub const MAX_NETWORK_FILES: usize = 16;
/// Most bytes of a network file.
pub const MAX_NETWORK_BYTES: usize = 16 * 1024;
/// Most users with keys.
pub const MAX_USERS: usize = 8;
/// Most keys of a user.
pub const MAX_KEYS: usize = 16;
/// Most bytes of a key's line.
pub const MAX_KEY_BYTES: usize = 1024;

/// A file of systemd-networkd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Name in `/etc/systemd/network`.
    pub name: String,
    /// Text.
    pub content: String,
}

/// Who may log in as a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKeys {
    /// User; the file in `/etc/ssh/authorized_keys.d` has this name.
    pub user: String,
    /// Lines as sshd(8) reads them.
    pub keys: Vec<String>,
}

/// The UUID by which the firmware names a machine: `8-4-4-4-12` lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineUuid(String);

/// Text that is no [`MachineUuid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("machine: expected a uuid of 8-4-4-4-12 hex digits, found {0} characters")]
pub struct MachineUuidError(usize);

impl FromStr for MachineUuid {
    type Err = MachineUuidError;
    fn from_str(text: &str) -> Result<Self, MachineUuidError> {
        let text = text.trim().to_ascii_lowercase();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        let hex = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        if lengths == [8, 4, 4, 4, 12] && hex {
            Ok(Self(text))
        } else {
            Err(MachineUuidError(text.chars().count()))
        }
    }
}

impl TryFrom<String> for MachineUuid {
    type Error = MachineUuidError;
    fn try_from(text: String) -> Result<Self, MachineUuidError> {
        text.parse()
    }
}

impl From<MachineUuid> for String {
    fn from(uuid: MachineUuid) -> Self {
        uuid.0
    }
}

impl fmt::Display for MachineUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstBoot {
    /// Schema number; 1.
    pub schema: u32,
    /// The only image that it is for.
    pub image_id: ImageId,
    /// The only machine, by the UUID that its firmware reports (SMBIOS type 1); none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUuid>,
    /// Host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Machine id, 32 hex digits; none: a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Time zone, as `Europe/Vienna`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<NetworkFile>,
    /// Keys for ssh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<AuthorizedKeys>,
}

impl Document for FirstBoot {
    const NAME: &'static str = "first-boot configuration";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 64 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if let Some(found) = self.hostname.as_ref().filter(|name| !identity::is_hostname(name)) {
            return bad(
                "hostname",
                "labels of letters, digits, hyphens, at most 64 bytes",
                found,
            );
        }
        if let Some(found) = self
            .machine_id
            .as_ref()
            .filter(|id| !identity::is_machine_id(id.as_bytes()))
        {
            return bad("machine_id", "32 lower-case hex digits", found);
        }
        if let Some(found) = self.time_zone.as_ref().filter(|zone| !identity::is_zone(zone)) {
            return bad("time_zone", "a name as Europe/Vienna", found);
        }
        self.check_network()?;
        self.check_keys()
    }
}

fn bad<T>(member: &'static str, expected: &'static str, found: &str) -> Result<T, DecodeError> {
    let found: String = found.chars().take(80).flat_map(char::escape_default).collect();
    Err(FirstBoot::bad_value(member, expected, found))
}

impl FirstBoot {
    fn check_network(&self) -> Result<(), DecodeError> {
        if self.network.len() > MAX_NETWORK_FILES {
            return bad("network", "at most 16 files", &self.network.len().to_string());
        }
        for (at, file) in self.network.iter().enumerate() {
            if !is_network_name(&file.name) {
                return bad(
                    "network.name",
                    "a name that ends in .network, .netdev or .link",
                    &file.name,
                );
            }
            if file.content.len() > MAX_NETWORK_BYTES || file.content.contains('\0') {
                return bad("network.content", "at most 16384 bytes of text", &file.name);
            }
            if self.network[..at].iter().any(|earlier| earlier.name == file.name) {
                return bad("network.name", "each name once", &file.name);
            }
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), DecodeError> {
        if self.authorized_keys.len() > MAX_USERS {
            return bad(
                "authorized_keys",
                "at most 8 users",
                &self.authorized_keys.len().to_string(),
            );
        }
        for (at, entry) in self.authorized_keys.iter().enumerate() {
            if !is_user(&entry.user) {
                return bad("authorized_keys.user", "a user's name of [a-z0-9_-]", &entry.user);
            }
            if self.authorized_keys[..at]
                .iter()
                .any(|earlier| earlier.user == entry.user)
            {
                return bad("authorized_keys.user", "each user once", &entry.user);
            }
            if entry.keys.len() > MAX_KEYS || !entry.keys.iter().all(|key| is_key_line(key)) {
                return bad(
                    "authorized_keys.keys",
                    "at most 16 lines of printable ASCII",
                    &entry.user,
                );
            }
        }
        Ok(())
    }

    /// The class of something that it sets and that `rule` does not keep: such a machine would lose it at its next start.
    pub fn not_kept_by(&self, rule: &IdentityRule) -> Option<IdentityClass> {
        [
            (self.hostname.is_some(), IdentityClass::Hostname),
            (self.machine_id.is_some(), IdentityClass::MachineId),
            (self.time_zone.is_some(), IdentityClass::TimeZone),
            (!self.network.is_empty(), IdentityClass::Network),
            (!self.authorized_keys.is_empty(), IdentityClass::SshAuthorizedKeys),
        ]
        .into_iter()
        .find_map(|(set, class)| (set && !rule.keeps(class)).then_some(class))
    }
}

/// Whether systemd-networkd's directory may have a file of this name.
fn is_network_name(name: &str) -> bool {
    let networkd = |place: &&Place| matches!(place, Place::Files { directory, .. } if *directory == identity::NETWORK_DIRECTORY);
    IdentityClass::Network
        .places()
        .iter()
        .filter(networkd)
        .any(|place| place.admits_name(name))
}

fn is_user(name: &str) -> bool {
    let first = name.bytes().next();
    first.is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && name.len() <= 32
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

fn is_key_line(line: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&line.len()) && line.bytes().all(|b| (0x20..0x7f).contains(&b))
}
