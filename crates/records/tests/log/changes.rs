//! Whatever is done to a log is found, at its line.

use crate::medium::Medium;
use crate::workshop::{
    P256, P256Public, SMALL, by_head, by_key, event, files, key, lines, open, signer, small_log, stamp,
};
use bennu_records::{Directory, Durability, Fault, Limits, Proof, Report, WriteError, Writer, verify};
use proptest::prelude::*;
use serde_json::json;

type Contents = Vec<(u64, Vec<u8>)>;

fn refusals(report: &Report) -> Vec<(u64, Fault)> {
    let refuses = report.findings.iter().filter(|finding| finding.fault.refuses());
    refuses
        .map(|finding| (finding.line, finding.fault.clone()))
        .collect()
}

/// The small log with the lines of its first file changed.
fn with_lines(change: impl Fn(&mut Vec<Vec<u8>>)) -> Contents {
    let mut contents = small_log().contents();
    let mut first = lines(&contents[0].1);
    change(&mut first);
    contents[0].1 = first.concat();
    contents
}

#[test]
fn a_log_as_it_was_written_is_good_by_key_and_by_head() {
    let contents = small_log().contents();
    let report = by_key(&contents);
    assert_eq!(
        (report.refused, report.lines, report.by_key),
        (false, 12, 12),
        "{report:#?}"
    );
    let gap = Fault::Gap {
        what: "exec, cpu 1".into(),
        lost: 7,
    };
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.line, f.fault.clone()))
        .collect();
    assert_eq!(found, [(3, gap.clone()), (3, gap)], "lost events are told");
    let report = by_head(&contents);
    // The last line, the stop, comes after the last head.
    assert_eq!(refusals(&report), [(6, Fault::Unproven { lines: 1 })]);
    assert_eq!((report.by_head, report.last_head), (11, Some(9)));
}

#[test]
fn each_changed_byte_is_found_at_its_line_by_key() {
    let contents = small_log().contents();
    for (file, (_, bytes)) in contents.iter().enumerate() {
        for at in 0..bytes.len() {
            let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count() as u64;
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = contents.clone();
                changed[file].1[at] ^= flip;
                let report = by_key(&changed);
                let first = refusals(&report).first().map(|(line, _)| *line);
                assert!(report.refused, "byte {at} of file {file}");
                assert_eq!(first, Some(line), "byte {at} of file {file}: {report:#?}");
            }
        }
    }
}

#[test]
fn each_changed_byte_before_the_last_head_is_found_by_head() {
    let contents = small_log().contents();
    let good = refusals(&by_head(&contents));
    for (file, (_, bytes)) in contents.iter().enumerate() {
        let proven = if file == 0 {
            bytes.len()
        } else {
            lines(bytes)[..4].concat().len()
        };
        for at in 0..proven {
            let mut changed = contents.clone();
            changed[file].1[at] ^= 1;
            assert_ne!(refusals(&by_head(&changed)), good, "byte {at} of file {file}");
        }
    }
}

#[test]
fn a_removed_line_is_found_where_it_was() {
    for gone in 1..6 {
        let report = by_key(&with_lines(|lines| drop(lines.remove(gone))));
        let refused = refusals(&report);
        if gone == 5 {
            // The stop: what is left looks like a writer that was killed, and the next line's number tells.
            assert!(
                refused.iter().any(|(line, fault)| *line == 1
                    && *fault
                        == Fault::Cut {
                            expected: 5,
                            missing: 1
                        }),
                "{report:#?}"
            );
            continue;
        }
        let expected = gone as u64;
        assert_eq!(
            refused[0],
            (gone as u64 + 1, Fault::Cut { expected, missing: 1 }),
            "{report:#?}"
        );
    }
    let report = by_key(&with_lines(|lines| drop(lines.remove(0))));
    assert!(refusals(&report).contains(&(1, Fault::Joint)), "{report:#?}");
}

