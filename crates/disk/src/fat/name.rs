//! Names: long ones, their 8.3 aliases, the volume's label.
//!
//! A long name is stored in slots before the slot of its alias, 13 UTF-16 units each, the last part first; a checksum
//! of the alias ties them together. Source: fatgen103.

use std::collections::BTreeSet;

use super::{SLOT_BYTES, attribute};

/// Characters in a name.
pub const MAX_NAME_CHARS: usize = 255;

/// UTF-16 units in one long-name slot, and where they lie in it.
pub(crate) const LONG_NAME_UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Set in the order number of the slot with a name's last part.
pub(crate) const LAST_LONG_NAME_SLOT: u8 = 0x40;

/// Printable ASCII that no long name may have.
const FORBIDDEN: &[u8] = b"\"*/:<>?\\|";

/// ASCII other than letters and digits that an 8.3 name may have.
const SHORT_NAME_PUNCTUATION: &[u8] = b"$%'-_@~`!(){}^#&";

/// Why a name cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, `.` or `..`.
    #[error("name {name:?} is empty or names a directory itself")]
    Reserved {
        /// The name.
        name: String,
    },
    /// Longer than [`MAX_NAME_CHARS`].
    #[error("name of {found} characters; at most {} are allowed", MAX_NAME_CHARS)]
    TooLong {
        /// Characters.
        found: usize,
    },
    /// Something else than printable ASCII, or one of `" * / : < > ? \ |`.
    #[error("name {name:?} has the character {found:?}, which is not allowed on FAT")]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        found: char,
    },
    /// Starts with a space or ends with a space or dot; readers strip them.
    #[error("name {name:?} starts with a space or ends with a space or dot")]
    Edge {
        /// The name.
        name: String,
    },
}

/// Checks one component of a path.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    if matches!(name, "" | "." | "..") {
        return Err(NameError::Reserved {
            name: name.to_owned(),
        });
    }
    let forbidden = |c: &char| !matches!(c, ' '..='~') || FORBIDDEN.contains(&(*c as u8));
    if let Some(found) = name.chars().find(forbidden) {
        return Err(NameError::Character {
            name: name.to_owned(),
            found,
        });
    }
    if name.len() > MAX_NAME_CHARS {
        return Err(NameError::TooLong { found: name.len() });
    }
    if name.starts_with(' ') || name.ends_with([' ', '.']) {
        return Err(NameError::Edge {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Why text cannot be a volume's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "take volume label {text:?}: expected 1 to 11 of A-Z, 0-9, space and - _ $ %, no space first or last"
)]
pub struct VolumeLabelError {
    /// The text.
    pub text: String,
}

/// A volume's label: 1 to 11 upper-case characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeLabel(pub(crate) [u8; 11]);

impl VolumeLabel {
    /// Takes 1 to 11 of A-Z, 0-9, space, `-`, `_`, `$`, `%`.
    pub fn new(text: &str) -> Result<Self, VolumeLabelError> {
        let allowed =
            |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" -_$%".contains(&byte);
        let trimmed = text.trim_matches(' ') == text;
        if text.is_empty() || text.len() > 11 || !trimmed || !text.bytes().all(allowed) {
            return Err(VolumeLabelError {
                text: text.to_owned(),
            });
        }
        let mut label = [b' '; 11];
        label[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(label))
    }
}

/// An 8.3 name as stored: eight and three characters, padded with spaces.
pub(crate) type ShortName = [u8; 11];

/// The 8.3 name that is this very name, if there is one. Then no long name is needed.
fn exact_short_name(name: &str) -> Option<ShortName> {
    let is_short = |part: &str| {
        part.bytes().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || SHORT_NAME_PUNCTUATION.contains(&byte)
        })
    };
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let dot_is_needed = name.contains('.') != extension.is_empty();
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3 && dot_is_needed;
    (fits && is_short(base) && is_short(extension)).then(|| padded(base, extension))
}

