//! Action certificates: made, kept where a purge does not reach them, read back by the system that runs afterwards.
//!
//! Written by `bennud`: those that end a start to the ESP, before anything is destroyed, and all to the state volume, to
//! which the next start copies what it does not have; without a state volume all to the ESP. Read by `bennud` for number and digest of the newest, and by `bennuctl certificates`,
//! which believes the TPM's signature and nothing else. A copy that cannot be read is passed over and told.

use crate::esp::{Access, with_esp};
use crate::records::HeadKey;
use bennu_esp::About;
use bennu_formats::dsse::MAX_ENVELOPE_BYTES;
use bennu_formats::handover::{BlockDevice, Handover};
use bennu_formats::{Sha256Digest, paths};
use bennu_linux::bounded;
use bennu_records::certificate::Certificate;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Most that are kept on the state volume; the newest.
const KEPT: usize = 64;

/// Where certificates lie.
#[derive(Clone)]
pub struct Store {
    esp: BlockDevice,
    state: Option<PathBuf>,
}

/// Envelopes by their number; nobody has verified them.
pub type Envelopes = BTreeMap<u64, Vec<u8>>;

/// What was found, and what could not be read.
#[derive(Debug, Default)]
pub struct Found {
    /// By number.
    pub envelopes: Envelopes,
    /// In words.
    pub troubles: Vec<String>,
}

impl Found {
    fn add(&mut self, bytes: Vec<u8>, place: &str) {
        match Certificate::open_unverified(&bytes) {
            Ok((certificate, _)) => {
                self.envelopes.insert(certificate.peek().number, bytes);
            }
            Err(error) => self.troubles.push(format!("{place}: {error}")),
        }
    }

    /// Those alone that `key` has signed: whoever writes the ESP must not set this machine's numbers.
    pub fn trusted(mut self, key: &HeadKey) -> Self {
        let all = std::mem::take(&mut self.envelopes);
        for (number, bytes) in all {
            match Certificate::open(&bytes, key) {
                Ok(_) => drop(self.envelopes.insert(number, bytes)),
                Err(error) => self.troubles.push(format!("number {number}: {error}")),
            }
        }
        self
    }

    /// Number and `previous` for the next one.
    pub fn next(&self) -> (u64, Sha256Digest) {
        let newest = self.envelopes.last_key_value().and_then(|(number, bytes)| {
            let (_, digest) = Certificate::open_unverified(bytes).ok()?;
            Some((number.checked_add(1)?, digest))
        });
        newest.unwrap_or((0, Sha256Digest::ZERO))
    }
}

impl Store {
    /// Of this machine.
    pub fn of(handover: &Handover) -> Self {
        Self {
            esp: handover.esp.clone(),
            state: handover
                .state_volume
                .as_ref()
                .map(|_| paths::STATE_CERTIFICATES.into()),
        }
    }

    /// Everything that is there, on the ESP and on the state volume.
    pub fn read(&self) -> Found {
        let mut found = Found::default();
        if let Some(state) = &self.state {
            read_state(state, &mut found);
        }
        match with_esp(&self.esp, Access::ReadOnly, |esp| esp.certificates()) {
            Ok(all) => all.into_iter().for_each(|bytes| found.add(bytes, "ESP")),
            Err(error) => found.troubles.push(error.to_string()),
        }
        found
    }

    /// Keeps one on the ESP.
    ///
    /// # Errors
    /// It is not there; in words.
    pub fn keep(&self, number: u64, about: About, envelope: &[u8]) -> Result<(), String> {
        with_esp(&self.esp, Access::ReadWrite, |esp| {
            esp.write_certificate(number, about, envelope)
        })
        .map_err(|error| error.to_string())
    }

    /// Keeps one on the state volume; gives whether there is one.
    ///
    /// # Errors
    /// It is not there; in words.
    pub fn keep_on_state(&self, number: u64, envelope: Vec<u8>) -> Result<bool, String> {
        let envelopes = Envelopes::from([(number, envelope)]);
        let troubles = Vec::new();
        self.carry_over(&Found { envelopes, troubles })?;
        Ok(self.state.is_some())
    }

    /// Copies what the ESP has to the state volume; gives the numbers that were new there.
    ///
    /// # Errors
    /// In words.
    pub fn carry_over(&self, found: &Found) -> Result<Vec<u64>, String> {
        let Some(state) = &self.state else {
            return Ok(Vec::new());
        };
        carry(state, found).map_err(|error| format!("{}: {error}", state.display()))
    }
}

