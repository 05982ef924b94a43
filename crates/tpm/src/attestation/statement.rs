//! TPMS_ATTEST of a quote, and the TPM's clock.

use crate::command::decode_selection;
use crate::hash::HashAlg;
use crate::pcr::PcrMask;
use crate::wire::{Reader, WireError};

/// Most bytes of a statement.
pub(super) const MAX_STATEMENT: usize = 512;
/// TPM_GENERATED_VALUE (Part 2, 6.2): the TPM lets no restricted key sign foreign bytes that begin so.
const GENERATED: u64 = 0xFF54_4347;
/// TPM_ST_ATTEST_QUOTE (Part 2, 6.9).
const ATTEST_QUOTE: u16 = 0x8018;

/// TPMS_CLOCK_INFO (Part 2, 10.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM has been powered since its last clear.
    pub clock_ms: u64,
    /// Resets since the TPM was last cleared: one for each power-on of the machine.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset: the machine slept.
    pub restart_count: u32,
    /// Whether no greater `clock_ms` was ever given before.
    pub safe: bool,
}

impl ClockInfo {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            clock_ms: u64::from_be_bytes(reader.array("clock")?),
            reset_count: reader.u32("reset count")?,
            restart_count: reader.u32("restart count")?,
            safe: reader.u8("clock is safe")? != 0,
        })
    }
}

/// What a quote says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteStatement {
    /// What the caller had signed along, at most 34 bytes.
    pub qualifying: Vec<u8>,
    /// Clock when it was signed. Reset and restart count of a key outside the owner's and platform's hierarchies are
    /// obfuscated by a constant of the key (Part 1, 36.7): equal means equal, the numbers mean nothing.
    pub clock: ClockInfo,
    /// PCRs of the SHA-256 bank.
    pub pcrs: PcrMask,
    /// SHA-256 over their values, ascending.
    pub pcr_digest: [u8; 32],
}

impl QuoteStatement {
    /// Decodes a TPMS_ATTEST of at most 512 bytes that is a quote over the SHA-256 bank.
    ///
    /// # Errors
    ///
    /// [`WireError`] naming the first field that is not so.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_STATEMENT {
            return Err(WireError::TooLong {
                field: "quote",
                limit: MAX_STATEMENT,
                found: bytes.len(),
            });
        }
        let mut reader = Reader::new(bytes);
        let magic = u64::from(reader.u32("quote magic")?);
        if magic != GENERATED {
            return Err(WireError::Unexpected {
                field: "quote magic",
                expected: GENERATED,
                found: magic,
            });
        }
        reader.expect_u16(ATTEST_QUOTE, "statement type")?;
        reader.sized_max(68, "qualified signer")?;
        let qualifying = reader.sized_max(68, "qualifying data")?.to_vec();
        let clock = ClockInfo::decode(&mut reader)?;
        reader.take(8, "firmware version")?;
        let pcrs = decode_selection(&mut reader, HashAlg::Sha256)?;
        reader.expect_u16(32, "pcr digest size")?;
        let pcr_digest = reader.array("pcr digest")?;
        reader.end("quote")?;
        Ok(Self {
            qualifying,
            clock,
            pcrs,
            pcr_digest,
        })
    }
}
