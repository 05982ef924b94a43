//! What the kernel measured: replayed against PCR 10 as it grows, each file looked up in the golden-file index.
//!
//! `docs/spec/ima-replay.md`. Every entry is read once, unless the log does not give the PCR: then what comes behind
//! the last proven entry is read again at each look, since an intruder who extends PCR 10 must not blind the watch.

use super::asking::{Asking, Tpm};
use super::{Look, Sighting, Subject, index};
use crate::kernel_files::{KernelFiles, KernelFs};
use crate::status::pcrs;
use bennu_formats::ima::{Entry, IMA_PCR, ImaError, ListedDigest, Replay};
use bennu_formats::{Sha256Digest, paths};
use bennu_policy::drift::Signal;
use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

/// Where the kernel shows the log in securityfs, with 32-byte digests (Linux 6.10) and with 20-byte ones.
const LOGS: [(&str, ListedDigest); 2] = [
    ("ima/binary_runtime_measurements_sha256", ListedDigest::Sha256),
    ("ima/binary_runtime_measurements", ListedDigest::Sha1),
];
/// Most bytes that are read at one look: a hundred thousand entries.
const MAX_BYTES: u64 = 32 << 20;
/// Most programs that are told of.
const MAX_TOLD: usize = 64;

/// A file that was measured: the digest of its content where that is a SHA-256, and its path.
type Measured = (Option<Sha256Digest>, String);

/// The watch over the log.
pub struct ImaWatch {
    kernel: Arc<KernelFiles>,
    pcr10: Asking<Result<Sha256Digest, String>>,
    /// The golden-file index.
    index: PathBuf,
    replay: Replay,
    /// Not yet looked up: an index that could not be read lets nobody slip by.
    waiting: BTreeSet<Measured>,
    /// Told already, so that the same program is one sighting.
    told: BTreeSet<Measured>,
    /// The index failed at the last look, and other things were told instead.
    index_failed: bool,
}

impl ImaWatch {
    /// The machine's.
    pub fn of(kernel: Arc<KernelFiles>, tpm: Tpm) -> Self {
        Self {
            kernel,
            pcr10: Asking::of(tpm),
            index: paths::ROOT_GOLDEN_INDEX.into(),
            replay: Replay::default(),
            waiting: BTreeSet::new(),
            told: BTreeSet::new(),
            index_failed: false,
        }
    }

    /// What is in the log only is left for the next time: the PCR is read first.
    fn sightings(&mut self) -> Look {
        let kernel = Arc::clone(&self.kernel);
        let asked = self.pcr10.ask(move || pcrs::read_kernel(&kernel, IMA_PCR));
        let pcr10 = asked?.any()?;
        let (path, listed) = LOGS
            .into_iter()
            .find(|(path, _)| self.kernel.has(KernelFs::Security, path))
            .ok_or("expected a measurement log of IMA, found none")?;
        let bytes = self.tail(path)?;
        let mut files = Vec::new();
        let mut violations = Vec::new();
        let visit = |entry: &Entry<'_>| classify(entry, &mut files, &mut violations);
        let replayed = self.replay.advance(&bytes, listed, &pcr10, visit);
        let mut seen = match replayed {
            Ok(()) => violations.iter().map(|path| violation(path)).collect(),
            Err(error) => vec![mismatch(&error, &pcr10)],
        };
        self.waiting.extend(files);
        match self.unknown() {
            Ok(unknown) => {
                self.index_failed = false;
                seen.extend(unknown);
            }
            // What was seen besides is told first, and the index is asked again at the next look. Not for a log that is
            // another one at each look.
            Err(_) if !seen.is_empty() && !self.index_failed => self.index_failed = true,
            Err(why) => return Err(why),
        }
        Ok(seen)
    }

