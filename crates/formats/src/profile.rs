//! Profiles of units: what a service may start and whom it may connect to ([`ProfileSet`]).
//!
//! Written by people as `profiles/*.toml`, one a unit; compiled by `bennu build` into the verified root, so that the
//! release's signature covers them; read by `bennud`, which loads them into the execution gate. A profile that cannot be
//! read or whose programs the root does not have is a gate that cannot be set up.

use crate::debug_token::UtcDay;
use crate::decode::{DecodeError, Document};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most units with a profile.
pub const MAX_PROFILES: usize = 32;
/// Most programs that a profile allows.
pub const MAX_EXECUTABLES: usize = 32;
/// Most networks that a profile allows.
pub const MAX_NETWORKS: usize = 16;
/// Most Unix sockets that a profile allows.
pub const MAX_SOCKETS: usize = 16;
/// Longest name of a unit in bytes: what the gate compares, with a zero at its end.
pub const MAX_UNIT_BYTES: usize = 63;
/// Longest name of a Unix socket in bytes (unix(7): 108 with the zero at either end).
pub const MAX_SOCKET_BYTES: usize = 107;

/// What happens when a rule is broken, from mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is recorded and happens.
    DryRun,
    /// It is recorded as a warning and happens.
    Warn,
    /// It is recorded and denied.
    Deny,
}

impl Stage {
    /// The number in the gate's maps; zero: there is no rule.
    pub fn number(self) -> u32 {
        match self {
            Self::DryRun => 1,
            Self::Warn => 2,
            Self::Deny => 3,
        }
    }

    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry-run",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// How strictly a rule holds, and from which days on more strictly. It never becomes milder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// From the first start on.
    pub stage: Stage,
    /// From this day on at least [`Stage::Warn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_from: Option<UtcDay>,
    /// From this day on [`Stage::Deny`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny_from: Option<UtcDay>,
}

impl Rule {
    /// Dates that change nothing or come in the wrong order are mistakes.
    fn is_in_order(&self) -> bool {
        let warns = self.warn_from.is_none() || self.stage < Stage::Warn;
        let denies = self.deny_from.is_none() || self.stage < Stage::Deny;
        let order = self
            .warn_from
            .zip(self.deny_from)
            .is_none_or(|(warn, deny)| warn < deny);
        warns && denies && order
    }
}

/// Programs that the unit may start. The one of `ExecStart=` is one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executables {
    /// How strictly.
    pub rule: Rule,
    /// Absolute paths in the root.
    pub allow: Vec<String>,
}

/// A network: an address and the number of its leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// Address; the bits that do not count are zero.
    pub address: IpAddr,
    /// 0–32 or 0–128.
    pub prefix: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an IP address or network like 10.0.0.0/8 or fd00::/8, no bit set behind the prefix, found {0:?}"
)]
pub struct NoNetwork(String);

impl Network {
    /// The address as IPv6, IPv4 mapped (RFC 4291 §2.5.5.2), and the mask of the bits that count.
    pub fn mapped(self) -> ([u8; 16], [u8; 16]) {
        let (address, bits) = match self.address {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped(), u32::from(self.prefix) + 96),
            IpAddr::V6(v6) => (v6, u32::from(self.prefix)),
        };
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        (address.octets(), mask.to_be_bytes())
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let no = || NoNetwork(text.chars().take(60).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| no())?
            }
            Some(_) => return Err(no()),
        };
        let found = Self { address, prefix };
        if prefix > most {
            return Err(no());
        }
        let (bytes, mask) = found.mapped();
        if bytes.iter().zip(mask).any(|(byte, mask)| byte & !mask != 0) {
            return Err(no());
        }
        Ok(found)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// A protocol over IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// IANA's protocol number.
    pub fn number(self) -> u32 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// Where the unit may connect or send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedNetwork {
    /// Addresses.
    pub to: Network,
    /// First and last port; missing: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<(u16, u16)>,
    /// Missing: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// A Unix socket, by the name that its server bound it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllowedSocket {
    /// In the file system.
    Path(String),
    /// In the abstract name space, without the leading zero.
    Abstract(String),
}

