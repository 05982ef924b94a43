//! What `bennud` reads and writes in the running system.

use bennu_alert::collect::Input;
use bennu_formats::Sha256Digest;
use bennu_formats::ima::{ListedDigest, Replay, take_entry};
use bennu_golden::Index;
use bennu_records::certificate::Certificate;
use bennu_records::{InitialKey, LogFile, Proof, file_name, verify};
use std::path::{Component, Path};

/// The golden-file index: opened, searched, checked.
pub fn golden_index(bytes: &[u8]) -> bool {
    let Ok(index) = Index::open(bytes, bytes.len() as u64) else {
        return false;
    };
    let counts = index.counts();
    let _ = index.by_path(b"usr/bin/true");
    let _ = index.by_digest(&Sha256Digest::ZERO, 8);
    let mut found = true;
    for number in 0..counts.entries.min(64) {
        let Ok(entry) = index.entry(number) else { continue };
        found &= index.by_path(&entry.path).is_ok_and(|same| same == Some(entry));
    }
    let sound = index.check().is_ok();
    assert!(
        !sound || found,
        "an index passed its check and an entry of it is not found"
    );
    sound
}

/// First keys of the segments in the seeds of [`record_log`].
pub const LOG_KEYS: [[u8; 32]; 2] = [[7; 32], [8; 32]];
/// Between the files of a log in one input. No line has this byte: JSON escapes it.
pub const LOG_FILE_END: u8 = 0x1e;

/// A record log of up to eight files.
pub fn record_log(bytes: &[u8]) -> bool {
    let files: Vec<LogFile> = (0..8)
        .zip(bytes.split(|byte| *byte == LOG_FILE_END))
        .map(|(number, bytes)| LogFile {
            name: file_name(number),
            number,
            bytes: bytes.to_vec(),
        })
        .collect();
    let unproven = verify(&files, &Proof::default());
    assert!(unproven.refused, "a log that nothing proves was accepted");
    let mut proof = Proof::default();
    LOG_KEYS
        .map(InitialKey::new)
        .into_iter()
        .for_each(|key| proof.keys.add(key));
    let report = verify(&files, &proof);
    assert!(
        report.refused || report.by_key == report.lines,
        "a line without a proof was accepted"
    );
    !report.refused
}

/// What a syslog server hands to the collector. The name becomes a folder's.
pub fn collector_input(bytes: &[u8]) -> bool {
    let Ok(input) = Input::decode(bytes) else {
        return false;
    };
    let mut parts = Path::new(&input.machine).components();
    let (first, more) = (parts.next(), parts.next());
    assert!(
        matches!(first, Some(Component::Normal(name)) if name == input.machine.as_str()) && more.is_none(),
        "a name that leads elsewhere was accepted: {:?}",
        input.machine
    );
    true
}

/// The envelope of an action certificate.
pub fn action_certificate(bytes: &[u8]) -> bool {
    let Ok((certificate, _)) = Certificate::open_unverified(bytes) else {
        return false;
    };
    let again = serde_json::to_vec(certificate.peek()).unwrap_or_default();
    assert!(
        bennu_formats::decode::Document::decode(&again)
            .is_ok_and(|same: Certificate| same == *certificate.peek())
            || again.len() > <Certificate as bennu_formats::decode::Document>::MAX_BYTES,
        "the certificate changed on its way"
    );
    true
}

/// The kernel's IMA log: the first byte says which form it has.
pub fn ima_log(bytes: &[u8]) -> bool {
    let Some((form, log)) = bytes.split_first() else {
        return false;
    };
    let listed = if form & 1 == 0 {
        ListedDigest::Sha1
    } else {
        ListedDigest::Sha256
    };
    let (mut at, mut number) = (0, 0);
    while let Ok(Some((entry, length))) = take_entry(&log[at..], listed, number) {
        let _ = entry.file();
        assert!(
            length > 0 && at + length <= log.len(),
            "an entry longer than its log"
        );
        (at, number) = (at + length, number + 1);
    }
    let mut files = 0;
    let none = Sha256Digest([1; 32]);
    let replayed = Replay::default().advance(log, listed, &none, |_| files += 1);
    assert!(
        replayed.is_err() && files == number,
        "a PCR that nothing gives was given"
    );
    number > 0 && at == log.len()
}
