//! Attestation: what the TPM says about itself, signed by a key that never leaves it.
//!
//! The attestation key is a restricted ECDSA key in the endorsement hierarchy, made from one template each time it is
//! needed: the same TPM always makes the same key, and clearing the TPM (a factory reset) does not change it. It signs
//! nothing but statements that the TPM made itself. Written by `bennud`; read by whoever holds the key's public part.
//!
//! Formats are those of TPM 2.0 Part 2 (revision 1.59): TPMS_ATTEST (10.12.12), TPMT_SIGNATURE (11.3.4). A statement
//! is untrusted bytes until its signature has been verified ([`verify_quote`], feature `verify-quote`).

mod statement;
#[cfg(feature = "verify-quote")]
mod verify;

pub use statement::{ClockInfo, QuoteStatement};
#[cfg(feature = "verify-quote")]
pub use verify::{QuoteError, verify_quote, verify_statement};

use crate::code::{ECC_NIST_P256, alg};
use crate::public::{Name, coordinate, expect_bytes};
use crate::wire::{Reader, WireError, Writer};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign (Part 2, 8.3).
const ATTESTATION_ATTRIBUTES: u32 = 0x0005_0472;
/// Most bytes of what the caller has signed along: TPM2B_DATA holds a digest and its algorithm (Part 2, 10.4.3).
pub const MAX_QUALIFYING: usize = 32;

/// The public part of an attestation key: a point of P-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AttestationPublic {
    /// X coordinate, 32 bytes big-endian.
    pub x: [u8; 32],
    /// Y coordinate, 32 bytes big-endian.
    pub y: [u8; 32],
    /// Name within the TPM.
    pub name: Name,
}

/// A statement about PCRs and the key's signature over it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quote {
    /// TPMS_ATTEST, at most 512 bytes.
    pub statement: Vec<u8>,
    /// ECDSA over its SHA-256: r and s, 32 bytes big-endian each.
    pub signature: [u8; 64],
}

fn head() -> Writer {
    Writer::new()
        .u16(alg::ECC)
        .u16(alg::SHA256)
        .u32(ATTESTATION_ATTRIBUTES)
        .sized(&[])
        .u16(alg::NULL)
        .u16(alg::ECDSA)
        .u16(alg::SHA256)
        .u16(ECC_NIST_P256)
        .u16(alg::NULL)
}

/// The template for TPM2_CreatePrimary: empty `unique`.
pub(crate) fn template() -> Writer {
    head().sized(&[]).sized(&[])
}

impl AttestationPublic {
    /// Accepts a TPMT_PUBLIC that is the template with any point.
    ///
    /// # Errors
    ///
    /// [`WireError`] naming the first field that differs.
    pub fn decode(area: &[u8]) -> Result<Self, WireError> {
        let head = head().finish()?;
        let mut reader = Reader::new(area);
        expect_bytes(&mut reader, &head, "attestation key template")?;
        let x = coordinate(reader.sized_max(32, "attestation key x")?);
        let y = coordinate(reader.sized_max(32, "attestation key y")?);
        reader.end("attestation key")?;
        Ok(Self {
            x,
            y,
            name: Name::of_public_area(area),
        })
    }

    /// The point uncompressed (SEC 1, 2.3.3): 04, x, y. 65 bytes.
    #[must_use]
    pub fn sec1(&self) -> [u8; 65] {
        let mut point = [4; 65];
        point[1..33].copy_from_slice(&self.x);
        point[33..].copy_from_slice(&self.y);
        point
    }
}

/// TPMT_SIGNATURE of an ECDSA key with SHA-256.
pub(crate) fn decode_signature(reader: &mut Reader<'_>) -> Result<[u8; 64], WireError> {
    reader.expect_u16(alg::ECDSA, "signature algorithm")?;
    reader.expect_u16(alg::SHA256, "signature hash")?;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&coordinate(reader.sized_max(32, "signature r")?));
    signature[32..].copy_from_slice(&coordinate(reader.sized_max(32, "signature s")?));
    Ok(signature)
}
