//! Image ids, versions and UKI file names: the words that name a slot.

use crate::version;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A name that breaks the rules of os-release, GPT labels or the Boot Loader Specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Image id of the wrong shape.
    #[error("image id: expected 1 to 16 characters of [a-z0-9.-] beginning with a letter, found `{0}`")]
    ImageId(String),
    /// Image version of the wrong shape.
    #[error(
        "image version: expected 1 to 17 characters of [A-Za-z0-9.~^-] beginning with a digit or letter, found `{0}`"
    )]
    ImageVersion(String),
    /// A file name that is not one of ours.
    #[error("UKI file name: expected <image id>_<version>[+<left>[-<done>]].efi, found `{0}`")]
    UkiFileName(String),
}

/// `IMAGE_ID` of os-release: 1–16 characters of `[a-z0-9.-]`, no `_` (which separates id and version in
/// labels). With the version's 17 and the `_` it fits a GPT label's 36 UTF-16 units with two to spare.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

/// `IMAGE_VERSION` of os-release: 1–17 characters of `[A-Za-z0-9.~^-]`, ordered by UAPI.10.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageVersion(String);

impl FromStr for ImageId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let shape = (1..=16).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        if shape {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ImageId(text.to_owned()))
        }
    }
}

impl FromStr for ImageVersion {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let shape = (1..=17).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'~' | b'^' | b'-'));
        if shape {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ImageVersion(text.to_owned()))
        }
    }
}

macro_rules! string_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}
string_type!(ImageId);
string_type!(ImageVersion);

impl PartialOrd for ImageVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ImageVersion {
    /// UAPI.10 order, ties broken by the text so that the order is total.
    fn cmp(&self, other: &Self) -> Ordering {
        version::compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

/// An image and one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseName {
    /// Image id.
    pub image_id: ImageId,
    /// Image version.
    pub version: ImageVersion,
}

impl fmt::Display for ReleaseName {
    /// `<image id> <version>`, as people read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.image_id, self.version)
    }
}

/// Label of a slot's partitions: `<image id>_<version>` (UAPI.3, sysupdate.d).
pub fn slot_label(id: &ImageId, version: &ImageVersion) -> String {
    format!("{id}_{version}")
}

/// Label of an empty slot (sysupdate.d(5)).
pub const EMPTY_SLOT_LABEL: &str = "_empty";

/// Tries of a boot entry (UAPI.1, boot counting).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootCounter {
    /// Tries left. 0 = bad: sorted last by systemd-boot.
    pub tries_left: u32,
    /// Tries done since the counter was armed.
    pub tries_done: u32,
}

/// `<image id>_<version>[+<left>[-<done>]].efi` in `EFI/Linux` (UAPI.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UkiFileName {
    /// Image id.
    pub image_id: ImageId,
    /// Image version.
    pub version: ImageVersion,
    /// Counter; `None` where the name has none (then systemd-boot does not count).
    pub counter: Option<BootCounter>,
}

impl UkiFileName {
    /// The name with `tries_left` tries and none done: freshly flashed, or marked good.
    pub fn armed(&self, tries_left: u32) -> Self {
        Self {
            counter: Some(BootCounter {
                tries_left,
                tries_done: 0,
            }),
            ..self.clone()
        }
    }

    /// The name of a bad entry: no tries left, those done kept.
    pub fn bad(&self) -> Self {
        let tries_done = self.counter.map_or(1, |c| c.tries_done.max(1));
        Self {
            counter: Some(BootCounter {
                tries_left: 0,
                tries_done,
            }),
            ..self.clone()
        }
    }
}

impl fmt::Display for UkiFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.image_id, self.version)?;
        if let Some(counter) = self.counter {
            write!(f, "+{}-{}", counter.tries_left, counter.tries_done)?;
        }
        f.write_str(".efi")
    }
}

impl FromStr for UkiFileName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError::UkiFileName(text.chars().take(100).collect());
        let stem = text.strip_suffix(".efi").ok_or_else(refuse)?;
        let (name, counter) = match stem.split_once('+') {
            None => (stem, None),
            Some((name, counter)) => {
                let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                let number = |t: &str| {
                    let shape = (1..=3).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
                    if shape {
                        t.parse::<u32>().map_err(|_| refuse())
                    } else {
                        Err(refuse())
                    }
                };
                (
                    name,
                    Some(BootCounter {
                        tries_left: number(left)?,
                        tries_done: number(done)?,
                    }),
                )
            }
        };
        let (id, version) = name.split_once('_').ok_or_else(refuse)?;
        Ok(Self {
            image_id: id.parse().map_err(|_| refuse())?,
            version: version.parse().map_err(|_| refuse())?,
            counter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uki_name_with_a_counter_is_read_and_written() {
        let name: UkiFileName = "demo_2.1+2-1.efi".parse().unwrap();
        assert_eq!(name.version.as_str(), "2.1");
        assert_eq!(
            name.counter,
            Some(BootCounter {
                tries_left: 2,
                tries_done: 1
            })
        );
        assert_eq!(name.to_string(), "demo_2.1+2-1.efi");
        assert_eq!(name.armed(3).to_string(), "demo_2.1+3-0.efi");
        assert_eq!(name.bad().to_string(), "demo_2.1+0-1.efi");
        assert_eq!(
            "demo_2+3.efi".parse::<UkiFileName>().unwrap().to_string(),
            "demo_2+3-0.efi"
        );
    }

    #[test]
    fn names_that_are_not_ours_are_refused() {
        for text in [
            "",
            "demo.efi",
            "demo_2",
            "demo_2+x.efi",
            "demo_2+3-.efi",
            "De_1.efi",
            "a_1+1+1.efi",
        ] {
            assert!(
                matches!(text.parse::<UkiFileName>(), Err(NameError::UkiFileName(_))),
                "{text}"
            );
        }
        assert!("a_b".parse::<ImageId>().is_err());
        assert!("1/2".parse::<ImageVersion>().is_err());
    }

    #[test]
    fn a_label_always_fits_a_gpt_entry() {
        let id: ImageId = "abcdefghijklmnop".parse().unwrap();
        let version: ImageVersion = "1.2.3.4.5.6.7.8.9".parse().unwrap();
        assert!(slot_label(&id, &version).encode_utf16().count() <= 36);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<UkiFileName>();
        }

        #[test]
        fn every_name_survives_a_round_trip(id in "[a-z][a-z0-9.-]{0,15}", v in "[A-Za-z0-9][A-Za-z0-9.~^-]{0,16}",
                                            left in 0u32..999, done in 0u32..999) {
            let name = UkiFileName {
                image_id: id.parse().unwrap(),
                version: v.parse().unwrap(),
                counter: Some(BootCounter { tries_left: left, tries_done: done }),
            };
            prop_assert_eq!(name.to_string().parse::<UkiFileName>().unwrap(), name);
        }
    }
}
