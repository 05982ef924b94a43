//! Public areas (TPMT_PUBLIC, Part 2, 12.2.4) of the three objects we use, and their Names (Part 1, 16).
//!
//! Each kind has exactly one accepted form: a public area that differs in one bit outside the fields marked
//! free is refused, so that no attribute (say, a sealed object that may be duplicated) can be smuggled in.

use std::fmt;

use crate::code::{ECC_NIST_P256, alg};
use crate::hash::sha256;
use crate::kdf::Point;
use crate::wire::{Reader, WireError, Writer};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt (Part 2, 8.3).
const SRK_ATTRIBUTES: u32 = 0x0003_0472;
/// fixedTPM, fixedParent, adminWithPolicy, noDA; userWithAuth clear: use takes the policy, always.
const SEALED_ATTRIBUTES: u32 = 0x0000_0492;
/// The same without noDA: wrong authValues count.
const SEALED_ATTRIBUTES_COUNTED: u32 = 0x0000_0092;
/// userWithAuth, decrypt, sign.
const POLICY_KEY_ATTRIBUTES: u32 = 0x0006_0040;

/// Name of an object or NV index: algorithm SHA-256 (000b), then the hash of its public area. 34 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name([u8; Name::SIZE]);

impl Name {
    /// Bytes of a Name.
    pub const SIZE: usize = 34;

    /// A Name from its bytes: 34, beginning with 000b.
    ///
    /// # Errors
    ///
    /// [`WireError`] for other lengths and other hash algorithms.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        reader.expect_u16(alg::SHA256, "name algorithm")?;
        reader.array::<32>("name digest")?;
        reader.end("name")?;
        let mut name = [0; Self::SIZE];
        name.copy_from_slice(bytes);
        Ok(Self(name))
    }

    /// The Name of a public area (TPMT_PUBLIC or TPMS_NV_PUBLIC) whose nameAlg is SHA-256.
    #[must_use]
    pub fn of_public_area(area: &[u8]) -> Self {
        let mut name = [0; Self::SIZE];
        let (head, tail) = name.split_at_mut(2);
        head.copy_from_slice(&alg::SHA256.to_be_bytes());
        tail.copy_from_slice(&sha256(&[area]));
        Self(name)
    }

    /// Its 34 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The storage root key: ECC P-256, TCG's template (TPM 2.0 Provisioning Guidance; the same as
/// systemd's and Linux's), with its point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SrkPublic {
    pub(crate) name: Name,
    pub(crate) point: Point,
}

fn srk_head() -> Writer {
    Writer::new()
        .u16(alg::ECC)
        .u16(alg::SHA256)
        .u32(SRK_ATTRIBUTES)
        .sized(&[])
        .u16(alg::AES)
        .u16(128)
        .u16(alg::CFB)
        .u16(alg::NULL)
        .u16(ECC_NIST_P256)
        .u16(alg::NULL)
}

/// The template for TPM2_CreatePrimary: empty `unique`.
pub(crate) fn srk_template() -> Writer {
    srk_head().sized(&[]).sized(&[])
}

impl SrkPublic {
    /// Accepts a public area that is the template with any point.
    pub(crate) fn decode(area: &[u8]) -> Result<Self, WireError> {
        let head = srk_head().finish()?;
        let mut reader = Reader::new(area);
        expect_bytes(&mut reader, &head, "storage key template")?;
        let x = coordinate(reader.sized_max(32, "storage key x")?);
        let y = coordinate(reader.sized_max(32, "storage key y")?);
        reader.end("storage key")?;
        Ok(Self {
            name: Name::of_public_area(area),
            point: Point { x, y },
        })
    }
}

pub(crate) fn coordinate(bytes: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    for (to, from) in padded.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    padded
}

/// Whether wrong authValues of an object count under the TPM's lockout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lockout {
    /// No (noDA): it has no authValue that anybody could guess.
    Exempt,
    /// Yes: it has a PIN.
    Counted,
}

