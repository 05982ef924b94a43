//! The escrow key: an age X25519 recipient that a machine's recovery key is encrypted to, instead of being shown.
//!
//! Written by people into image.toml, as `age-keygen` prints it; by `bennu build` into the trust configuration; read
//! by `bennu-init`. Form: Bech32 (BIP 173) with the prefix `age` over 32 bytes (age v1, "The X25519 recipient type").

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Prefix of a recipient, with Bech32's separator.
const PREFIX: &str = "age1";
/// Bytes of the key.
pub const KEY_BYTES: usize = 32;
/// Characters of a recipient: prefix, 52 for 256 bits, 6 of the checksum.
const LENGTH: usize = PREFIX.len() + 52 + CHECKSUM;
/// Characters of the checksum.
const CHECKSUM: usize = 6;
/// Bech32's characters by their value.
const CHARACTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Why a text is no escrow key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EscrowKeyError {
    /// Another prefix: a plugin's recipient, an SSH key, or, worst, the secret half.
    #[error("escrow key: expected the recipient that age-keygen prints, `age1` and 58 more characters")]
    Form,
    /// A character that Bech32 does not have.
    #[error(
        "escrow key: expected small letters and digits of Bech32, found another character at place {place}"
    )]
    Character {
        /// From 1.
        place: usize,
    },
    /// The checksum does not hold: a slip of the pen.
    #[error("escrow key: its checksum does not hold; copy it again")]
    Checksum,
    /// Bits that a key of 32 bytes does not have.
    #[error("escrow key: expected 256 bits, found more; copy it again")]
    Padding,
}

/// An age X25519 recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EscrowKey {
    text: String,
    key: [u8; KEY_BYTES],
}

impl EscrowKey {
    /// The public key on Curve25519 (RFC 7748).
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

impl fmt::Display for EscrowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<EscrowKey> for String {
    fn from(key: EscrowKey) -> Self {
        key.text
    }
}

impl TryFrom<String> for EscrowKey {
    type Error = EscrowKeyError;

    fn try_from(text: String) -> Result<Self, EscrowKeyError> {
        text.parse()
    }
}

impl FromStr for EscrowKey {
    type Err = EscrowKeyError;

    fn from_str(text: &str) -> Result<Self, EscrowKeyError> {
        let data = text
            .strip_prefix(PREFIX)
            .filter(|_| text.len() == LENGTH)
            .ok_or(EscrowKeyError::Form)?;
        let values = data
            .bytes()
            .enumerate()
            .map(|(at, byte)| {
                let value = CHARACTERS.iter().position(|character| *character == byte);
                value.ok_or(EscrowKeyError::Character {
                    place: PREFIX.len() + at + 1,
                })
            })
            .collect::<Result<Vec<usize>, _>>()?;
        if checksum(&values) != 1 {
            return Err(EscrowKeyError::Checksum);
        }
        Ok(Self {
            text: text.to_owned(),
            key: bytes_of(&values[..values.len() - CHECKSUM])?,
        })
    }
}

/// BIP 173's `bech32_polymod` over the prefix and the values; 1 if the checksum holds.
fn checksum(values: &[usize]) -> usize {
    const GENERATOR: [usize; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let name = || PREFIX.bytes().take(3).map(usize::from);
    let expanded = name().map(|c| c >> 5).chain([0]).chain(name().map(|c| c & 31));
    expanded.chain(values.iter().copied()).fold(1, |sum, value| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ value;
        (0..5)
            .filter(|bit| top >> bit & 1 == 1)
            .fold(shifted, |sum, bit| sum ^ GENERATOR[bit])
    })
}

/// 52 values of 5 bits are 32 bytes and 4 bits, which are zero.
fn bytes_of(values: &[usize]) -> Result<[u8; KEY_BYTES], EscrowKeyError> {
    let mut key = [0; KEY_BYTES];
    for (at, value) in values.iter().enumerate() {
        for bit in 0..5 {
            if value >> (4 - bit) & 1 == 1 {
                let place = at * 5 + bit;
                *key.get_mut(place / 8).ok_or(EscrowKeyError::Padding)? |= 0x80 >> (place % 8);
            }
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Printed by age-keygen 1.1.1; the other half was thrown away.
    const RECIPIENT: &str = "age18sugygkz8gcg2ch3m0ezm57vqazualugp0mxjwu8fh79kcgctayqzm4fhd";

    #[test]
    fn a_recipient_of_age_keygen_is_read_and_written_back() {
        let key: EscrowKey = RECIPIENT.parse().unwrap();
        assert_eq!(key.to_string(), RECIPIENT);
        assert_eq!(
            serde_json::to_string(&key).unwrap(),
            format!("\"{RECIPIENT}\""),
            "as a string"
        );
        assert_ne!(key.as_bytes(), &[0; 32]);
    }

    #[test]
    fn each_wrong_text_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<EscrowKey>().unwrap_err();
        assert_eq!(refused(""), EscrowKeyError::Form);
        assert_eq!(refused(&RECIPIENT[..61]), EscrowKeyError::Form);
        assert_eq!(refused(&RECIPIENT.to_uppercase()), EscrowKeyError::Form);
        assert_eq!(
            refused("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"),
            EscrowKeyError::Form
        );
        assert_eq!(
            refused(&format!("{}b{}", &RECIPIENT[..5], &RECIPIENT[6..])),
            EscrowKeyError::Character { place: 6 }
        );
        // Each slip of one character.
        for at in PREFIX.len()..LENGTH {
            let other = if &RECIPIENT[at..=at] == "q" { "p" } else { "q" };
            let slip = format!("{}{other}{}", &RECIPIENT[..at], &RECIPIENT[at + 1..]);
            assert_eq!(refused(&slip), EscrowKeyError::Checksum, "{slip}");
        }
    }

    #[test]
    fn bits_behind_the_key_are_refused() {
        assert!(bytes_of(&[0; 52]).is_ok(), "positive control");
        let mut values = [0; 52];
        values[51] = 1;
        assert_eq!(bytes_of(&values), Err(EscrowKeyError::Padding));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}|age1[a-z0-9]{58}") {
            let _ = text.parse::<EscrowKey>();
        }
    }
}