fn file(state: &Path, number: u64) -> PathBuf {
    state.join(format!("{number:020}.json"))
}

/// Files of certificates, oldest first.
fn all_on(state: &Path) -> io::Result<Vec<PathBuf>> {
    let names = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let mut paths = names
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

fn read_state(state: &Path, found: &mut Found) {
    let paths = match all_on(state) {
        Ok(paths) => paths,
        Err(error) => {
            found.troubles.push(format!("{}: {error}", state.display()));
            return;
        }
    };
    let newest = paths.into_iter().rev().take(KEPT);
    for path in newest {
        match bounded::read(&path, MAX_ENVELOPE_BYTES) {
            Ok(bytes) => found.add(bytes, &path.display().to_string()),
            Err(error) => found.troubles.push(error.to_string()),
        }
    }
}

fn carry(state: &Path, found: &Found) -> io::Result<Vec<u64>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let mut new = Vec::new();
    for (number, bytes) in &found.envelopes {
        let path = file(state, *number);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        let temporary = path.with_extension("new");
        let mut options = File::options();
        let mut out = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&temporary, &path)?;
        new.push(*number);
    }
    File::open(state)?.sync_all()?;
    for path in all_on(state)?.into_iter().rev().skip(KEPT) {
        fs::remove_file(path)?;
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the tests of `crates/records`.
    const PAYLOAD: &str = include_str!("../../../crates/records/tests/golden/action-certificate.json");

    fn envelope(number: u64, previous: Sha256Digest) -> Vec<u8> {
        let mut value: serde_json::Value = serde_json::from_str(PAYLOAD).unwrap();
        value["number"] = number.into();
        value["previous"] = previous.to_string().into();
        let envelope = bennu_formats::dsse::Envelope {
            payload_type: bennu_records::certificate::PAYLOAD_TYPE.to_owned(),
            payload: serde_json::to_vec(&value).unwrap(),
            signatures: vec![bennu_formats::dsse::Signature {
                keyid: Sha256Digest([1; 32]),
                sig: vec![1],
            }],
        };
        serde_json::to_vec(&envelope).unwrap()
    }

    #[test]
    fn a_certificate_is_carried_over_once_and_names_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("certificates");
        let mut found = Found::default();
        assert_eq!(found.next(), (0, Sha256Digest::ZERO));
        found.add(envelope(0, Sha256Digest::ZERO), "ESP");
        found.add(b"{".to_vec(), "ESP");
        assert_eq!((found.envelopes.len(), found.troubles.len()), (1, 1));
        assert_eq!(carry(&state, &found).unwrap(), [0]);
        assert_eq!(carry(&state, &found).unwrap(), [0; 0]);
        let mut again = Found::default();
        read_state(&state, &mut again);
        assert_eq!(again.envelopes, found.envelopes);
        let (number, previous) = again.next();
        assert_eq!(number, 1);
        assert_ne!(previous, Sha256Digest::ZERO);
    }

    #[test]
    fn the_newest_stay_and_what_lies_under_a_number_by_somebody_else_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let one = |number, bytes: Vec<u8>| Found {
            envelopes: Envelopes::from([(number, bytes)]),
            ..Found::default()
        };
        for number in 0..KEPT as u64 + 3 {
            carry(dir.path(), &one(number, vec![1])).unwrap();
        }
        let left = all_on(dir.path()).unwrap();
        assert_eq!(left.len(), KEPT);
        assert_eq!(left[0], file(dir.path(), 3));
        assert_eq!(carry(dir.path(), &one(5, vec![1])).unwrap(), [0; 0], "control");
        assert_eq!(carry(dir.path(), &one(5, vec![2])).unwrap(), [5]);
        assert_eq!(fs::read(file(dir.path(), 5)).unwrap(), [2]);
    }

    #[test]
    fn what_the_machines_own_key_has_not_signed_sets_no_number() {
        let mut found = Found::default();
        found.add(envelope(u64::MAX, Sha256Digest([1; 32])), "ESP");
        assert_eq!(found.envelopes.len(), 1, "control: it is well formed");
        let found = found.trusted(&HeadKey([4; 65]));
        assert_eq!(found.next(), (0, Sha256Digest::ZERO));
        assert_eq!(found.troubles.len(), 1);
    }
}
