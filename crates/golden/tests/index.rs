//! What is written is found again; whatever else is refused by name; the bytes are pinned.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_formats::Sha256Digest;
use bennu_golden::{
    BuildError, Capabilities, Entry, FileKind, Index, IndexBuilder, IndexError, XattrSet, xattr_set,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// `cap_net_bind_service=ep` as setcap(8) writes it.
const CAP_NET_BIND_SERVICE: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn file(path: &str, content: &[u8]) -> Entry {
    Entry {
        path: path.into(),
        kind: FileKind::Regular,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: content.len() as u64,
        digest: Sha256Digest::of(content),
        xattrs: None,
    }
}

fn directory(path: &str) -> Entry {
    Entry {
        kind: FileKind::Directory,
        mode: 0o755,
        size: 0,
        digest: Sha256Digest::ZERO,
        ..file(path, b"")
    }
}

/// The vector of `docs/spec/golden-index.md` §7.
fn vector() -> Vec<Entry> {
    let capability: [(&[u8], &[u8]); 1] = [(b"security.capability", &CAP_NET_BIND_SERVICE)];
    vec![
        Entry {
            mode: 0o4755,
            xattrs: xattr_set(capability).unwrap(),
            ..file("bin/ping", b"hello\n")
        },
        directory("bin"),
        directory(""),
        Entry {
            kind: FileKind::Symlink,
            mode: 0o777,
            ..file("sh", b"bin/ping")
        },
        Entry {
            kind: FileKind::CharDevice,
            mode: 0o666,
            gid: 5,
            size: 1 << 32 | 3,
            ..directory("null")
        },
    ]
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut builder = IndexBuilder::new();
    for entry in entries {
        builder.push(entry.clone()).unwrap();
    }
    builder.finish().unwrap()
}

fn open(bytes: &[u8]) -> Result<Index<&[u8]>, IndexError> {
    Index::open(bytes, bytes.len() as u64)
}

#[test]
fn the_vector_has_the_digest_and_length_that_the_specification_names() {
    let bytes = encode(&vector());
    let page = include_str!("../../../docs/spec/golden-index.md");
    let digest = Sha256Digest::of(&bytes).to_string();
    assert!(page.contains(&digest), "{digest}, {} bytes", bytes.len());
    assert_eq!(bytes.len(), 64 + 5 * 64 + 4 + 64 + 17);
    let set = vector()[0].xattrs.unwrap();
    assert!(page.contains(&set.digest.to_string()), "{}", set.digest);
    open(&bytes).unwrap().check().unwrap();
}

#[test]
fn the_bytes_stand_where_the_specification_says() {
    let bytes = encode(&vector());
    assert_eq!(&bytes[..8], b"BENNUGLD");
    assert_eq!(
        bytes[8..28],
        [1, 0, 0, 0, 64, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    );
    // Third record: bin/ping, after the root and bin.
    let record = &bytes[64 + 128..64 + 192];
    assert_eq!(
        hex::encode(&record[..32]),
        Sha256Digest::of(b"hello\n").to_string()
    );
    assert_eq!(record[32..40], 6u64.to_le_bytes());
    assert_eq!(
        record[40..48],
        [3, 0, 0, 0, 8, 0, 0xed, 0x89],
        "place, length, mode"
    );
    assert_eq!(record[56..60], [1, 0, 0, 0]);
    let order = 64 + 5 * 64;
    assert_eq!(bytes[order..order + 4], [2, 0, 0, 0]);
    let set = &bytes[order + 4..order + 68];
    assert_eq!(
        set[32..56],
        [
            0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0
        ]
    );
    assert_eq!(&bytes[order + 68..], b"binbin/pingnullsh");
}

#[test]
fn entries_are_found_by_path_and_by_digest_and_others_are_not() {
    let bytes = encode(&vector());
    let index = open(&bytes).unwrap();
    for entry in vector() {
        assert_eq!(index.by_path(&entry.path).unwrap(), Some(entry));
    }
    for path in [&b"bi"[..], b"bin/", b"bin/pinga", b"zz", b"/bin"] {
        assert_eq!(index.by_path(path).unwrap(), None);
    }
    let found = index.by_digest(&Sha256Digest::of(b"hello\n"), 9).unwrap();
    assert_eq!(found, [vector()[0].clone()]);
    // A symlink's digest is no content that could be executed.
    let link = Sha256Digest::of(b"bin/ping");
    assert_eq!(index.by_digest(&link, 9).unwrap(), []);
    assert_eq!(index.by_digest(&Sha256Digest::ZERO, 9).unwrap(), []);
}

#[test]
fn equal_files_are_all_found_up_to_the_limit() {
    let entries: Vec<Entry> = (0..40).map(|n| file(&format!("f{n:02}"), b"same")).collect();
    let bytes = encode(&entries);
    let index = open(&bytes).unwrap();
    assert_eq!(index.by_digest(&Sha256Digest::of(b"same"), 100).unwrap(), entries);
    assert_eq!(
        index.by_digest(&Sha256Digest::of(b"same"), 7).unwrap(),
        entries[..7]
    );
}

#[test]
fn capabilities_are_read_as_the_kernel_reads_them() {
    let of = |value: &[u8]| xattr_set([(&b"security.capability"[..], value)]);
    let plain = of(&CAP_NET_BIND_SERVICE).unwrap().unwrap().capabilities;
    let expected = Capabilities {
        permitted: 1 << 10,
        inheritable: 0,
        effective: true,
        root_uid: 0,
    };
    assert_eq!(plain, Some(expected));
    let mut third = CAP_NET_BIND_SERVICE.to_vec();
    third[3] = 3;
    third.extend(100_000u32.to_le_bytes());
    let root_uid = of(&third).unwrap().unwrap().capabilities.unwrap().root_uid;
    assert_eq!(root_uid, 100_000);
    for bad in [
        &[][..],
        &[0; 20],
        &CAP_NET_BIND_SERVICE[..19],
        &third[..20],
        &[1; 3],
    ] {
        assert_eq!(of(bad).unwrap_err().bytes, bad.len());
    }
    let other: [(&[u8], &[u8]); 1] = [(b"user.a", b"b")];
    assert_eq!(xattr_set(other).unwrap().unwrap().capabilities, None);
    assert_eq!(xattr_set([]).unwrap(), None);
}

#[test]
fn what_no_index_can_hold_is_refused_when_building() {
    let refused = |entry: Entry| IndexBuilder::new().push(entry).unwrap_err();
    assert!(
        IndexBuilder::new().push(file("a/b", b"")).is_ok(),
        "positive control"
    );
    for path in ["/a", "a/", "a//b", "a/../b", ".", "a\0b"] {
        assert!(
            matches!(refused(file(path, b"")), BuildError::Path { .. }),
            "{path:?}"
        );
    }
    let long = "a".repeat(4097);
    assert!(matches!(refused(file(&long, b"")), BuildError::Path { .. }));
    let mode = Entry {
        mode: 0o10000,
        ..file("a", b"")
    };
    assert!(matches!(refused(mode), BuildError::Mode { found: 0o10000, .. }));
    let digest = Entry {
        kind: FileKind::Directory,
        ..file("a", b"")
    };
    assert!(matches!(
        refused(digest),
        BuildError::Digest {
            kind: FileKind::Directory,
            ..
        }
    ));
    let mut twice = IndexBuilder::new();
    twice.push(file("a", b"1")).unwrap();
    twice.push(file("a", b"2")).unwrap();
    assert_eq!(twice.finish(), Err(BuildError::Twice { path: "a".into() }));
}

/// Overwrites `bytes` at `at` and says what the index makes of it.
fn changed(at: usize, with: &[u8]) -> IndexError {
    let mut bytes = encode(&vector());
    bytes[at..at + with.len()].copy_from_slice(with);
    match open(&bytes) {
        Err(error) => error,
        Ok(index) => index.check().expect_err("a changed index was accepted"),
    }
}

#[test]
fn each_field_that_makes_no_sense_is_refused_by_its_name() {
    let record = |error: IndexError, expected: &str| {
        assert!(
            matches!(&error, IndexError::Record { field, .. } if *field == expected),
            "{error}"
        );
    };
    assert!(matches!(changed(0, b"X"), IndexError::Magic));
    assert!(matches!(changed(8, &[2]), IndexError::Version { version: 2 }));
    assert!(matches!(changed(12, &[65]), IndexError::Version { .. }));
    assert!(matches!(
        changed(16, &[0, 0, 0x50, 0]),
        IndexError::Limit { field: "records", .. }
    ));
    assert!(matches!(
        changed(20, &[6]),
        IndexError::Limit { field: "digests", .. }
    ));
    assert!(matches!(
        changed(28, &[1]),
        IndexError::Limit {
            field: "reserved",
            ..
        }
    ));
    assert!(matches!(
        changed(63, &[1]),
        IndexError::Limit {
            field: "reserved",
            ..
        }
    ));
    assert!(matches!(changed(32, &[18]), IndexError::Length { .. }));
    let bin_ping = 64 + 2 * 64;
    record(changed(bin_ping + 60, &[1]), "the reserved field");
    record(changed(bin_ping + 47, &[0x39]), "the kind");
    record(changed(bin_ping + 47, &[0x49]), "a digest or length for its kind");
    record(changed(bin_ping + 43, &[1]), "the place of the path");
    record(changed(bin_ping + 44, &[18]), "the place of the path");
    record(changed(64 + 5 * 64 + 68 + 3, b"\0"), "the path");
    assert!(matches!(
        changed(bin_ping + 56, &[2]),
        IndexError::XattrSet { number: 2 }
    ));
    assert!(matches!(
        changed(64 + 5 * 64 + 4 + 63, &[1]),
        IndexError::XattrSet { number: 1 }
    ));
    assert!(matches!(
        changed(64 + 5 * 64, &[1]),
        IndexError::Order { what: "digest", .. }
    ));
    assert!(matches!(changed(64 + 5 * 64, &[9]), IndexError::Record { .. }));
}

#[test]
fn an_index_that_is_cut_short_or_too_long_is_refused() {
    let bytes = encode(&vector());
    for length in 0..bytes.len() {
        assert!(open(&bytes[..length]).is_err(), "{length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(open(&longer), Err(IndexError::Length { .. })));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let xattrs = prop::option::of((
        any::<[u8; 32]>(),
        prop::option::of(any::<(u64, u64, bool, u32)>()),
    ));
    (
        "[a-d.-]{1,3}(/[a-d-]{1,3}){0,2}",
        0..7usize,
        0u16..0o10000,
        any::<(u32, u32, u64)>(),
        0..4u8,
        xattrs,
    )
        .prop_filter("no path", |(path, ..)| bennu_golden::check_path(path.as_bytes()))
        .prop_map(|(path, kind, mode, (uid, gid, size), content, xattrs)| {
            use FileKind::{BlockDevice, CharDevice, Directory, Fifo, Regular, Socket, Symlink};
            let kind = [Fifo, CharDevice, Directory, BlockDevice, Regular, Symlink, Socket][kind];
            let sized = !matches!(kind, Fifo | Directory | Socket);
            let digest = Sha256Digest([content; 32]);
            Entry {
                path: path.into_bytes(),
                kind,
                mode,
                uid,
                gid,
                size: if sized { size } else { 0 },
                digest: if kind.has_digest() {
                    digest
                } else {
                    Sha256Digest::ZERO
                },
                xattrs: xattrs.map(|(digest, capabilities)| XattrSet {
                    digest: Sha256Digest(digest),
                    capabilities: capabilities.map(|(permitted, inheritable, effective, root_uid)| {
                        Capabilities {
                            permitted,
                            inheritable,
                            effective,
                            root_uid,
                        }
                    }),
                }),
            }
        })
}

proptest! {
    #[test]
    fn any_entries_in_any_order_give_one_index_in_which_all_are_found(
        entries in prop::collection::vec(any_entry(), 0..40), turn in 0..40usize
    ) {
        let unique: BTreeMap<Vec<u8>, Entry> = entries.into_iter().map(|e| (e.path.clone(), e)).collect();
        let sorted: Vec<Entry> = unique.values().cloned().collect();
        let mut turned = sorted.clone();
        turned.rotate_left(turn % sorted.len().max(1));
        let bytes = encode(&turned);
        prop_assert_eq!(&bytes, &encode(&sorted));
        let index = open(&bytes).unwrap();
        index.check().unwrap();
        prop_assert_eq!(index.counts().entries as usize, sorted.len());
        for (number, entry) in sorted.iter().enumerate() {
            prop_assert_eq!(&index.entry(number as u32).unwrap(), entry);
            prop_assert_eq!(index.by_path(&entry.path).unwrap(), Some(entry.clone()));
            let same: Vec<Entry> = sorted
                .iter()
                .filter(|e| e.kind == FileKind::Regular && e.digest == entry.digest)
                .cloned()
                .collect();
            prop_assert_eq!(index.by_digest(&entry.digest, 99).unwrap(), same);
        }
    }

    #[test]
    fn no_changed_byte_makes_a_reader_panic_and_what_passes_the_check_is_the_one_encoding(
        entries in prop::collection::vec(any_entry(), 0..12),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let unique: BTreeMap<Vec<u8>, Entry> = entries.into_iter().map(|e| (e.path.clone(), e)).collect();
        let mut bytes = encode(&unique.into_values().collect::<Vec<_>>());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(index) = open(&bytes) {
            let _ = index.by_path(b"a/b");
            let _ = index.by_digest(&Sha256Digest([1; 32]), 10);
            if index.check().is_ok() {
                let again: Vec<Entry> = (0..index.counts().entries).map(|n| index.entry(n).unwrap()).collect();
                prop_assert_eq!(encode(&again), bytes);
            }
        }
    }
}