#[test]
fn swapped_and_doubled_lines_are_found() {
    for at in 1..5 {
        let report = by_key(&with_lines(|lines| lines.swap(at, at - 1)));
        assert!(report.refused, "{at}");
        let report = by_key(&with_lines(|lines| lines.swap(at, 5)));
        let misplaced = |(_, fault): &(u64, Fault)| matches!(fault, Fault::Misplaced { .. });
        assert!(refusals(&report).iter().any(misplaced), "{at}: {report:#?}");
    }
    for at in 0..6 {
        let report = by_key(&with_lines(|lines| lines.insert(at, lines[at].clone())));
        assert_eq!(refusals(&report)[0], (at as u64 + 2, Fault::Twice), "{report:#?}");
    }
}

#[test]
fn a_line_of_another_segment_or_log_is_found() {
    let other = {
        let medium = Medium::default();
        let mut writer = open(&medium, 3).unwrap();
        for n in 1..6 {
            event(&mut writer, n).unwrap();
        }
        lines(&medium.contents()[0].1)
    };
    let report = by_key(&with_lines(|lines| lines[3] = other[3].clone()));
    assert_eq!(refusals(&report)[0], (4, Fault::Spliced), "{report:#?}");
}

#[test]
fn a_missing_file_is_found_wherever_another_follows_it() {
    let medium = small_log();
    open(&medium, 3).unwrap().stop(stamp(9)).unwrap();
    let mut contents = medium.contents();
    contents.remove(1);
    let report = by_key(&contents);
    assert_eq!(
        refusals(&report),
        [(
            1,
            Fault::Cut {
                expected: 6,
                missing: 6
            }
        )]
    );
    let mut contents = medium.contents();
    contents.remove(0);
    let report = by_key(&contents);
    assert!(
        !report.refused,
        "rotation looks the same, and is told: {report:#?}"
    );
    assert_eq!(report.findings[0].fault, Fault::BeginsLater { seq: 6 });
}

#[test]
fn a_cut_at_the_end_is_found_by_whoever_kept_a_line_and_by_nothing_else() {
    let whole = small_log().contents();
    let last = lines(&whole[1].1).pop().unwrap();
    let mut cut = whole.clone();
    cut[1].1.truncate(whole[1].1.len() - last.len());
    let check = |contents: &Contents, kept: &[u8]| {
        let mut proof = Proof {
            kept: Some(kept.to_vec()),
            ..Proof::default()
        };
        (1..3).for_each(|number| proof.keys.add(key(number)));
        verify(&files(contents), &proof)
    };
    assert!(!check(&whole, &last).refused, "positive control");
    assert!(
        !check(&whole, last.trim_ascii_end()).refused,
        "without its line feed"
    );
    assert_eq!(refusals(&check(&cut, &last)), [(0, Fault::KeptMissing)]);
    assert!(!by_key(&cut).refused, "nothing in the log shows it");
    assert_eq!(refusals(&by_key(&[])), [(0, Fault::Empty)]);
}

#[test]
fn every_cut_inside_a_line_is_found() {
    let whole = small_log().contents();
    let ends: Vec<usize> = lines(&whole[1].1)
        .iter()
        .scan(0, |at, line| {
            *at += line.len();
            Some(*at)
        })
        .collect();
    for length in 0..whole[1].1.len() {
        let mut cut = whole.clone();
        cut[1].1.truncate(length);
        assert_eq!(by_key(&cut).refused, !ends.contains(&length), "{length}");
    }
}

#[test]
fn a_head_by_another_key_proves_nothing() {
    let medium = Medium::default();
    let mut writer = open(&medium, 1).unwrap();
    event(&mut writer, 1).unwrap();
    writer.head(&mut signer(8).0, stamp(2)).unwrap();
    let report = by_head(&medium.contents());
    assert_eq!(
        refusals(&report),
        [(1, Fault::Unproven { lines: 3 }), (3, Fault::HeadSignature)]
    );
    writer.head(&mut signer(9).0, stamp(3)).unwrap();
    let report = by_head(&medium.contents());
    assert_eq!(report.last_head, None, "a fault lies before it: {report:#?}");
}

