//! Which files of `/etc` a machine keeps. Normative text: `docs/spec/identity.md`.
//!
//! The rule is written by `bennu build` into the initrd's trust configuration, so it is signed with the UKI. It is read
//! by `bennu-init`, which carries the files that it admits from one start to the next and nothing else.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most bytes of one file that is kept.
pub const MAX_FILE_BYTES: usize = 64 * 1024;
/// Most bytes of all of them.
pub const MAX_TOTAL_BYTES: usize = 1024 * 1024;
/// Most files.
pub const MAX_FILES: usize = 128;
/// Most entries of one directory that are looked at.
pub const MAX_DIRECTORY_ENTRIES: usize = 4096;
/// Most paths that an image names besides the classes.
pub const MAX_EXTRA_PATHS: usize = 64;
/// Most bytes of a path.
pub const MAX_PATH_BYTES: usize = 255;

/// What kind of thing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityClass {
    /// `machine-id`.
    MachineId,
    /// `ssh/ssh_host_*_key` and its public half.
    SshHostKeys,
    /// `hostname`, `machine-info`.
    Hostname,
    /// Files of systemd-networkd and connections of NetworkManager.
    Network,
    /// `localtime`, `timezone`, `adjtime`.
    TimeZone,
    /// `ssh/authorized_keys.d/<user>`: only where the image asks for it, since who writes there comes back.
    SshAuthorizedKeys,
}

impl IdentityClass {
    /// What an image keeps that does not say.
    pub const DEFAULT: [Self; 5] = [
        Self::MachineId,
        Self::SshHostKeys,
        Self::Hostname,
        Self::Network,
        Self::TimeZone,
    ];

    /// Where its files are.
    pub fn places(self) -> &'static [Place] {
        match self {
            Self::MachineId => &[Place::Single(MACHINE_ID)],
            Self::SshHostKeys => &[Place::Files {
                directory: "ssh",
                prefix: "ssh_host_",
                suffixes: &["_key", "_key.pub"],
            }],
            Self::Hostname => &[Place::Single(HOSTNAME), Place::Single("machine-info")],
            Self::Network => &[
                Place::Files {
                    directory: NETWORK_DIRECTORY,
                    prefix: "",
                    suffixes: &[".network", ".netdev", ".link"],
                },
                Place::Files {
                    directory: "NetworkManager/system-connections",
                    prefix: "",
                    suffixes: &[".nmconnection"],
                },
            ],
            Self::TimeZone => &[
                Place::ZoneLink(LOCALTIME),
                Place::Single("timezone"),
                Place::Single("adjtime"),
            ],
            Self::SshAuthorizedKeys => &[Place::Files {
                directory: AUTHORIZED_KEYS_DIRECTORY,
                prefix: "",
                suffixes: &[""],
            }],
        }
    }
}

/// As it is written in image.toml.
impl fmt::Display for IdentityClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Below `/etc`: the machine's id (machine-id(5)).
pub const MACHINE_ID: &str = "machine-id";
/// Below `/etc`: hostname(5).
pub const HOSTNAME: &str = "hostname";
/// Below `/etc`: localtime(5), a symbolic link.
pub const LOCALTIME: &str = "localtime";
/// Below `/etc`: systemd.network(5).
pub const NETWORK_DIRECTORY: &str = "systemd/network";
/// Below `/etc`: a file of keys a user, for `AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u`.
pub const AUTHORIZED_KEYS_DIRECTORY: &str = "ssh/authorized_keys.d";
/// What a link `/etc/localtime` begins with (localtime(5) asks for the relative one).
pub const ZONE_PREFIXES: [&str; 2] = ["../usr/share/zoneinfo/", "/usr/share/zoneinfo/"];
/// Most bytes of a zone's name.
pub const MAX_ZONE_BYTES: usize = 64;

/// Files of a class; all paths are below `/etc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One regular file.
    Single(&'static str),
    /// A symbolic link to a time zone.
    ZoneLink(&'static str),
    /// The regular files of a directory with such names.
    Files {
        /// The directory.
        directory: &'static str,
        /// What the name begins with.
        prefix: &'static str,
        /// One of these it ends in; something stands between.
        suffixes: &'static [&'static str],
    },
}

impl Place {
    /// Whether `name`, a file of its directory, is one of these.
    pub fn admits_name(&self, name: &str) -> bool {
        let Self::Files { prefix, suffixes, .. } = self else {
            return false;
        };
        let middle = |suffix: &&str| name.strip_prefix(prefix)?.strip_suffix(suffix).map(str::len);
        is_plain(name)
            && suffixes
                .iter()
                .any(|s| middle(s).is_some_and(|length| length > 0))
    }
}

/// A name of one file: printable ASCII, neither hidden nor a step up, and not the rest of an editor's work.
fn is_plain(name: &str) -> bool {
    (1..=MAX_PATH_BYTES).contains(&name.len())
        && name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'/')
        && !name.starts_with('.')
        && !name.ends_with('~')
}

/// A path below `/etc` that an image names, as `chrony/chrony.keys`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcPath(String);

/// Text that is no path of a file below `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path: expected a file below /etc as `/etc/chrony/chrony.keys`, without `..`, found {0}")]
pub struct EtcPathError(String);

impl EtcPath {
    /// The path below `/etc`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EtcPath {
    type Err = EtcPathError;
    fn from_str(text: &str) -> Result<Self, EtcPathError> {
        let below = text
            .strip_prefix("/etc/")
            .filter(|below| text.len() <= MAX_PATH_BYTES && below.split('/').all(is_plain));
        below
            .map(|below| Self(below.to_owned()))
            .ok_or_else(|| EtcPathError(text.chars().take(80).flat_map(char::escape_default).collect()))
    }
}

