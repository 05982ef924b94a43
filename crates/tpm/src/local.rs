//! Local conditions of a sealed object: what this machine demands on top of the release's signed policy.
//!
//! The release's policy is authorised (PolicyAuthorize), which replaces whatever stood before it; what is added behind
//! it stays: no signature of a policy key can take it away. Two conditions, in this order: PCR 7 as it was when the
//! object was made (the firmware's Secure Boot state), and a PIN (PolicyAuthValue: the object's authValue). An object
//! with a PIN is under the TPM's lockout.

use zeroize::Zeroizing;

use crate::code::cc;
use crate::error::TpmError;
use crate::hash::{HashAlg, sha256};
use crate::pcr::PcrValues;
use crate::policy::policy_pcr_after;

/// The PCR that the firmware measures Secure Boot's state into: keys, db, dbx, on or off.
pub const SECURE_BOOT_PCR: u8 = 7;

/// A PIN as the TPM takes it. Has no `Debug`; wiped when dropped.
pub struct Pin(Zeroizing<[u8; 32]>);

/// A PIN that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Too short or too long.
    #[error(
        "pin: expected {} to {} characters, found {found}",
        Pin::LENGTH_MIN,
        Pin::LENGTH_MAX
    )]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// Something that not every keyboard types alike.
    #[error("pin: expected letters, digits and signs of ASCII")]
    Character,
}

impl Pin {
    /// Fewest bytes. The TPM's lockout is what stands against guessing.
    pub const LENGTH_MIN: usize = 4;
    /// Most bytes.
    pub const LENGTH_MAX: usize = 64;

    /// The PIN that a person typed: printable ASCII. Its authValue is a hash, so that every length fits; a plain one,
    /// since whoever can try values against it without the TPM has what it protects already.
    ///
    /// # Errors
    ///
    /// [`PinError`].
    pub fn new(typed: &[u8]) -> Result<Self, PinError> {
        if !(Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&typed.len()) {
            return Err(PinError::Length { found: typed.len() });
        }
        if !typed.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(PinError::Character);
        }
        Ok(Self(Zeroizing::new(sha256(&[b"bennu-pin-v1\0", typed]))))
    }

    pub(crate) fn auth_value(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// Whether a PIN is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PinRule {
    /// No.
    #[default]
    None,
    /// Yes: the object's authValue, counted by the TPM's lockout.
    Required,
}

/// The local conditions of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalConditions {
    /// PIN.
    pub pin: PinRule,
    /// Value of [`SECURE_BOOT_PCR`], SHA-256 bank.
    pub secure_boot: Option<[u8; 32]>,
}

impl LocalConditions {
    /// No conditions.
    pub const NONE: Self = Self {
        pin: PinRule::None,
        secure_boot: None,
    };

    /// The policy digest when they follow `authorized`.
    pub(crate) fn policy(&self, authorized: &[u8; 32]) -> Result<[u8; 32], TpmError> {
        let mut digest = *authorized;
        if let Some(values) = self.pcr_values()? {
            digest = policy_pcr_after(&digest, &values);
        }
        if self.pin == PinRule::Required {
            digest = policy_auth_value_digest(&digest);
        }
        Ok(digest)
    }

    pub(crate) fn pcr_values(&self) -> Result<Option<PcrValues>, TpmError> {
        self.secure_boot
            .map(|value| PcrValues::empty(HashAlg::Sha256).with(SECURE_BOOT_PCR, &value))
            .transpose()
    }
}

/// The local conditions of an object that is to be made.
#[derive(Clone, Copy, Default)]
pub struct SealLocal<'a> {
    /// PIN.
    pub pin: Option<&'a Pin>,
    /// Value that [`SECURE_BOOT_PCR`] must have.
    pub secure_boot: Option<[u8; 32]>,
}

impl SealLocal<'_> {
    /// Without the PIN itself.
    #[must_use]
    pub fn conditions(&self) -> LocalConditions {
        LocalConditions {
            pin: if self.pin.is_some() {
                PinRule::Required
            } else {
                PinRule::None
            },
            secure_boot: self.secure_boot,
        }
    }
}

/// Policy digest after TPM2_PolicyAuthValue follows a policy with digest `before` (Part 3, 23.17).
#[must_use]
pub fn policy_auth_value_digest(before: &[u8; 32]) -> [u8; 32] {
    sha256(&[before, &cc::POLICY_AUTH_VALUE.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_has_4_to_64_printable_characters() {
        for (typed, expected) in [
            (&b"123"[..], Some(PinError::Length { found: 3 })),
            (b"1234", None),
            (&[b'x'; 64], None),
            (&[b'x'; 65], Some(PinError::Length { found: 65 })),
            (b"12\t4", Some(PinError::Character)),
            ("1234\u{e9}".as_bytes(), Some(PinError::Character)),
        ] {
            assert_eq!(Pin::new(typed).err(), expected);
        }
    }

    #[test]
    fn each_condition_gives_a_policy_of_its_own() {
        let value = Some([7; 32]);
        let all = [
            (PinRule::None, None),
            (PinRule::Required, None),
            (PinRule::None, value),
            (PinRule::Required, value),
            (PinRule::None, Some([8; 32])),
        ];
        let digests: std::collections::BTreeSet<_> = all
            .map(|(pin, secure_boot)| LocalConditions { pin, secure_boot }.policy(&[1; 32]).unwrap())
            .into();
        assert_eq!(digests.len(), all.len());
        assert!(digests.contains(&[1; 32]), "none changes nothing");
    }
}
