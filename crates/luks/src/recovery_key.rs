//! The recovery key as people see and type it: 256 random bits in 64 letters, the passphrase of keyslot 0.

use zeroize::Zeroizing;

/// Letters that lie in the same place on most keyboards, as systemd's recovery keys use them (modhex).
const LETTERS: &[u8; 16] = b"cbdefghijklnrtuv";
/// Letters of a group.
const GROUP: usize = 8;

/// A recovery key: eight groups of eight letters, with a hyphen between them.
pub struct RecoveryKey(Zeroizing<String>);

/// Why what was typed is no recovery key. Says nothing of the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TypedKeyError {
    /// A character that no key has.
    #[error(
        "recovery key: expected only the letters cbdefghijklnrtuv, found another one at place {place}; hyphens and \
         spaces do not count"
    )]
    Letter {
        /// Which letter of the key it would be, from 1.
        place: usize,
    },
    /// Too few or too many letters.
    #[error(
        "recovery key: expected {} letters in 8 groups, found {found}",
        RecoveryKey::LETTERS
    )]
    Length {
        /// Letters found.
        found: usize,
    },
}

impl RecoveryKey {
    /// Random bytes of a key.
    pub const RANDOM_BYTES: usize = 32;
    /// Letters of a key.
    pub const LETTERS: usize = 2 * Self::RANDOM_BYTES;

    /// The key of these random bytes.
    pub fn of(random: &[u8; Self::RANDOM_BYTES]) -> Self {
        Self::grouped(random.iter().flat_map(|byte| [byte >> 4, byte & 15]))
    }

    /// The key that somebody typed: in capitals or not, with or without hyphens and blanks.
    ///
    /// # Errors
    /// [`TypedKeyError`].
    pub fn typed(line: &[u8]) -> Result<Self, TypedKeyError> {
        let mut digits = Zeroizing::new(Vec::with_capacity(line.len()));
        for byte in line {
            if matches!(byte, b'-' | b' ' | b'\t') {
                continue;
            }
            let letter = byte.to_ascii_lowercase();
            match (0..16).find(|digit| LETTERS[usize::from(*digit)] == letter) {
                Some(digit) => digits.push(digit),
                None => {
                    return Err(TypedKeyError::Letter {
                        place: digits.len() + 1,
                    });
                }
            }
        }
        match digits.len() {
            Self::LETTERS => Ok(Self::grouped(digits.iter().copied())),
            found => Err(TypedKeyError::Length { found }),
        }
    }

    /// With hyphens: what keyslot 0 takes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn grouped(digits: impl Iterator<Item = u8>) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::LETTERS + Self::LETTERS / GROUP));
        for (at, digit) in digits.enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(LETTERS[usize::from(digit & 15)]));
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: [u8; 32] = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 10, 11, 12, 13, 14, 15, 16,
    ];
    const TEXT: &str = "cbdefghi-jklnrtuv-cccccccc-vvvvvvvv-cbcdcecf-cgchcicj-ckclcncr-ctcucvbc";

    #[test]
    fn it_has_these_letters() {
        assert_eq!(RecoveryKey::of(&BYTES).as_str(), TEXT);
    }

    #[test]
    fn it_may_be_typed_in_capitals_and_with_or_without_hyphens_and_blanks() {
        for typed in [
            TEXT.to_owned(),
            TEXT.to_uppercase(),
            TEXT.replace('-', ""),
            format!("  {} ", TEXT.replace('-', " ")),
            TEXT.replace('-', "\t--"),
        ] {
            let key = RecoveryKey::typed(typed.as_bytes());
            assert!(key.is_ok_and(|key| key.as_str() == TEXT), "{typed}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_place_and_not_the_letter() {
        let refused = |typed: &str| RecoveryKey::typed(typed.as_bytes()).err();
        assert_eq!(refused("cbde-a"), Some(TypedKeyError::Letter { place: 5 }));
        assert_eq!(refused("cbd\u{e9}"), Some(TypedKeyError::Letter { place: 4 }));
        assert_eq!(refused(""), Some(TypedKeyError::Length { found: 0 }));
        assert_eq!(refused(&TEXT[1..]), Some(TypedKeyError::Length { found: 63 }));
        assert_eq!(
            refused(&format!("{TEXT}c")),
            Some(TypedKeyError::Length { found: 65 })
        );
    }

    proptest! {
        #[test]
        fn any_key_is_read_as_it_was_written(random in any::<[u8; 32]>()) {
            let key = RecoveryKey::of(&random);
            let typed = RecoveryKey::typed(key.as_str().as_bytes());
            prop_assert!(typed.is_ok_and(|typed| typed.as_str() == key.as_str()));
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = RecoveryKey::typed(&line).is_ok();
        }
    }
}