fn padded(base: &str, extension: &str) -> ShortName {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    short
}

/// Gives every name of one directory its 8.3 name, in the order given. Long names stay reserved: no alias looks like
/// another file's name. `None` when a million aliases were not enough (names are few; it does not happen).
pub(crate) fn short_names(names: &[&str]) -> Option<Vec<(ShortName, bool)>> {
    let mut taken: BTreeSet<ShortName> = names
        .iter()
        .filter_map(|name| exact_short_name(&name.to_ascii_uppercase()))
        .collect();
    let mut short_names = Vec::with_capacity(names.len());
    for name in names {
        let upper = name.to_ascii_uppercase();
        // The name, or the name in capitals, is reserved for it already.
        let (short, is_exact) = match exact_short_name(&upper) {
            Some(short) => (short, upper == *name),
            None => (numbered_alias(&upper, &taken)?, false),
        };
        taken.insert(short);
        short_names.push((short, is_exact));
    }
    Some(short_names)
}

fn numbered_alias(upper: &str, taken: &BTreeSet<ShortName>) -> Option<ShortName> {
    let trimmed: String = upper
        .trim_start_matches('.')
        .chars()
        .filter(|&c| c != ' ')
        .collect();
    let (base, extension) = trimmed.rsplit_once('.').unwrap_or((&trimmed, ""));
    let legal = |c: char| {
        let is_legal =
            c.is_ascii_uppercase() || c.is_ascii_digit() || SHORT_NAME_PUNCTUATION.contains(&(c as u8));
        if is_legal { c } else { '_' }
    };
    let base: String = base.chars().filter(|&c| c != '.').map(legal).collect();
    let base = if base.is_empty() { "_".to_owned() } else { base };
    let extension: String = extension.chars().map(legal).take(3).collect();
    (1..1_000_000).find_map(|number| {
        let tail = format!("~{number}");
        let kept = base.len().min(8 - tail.len());
        let alias = padded(&format!("{}{tail}", &base[..kept]), &extension);
        (!taken.contains(&alias)).then_some(alias)
    })
}

/// Ties long-name slots to their alias.
pub(crate) fn checksum(short: &ShortName) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// Slots a long name takes.
pub(crate) fn long_name_slots(name: &str) -> usize {
    name.len().div_ceil(LONG_NAME_UNITS.len())
}

