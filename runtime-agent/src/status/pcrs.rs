//! PCR values: when `bennu-init` was done, and now.
//!
//! The kernel shows the SHA-256 bank in sysfs, one file of 64 hex digits a PCR
//! (Documentation/ABI/stable/sysfs-class-tpm), readable by all; the TPM is not asked.

use crate::kernel_files::{KernelFiles, KernelFs};
use bennu_formats::Sha256Digest;
use bennu_linux::bounded;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the kernel shows them, in sysfs.
const BANK: &str = "class/tpm/tpm0/pcr-sha256";
/// 64 hex digits and a newline, and some bytes so that a longer file is noticed.
const MAX_FILE_BYTES: usize = 80;

/// One PCR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcrRow {
    /// Index.
    pub pcr: u32,
    /// Value when `bennu-init` was done.
    pub at_handover: Sha256Digest,
    /// Value now, or why it is unknown.
    pub now: PcrNow,
}

/// A PCR's value now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PcrNow {
    /// The same as at the hand-over.
    Same,
    /// Another one: something was measured since.
    Changed {
        /// Value.
        value: Sha256Digest,
    },
    /// The kernel does not tell.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What is measured into `pcr` in the running system, where that is part of a normal start.
pub fn expected_change(pcr: u32) -> Option<&'static str> {
    match pcr {
        11 => Some("systemd measures sysinit and ready"),
        10 => Some("the kernel's IMA measures files"),
        15 => Some("systemd measures machine id and file systems"),
        _ => None,
    }
}

/// The directory with one file a PCR, as everybody sees it.
pub fn directory() -> PathBuf {
    KernelFs::Sys.place().join(BANK)
}

/// The rows for the PCRs of the hand-over record, with today's values from `directory`.
pub fn rows(at_handover: &BTreeMap<u32, Sha256Digest>, directory: &Path) -> Vec<PcrRow> {
    let row = |(&pcr, &at_handover): (&u32, &Sha256Digest)| {
        let now = match read(directory, pcr) {
            Ok(value) if value == at_handover => PcrNow::Same,
            Ok(value) => PcrNow::Changed { value },
            Err(why) => PcrNow::Unknown { why },
        };
        PcrRow {
            pcr,
            at_handover,
            now,
        }
    };
    at_handover.iter().map(row).collect()
}

/// One PCR of the SHA-256 bank in `directory`.
///
/// # Errors
/// The kernel does not tell; in words.
pub fn read(directory: &Path, pcr: u32) -> Result<Sha256Digest, String> {
    let path = directory.join(pcr.to_string());
    let text = bounded::read_text(&path, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
    value(&text, &path)
}

/// As [`read`], of the kernel's own bank.
///
/// # Errors
/// The same.
pub fn read_kernel(kernel: &KernelFiles, pcr: u32) -> Result<Sha256Digest, String> {
    let path = Path::new(BANK).join(pcr.to_string());
    let text = kernel.read_text(KernelFs::Sys, &path, MAX_FILE_BYTES);
    value(
        &text.map_err(|error| error.to_string())?,
        &KernelFs::Sys.place().join(path),
    )
}

/// The kernel writes upper case.
fn value(text: &str, path: &Path) -> Result<Sha256Digest, String> {
    let value = text.to_ascii_lowercase().parse();
    value.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_or_changed_or_unknown_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Sha256Digest([0xab; 32]), Sha256Digest([0xcd; 32]));
        let upper = |digest: Sha256Digest| format!("{}\n", digest.to_string().to_uppercase());
        std::fs::write(dir.path().join("7"), upper(a)).unwrap();
        std::fs::write(dir.path().join("11"), upper(b)).unwrap();
        std::fs::write(dir.path().join("12"), "ab\n").unwrap();
        std::fs::write(dir.path().join("13"), "0".repeat(100)).unwrap();
        let rows = rows(&[4, 7, 11, 12, 13].map(|pcr| (pcr, a)).into(), dir.path());
        let now: Vec<&PcrNow> = rows.iter().map(|row| &row.now).collect();
        assert!(matches!(now[0], PcrNow::Unknown { why } if why.contains("cannot open")));
        assert_eq!(now[1], &PcrNow::Same);
        assert_eq!(now[2], &PcrNow::Changed { value: b });
        assert!(matches!(now[3], PcrNow::Unknown { why } if why.contains("64 lower-case hex digits")));
        assert!(matches!(now[4], PcrNow::Unknown { why } if why.contains("longer than")));
    }
}