#[test]
fn heads_by_ecdsa_are_checked_as_well() {
    let medium = Medium::default();
    let mut writer = open(&medium, 1).unwrap();
    let secret = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
    let public = P256Public(*secret.verifying_key());
    writer.head(&mut P256(secret), stamp(2)).unwrap();
    let proof = Proof {
        signer: Some(&public),
        ..Proof::default()
    };
    let report = verify(&files(&medium.contents()), &proof);
    assert_eq!(
        (report.refused, report.by_head, report.last_head),
        (false, 2, Some(0)),
        "{report:#?}"
    );
}

#[test]
fn without_a_key_and_without_a_signer_nothing_is_proven() {
    let report = verify(&files(&small_log().contents()), &Proof::default());
    assert_eq!(refusals(&report), [(1, Fault::Unproven { lines: 12 })]);
}

#[test]
fn rotation_carries_the_chain_over_and_keeps_within_its_limits() {
    let medium = Medium::default();
    let limits = Limits {
        total_bytes: 256 * 1024,
        ..SMALL
    };
    let mut writer = Writer::open(medium.clone(), limits, &key(1), "boot", "test", stamp(0)).unwrap();
    for n in 0..3000 {
        writer
            .event(
                json!({"n": n, "fill": "x".repeat(100)}),
                stamp(n),
                Durability::Later,
            )
            .unwrap();
    }
    writer.flush().unwrap();
    let contents = medium.contents();
    let total: usize = contents.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(
        contents.len() >= 3 && total <= 256 * 1024,
        "{} files of {total} bytes",
        contents.len()
    );
    assert!(contents.iter().all(|(_, bytes)| bytes.len() <= 64 * 1024));
    assert!(contents[0].0 > 0, "the oldest are gone");
    let report = by_key(&contents);
    assert!(!report.refused, "{report:#?}");
    assert!(matches!(report.findings[0].fault, Fault::BeginsLater { .. }));
    assert_eq!(report.findings.len(), 1);
    let (last, chain) = writer.position();
    assert_eq!(report.end, Some((last - 1, chain)));
}

#[test]
fn a_directory_on_disk_holds_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for number in [1, 2] {
        let store = Directory::open(&path).unwrap();
        let mut writer = Writer::open(store, SMALL, &key(number), "boot", "test", stamp(0)).unwrap();
        writer.event(json!({"n": 1}), stamp(1), Durability::Now).unwrap();
        writer.stop(stamp(2)).unwrap();
    }
    let names = [
        "records-00000000000000000000.jsonl",
        "records-00000000000000000001.jsonl",
    ];
    let contents: Contents = (0..2)
        .map(|n| (n, std::fs::read(path.join(names[n as usize])).unwrap()))
        .collect();
    let report = by_key(&contents);
    assert_eq!(
        (report.refused, report.lines, report.findings.len()),
        (false, 6, 0),
        "{report:#?}"
    );
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join(names[0]))), (0o700, 0o600));
}

#[test]
fn limits_without_room_and_lines_that_are_too_long_are_refused() {
    for limits in [
        Limits {
            file_bytes: 1024,
            ..SMALL
        },
        Limits {
            total_bytes: 100_000,
            ..SMALL
        },
        Limits { files: 1, ..SMALL },
    ] {
        let found = Writer::open(Medium::default(), limits, &key(1), "boot", "test", stamp(0)).map(drop);
        assert!(matches!(found, Err(WriteError::Limits(_))));
    }
    let medium = Medium::default();
    let mut writer = open(&medium, 1).unwrap();
    let long = json!("x".repeat(17_000));
    assert!(matches!(
        writer.event(long, stamp(1), Durability::Now),
        Err(WriteError::Line(_))
    ));
    event(&mut writer, 2).expect("the writer goes on");
    assert!(!by_key(&medium.contents()).refused);
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), cut in 0..50usize,
    ) {
        let mut contents = small_log().contents();
        let at = at.index(contents[0].1.len());
        let end = (at + cut).min(contents[0].1.len());
        contents[0].1.splice(at..end, bytes.clone());
        let untouched = small_log().contents();
        prop_assert_eq!(by_key(&contents).refused, contents != untouched);
        prop_assert!(by_key(&[(0, bytes)]).refused);
    }
}
