//! Exchanges the public area of a storage key in a TPM's response for another valid key's.
//!
//! Source: TPM 2.0 Library, Part 2: 12.2.4 `TPMT_PUBLIC`, 12.2.3.6 `TPMS_ECC_PARMS`, 11.2.5.2
//! `TPMS_ECC_POINT`; Part 3: 12.4 `TPM2_ReadPublic`, 24.1 `TPM2_CreatePrimary`; Part 1, 16: names. Bytes are
//! the TPM's or a guest's: what does not parse is left as it is.

use sha2::{Digest, Sha256, Sha384, Sha512};

use super::command::{HEADER, ResponseCode, SESSIONS, TpmCommand};

/// `TPM_ALG_ECC`.
const ECC: u16 = 0x0023;
/// `TPM_ALG_NULL`.
const NULL: u16 = 0x0010;
/// `TPM_ECC_NIST_P256`.
const P256: u16 = 0x0003;
/// `TPMA_OBJECT`: restricted (bit 16) and decrypt (bit 17), the two marks of a storage key.
const STORAGE: u32 = 1 << 16 | 1 << 17;
/// `TPM_RH_OWNER`, the hierarchy of a persistent key in the owner's range.
const OWNER: u32 = 0x4000_0001;
/// Bytes of a P-256 coordinate.
const COORDINATE: usize = 32;

/// Twice the base point of P-256: the public key of private key 2. Source: SEC 2, 2.4.2; checked by a TPM.
const POINT: [[u8; COORDINATE]; 2] = [
    [
        0x7C, 0xF2, 0x7B, 0x18, 0x8D, 0x03, 0x4F, 0x7E, 0x8A, 0x52, 0x38, 0x03, 0x04, 0xB5, 0x1A, 0xC3, 0xC0,
        0x89, 0x69, 0xE2, 0x77, 0xF2, 0x1B, 0x35, 0xA6, 0x0B, 0x48, 0xFC, 0x47, 0x66, 0x99, 0x78,
    ],
    [
        0x07, 0x77, 0x55, 0x10, 0xDB, 0x8E, 0xD0, 0x40, 0x29, 0x3D, 0x9A, 0xC6, 0x9F, 0x74, 0x30, 0xDB, 0xBA,
        0x7D, 0xAD, 0xE6, 0x3C, 0xE9, 0x82, 0x29, 0x9E, 0x04, 0xB7, 0x9D, 0x22, 0x78, 0x73, 0xD1,
    ],
];

/// The response with the other key, or `None` if it tells of no P-256 storage key.
pub(crate) fn swap(command: TpmCommand, request: &[u8], response: &[u8]) -> Option<Vec<u8>> {
    if ResponseCode::of(response)? != ResponseCode::SUCCESS {
        return None;
    }
    let (header, mut rest) = response.split_at_checked(HEADER)?;
    let mut bytes = header.to_vec();
    match command {
        TpmCommand::READ_PUBLIC => {
            if header.starts_with(&SESSIONS.to_be_bytes()) {
                bytes.extend(take(&mut rest, 4)?);
            }
            let (public, name) = swap_public(sized(&mut rest)?)?;
            let (_name, _qualified) = (sized(&mut rest)?, sized(&mut rest)?);
            put_sized(&mut bytes, &public)?;
            put_sized(&mut bytes, &name)?;
            put_sized(&mut bytes, &qualified_name(&name)?)?;
        }
        TpmCommand::CREATE_PRIMARY if request.len() >= 4 => {
            // Handle and parameter size; then creation data, creation hash and ticket stay as they are.
            bytes.extend(take(&mut rest, 8)?);
            let (public, name) = swap_public(sized(&mut rest)?)?;
            put_sized(&mut bytes, &public)?;
            for _ in ["creation data", "creation hash"] {
                put_sized(&mut bytes, sized(&mut rest)?)?;
            }
            bytes.extend(take(&mut rest, 6)?);
            put_sized(&mut bytes, sized(&mut rest)?)?;
            let _name = sized(&mut rest)?;
            put_sized(&mut bytes, &name)?;
        }
        _ => return None,
    }
    // The sessions' answers: their HMACs, if there are any, now disagree, as they do for a real interposer.
    bytes.extend(rest);
    // Neither coordinates nor digests change their lengths in what a TPM sends; others are not forged.
    (bytes.len() == response.len()).then_some(bytes)
}

/// The public area with the other point, and its name.
fn swap_public(public: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut rest = public;
    let kind = number(&mut rest)?;
    let name_algorithm = number(&mut rest)?;
    let attributes = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
    if kind != ECC || attributes & STORAGE != STORAGE {
        return None;
    }
    let _policy = sized(&mut rest)?;
    // Symmetric cipher of a storage key: algorithm, key bits, mode.
    if number(&mut rest)? != NULL {
        take(&mut rest, 4)?;
    }
    // A restricted decryption key has no scheme and no key derivation.
    let (scheme, curve, derivation) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
    if (scheme, curve, derivation) != (NULL, P256, NULL) {
        return None;
    }
    let kept = public.len() - rest.len();
    let (x, y) = (sized(&mut rest)?, sized(&mut rest)?);
    if !rest.is_empty() || x.len() != COORDINATE || y.len() != COORDINATE {
        return None;
    }
    let mut swapped = public.get(..kept)?.to_vec();
    for coordinate in &POINT {
        put_sized(&mut swapped, coordinate)?;
    }
    let name = name(name_algorithm, &swapped)?;
    Some((swapped, name))
}

/// Name of an object: its name algorithm and that digest of its public area.
fn name(algorithm: u16, public: &[u8]) -> Option<Vec<u8>> {
    let digest = match algorithm {
        0x000B => Sha256::digest(public).to_vec(),
        0x000C => Sha384::digest(public).to_vec(),
        0x000D => Sha512::digest(public).to_vec(),
        _ => return None,
    };
    let mut name = algorithm.to_be_bytes().to_vec();
    name.extend(digest);
    Some(name)
}

/// Qualified name of a primary key of the owner's hierarchy, whose own name is its handle.
fn qualified_name(name_of_key: &[u8]) -> Option<Vec<u8>> {
    let algorithm = u16::from_be_bytes(name_of_key.get(..2)?.try_into().ok()?);
    let mut bytes = OWNER.to_be_bytes().to_vec();
    bytes.extend(name_of_key);
    name(algorithm, &bytes)
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(rest, 2)?.try_into().ok()?))
}

/// A `TPM2B`: 16 bits of length, then that many bytes.
fn sized<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = number(rest)?;
    take(rest, usize::from(length))
}

fn put_sized(bytes: &mut Vec<u8>, content: &[u8]) -> Option<()> {
    bytes.extend(u16::try_from(content.len()).ok()?.to_be_bytes());
    bytes.extend(content);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), sessions: bool) {
            let tag = if sessions { SESSIONS } else { super::super::command::NO_SESSIONS };
            let response = super::super::command::message(tag, 0, &body);
            for command in [TpmCommand::READ_PUBLIC, TpmCommand::CREATE_PRIMARY, TpmCommand::UNSEAL] {
                let _ = swap(command, &[0; 4], &response);
                let _ = swap(command, &[0; 4], &body);
            }
            let _ = swap_public(&body);
        }
    }
}