    /// What is in the log behind the last proven entry.
    fn tail(&self, path: &str) -> Result<Vec<u8>, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", KernelFs::Security.place().join(path).display());
        let opened = self.kernel.open(KernelFs::Security, path);
        let mut file = opened.map_err(|e| e.to_string())?;
        file.seek(SeekFrom::Start(self.replay.offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Files that the index does not have.
    fn unknown(&mut self) -> Look {
        self.waiting.retain(|file| !self.told.contains(file));
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |e: &dyn std::fmt::Display| index::failed(&self.index, e);
        let index = index::open(&self.index)?;
        let (mut seen, mut told, mut more) = (Vec::new(), Vec::new(), false);
        for (digest, path) in &self.waiting {
            let known = match digest {
                Some(digest) => !index.by_digest(digest, 1).map_err(|e| failed(&e))?.is_empty(),
                None => false,
            };
            if known {
                continue;
            }
            if self.told.len() + told.len() >= MAX_TOLD {
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
            told.push((*digest, path.clone()));
        }
        // Not before the index has answered for all of them.
        self.told.extend(told);
        self.waiting.clear();
        if more {
            // Without names: one sighting, that lasts as long as there are new ones.
            let words = format!("more than {MAX_TOLD} programs are no files of the image");
            seen.push(Sighting::new(Signal::ImaDigestUnknown, words));
        }
        Ok(seen)
    }
}

fn violation(path: &str) -> Sighting {
    let words = format!("{path} was open for writing while it was measured");
    Sighting::new(Signal::ImaViolation, words)
}

/// Words without counts: a condition that lasts is one sighting.
fn mismatch(error: &ImaError, pcr10: &Sha256Digest) -> Sighting {
    let words = match error {
        ImaError::Replay { .. } => format!("PCR 10 is {pcr10}, which the log does not give"),
        other => other.to_string(),
    };
    Sighting::new(Signal::ImaLogMismatch, words)
}

/// Entries of other PCRs are not proven, and the first one is of the firmware's PCRs and not of a file.
fn classify(entry: &Entry<'_>, files: &mut Vec<Measured>, violations: &mut Vec<String>) {
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

impl Subject for ImaWatch {
    fn name(&self) -> &'static str {
        "measurement log"
    }

    fn look(&mut self) -> Look {
        self.sightings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Six entries: the boot aggregate, `init`, `a b`, a violation of `/var/log/x`, one of PCR 11, `v2`.
    const LOG: &[u8] = include_bytes!("../../../crates/formats/tests/golden/ima-sha256.bin");
    /// PCR 10 after three, four and all entries, by an implementation of its own (`crates/formats/tests/ima.rs`).
    const AFTER_FILES: &str = "57cc61514ec0d265d709af42a470c65e2499a228f1acd28918eaaf78bcdef9d0";
    const AFTER_VIOLATION: &str = "2ceb099f70d5111dfd51019d64c26d40edf59e41548fa79b4f7bb89c4ea101c7";
    const AFTER_ALL: &str = "10b6cfbc2d7b210bd6a324721f6ec7f00ae3d4412133f299d4f9918ca66fedc4";

    /// A machine that has measured so far.
    fn machine(dir: &Path, pcr10: &str) -> ImaWatch {
        let log = dir.join("securityfs/ima");
        std::fs::create_dir_all(&log).unwrap();
        std::fs::write(log.join("binary_runtime_measurements_sha256"), LOG).unwrap();
        let bank = dir.join("sysfs/class/tpm/tpm0/pcr-sha256");
        std::fs::create_dir_all(bank).unwrap();
        measured(dir, pcr10);
        ImaWatch {
            index: dir.join("golden.idx"),
            ..ImaWatch::of(Arc::new(KernelFiles::at(dir)), Tpm::default())
        }
    }

    fn measured(dir: &Path, pcr10: &str) {
        std::fs::write(dir.join("sysfs/class/tpm/tpm0/pcr-sha256/10"), pcr10).unwrap();
    }

    fn signals(watch: &mut ImaWatch) -> Vec<Signal> {
        watch.look().unwrap().iter().map(|seen| seen.signal).collect()
    }

    #[test]
    fn a_violation_is_told_once_when_the_pcr_proves_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = machine(dir.path(), AFTER_FILES);
        index::write(&watch.index, &[("init", b"init"), ("a b", b"a b"), ("v2", b"v2")]);
        assert_eq!(
            signals(&mut watch),
            [],
            "control: the log has it, the TPM does not"
        );
        measured(dir.path(), AFTER_VIOLATION);
        let seen = watch.look().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].signal, Signal::ImaViolation);
        assert_eq!(
            seen[0].detail,
            "/var/log/x was open for writing while it was measured"
        );
        measured(dir.path(), AFTER_ALL);
        assert_eq!(signals(&mut watch), []);
    }

    #[test]
    fn a_pcr_that_the_log_does_not_give_is_one_sighting_as_long_as_it_lasts_and_blinds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = machine(dir.path(), AFTER_FILES);
        index::write(&watch.index, &[("init", b"init"), ("a b", b"a b")]);
        assert_eq!(signals(&mut watch), [], "control");
        measured(dir.path(), &"66".repeat(32));
        let first = watch.look().unwrap();
        let of = |seen: &[Sighting]| seen.iter().map(|one| one.signal).collect::<Vec<_>>();
        assert_eq!(of(&first), [Signal::ImaLogMismatch, Signal::ImaDigestUnknown]);
        assert!(first[0].detail.starts_with("PCR 10 is 6666"), "{first:?}");
        assert!(first[1].detail.starts_with("/usr/bin/v2 ("), "{first:?}");
        assert_eq!(watch.look().unwrap(), first[..1], "the program is told once");
        measured(dir.path(), AFTER_ALL);
        assert_eq!(signals(&mut watch), [Signal::ImaViolation]);
    }

    #[test]
    fn a_log_that_is_cut_or_changed_is_a_mismatch() {
        for change in [
            |log: &mut Vec<u8>| log.truncate(40),
            |log: &mut Vec<u8>| log[200] ^= 1,
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut watch = machine(dir.path(), AFTER_ALL);
            index::write(&watch.index, &[("init", b"init"), ("a b", b"a b"), ("v2", b"v2")]);
            let mut log = LOG.to_vec();
            change(&mut log);
            let path = dir
                .path()
                .join("securityfs/ima/binary_runtime_measurements_sha256");
            std::fs::write(&path, log).unwrap();
            assert!(signals(&mut watch).contains(&Signal::ImaLogMismatch));
            std::fs::write(&path, LOG).unwrap();
            assert_eq!(signals(&mut watch), [Signal::ImaViolation], "control");
        }
    }

    #[test]
    fn an_index_that_cannot_be_read_hides_no_violation_and_lets_no_program_slip_by() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = machine(dir.path(), AFTER_ALL);
        assert_eq!(signals(&mut watch), [Signal::ImaViolation]);
        let why = watch.look().unwrap_err();
        assert!(why.contains("golden.idx: "), "{why}");
        index::write(&watch.index, &[("init", b"init"), ("a b", b"a b")]);
        let seen = watch.look().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].program.as_deref(), Some("/usr/bin/v2"));
        assert_eq!(signals(&mut watch), []);
    }
}