/// The slots of a long name, in the order stored. `name` was checked, so it is ASCII and has at most 20 slots.
pub(crate) fn encode_long_name(name: &str, short: &ShortName) -> Vec<u8> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts: Vec<&[u16]> = units.chunks(LONG_NAME_UNITS.len()).collect();
    let mut bytes = Vec::with_capacity(parts.len() * SLOT_BYTES);
    for (index, part) in parts.iter().enumerate().rev() {
        let mut slot = [0u8; SLOT_BYTES];
        slot[0] = index as u8 + 1;
        if index + 1 == parts.len() {
            slot[0] |= LAST_LONG_NAME_SLOT;
        }
        slot[11] = attribute::LONG_NAME;
        slot[13] = checksum(short);
        // After the name one NUL, then 0xffff.
        let padding = std::iter::once(0).chain(std::iter::repeat(0xffff));
        for (at, unit) in LONG_NAME_UNITS
            .into_iter()
            .zip(part.iter().copied().chain(padding))
        {
            slot[at..at + 2].copy_from_slice(&u16::to_le_bytes(unit));
        }
        bytes.extend_from_slice(&slot);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(names: &[&str]) -> Vec<String> {
        let shorts = short_names(names).unwrap();
        shorts
            .iter()
            .map(|(short, _)| String::from_utf8(short.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn names_get_the_aliases_that_other_systems_give_them() {
        let names = [
            "BOOTX64.EFI",
            "bennu-demo_2+3-0.efi",
            "bennu-demo_3.efi",
            "loader.conf",
            "entries",
        ];
        let expected = [
            "BOOTX64 EFI",
            "BENNU-~1EFI",
            "BENNU-~2EFI",
            "LOADER~1CON",
            "ENTRIES    ",
        ];
        assert_eq!(aliases(&names), expected);
        assert_eq!(
            aliases(&[".a", "a b.c.d", "a.", "+"]),
            ["A~1        ", "ABC~1   D  ", "A~2        ", "_~1        "]
        );
    }

    #[test]
    fn an_alias_never_takes_the_name_of_another_file() {
        assert_eq!(
            aliases(&["long name.txt", "LONGNA~1.TXT"]),
            ["LONGNA~2TXT", "LONGNA~1TXT"]
        );
        assert_eq!(
            aliases(&["long name.txt", "longna~1.txt"]),
            ["LONGNA~2TXT", "LONGNA~1TXT"]
        );
        let many: Vec<String> = (0..12).map(|n| format!("a long name {n}.txt")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let unique: BTreeSet<String> = aliases(&many).into_iter().collect();
        assert_eq!(unique.len(), 12);
        assert!(unique.contains("ALONG~12TXT"));
    }

    #[test]
    fn only_a_name_that_is_its_own_alias_goes_without_long_name() {
        let exact: Vec<bool> = short_names(&["EFI", "efi2", "A.B.C", "KERNEL-1.0"])
            .unwrap()
            .into_iter()
            .map(|(_, e)| e)
            .collect();
        assert_eq!(exact, [true, false, false, true]);
    }

    #[test]
    fn the_checksum_and_the_slots_are_pinned() {
        let short = *b"LOADER~1CON";
        let slots = encode_long_name("loader.conf", &short);
        assert_eq!(slots.len(), 32);
        assert_eq!(slots[0], 0x41);
        // Computed with an independent implementation of the algorithm in fatgen103.
        assert_eq!(slots[13], 0xb6);
        assert_eq!(&slots[1..11], b"l\0o\0a\0d\0e\0");
        assert_eq!(&slots[14..26], b"r\0.\0c\0o\0n\0f\0");
        assert_eq!(&slots[28..32], &[0, 0, 0xff, 0xff]);
        // A name of exactly 13 units has no terminator.
        let slots = encode_long_name("exactly-13-ch", &short);
        assert_eq!((slots.len(), &slots[28..32]), (32, &b"c\0h\0"[..]));
    }

    #[test]
    fn names_that_fat_cannot_hold_are_refused_for_their_own_reason() {
        assert_eq!(check_name("bennu-demo_2+3-0.efi"), Ok(()));
        for name in ["", ".", ".."] {
            assert_eq!(
                check_name(name),
                Err(NameError::Reserved {
                    name: name.to_owned()
                })
            );
        }
        for (name, found) in [
            ("a:b", ':'),
            ("a\\b", '\\'),
            ("tab\t", '\t'),
            ("ä", 'ä'),
            ("del\x7f", '\x7f'),
        ] {
            assert_eq!(
                check_name(name),
                Err(NameError::Character {
                    name: name.to_owned(),
                    found
                })
            );
        }
        for name in [" a", "a ", "a."] {
            assert_eq!(
                check_name(name),
                Err(NameError::Edge {
                    name: name.to_owned()
                })
            );
        }
        assert_eq!(check_name(&"a".repeat(255)), Ok(()));
        assert_eq!(
            check_name(&"a".repeat(256)),
            Err(NameError::TooLong { found: 256 })
        );
    }

    #[test]
    fn labels_are_upper_case_and_at_most_11() {
        assert_eq!(VolumeLabel::new("ESP").unwrap().0, *b"ESP        ");
        assert!(VolumeLabel::new("ABCDEFGHIJK").is_ok());
        for text in ["", "ABCDEFGHIJKL", "esp", " A", "A ", "A/B"] {
            assert_eq!(
                VolumeLabel::new(text),
                Err(VolumeLabelError {
                    text: text.to_owned()
                })
            );
        }
    }
}
