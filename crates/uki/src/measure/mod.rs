//! What the boot chain measures of a UKI: PCR 11 (the stub's sections, then boot phases) and PCR 12 (the
//! command line, with systemd-boot 252).
//!
//! The builder predicts both and puts them into the slot manifest and the sealing policy; `bennu-init`
//! compares. A stub version without a table here is refused: a wrong prediction would cost a machine its
//! state. The tables follow the source of systemd v252 (`src/fundamental/tpm-pcr.h`, `src/boot/efi/stub.c`)
//! and v257 (`src/fundamental/uki.h`, `src/boot/stub.c`); the UKI specification's text lists another order.

mod pcr11;
mod pcr12;

pub use pcr11::{Pcr11Prediction, measured_sections, predict_pcr11, predict_pcr11_of};
pub use pcr12::predict_pcr12;

use crate::pe::{PeError, PeImage, SectionName};
use sha2::Digest;
use std::fmt;

/// Most bytes of a command line: the x86 kernel takes 2047 (COMMAND_LINE_SIZE 2048 with the terminator).
pub const MAX_CMDLINE_BYTES: usize = 2047;

/// A PCR bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bank {
    /// SHA-1: predicted because firmware extends it where it is active; nothing is sealed to it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Bank {
    /// All banks.
    pub const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha384];

    /// Name as in `.pcrsig` and tpm2-tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
        }
    }

    /// TPM_ALG_ID (TPM 2.0 Library, Part 2 §6.3).
    pub fn tpm_algorithm(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
        }
    }

    /// Length of a value, in bytes.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hash = D::new();
            parts.iter().for_each(|part| hash.update(part));
            hash.finalize().to_vec()
        }
        match self {
            Self::Sha1 => run::<sha1::Sha1>(parts),
            Self::Sha256 => run::<sha2::Sha256>(parts),
            Self::Sha384 => run::<sha2::Sha384>(parts),
        }
    }
}

/// The value of a PCR in a bank.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PcrValue {
    bank: Bank,
    bytes: Vec<u8>,
}

impl PcrValue {
    /// The value after power-on of PCRs 0 to 15.
    pub fn zero(bank: Bank) -> Self {
        Self {
            bank,
            bytes: vec![0; bank.digest_bytes()],
        }
    }

    /// The value after the firmware, kernel or we extend the PCR with the digest of `data`.
    #[must_use]
    pub fn measure(&self, data: &[u8]) -> Self {
        let digest = self.bank.hash(&[data]);
        Self {
            bank: self.bank,
            bytes: self.bank.hash(&[&self.bytes, &digest]),
        }
    }

    /// The bank.
    pub fn bank(&self) -> Bank {
        self.bank
    }

    /// The value: as many bytes as the bank's digests have.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for PcrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.bytes))
    }
}

impl fmt::Debug for PcrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.bank.name())
    }
}

/// Boot phases that are measured into PCR 11 one after the other (systemd-pcrphase.service(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Before anything is unsealed in the initrd. By `bennu-init`.
    EnterInitrd,
    /// Before the root is entered. By `bennu-init`.
    LeaveInitrd,
    /// Local file systems are mounted. By systemd-pcrphase-sysinit.service.
    Sysinit,
    /// The system is up. By systemd-pcrphase.service.
    Ready,
}

impl Phase {
    /// In the order in which they happen.
    pub const ALL: [Self; 4] = [Self::EnterInitrd, Self::LeaveInitrd, Self::Sysinit, Self::Ready];

    /// The word that is measured, without terminator.
    pub fn word(self) -> &'static str {
        match self {
            Self::EnterInitrd => "enter-initrd",
            Self::LeaveInitrd => "leave-initrd",
            Self::Sysinit => "sysinit",
            Self::Ready => "ready",
        }
    }

    /// The words up to this phase joined by colons: systemd-measure's name of the state.
    pub fn path(self) -> String {
        let words: Vec<_> = Self::ALL
            .iter()
            .filter(|p| **p <= self)
            .map(|p| p.word())
            .collect();
        words.join(":")
    }
}