/// Whom the unit connects to; whatever is not named is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// How strictly.
    pub rule: Rule,
    /// Over IP.
    #[serde(default)]
    pub network: Vec<AllowedNetwork>,
    /// Unix sockets.
    #[serde(default)]
    pub socket: Vec<AllowedSocket>,
}

/// What one unit may do. A rule that is missing allows everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The unit: the name of its cgroup's directory, `web.service`.
    pub unit: String,
    /// No shells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_shells: Option<Rule>,
    /// No TCP sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_tcp: Option<Rule>,
    /// No programs but these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executables: Option<Executables>,
    /// No connections but these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connect>,
    /// Programs (absolute paths in the root) that may make memory executable in this unit and, unless the image's gate gives
    /// them that right, nowhere else: just-in-time compilers. An exemption, not a rule: it allows nobody to be started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anonymous_exec: Vec<String>,
}

impl Profile {
    /// The rules in the order of the gate's `RULE_…`: shells, executables, connect, TCP.
    pub fn rules(&self) -> [Option<Rule>; 4] {
        [
            self.no_shells,
            self.executables.as_ref().map(|part| part.rule),
            self.connect.as_ref().map(|part| part.rule),
            self.no_tcp,
        ]
    }

    /// What is wrong with it: what was expected, and what was found.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let unit = &self.unit;
        let is_unit = !unit.is_empty() && unit.len() <= MAX_UNIT_BYTES;
        if !is_unit || !unit.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
            return Some(("a unit's name of 1 to 63 characters", unit.clone()));
        }
        if self.rules().into_iter().flatten().any(|rule| !rule.is_in_order()) {
            return Some((
                "days that make a rule stricter, warn_from before deny_from",
                unit.clone(),
            ));
        }
        let executables = self.executables.iter().flat_map(|part| &part.allow);
        let mut paths = executables.clone().chain(&self.anonymous_exec);
        if let Some(path) = paths.find(|path| !path.starts_with('/') || path.len() > 255) {
            return Some(("absolute paths of at most 255 bytes", path.clone()));
        }
        if executables.count() > MAX_EXECUTABLES || self.anonymous_exec.len() > MAX_EXECUTABLES {
            return Some(("at most 32 programs", unit.clone()));
        }
        self.connect.as_ref().and_then(Connect::fault)
    }
}

impl Connect {
    fn fault(&self) -> Option<(&'static str, String)> {
        if self.network.len() > MAX_NETWORKS || self.socket.len() > MAX_SOCKETS {
            let found = format!("{} and {}", self.network.len(), self.socket.len());
            return Some(("at most 16 networks and 16 sockets", found));
        }
        if let Some(ports) = self.network.iter().filter_map(|n| n.ports).find(|p| p.0 > p.1) {
            return Some(("the lower port first", format!("{}, {}", ports.0, ports.1)));
        }
        let mut names = self.socket.iter().map(|socket| match socket {
            AllowedSocket::Path(name) | AllowedSocket::Abstract(name) => name,
        });
        names
            .find(|name| name.is_empty() || name.len() > MAX_SOCKET_BYTES || name.contains('\0'))
            .map(|name| ("names of sockets of 1 to 107 bytes", name.clone()))
    }
}

/// `/usr/lib/bennu/profiles.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSet {
    /// Schema number; 1.
    pub schema: u32,
    /// The build's day: a clock that says an earlier one is wrong.
    pub built: UtcDay,
    /// Profiles, each unit once.
    pub profiles: Vec<Profile>,
}

impl Document for ProfileSet {
    const NAME: &'static str = "profiles of units";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 512 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if self.profiles.len() > MAX_PROFILES {
            return Err(Self::bad_value("profiles", "at most 32", self.profiles.len()));
        }
        let mut units: Vec<&str> = self.profiles.iter().map(|p| p.unit.as_str()).collect();
        units.sort_unstable();
        if let Some(twice) = units.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Self::bad_value("profiles", "each unit once", twice[0]));
        }
        match self.profiles.iter().find_map(Profile::fault) {
            Some((expected, found)) => Err(Self::bad_value("profiles", expected, found)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
