//! Which event made a PCR another value than the policy names, in one sentence.
//!
//! The policy is a release's: PCRs 11, 12, 13 and 15 of the SHA-256 bank, predicted when it was built. The values are
//! the TPM's, the events a log's. The log is believed only about PCRs whose value it gives.

use crate::event::{Event, Origin};
use crate::meaning::{Companion, Meaning};
use crate::replay;
use bennu_formats::Sha256Digest;
use bennu_tpm::HashAlg;
use std::collections::BTreeMap;
use std::fmt;

/// What the release's policy expects at one point of the boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// PCR 11 when systemd-stub has measured the UKI's sections.
    pub sections: Sha256Digest,
    /// Digest of each measured section's content by name; empty where the release does not tell.
    pub section_digests: BTreeMap<String, Sha256Digest>,
    /// The PCRs of the policy, by number.
    pub values: BTreeMap<u8, Sha256Digest>,
}

/// A PCR that has another value than the policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The PCR.
    pub pcr: u8,
    /// Value of the policy.
    pub expected: Sha256Digest,
    /// The TPM's.
    pub found: Sha256Digest,
    /// Why; at least one.
    pub causes: Vec<Cause>,
}

/// Why a PCR has an unexpected value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An add-on to the command line; the path of its file where the firmware's log names one.
    AddonCommandLine(Option<String>),
    /// A command line that was typed, or passed by something that is not the UKI.
    CommandLine(String),
    /// Something that systemd-stub took from the ESP.
    Companion(Companion),
    /// Sections of the UKI: those that differ, or all that were measured where the release's are not known.
    Sections {
        /// Names.
        names: Vec<String>,
        /// Whether these are the ones that differ.
        differ: bool,
    },
    /// Phases that are missing, foreign, or in another order.
    Phases {
        /// What was measured.
        found: Vec<String>,
    },
    /// Another event.
    Event(String),
    /// Nothing was measured where something should be.
    Nothing,
    /// The log gives the expected value and the TPM has another one.
    NotInLog,
    /// The log does not give the TPM's value, and is not whole or not there.
    LogNotWhole,
}

/// Which UKIs on this machine would meet the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This one alone.
    ThisUki,
    /// That cannot be told.
    Unknown,
    /// Every one.
    EveryUki,
}

/// Compares the TPM's values with the policy's and explains each difference with the events. `whole`: both logs are
/// there and were read to their ends.
pub fn judge(
    expected: &Expected,
    actual: &BTreeMap<u8, Sha256Digest>,
    events: &[Event],
    whole: bool,
) -> Vec<Deviation> {
    let mut deviations = Vec::new();
    for (&pcr, &value) in &expected.values {
        let Some(&found) = actual.get(&pcr) else { continue };
        if found != value {
            deviations.push(Deviation {
                pcr,
                expected: value,
                found,
                causes: causes(pcr, expected, value, found, events, whole),
            });
        }
    }
    deviations
}

/// Whether another UKI on this machine would meet what these deviations say.
pub fn other_slot_meets(deviations: &[Deviation]) -> Reach {
    let causes = deviations.iter().flat_map(|deviation| &deviation.causes);
    causes.map(Cause::reach).max().unwrap_or(Reach::Unknown)
}

fn causes(
    pcr: u8,
    expected: &Expected,
    value: Sha256Digest,
    found: Sha256Digest,
    events: &[Event],
    whole: bool,
) -> Vec<Cause> {
    let replayed = sha256(pcr, events);
    if replayed != found {
        return vec![if replayed == value || whole {
            Cause::NotInLog
        } else {
            Cause::LogNotWhole
        }];
    }
    let own: Vec<&Event> = events.iter().filter(|e| e.extends() == Some(pcr)).collect();
    if own.is_empty() {
        return vec![Cause::Nothing];
    }
    match pcr {
        11 => vec![pcr11(expected, &own)],
        _ => foreign(&own, value, events),
    }
}

fn sha256(pcr: u8, events: &[Event]) -> Sha256Digest {
    bytes(replay::value(pcr, HashAlg::Sha256, events).as_bytes())
}

fn bytes(digest: &[u8]) -> Sha256Digest {
    digest.try_into().map_or(Sha256Digest::ZERO, Sha256Digest)
}

/// The sections, or what came after them.
fn pcr11(expected: &Expected, own: &[&Event]) -> Cause {
    let of = |origin| -> Vec<Event> {
        let events = own.iter().filter(|e| e.origin == origin);
        events.map(|e| (*e).clone()).collect()
    };
    let sections = of(Origin::Firmware);
    if sections.is_empty() {
        return Cause::Nothing;
    }
    if sha256(11, &sections) == expected.sections {
        let found = of(Origin::UserSpace).iter().map(|e| e.words()).collect();
        return Cause::Phases { found };
    }
    // The name is measured before the content, and both events are called by it.
    let contents = || sections.iter().skip(1).step_by(2);
    let name = |event: &Event| match &event.meaning {
        Meaning::Section(name) => name.clone(),
        other => other.to_string(),
    };
    let differs = |event: &&Event| {
        let digest = event.digest(HashAlg::Sha256).map(|d| bytes(d.as_bytes()));
        expected.section_digests.get(&name(event)).copied() != digest
    };
    let mut names: Vec<String> = contents().filter(differs).map(name).collect();
    let absent = expected
        .section_digests
        .keys()
        .filter(|known| !contents().any(|event| name(event) == **known));
    names.extend(absent.cloned());
    Cause::Sections {
        names,
        differ: !expected.section_digests.is_empty(),
    }
}

