//! IMA logs. The fixtures and the PCR values were made by an implementation of their own (Python's struct and
//! hashlib) after the kernel's format: six entries, one of them a violation, one of PCR 11.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_formats::Sha256Digest;
use bennu_formats::ima::{IMA_PCR, ImaError, ListedDigest, Replay, take_entry};
use proptest::prelude::*;

const SHA1: &[u8] = include_bytes!("golden/ima-sha1.bin");
const SHA256: &[u8] = include_bytes!("golden/ima-sha256.bin");
const LOGS: [(&[u8], ListedDigest); 2] = [(SHA1, ListedDigest::Sha1), (SHA256, ListedDigest::Sha256)];
/// PCR 10 of the SHA-256 bank after each entry.
const PCRS: [&str; 6] = [
    "7fa67ccfb7b0a42453a8a932dd1a637f4a23925d3eb6045df9a8c4971c3b3c0d",
    "729935010421ec7124f1fad625fcde404c083cc8b1c3e43344b8cf4d292bf260",
    "57cc61514ec0d265d709af42a470c65e2499a228f1acd28918eaaf78bcdef9d0",
    "2ceb099f70d5111dfd51019d64c26d40edf59e41548fa79b4f7bb89c4ea101c7",
    "2ceb099f70d5111dfd51019d64c26d40edf59e41548fa79b4f7bb89c4ea101c7",
    "10b6cfbc2d7b210bd6a324721f6ec7f00ae3d4412133f299d4f9918ca66fedc4",
];

fn pcr(after: usize) -> Sha256Digest {
    PCRS[after].parse().unwrap()
}

/// Path, digest and violation of each entry up to the one that gives `pcr10`.
type Seen = Vec<(String, Option<Sha256Digest>, bool)>;

fn advance(
    replay: &mut Replay,
    bytes: &[u8],
    listed: ListedDigest,
    pcr10: Sha256Digest,
) -> Result<Seen, ImaError> {
    let mut seen = Vec::new();
    let from = replay.offset as usize;
    replay.advance(&bytes[from..], listed, &pcr10, |entry| {
        // The data of an entry of another PCR is not proven, so it may be anything.
        let Some(file) = entry.file().filter(|_| entry.pcr == IMA_PCR) else {
            seen.push((".ima".to_owned(), None, entry.violation));
            return;
        };
        let path = String::from_utf8_lossy(file.path).into_owned();
        seen.push((path, file.digest, entry.violation));
    })?;
    Ok(seen)
}

