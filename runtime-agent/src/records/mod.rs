//! The record log of the running system (`docs/spec/records.md`), its signer, and where both lie.
//!
//! Written by `bennud` to the state volume, or to `/run` where the image keeps no state; read by `bennuctl log verify`.
//! A log that cannot be written is told on the console and counted: when it can be written again, a gap mark says how
//! many lines are missing. It never stops the watch.

mod quote;
mod witness;

pub use quote::{DEVICE, HeadKey, QuoteError, TpmSigner};
pub use witness::Witness;

use crate::kernel_files::proc_path;
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::{bounded, time};
use bennu_records::{Durability, InitialKey, Limits, Signer, Stamp, WriteError, Writer};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use witness::Witnessed;

/// In procfs.
const BOOT_ID: &str = "sys/kernel/random/boot_id";
/// A UUID in text with its newline.
const BOOT_ID_BYTES: usize = 64;
const PROGRAM: &str = concat!("bennud ", env!("CARGO_PKG_VERSION"));

/// Why there is no log, or a line is not in it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory.
    #[error("record log: {path}: cannot be opened: {source}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No random bytes.
    #[error("record log: no random bytes for its key: {0}")]
    Random(getrandom::Error),
    /// Writing.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Now, by both clocks.
pub fn stamp() -> Stamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp {
        at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        up_ms: time::since_boot_ms(),
    }
}

/// The kernel's boot id; empty where it cannot be read.
pub fn boot_id() -> String {
    let text = bounded::read_text(&proc_path(BOOT_ID), BOOT_ID_BYTES).unwrap_or_default();
    text.trim().to_owned()
}

/// Where the log of this start lies.
pub fn place(handover: &Handover) -> &'static Path {
    Path::new(match handover.state_volume {
        Some(_) => paths::STATE_RECORDS,
        None => paths::RUN_RECORDS,
    })
}

/// The log as `bennud` writes it.
pub struct Journal {
    path: PathBuf,
    writer: Option<Writer<Witnessed>>,
    witness: Witness,
    /// Lines that could not be written since the last one that could.
    lost: u64,
}

impl Journal {
    /// A log in `path`; the first line opens it. `witness` knows from now on what is written to it, and nothing else.
    pub fn at(path: &Path, witness: Witness) -> Self {
        witness.forget();
        Self {
            path: path.to_owned(),
            writer: None,
            witness,
            lost: 0,
        }
    }

    /// Writes a line and flushes it; gives its number and the chain after it.
    ///
    /// # Errors
    /// [`JournalError`]; the line is counted as lost.
    pub fn note(&mut self, body: Value) -> Result<(u64, bennu_formats::Sha256Digest), JournalError> {
        let written = self.with_writer(|writer| {
            let number = writer.event(body, stamp(), Durability::Now)?;
            Ok((number, writer.position().1))
        });
        if written.is_err() {
            self.lost = self.lost.saturating_add(1);
        }
        written
    }

    /// So many lines were lost before they came here.
    pub fn lose(&mut self, lines: u64) {
        self.lost = self.lost.saturating_add(lines);
    }

    /// Signs the chain so far.
    ///
    /// # Errors
    /// [`JournalError`]; when the signer alone failed, the log goes on.
    pub fn head(&mut self, signer: &mut dyn Signer) -> Result<(), JournalError> {
        self.with_writer(|writer| writer.head(signer, stamp()).map(drop))
    }

