//! What the kernel measured: replayed against PCR 10 as it grows, each file looked up in the golden-file index.
//!
//! `docs/spec/ima-replay.md`. Every entry is read once, unless the log does not give the PCR: then what comes behind
//! the last proven entry is read again at each look, since an intruder who extends PCR 10 must not blind the watch.

use super::{Look, Sighting, Subject};
use crate::status::pcrs;
use bennu_formats::ima::{Entry, IMA_PCR, ImaError, ListedDigest, Replay};
use bennu_formats::{Sha256Digest, paths};
use bennu_golden::Index;
use bennu_policy::drift::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Where the kernel shows the log, with 32-byte digests (Linux 6.10) and with 20-byte ones.
const LOGS: [(&str, ListedDigest); 2] = [
    (
        "/sys/kernel/security/ima/binary_runtime_measurements_sha256",
        ListedDigest::Sha256,
    ),
    (
        "/sys/kernel/security/ima/binary_runtime_measurements",
        ListedDigest::Sha1,
    ),
];
/// Most bytes that are read at one look: a hundred thousand entries.
const MAX_BYTES: u64 = 32 << 20;
/// Most programs that are told of.
const MAX_TOLD: usize = 64;

/// The watch over the log.
pub struct ImaWatch {
    logs: Vec<(PathBuf, ListedDigest)>,
    pcr: PathBuf,
    index: PathBuf,
    replay: Replay,
    /// Told already, so that the same program is one sighting.
    told: BTreeSet<(Option<Sha256Digest>, String)>,
    violations: u64,
}

impl Default for ImaWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl ImaWatch {
    /// The machine's.
    pub fn new() -> Self {
        Self::at(
            LOGS.map(|(path, listed)| (path.into(), listed)).into(),
            Path::new(pcrs::SYSFS),
            Path::new(paths::ROOT_GOLDEN_INDEX),
        )
    }

    /// One in files, for tests: the logs to try, the directory with PCR 10, the index.
    pub fn at(logs: Vec<(PathBuf, ListedDigest)>, pcrs: &Path, index: &Path) -> Self {
        Self {
            logs,
            pcr: pcrs.to_owned(),
            index: index.to_owned(),
            replay: Replay::default(),
            told: BTreeSet::new(),
            violations: 0,
        }
    }

    /// One look.
    ///
    /// # Errors
    /// The log, the PCR or the index cannot be read; in words.
    pub fn sightings(&mut self) -> Look {
        // First the PCR: what is in the log only is left for the next time.
        let pcr10 = pcrs::read(&self.pcr, IMA_PCR)?;
        let (path, listed) = self
            .logs
            .iter()
            .find(|(path, _)| path.exists())
            .ok_or("expected a measurement log of IMA, found none")?;
        let bytes = tail(path, self.replay.offset).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut files = Vec::new();
        let mut violations = Vec::new();
        let visit = |entry: &Entry<'_>| classify(entry, &mut files, &mut violations);
        let replayed = self.replay.advance(&bytes, *listed, &pcr10, visit);
        let mut seen = self.unknown(files)?;
        if replayed.is_ok() {
            self.violations += violations.len() as u64;
            seen.extend(violations.into_iter().map(|path| {
                let words = format!("{path} was open for writing while it was measured");
                Sighting::new(Signal::ImaViolation, words)
            }));
        }
        match replayed {
            Ok(()) => {}
            Err(error @ ImaError::Replay { .. }) => {
                // Words without counts: a condition that lasts is one sighting.
                let words = format!("PCR 10 is {pcr10}, which the log does not give");
                let _counts = error;
                seen.push(Sighting::new(Signal::ImaLogMismatch, words));
            }
            Err(error) => seen.push(Sighting::new(Signal::ImaLogMismatch, error.to_string())),
        }
        Ok(seen)
    }

    /// Files that the index does not have.
    fn unknown(&mut self, files: Vec<(Option<Sha256Digest>, String)>) -> Look {
        let new: Vec<_> = files
            .into_iter()
            .filter(|file| !self.told.contains(file))
            .collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", self.index.display());
        let file = File::open(&self.index).map_err(|e| failed(&e))?;
        let length = file.metadata().map_err(|e| failed(&e))?.len();
        let index = Index::open(file, length).map_err(|e| failed(&e))?;
        let (mut seen, mut more) = (Vec::new(), false);
        for (digest, path) in new {
            let known = match &digest {
                Some(digest) => !index.by_digest(digest, 1).map_err(|e| failed(&e))?.is_empty(),
                None => false,
            };
            if known {
                continue;
            }
            if self.told.len() >= MAX_TOLD {
                more = true;
                continue;
            }
            let of = digest.map_or_else(|| "no SHA-256".to_owned(), |digest| digest.to_string());
            let sighting = Sighting::new(
                Signal::ImaDigestUnknown,
                format!("{path} ({of}) is no file of the image"),
            );
            seen.push(Sighting {
                program: Some(path.clone()),
                ..sighting
            });
            self.told.insert((digest, path));
        }
        if more {
            // Without names: one sighting, that lasts as long as there are new ones.
            let words = format!("more than {MAX_TOLD} programs are no files of the image");
            seen.push(Sighting::new(Signal::ImaDigestUnknown, words));
        }
        Ok(seen)
    }
}

/// Entries of other PCRs are not proven, and the first one is of the firmware's PCRs and not of a file.
fn classify(
    entry: &Entry<'_>,
    files: &mut Vec<(Option<Sha256Digest>, String)>,
    violations: &mut Vec<String>,
) {
    let of_a_file = matches!(entry.template, "ima-ng" | "ima-sig" | "ima-ngv2" | "ima-sigv2");
    let Some(file) = entry.file().filter(|_| entry.pcr == IMA_PCR && of_a_file) else {
        return;
    };
    let path = String::from_utf8_lossy(file.path).into_owned();
    if entry.violation {
        violations.push(path);
    } else if path != "boot_aggregate" {
        files.push((file.digest, path));
    }
}

fn tail(path: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Subject for ImaWatch {
    fn name(&self) -> &'static str {
        "measurement log"
    }

    fn look(&mut self) -> Look {
        self.sightings()
    }
}