impl Lockout {
    const fn attributes(self) -> u32 {
        match self {
            Self::Exempt => SEALED_ATTRIBUTES,
            Self::Counted => SEALED_ATTRIBUTES_COUNTED,
        }
    }
}

/// A sealed object's public area: 78 bytes, free are authPolicy (32), unique (32) and one attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedPublic {
    /// Policy that unsealing takes: SHA-256, 32 bytes.
    pub auth_policy: [u8; 32],
    /// Hash over the sensitive part, 32 bytes, chosen by the TPM.
    pub unique: [u8; 32],
    /// noDA.
    pub lockout: Lockout,
}

impl SealedPublic {
    /// Accepts fixedTPM, fixedParent, adminWithPolicy, with or without noDA, and nothing else.
    ///
    /// # Errors
    ///
    /// [`WireError`] naming the first field that differs.
    pub fn decode(area: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(area);
        reader.expect_u16(alg::KEYEDHASH, "sealed object type")?;
        reader.expect_u16(alg::SHA256, "sealed object name algorithm")?;
        let attributes = reader.u32("sealed object attributes")?;
        let lockout = match attributes {
            SEALED_ATTRIBUTES => Lockout::Exempt,
            SEALED_ATTRIBUTES_COUNTED => Lockout::Counted,
            found => {
                return Err(WireError::Unexpected {
                    field: "sealed object attributes",
                    expected: SEALED_ATTRIBUTES.into(),
                    found: found.into(),
                });
            }
        };
        reader.expect_u16(32, "sealed object policy size")?;
        let auth_policy = reader.array("sealed object policy")?;
        reader.expect_u16(alg::NULL, "sealed object scheme")?;
        reader.expect_u16(32, "sealed object unique size")?;
        let unique = reader.array("sealed object unique")?;
        reader.end("sealed object")?;
        Ok(Self {
            auth_policy,
            unique,
            lockout,
        })
    }

    /// The 78 bytes of TPMT_PUBLIC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut area = Vec::with_capacity(78);
        area.extend_from_slice(&sealed_head(&self.auth_policy, self.lockout));
        area.extend_from_slice(&32u16.to_be_bytes());
        area.extend_from_slice(&self.unique);
        area
    }
}

fn sealed_head(auth_policy: &[u8; 32], lockout: Lockout) -> Vec<u8> {
    let mut head = Vec::with_capacity(44);
    head.extend_from_slice(&alg::KEYEDHASH.to_be_bytes());
    head.extend_from_slice(&alg::SHA256.to_be_bytes());
    head.extend_from_slice(&lockout.attributes().to_be_bytes());
    head.extend_from_slice(&32u16.to_be_bytes());
    head.extend_from_slice(auth_policy);
    head.extend_from_slice(&alg::NULL.to_be_bytes());
    head
}

/// The template for TPM2_Create: empty `unique`.
pub(crate) fn sealed_template(auth_policy: &[u8; 32], lockout: Lockout) -> Vec<u8> {
    let mut template = sealed_head(auth_policy, lockout);
    template.extend_from_slice(&[0, 0]);
    template
}

/// An RSA-2048 public key with exponent 65537, as it signs release policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RsaPublic {
    modulus: [u8; RsaPublic::SIZE],
}

/// A modulus that no RSA-2048 key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModulusError {
    /// Wrong number of bytes.
    #[error("take a policy key: expected a modulus of 256 bytes, found {found}; use an RSA-2048 key")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// The highest bit is clear or the number is even.
    #[error("take a policy key: the modulus is not that of an RSA-2048 key")]
    NotRsa2048,
}

impl RsaPublic {
    /// Bytes of modulus and signature.
    pub const SIZE: usize = 256;

    /// A key from its big-endian modulus.
    ///
    /// # Errors
    ///
    /// [`ModulusError`].
    pub fn new(modulus: &[u8]) -> Result<Self, ModulusError> {
        let modulus: [u8; Self::SIZE] = modulus
            .try_into()
            .map_err(|_| ModulusError::Length { found: modulus.len() })?;
        if modulus[0] & 0x80 == 0 || modulus[Self::SIZE - 1] & 1 == 0 {
            return Err(ModulusError::NotRsa2048);
        }
        Ok(Self { modulus })
    }