impl fmt::Display for EtcPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/etc/{}", self.0)
    }
}

impl Serialize for EtcPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EtcPath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an image keeps of `/etc`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityRule {
    /// Classes.
    pub classes: Vec<IdentityClass>,
    /// Single files besides.
    pub paths: Vec<EtcPath>,
}

impl IdentityRule {
    /// Whether the class is kept.
    pub fn keeps(&self, class: IdentityClass) -> bool {
        self.classes.contains(&class)
    }

    /// Every place, classes first.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.classes
            .iter()
            .flat_map(|class| class.places().iter().copied())
    }

    /// Whether there are not too many paths.
    pub fn is_bounded(&self) -> bool {
        self.classes.len() <= 16 && self.paths.len() <= MAX_EXTRA_PATHS
    }
}

/// Whether `text` is a host name (hostname(5)): labels of letters, digits and hyphens, at most 64 bytes.
pub fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 64 && text.split('.').all(label)
}

/// Whether `text` is the name of a time zone, as `Europe/Vienna`; not whether there is one.
pub fn is_zone(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-'))
    };
    text.len() <= MAX_ZONE_BYTES && text.split('/').all(part)
}

/// Whether a link `/etc/localtime` may lead there.
pub fn is_zone_link(target: &str) -> bool {
    ZONE_PREFIXES
        .iter()
        .any(|prefix| target.strip_prefix(prefix).is_some_and(is_zone))
}

/// Whether `bytes` are a machine id (machine-id(5)): 32 lower-case hex digits, not all zero, and a newline or none.
pub fn is_machine_id(bytes: &[u8]) -> bool {
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    digits.len() == 32
        && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && digits.iter().any(|b| *b != b'0')
}

/// What `/etc/machine-id` holds for a random machine id (version 4, RFC 9562).
pub fn machine_id_text(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    format!("{}\n", hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn admits(class: IdentityClass, directory: &str, name: &str) -> bool {
        class.places().iter().any(|place| {
            matches!(place, Place::Files { directory: d, .. } if *d == directory) && place.admits_name(name)
        })
    }

    #[test]
    fn a_class_admits_its_own_names_and_no_others() {
        use IdentityClass::{Network, SshHostKeys};
        for name in ["ssh_host_ed25519_key", "ssh_host_rsa_key.pub"] {
            assert!(admits(SshHostKeys, "ssh", name), "{name}");
        }
        for name in [
            "ssh_host__key2",
            "ssh_host__key/../x_key",
            "ssh_host__key\n_key",
            "sshd_config",
            "ssh_host_",
            "ssh_host_key",
        ] {
            assert!(!admits(SshHostKeys, "ssh", name), "{name}");
        }
        for name in ["10-lan.network", "br0.netdev", "10 x.link"] {
            assert!(admits(Network, NETWORK_DIRECTORY, name), "{name}");
        }
        for name in [
            ".network",
            "a.conf",
            "a.network~",
            ".hidden.network",
            "..",
            "ü.network",
        ] {
            assert!(!admits(Network, NETWORK_DIRECTORY, name), "{name}");
        }
    }

    #[test]
    fn a_path_stays_below_etc() {
        assert_eq!(
            "/etc/chrony/chrony.keys".parse::<EtcPath>().unwrap().as_str(),
            "chrony/chrony.keys"
        );
        for bad in [
            "/etc/",
            "/etc",
            "etc/x",
            "/usr/x",
            "/etc/../x",
            "/etc/a/../../b",
            "/etc//x",
            "/etc/./x",
            "/etc/a/",
            "/etc/a\n",
            "/etc/.hidden",
        ] {
            assert!(bad.parse::<EtcPath>().is_err(), "{bad:?}");
        }
        let long = format!("/etc/{}", "a".repeat(MAX_PATH_BYTES));
        assert!(long.parse::<EtcPath>().is_err());
    }

    #[test]
    fn a_link_to_a_time_zone_leads_nowhere_else() {
        for good in [
            "../usr/share/zoneinfo/Europe/Vienna",
            "/usr/share/zoneinfo/Etc/GMT+1",
        ] {
            assert!(is_zone_link(good), "{good}");
        }
        for bad in [
            "/etc/shadow",
            "../usr/share/zoneinfo/../../../etc/shadow",
            "../usr/share/zoneinfo/",
            "../usr/share/zoneinfo/a//b",
            "../../usr/share/zoneinfo/UTC",
            "",
        ] {
            assert!(!is_zone_link(bad), "{bad}");
        }
    }

    #[test]
    fn host_names_and_machine_ids_are_told_from_other_words() {
        for good in ["kiosk-7", "a.example.org", &"a".repeat(64)] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(!is_hostname(bad), "{bad:?}");
        }
        assert!(is_machine_id(machine_id_text([0; 16]).as_bytes()));
        assert!(is_machine_id(&[b'a'; 32]));
        for bad in [
            &b""[..],
            b"uninitialized\n",
            &[b'0'; 32],
            &[b'A'; 32],
            &[b'a'; 33],
            &[b'a'; 31],
        ] {
            assert!(!is_machine_id(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_word_panic_or_escape(text in "\\PC{0,300}") {
            if let Ok(path) = text.parse::<EtcPath>() {
                prop_assert!(!path.as_str().split('/').any(|part| part == ".." || part.is_empty()));
            }
            for class in IdentityClass::DEFAULT {
                for place in class.places() {
                    if place.admits_name(&text) {
                        prop_assert!(!text.contains('/'));
                    }
                }
            }
            let _ = (is_zone_link(&text), is_hostname(&text), is_machine_id(text.as_bytes()));
        }
    }
}