    /// Ends the segment in good order, before the volume beneath it goes.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn stop(&mut self) -> Result<(), JournalError> {
        match self.writer.take() {
            Some(writer) => Ok(writer.stop(stamp()).map(drop)?),
            None => Ok(()),
        }
    }

    fn with_writer<T>(
        &mut self,
        act: impl FnOnce(&mut Writer<Witnessed>) -> Result<T, WriteError>,
    ) -> Result<T, JournalError> {
        let mut writer = match self.writer.take() {
            Some(writer) if !self.witness.is_broken() => writer,
            _ => self.open()?,
        };
        if self.lost > 0 {
            writer.gap("records", self.lost, stamp())?;
            self.lost = 0;
        }
        let done = act(&mut writer);
        // A writer whose store failed writes no more: the next line opens the log again. A signer's failure is none.
        if matches!(done, Ok(_) | Err(WriteError::Signer(_) | WriteError::Line(_))) {
            self.writer = Some(writer);
        }
        Ok(done?)
    }

    /// The first key is used and forgotten: what proves the lines is the heads, which the TPM signs.
    fn open(&self) -> Result<Writer<Witnessed>, JournalError> {
        let store =
            Witnessed::open(&self.path, self.witness.clone()).map_err(|source| JournalError::Open {
                path: self.path.clone(),
                source,
            })?;
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(JournalError::Random)?;
        let key = InitialKey::new(*bytes);
        Ok(Writer::open(
            store,
            Limits::default(),
            &key,
            &boot_id(),
            PROGRAM,
            stamp(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_records::{LogFile, Proof, SignerError, verify};

    struct Broken;

    impl Signer for Broken {
        fn algorithm(&self) -> &str {
            "none"
        }
        fn keyid(&self) -> bennu_formats::Sha256Digest {
            bennu_formats::Sha256Digest::ZERO
        }
        fn sign(&mut self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            Err(SignerError("no TPM".to_owned()))
        }
    }

    fn kinds(path: &Path) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        files.sort();
        let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
        let kind = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["kind"].as_str().unwrap().to_owned()
        };
        texts
            .flat_map(|text| text.lines().map(kind).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_line_that_could_not_be_written_is_counted_in_a_gap_mark() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        std::fs::write(&path, "in the way").unwrap();
        let mut journal = Journal::at(&path, Witness::default());
        for _ in 0..2 {
            let refused = journal.note(serde_json::json!({}));
            assert!(matches!(refused, Err(JournalError::Open { .. })));
        }
        std::fs::remove_file(&path).unwrap();
        journal.note(serde_json::json!({"event": "x"})).unwrap();
        journal.stop().unwrap();
        assert_eq!(kinds(&path), ["start", "gap", "event", "stop"]);
    }

    #[test]
    fn a_signer_that_fails_leaves_the_log_writable_and_nothing_proves_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        let mut journal = Journal::at(&path, Witness::default());
        journal.note(serde_json::json!({"event": "x"})).unwrap();
        let refused = journal.head(&mut Broken);
        assert!(matches!(refused, Err(JournalError::Write(WriteError::Signer(_)))));
        journal.note(serde_json::json!({"event": "y"})).unwrap();
        assert_eq!(kinds(&path), ["start", "event", "event"]);
        let bytes = std::fs::read(path.join(bennu_records::file_name(0))).unwrap();
        let file = LogFile {
            name: "f".to_owned(),
            number: 0,
            bytes,
        };
        assert!(verify(&[file], &Proof::default()).refused);
    }

    #[test]
    fn a_line_that_is_changed_cut_or_taken_away_is_seen_and_the_log_goes_on_in_a_new_file() {
        type Attack = fn(&Path);
        let attacks: [(&str, Attack); 4] = [
            ("found others", |file| {
                let text = std::fs::read_to_string(file).unwrap();
                std::fs::write(file, text.replace("first", "fIrst")).unwrap();
            }),
            ("found 0", |file| std::fs::write(file, "").unwrap()),
            ("found no file", |file| std::fs::remove_file(file).unwrap()),
            ("found others", |file| {
                let text = std::fs::read_to_string(file).unwrap();
                let other = file.with_file_name("other");
                std::fs::write(&other, text.replace("first", "fIrst")).unwrap();
                std::fs::rename(other, file).unwrap();
            }),
        ];
        for (words, attack) in attacks {
            let dir = tempfile::tempdir().unwrap();
            let witness = Witness::default();
            let mut journal = Journal::at(dir.path(), witness.clone());
            for event in ["first", "second"] {
                journal.note(serde_json::json!({"event": event})).unwrap();
                assert!(witness.look().unwrap().is_empty(), "positive control");
            }
            attack(&dir.path().join(bennu_records::file_name(0)));
            let told = witness.look().unwrap();
            assert!(matches!(&told[..], [one] if one.ends_with(words)), "{told:?}");
            journal.note(serde_json::json!({"event": "third"})).unwrap();
            let newest = kinds(dir.path());
            assert_eq!(newest[newest.len() - 2..], ["start", "event"], "{newest:?}");
            assert!(witness.look().unwrap().is_empty(), "told once a break");
        }
    }

    #[test]
    fn a_closed_file_that_is_touched_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::at(dir.path(), Witness::default());
        journal.note(serde_json::json!({"event": "x"})).unwrap();
        journal.stop().unwrap();
        let witness = Witness::default();
        let mut journal = Journal::at(dir.path(), witness.clone());
        journal.note(serde_json::json!({"event": "y"})).unwrap();
        assert!(witness.look().unwrap().is_empty(), "positive control");
        let closed = dir.path().join(bennu_records::file_name(0));
        let text = std::fs::read_to_string(&closed).unwrap();
        std::fs::write(&closed, text.replace("\"x\"", "\"z\"")).unwrap();
        let told = witness.look().unwrap();
        assert!(
            matches!(&told[..], [one] if one.ends_with("changed since")),
            "{told:?}"
        );
        std::fs::remove_file(&closed).unwrap();
        assert_eq!(witness.look().unwrap().len(), 1);
    }
}
