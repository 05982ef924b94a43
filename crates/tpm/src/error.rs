//! Errors of one exchange with a TPM. Sealing has its own on top ([`crate::SealError`],
//! [`crate::UnsealError`]). On every one of them the caller gets no secret; sessions and objects that the
//! failed act had loaded have been flushed where the TPM still answered.

use std::io;

use crate::Name;
use crate::code::ResponseCode;
use crate::wire::WireError;

/// The bytes could not be carried to the TPM or back.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The device or socket could not be opened.
    #[error("open tpm {path}: {source}; check that the kernel found a TPM 2.0")]
    Open {
        /// Device node or socket.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command could not be written.
    #[error("write a command of {size} bytes to the tpm: {source}")]
    Write {
        /// Bytes to be written.
        size: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The device took only a part of the command.
    #[error("write a command to the tpm: expected {expected} bytes taken at once, found {found}")]
    ShortWrite {
        /// Bytes of the command.
        expected: usize,
        /// Bytes taken.
        found: usize,
    },
    /// The response could not be read.
    #[error("read the tpm's response: {source}")]
    Read {
        /// What the system said.
        source: io::Error,
    },
    /// A command or response is larger than [`crate::MAX_FRAME`].
    #[error("carry a tpm frame: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// Size found in bytes.
        found: usize,
    },
}

/// One exchange with the TPM failed.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// The TPM cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The TPM answered with a response code other than success.
    #[error("{command}: the tpm refused with {code}")]
    Refused {
        /// Name of the command as in TPM 2.0 Part 3.
        command: &'static str,
        /// Its response code.
        code: ResponseCode,
    },
    /// The TPM asked to send the command again more often than we do.
    #[error("{command}: the tpm was still busy ({code}) after {attempts} attempts; reboot")]
    Busy {
        /// Name of the command.
        command: &'static str,
        /// Last response code.
        code: ResponseCode,
        /// Times the command was sent.
        attempts: u32,
    },
    /// The response does not have the layout of Part 3.
    #[error("{command}: response not understood: {source}")]
    Malformed {
        /// Name of the command.
        command: &'static str,
        /// What is wrong with it.
        source: WireError,
    },
    /// The HMAC or the attributes of a response are wrong: it was not made by the TPM that holds the SRK.
    #[error("{command}: the response is not authentic; something between us and the tpm changed it")]
    ResponseForged {
        /// Name of the command.
        command: &'static str,
    },
    /// The Name a TPM reports for an object is not the hash of the public area it gave.
    #[error("{command}: expected name {expected}, found {found}; something changed the answer")]
    NameDiffers {
        /// Name of the command.
        command: &'static str,
        /// Name computed here.
        expected: Name,
        /// Name the TPM gave.
        found: Name,
    },
    /// A command could not be built.
    #[error("build a tpm command: {0}")]
    Encode(#[source] WireError),
    /// The storage key's public point is not a point of P-256.
    #[error("salt a session: the storage key's point is not on P-256; this tpm cannot be trusted")]
    SrkNotOnCurve,
    /// The system's random generator failed.
    #[error("take random bytes from the kernel: {source}")]
    Random {
        /// What the generator said.
        source: getrandom::Error,
    },
    /// The TPM's random generator gives nothing.
    #[error("take random bytes from the tpm: it gave none")]
    NoRandom,
    /// A PCR number is out of range.
    #[error("address pcr {pcr}: expected 0 to 23")]
    NoSuchPcr {
        /// The number asked for.
        pcr: u8,
    },
    /// A bank is active that we cannot compute; extending the others only would leave it open.
    #[error(
        "extend pcr {pcr}: the tpm has an active bank of unknown algorithm {alg:#06x}; turn it off in the firmware"
    )]
    UnsupportedBank {
        /// PCR to be extended.
        pcr: u8,
        /// TPM_ALG_ID of the bank.
        alg: u16,
    },
    /// No bank holds this PCR.
    #[error("use pcr {pcr}: no active bank holds it; turn the sha256 bank on in the firmware")]
    NoActiveBank {
        /// The PCR.
        pcr: u8,
    },
    /// The TPM does not give the value of a PCR that was asked for.
    #[error("read pcr {pcr} of bank {alg}: not allocated; turn that bank on in the firmware")]
    PcrNotAllocated {
        /// The PCR.
        pcr: u8,
        /// The bank.
        alg: crate::HashAlg,
    },
    /// PCRs kept changing while they were read.
    #[error("read pcrs: they changed during each of {attempts} attempts")]
    PcrsKeepChanging {
        /// Attempts made.
        attempts: u32,
    },
}

impl TpmError {
    /// The response code without parameter numbers, when the TPM gave one.
    #[must_use]
    pub fn base_code(&self) -> Option<ResponseCode> {
        match self {
            Self::Refused { code, .. } | Self::Busy { code, .. } => Some(code.base()),
            _ => None,
        }
    }
}