    /// Big-endian modulus.
    #[must_use]
    pub const fn modulus(&self) -> &[u8; Self::SIZE] {
        &self.modulus
    }

    /// TPMT_PUBLIC as given to TPM2_LoadExternal: nameAlg SHA-256, userWithAuth | decrypt | sign, no policy,
    /// no symmetric cipher, no scheme, exponent 0 (which means 65537). 278 bytes.
    #[must_use]
    pub fn public_area(&self) -> Vec<u8> {
        let mut area = Vec::with_capacity(278);
        area.extend_from_slice(&alg::RSA.to_be_bytes());
        area.extend_from_slice(&alg::SHA256.to_be_bytes());
        area.extend_from_slice(&POLICY_KEY_ATTRIBUTES.to_be_bytes());
        area.extend_from_slice(&[0, 0]);
        area.extend_from_slice(&alg::NULL.to_be_bytes());
        area.extend_from_slice(&alg::NULL.to_be_bytes());
        area.extend_from_slice(&2048u16.to_be_bytes());
        area.extend_from_slice(&0u32.to_be_bytes());
        area.extend_from_slice(&256u16.to_be_bytes());
        area.extend_from_slice(&self.modulus);
        area
    }

    /// The key's Name, which TPM2_PolicyAuthorize puts into the policy.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::of_public_area(&self.public_area())
    }
}

/// The Name of the policy key with this big-endian modulus of 256 bytes.
///
/// # Errors
///
/// [`ModulusError`].
pub fn policy_key_name(modulus: &[u8]) -> Result<Name, ModulusError> {
    Ok(RsaPublic::new(modulus)?.name())
}

pub(crate) fn expect_bytes(
    reader: &mut Reader<'_>,
    expected: &[u8],
    field: &'static str,
) -> Result<(), WireError> {
    let found = reader.take(expected.len(), field)?;
    match expected
        .iter()
        .zip(found)
        .find(|(expected, found)| expected != found)
    {
        None => Ok(()),
        Some((expected, found)) => Err(WireError::Unexpected {
            field,
            expected: (*expected).into(),
            found: (*found).into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sealed_area_round_trips_and_each_changed_bit_outside_the_free_fields_is_refused() {
        let public = SealedPublic {
            auth_policy: [0xAA; 32],
            unique: [0x55; 32],
            lockout: Lockout::Exempt,
        };
        let area = public.encode();
        assert_eq!(area.len(), 78);
        assert_eq!(SealedPublic::decode(&area), Ok(public));
        for bit in 0..area.len() * 8 {
            // noDA is bit 10 of the attributes, big-endian at bytes 4 to 7.
            let no_da = bit == 6 * 8 + 2;
            let free = (10..42).contains(&(bit / 8)) || (46..78).contains(&(bit / 8)) || no_da;
            let mut changed = area.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SealedPublic::decode(&changed).is_ok(), free, "bit {bit}");
        }
    }

    #[test]
    fn short_coordinates_are_padded_on_the_left() {
        assert_eq!(coordinate(&[1, 2])[29..], [0, 1, 2]);
    }

    #[test]
    fn a_modulus_of_another_size_is_refused() {
        assert_eq!(
            RsaPublic::new(&[0xFF; 384]),
            Err(ModulusError::Length { found: 384 })
        );
        assert_eq!(RsaPublic::new(&[0x7F; 256]), Err(ModulusError::NotRsa2048));
        assert!(RsaPublic::new(&[0xFF; 256]).is_ok());
    }

    #[test]
    fn the_policy_key_area_has_the_bytes_all_our_tools_agree_on() {
        let area = RsaPublic::new(&[0xFF; 256]).unwrap().public_area();
        let head = "0001000b000600400000001000100800000000000100";
        assert_eq!(hex::encode(&area[..22]), head);
        assert_eq!(area.len(), 22 + 256);
    }
}
