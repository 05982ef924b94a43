//! Local conditions of a sealed object: what this machine demands on top of the release's signed policy.
//!
//! The release's policy is authorised (PolicyAuthorize), which replaces whatever stood before it; what is added behind
//! it stays: no signature of a policy key can take it away. Two conditions, in this order: PCR 7 as it was when the
//! object was made (the firmware's Secure Boot state), and an authValue (PolicyAuthValue): a PIN, or what follows from
//! the state volume's key, so that whoever does not open that one opens nothing else. An object with a PIN is under the
//! TPM's lockout; the other sort has 256 bits that nobody guesses, and is not.

use zeroize::Zeroizing;

use crate::code::cc;
use crate::error::TpmError;
use crate::hash::{HashAlg, sha256};
use crate::pcr::PcrValues;
use crate::policy::policy_pcr_after;
use crate::public::Lockout;

/// The PCR that the firmware measures Secure Boot's state into: keys, db, dbx, on or off.
pub const SECURE_BOOT_PCR: u8 = 7;

/// An authValue as the TPM takes it. Has no `Debug`; wiped when dropped.
pub struct LocalAuth {
    value: Zeroizing<[u8; 32]>,
    rule: AuthRule,
}

/// Whether two people typed the same; both are theirs, so the time it takes tells nobody anything.
impl PartialEq for LocalAuth {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule && self.value == other.value
    }
}

impl Eq for LocalAuth {}

/// A PIN that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Too short or too long.
    #[error(
        "pin: expected {} to {} characters, found {found}",
        LocalAuth::LENGTH_MIN,
        LocalAuth::LENGTH_MAX
    )]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// Something that not every keyboard types alike.
    #[error("pin: expected letters, digits and signs of ASCII")]
    Character,
}

impl LocalAuth {
    /// Fewest bytes of a PIN. The TPM's lockout is what stands against guessing.
    pub const LENGTH_MIN: usize = 4;
    /// Most bytes of a PIN.
    pub const LENGTH_MAX: usize = 64;

    /// The PIN that a person typed: printable ASCII. Its authValue is a hash, so that every length fits; a plain one,
    /// since whoever can try values against it without the TPM has what it protects already.
    ///
    /// # Errors
    ///
    /// [`PinError`].
    pub fn pin(typed: &[u8]) -> Result<Self, PinError> {
        if !(Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&typed.len()) {
            return Err(PinError::Length { found: typed.len() });
        }
        if !typed.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(PinError::Character);
        }
        Ok(Self {
            value: Zeroizing::new(sha256(&[b"bennu-pin-v1\0", typed])),
            rule: AuthRule::Pin,
        })
    }

    /// What guards the object `name` of a machine whose state volume has `volume_key`: HMAC-SHA-256 of the name under it.
    #[must_use]
    pub fn derived(volume_key: &[u8], name: &str) -> Self {
        let words = [b"bennu-secret-auth-v1\0", name.as_bytes()].concat();
        let digest = HashAlg::Sha256.keyed_digest(volume_key, &words);
        let mut value = Zeroizing::new([0; 32]);
        value
            .iter_mut()
            .zip(digest.as_bytes())
            .for_each(|(to, from)| *to = *from);
        Self {
            value,
            rule: AuthRule::Derived,
        }
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.value.as_ref()
    }

    /// What an object with this authValue says of it.
    #[must_use]
    pub fn rule(&self) -> AuthRule {
        self.rule
    }
}

/// Which authValue an object takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthRule {
    /// None.
    #[default]
    None,
    /// A PIN, counted by the TPM's lockout.
    Pin,
    /// What follows from the state volume's key, which is not counted.
    Derived,
}

impl AuthRule {
    pub(crate) fn lockout(self) -> Lockout {
        match self {
            Self::Pin => Lockout::Counted,
            Self::None | Self::Derived => Lockout::Exempt,
        }
    }
}

/// The local conditions of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalConditions {
    /// authValue.
    pub auth: AuthRule,
    /// Value of [`SECURE_BOOT_PCR`], SHA-256 bank.
    pub secure_boot: Option<[u8; 32]>,
}

impl LocalConditions {
    /// No conditions.
    pub const NONE: Self = Self {
        auth: AuthRule::None,
        secure_boot: None,
    };

    /// The policy digest when they follow `authorized`.
    pub(crate) fn policy(&self, authorized: &[u8; 32]) -> Result<[u8; 32], TpmError> {
        let mut digest = *authorized;
        if let Some(values) = self.pcr_values()? {
            digest = policy_pcr_after(&digest, &values);
        }
        if self.auth != AuthRule::None {
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
    /// authValue.
    pub auth: Option<&'a LocalAuth>,
    /// Value that [`SECURE_BOOT_PCR`] must have.
    pub secure_boot: Option<[u8; 32]>,
}

impl SealLocal<'_> {
    /// Without the authValue itself.
    #[must_use]
    pub fn conditions(&self) -> LocalConditions {
        LocalConditions {
            auth: self.auth.map_or(AuthRule::None, LocalAuth::rule),
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
            assert_eq!(LocalAuth::pin(typed).err(), expected);
        }
    }

    #[test]
    fn a_derived_one_depends_on_key_and_name_and_is_no_pin() {
        let one = LocalAuth::derived(&[1; 64], "machine");
        assert_eq!(one.rule(), AuthRule::Derived);
        assert_eq!(one.value(), LocalAuth::derived(&[1; 64], "machine").value());
        for other in [
            LocalAuth::derived(&[2; 64], "machine"),
            LocalAuth::derived(&[1; 64], "machine2"),
        ] {
            assert_ne!(one.value(), other.value());
        }
    }

    #[test]
    fn each_condition_gives_a_policy_of_its_own() {
        let value = Some([7; 32]);
        let all = [
            (AuthRule::None, None),
            (AuthRule::Pin, None),
            (AuthRule::None, value),
            (AuthRule::Pin, value),
            (AuthRule::None, Some([8; 32])),
        ];
        let digests: std::collections::BTreeSet<_> = all
            .map(|(auth, secure_boot)| LocalConditions { auth, secure_boot }.policy(&[1; 32]).unwrap())
            .into();
        assert_eq!(digests.len(), all.len());
        assert!(digests.contains(&[1; 32]), "none changes nothing");
    }
}