/// Why a PCR cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The UKI is no PE image.
    #[error("predict the PCRs: read the UKI")]
    Pe(#[from] PeError),
    /// There is no stub in the image.
    #[error(
        "predict the PCRs: expected a .sdmagic section by systemd-stub; build the UKI with linuxx64.efi.stub"
    )]
    NotASystemdStub,
    /// A stub whose measurements are not known here.
    #[error("predict the PCRs: expected systemd-stub 252 or 257, found {found}; build with a stub of those")]
    UnknownStub {
        /// The version's text.
        found: String,
    },
    /// A section without which the stub refuses to boot.
    #[error("predict the PCRs: expected a .linux section, found none; this is no UKI")]
    NoKernel,
    /// A section is there twice, or under a name that this stub confuses with another.
    #[error("predict the PCRs: section {name} is there twice for this stub; name each section once")]
    AmbiguousSection {
        /// The section.
        name: SectionName,
    },
    /// A section whose use depends on the machine or on a choice in the menu.
    #[error(
        "predict the PCRs: what {name} changes depends on the machine or on a menu; leave the section out"
    )]
    Unpredictable {
        /// The section.
        name: SectionName,
    },
    /// A section is larger in memory than in the file.
    #[error("predict the PCRs: section {name} has {virtual_size} bytes in memory, {raw_size} in the file")]
    SectionNotInFile {
        /// The section.
        name: SectionName,
        /// Bytes in memory.
        virtual_size: u32,
        /// Bytes in the file.
        raw_size: u32,
    },
    /// The command line is longer than the kernel takes.
    #[error("predict PCR 12: expected a command line of at most {limit} bytes, found {found}")]
    CmdlineTooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// The command line is no UTF-8.
    #[error(
        "predict PCR 12: expected a command line in UTF-8, found another byte at {at}; write it in ASCII"
    )]
    CmdlineNotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
}

/// A version of systemd-stub (and of the systemd-boot from the same package) whose measurements are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StubVersion {
    /// Debian 12.
    V252,
    /// Debian 13.
    V257,
}

impl StubVersion {
    /// Reads the version from an image's `.sdmagic`: `#### LoaderInfo: systemd-stub 257.13-1~deb13u1 ####`.
    ///
    /// # Errors
    /// [`MeasureError`] if it is no systemd-stub, or not of a known version.
    pub fn of(image: &PeImage<'_>) -> Result<Self, MeasureError> {
        let magic = image
            .section_data(".sdmagic")
            .and_then(|data| std::str::from_utf8(data).ok());
        let version = magic
            .map(|text| text.trim_end_matches('\0'))
            .and_then(|text| text.strip_prefix("#### LoaderInfo: systemd-stub "))
            .and_then(|text| text.strip_suffix(" ####"));
        let version = version.ok_or(MeasureError::NotASystemdStub)?;
        match version.split(|c: char| !c.is_ascii_digit()).next() {
            Some("252") => Ok(Self::V252),
            Some("257") => Ok(Self::V257),
            _ => Err(MeasureError::UnknownStub {
                found: version.escape_default().to_string(),
            }),
        }
    }

    /// The sections that this stub measures, in its order. `.pcrsig` signs the result and is left out.
    pub fn measured_sections(self) -> &'static [&'static str] {
        match self {
            Self::V252 => &[
                ".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey",
            ],
            Self::V257 => &[
                ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
                ".pcrpkey", ".hwids",
            ],
        }
    }

    /// Sections whose presence makes the measurements depend on more than the image: `.profile` is a choice
    /// in the menu, `.dtbauto` one by hardware.
    fn unpredictable_sections(self) -> &'static [&'static str] {
        match self {
            Self::V252 => &[],
            Self::V257 => &[".profile", ".dtbauto"],
        }
    }
}