#[test]
fn both_forms_of_the_log_give_the_pcr_and_the_files() {
    for (bytes, listed) in LOGS {
        let mut replay = Replay::default();
        let seen = advance(&mut replay, bytes, listed, pcr(5)).unwrap();
        assert_eq!((replay.entries, replay.offset), (6, bytes.len() as u64));
        let file = |path: &str, content: &[u8]| (path.to_owned(), Some(Sha256Digest::of(content)), false);
        let expected = [
            file("boot_aggregate", b"boot"),
            file("/usr/lib/systemd/systemd", b"init"),
            file("/usr/bin/a b", b"a b"),
            ("/var/log/x".to_owned(), Some(Sha256Digest::ZERO), true),
            (".ima".to_owned(), None, false),
            file("/usr/bin/v2", b"v2"),
        ];
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_replay_goes_on_where_it_stopped_and_leaves_what_the_tpm_does_not_know_yet() {
    let (bytes, listed) = LOGS[0];
    let mut replay = Replay::default();
    assert_eq!(advance(&mut replay, bytes, listed, pcr(0)).unwrap().len(), 1);
    assert_eq!(
        advance(&mut replay, bytes, listed, pcr(0)).unwrap().len(),
        0,
        "nothing new"
    );
    assert_eq!(advance(&mut replay, bytes, listed, pcr(3)).unwrap().len(), 3);
    assert_eq!(replay.entries, 4);
    assert_eq!(advance(&mut replay, bytes, listed, pcr(5)).unwrap().len(), 2);
    assert_eq!(advance(&mut replay, bytes, listed, pcr(5)).unwrap().len(), 0);
}

#[test]
fn a_pcr_that_no_entry_gives_is_a_mismatch_and_the_replay_stays() {
    for (bytes, listed) in LOGS {
        let mut replay = Replay::default();
        advance(&mut replay, bytes, listed, pcr(1)).unwrap();
        let before = replay;
        let intruder = Sha256Digest([1; 32]);
        let found = advance(&mut replay, bytes, listed, intruder);
        assert_eq!(
            found,
            Err(ImaError::Replay {
                entries: 6,
                found: intruder
            })
        );
        assert_eq!(replay, before);
        // A TPM that was reset has a PCR of the past.
        assert!(matches!(
            advance(&mut replay, bytes, listed, pcr(0)),
            Err(ImaError::Replay { .. })
        ));
        assert!(matches!(
            advance(&mut replay, bytes, listed, Sha256Digest::ZERO),
            Err(ImaError::Replay { .. })
        ));
        advance(&mut replay, bytes, listed, pcr(5)).expect("positive control");
    }
}

#[test]
fn an_entry_that_is_taken_away_added_or_moved_is_a_mismatch() {
    let (bytes, listed) = LOGS[0];
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some((_, length)) = take_entry(&bytes[at..], listed, 0).unwrap() {
        entries.push(bytes[at..at + length].to_vec());
        at += length;
    }
    let refused = |entries: &[Vec<u8>]| {
        let found = advance(&mut Replay::default(), &entries.concat(), listed, pcr(5));
        matches!(found, Err(ImaError::Replay { .. }))
    };
    assert!(!refused(&entries), "positive control");
    // The fifth is of PCR 11, which this replay does not prove.
    for at in [0, 1, 2, 3, 5] {
        let mut less = entries.clone();
        less.remove(at);
        assert!(refused(&less), "{at}");
        let mut more = entries.clone();
        more.insert(at, entries[at].clone());
        // One behind the last that the TPM knows is left for the next time.
        assert_eq!(refused(&more), at != 5, "{at}");
    }
    entries.swap(1, 2);
    assert!(refused(&entries));
}

#[test]
fn each_changed_byte_of_an_entry_of_pcr_10_is_found() {
    for (bytes, listed) in LOGS {
        let whole: Seen = advance(&mut Replay::default(), bytes, listed, pcr(5)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let found = advance(&mut Replay::default(), &changed, listed, pcr(5));
            // Names of templates, SHA-1 digests, the entry of PCR 11 and the data of a violation are not in PCR 10: what
            // is seen of files is, and how many violations there were.
            if let Ok(seen) = found {
                let proven = |seen: &Seen| {
                    let violations = seen.iter().filter(|(.., violation)| *violation).count();
                    let files = seen
                        .iter()
                        .filter(|(path, _, violation)| path != ".ima" && !violation);
                    (violations, files.cloned().collect::<Seen>())
                };
                assert_eq!(proven(&seen), proven(&whole), "byte {at}");
            }
        }
    }
}

#[test]
fn each_entry_that_makes_no_sense_is_refused_by_its_reason() {
    let entry = |name: &[u8], data: &[u8]| {
        let mut bytes = 10u32.to_le_bytes().to_vec();
        bytes.extend([1; 20]);
        for part in [name, data] {
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(part);
        }
        bytes
    };
    let take = |bytes: &[u8]| take_entry(bytes, ListedDigest::Sha1, 4).map(|found| found.is_some());
    assert_eq!(
        take(&entry(b"d-ng|n-ng", &[2, 0, 0, 0, 7, 7])),
        Ok(true),
        "positive control"
    );
    for name in [&b"ima"[..], b"", b"a b", b"\xff"] {
        assert_eq!(take(&entry(name, b"")), Err(ImaError::Template { entry: 4 }));
    }
    for data in [&[1, 0, 0, 0][..], &[0, 0, 0], &[5, 0, 0, 0, 1]] {
        assert_eq!(take(&entry(b"ima-ng", data)), Err(ImaError::Fields { entry: 4 }));
    }
    let long = entry(&[b'a'; 256], b"");
    assert!(matches!(
        take(&long),
        Err(ImaError::TooLong {
            entry: 4,
            found: 256,
            ..
        })
    ));
    let long = entry(b"ima-ng", &vec![0; (1 << 20) + 1]);
    assert!(matches!(
        take(&long),
        Err(ImaError::TooLong { what: "the data", .. })
    ));
    let mut other = SHA256.to_vec();
    other[4] ^= 1;
    let found = take_entry(&other, ListedDigest::Sha256, 0);
    assert!(matches!(found, Err(ImaError::Digest { entry: 0, .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_a_part_is_no_entry(
        bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..691usize,
    ) {
        for (log, listed) in LOGS {
            let _ = take_entry(&bytes, listed, 0);
            let mut changed = log.to_vec();
            let at = at.min(changed.len());
            changed.splice(at..(at + 3).min(log.len()), bytes.clone());
            let _ = Replay::default().advance(&changed, listed, &Sha256Digest([1; 32]), |entry| { let _ = entry.file(); });
            let (_, first) = take_entry(log, listed, 0).unwrap().unwrap();
            prop_assert_eq!(take_entry(&log[..at.min(first - 1)], listed, 0), Ok(None));
        }
    }
}