/// The events after those that give the expected value; all of them where none do.
fn foreign(own: &[&Event], value: Sha256Digest, all: &[Event]) -> Vec<Cause> {
    let mut good = 0;
    let mut so_far = replay::initial(own[0].extends().unwrap_or(0), HashAlg::Sha256, all);
    for (count, event) in own.iter().enumerate() {
        if let Some(digest) = event.digest(HashAlg::Sha256) {
            so_far = so_far.extended_with(digest);
        }
        if bytes(so_far.as_bytes()) == value {
            good = count + 1;
        }
    }
    let addons: Vec<&String> = all.iter().filter_map(addon_path).collect();
    let mut addon = addons.iter();
    own.iter()
        .skip(good)
        .map(|event| match &event.meaning {
            Meaning::CommandLine(words) if addons.is_empty() => Cause::CommandLine(words.clone()),
            Meaning::CommandLine(_) => Cause::AddonCommandLine(addon.next().map(|path| (*path).clone())),
            Meaning::Companion(companion) => Cause::Companion(companion.clone()),
            other => Cause::Event(other.to_string()),
        })
        .collect()
}

/// Path of an add-on that the firmware loaded for systemd-stub.
fn addon_path(event: &Event) -> Option<&String> {
    match &event.meaning {
        Meaning::Program(Some(path)) if path.to_ascii_lowercase().ends_with(".addon.efi") => Some(path),
        _ => None,
    }
}

impl Event {
    /// The words of a record of user space; of others what they were.
    pub fn words(&self) -> String {
        match &self.meaning {
            Meaning::Record { words, .. } => words.clone(),
            other => other.to_string(),
        }
    }
}

impl Cause {
    /// Which UKIs would meet it.
    pub fn reach(&self) -> Reach {
        match self {
            Self::AddonCommandLine(Some(path)) => {
                let path = path.to_ascii_lowercase();
                if path.starts_with("\\loader\\addons\\") {
                    Reach::EveryUki
                } else if path.contains(".extra.d\\") {
                    Reach::ThisUki
                } else {
                    Reach::Unknown
                }
            }
            Self::Companion(Companion::GlobalCredentials) => Reach::EveryUki,
            Self::Companion(
                Companion::Credentials | Companion::SystemExtension | Companion::ConfigurationExtension,
            )
            | Self::Sections { .. } => Reach::ThisUki,
            Self::AddonCommandLine(None)
            | Self::Companion(Companion::DeviceTree(_) | Companion::Initrd(_) | Companion::Microcode(_))
            | Self::CommandLine(_)
            | Self::Phases { .. }
            | Self::Event(_)
            | Self::Nothing
            | Self::NotInLog
            | Self::LogNotWhole => Reach::Unknown,
        }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCR {} is not the expected value: ", self.pcr)?;
        for (at, cause) in self.causes.iter().take(2).enumerate() {
            let and = if at == 0 { "" } else { ", " };
            write!(f, "{and}{cause}")?;
        }
        match self.causes.len() {
            0..=2 => Ok(()),
            more => write!(f, " and {} more", more - 2),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddonCommandLine(Some(path)) => write!(f, "a command-line add-on was measured ({path})"),
            Self::AddonCommandLine(None) => f.write_str("a command-line add-on was measured"),
            Self::CommandLine(words) => {
                write!(f, "a command line that is not the UKI's was measured (`{words}`)")
            }
            Self::Companion(
                companion @ (Companion::Credentials | Companion::GlobalCredentials | Companion::Microcode(_)),
            ) => write!(f, "{companion} were measured"),
            Self::Companion(companion) => write!(f, "{companion} was measured"),
            Self::Sections { names, differ: true } => {
                let differ = if names.len() == 1 { "differs" } else { "differ" };
                write!(f, "the UKI's {} {differ} from the release's", names.join(", "))
            }
            Self::Sections { names, differ: false } => {
                write!(
                    f,
                    "the UKI's sections are not the release's ({})",
                    names.join(", ")
                )
            }
            Self::Phases { found } if found.is_empty() => f.write_str("no boot phase was measured"),
            Self::Phases { found } => write!(f, "the boot phases measured were {}", found.join(", ")),
            Self::Event(what) => write!(f, "{what} was measured"),
            Self::Nothing => f.write_str("nothing was measured into it"),
            Self::NotInLog => f.write_str("something was measured that is not in the event log"),
            Self::LogNotWhole => {
                f.write_str("what was measured is not known, the event log is missing or truncated")
            }
        }
    }
}
