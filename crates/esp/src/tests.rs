//! The files as a reader finds them.

use super::*;
use bennu_formats::decode::DecodeError;

fn esp(entries: &[&str]) -> (tempfile::TempDir, Esp) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("EFI/Linux")).unwrap();
    for entry in entries {
        std::fs::write(dir.path().join("EFI/Linux").join(entry), entry).unwrap();
    }
    let esp = Esp::at(dir.path());
    (dir, esp)
}

#[test]
fn entries_are_those_of_the_image_newest_first() {
    let (_dir, esp) = esp(&["demo_9+3-0.efi", "demo_10+1-2.efi", "other_11.efi", "notes.txt"]);
    let found: Vec<String> = esp
        .entries(&"demo".parse().unwrap())
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["demo_10+1-2.efi", "demo_9+3-0.efi"]);
}

#[test]
fn an_entry_is_marked_bad_and_armed_again_by_renaming() {
    let (dir, esp) = esp(&["demo_2+2-1.efi"]);
    let (id, version) = ("demo".parse().unwrap(), "2".parse().unwrap());
    assert_eq!(
        esp.rename_entry(&id, &version, UkiFileName::bad)
            .unwrap()
            .to_string(),
        "demo_2+0-1.efi"
    );
    assert_eq!(
        esp.rename_entry(&id, &version, |e| e.armed(3))
            .unwrap()
            .to_string(),
        "demo_2+3-0.efi"
    );
    assert_eq!(
        std::fs::read(dir.path().join("EFI/Linux/demo_2+3-0.efi")).unwrap(),
        b"demo_2+2-1.efi"
    );
    let missing = esp.rename_entry(&id, &"3".parse().unwrap(), UkiFileName::bad);
    assert!(matches!(missing, Err(EspError::NoEntry { .. })));
}

#[test]
fn a_name_that_is_there_is_not_replaced_since_both_may_be_one_file() {
    let (_dir, esp) = esp(&["demo_2+2-1.efi", "demo_2+3-0.efi"]);
    let (id, version) = ("demo".parse().unwrap(), "2".parse().unwrap());
    let armed = esp.rename_entry(&id, &version, |e| e.armed(3)).unwrap();
    assert_eq!(armed.to_string(), "demo_2+3-0.efi");
    assert_eq!(esp.entries(&id).unwrap().len(), 2);
}

fn record(starts: u64, attempts: u32) -> BootRecord {
    let mut record = BootRecord {
        starts,
        ..BootRecord::default()
    };
    record.slot_mut(&"2".parse().unwrap()).attempts = attempts;
    record
}

const FIRST: &str = "bennu/boot-record.json";
const SECOND: &str = "bennu/boot-record.2.json";

fn one_copy(record: BootRecord, other: &'static str, trouble: OtherCopy) -> FoundRecord {
    FoundRecord::OneCopy {
        record,
        other,
        trouble,
    }
}

#[test]
fn the_record_is_absent_whole_or_damaged() {
    let (dir, esp) = esp(&[]);
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    assert_eq!(esp.boot_record().unwrap(), FoundRecord::None);
    esp.write_boot_record(&record(1, 1)).unwrap();
    assert_eq!(esp.boot_record().unwrap(), FoundRecord::Whole(record(1, 1)));
    put(FIRST, b"{");
    put(SECOND, &vec![0; BootRecord::MAX_BYTES]);
    let damaged = esp.boot_record().unwrap();
    assert!(
        matches!(damaged, FoundRecord::Damaged(DecodeError::Malformed { .. })),
        "{damaged:?}"
    );
    put(FIRST, &vec![b' '; 100_000]);
    let damaged = esp.boot_record().unwrap();
    assert!(
        matches!(damaged, FoundRecord::Damaged(DecodeError::TooLong { .. })),
        "{damaged:?}"
    );
    put(FIRST, b"");
    put(SECOND, b"");
    assert_eq!(esp.boot_record().unwrap(), FoundRecord::None);
    esp.write_boot_record(&record(2, 1)).unwrap();
    assert_eq!(esp.boot_record().unwrap(), FoundRecord::Whole(record(2, 1)));
}

#[test]
fn one_whole_copy_is_enough_and_the_trouble_with_the_other_is_told() {
    for (damaged, kept) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let (dir, esp) = esp(&[]);
        esp.write_boot_record(&record(1, 1)).unwrap();
        std::fs::write(dir.path().join(damaged), [0; 100]).unwrap();
        let found = esp.boot_record().unwrap();
        assert!(
            matches!(&found, FoundRecord::OneCopy { record: r, other, trouble: OtherCopy::Damaged(_) }
                if *r == record(1, 1) && *other == damaged),
            "{found:?}"
        );
        std::fs::write(dir.path().join(damaged), b"").unwrap();
        assert_eq!(
            esp.boot_record().unwrap(),
            one_copy(record(1, 1), damaged, OtherCopy::Missing)
        );
        std::fs::remove_file(dir.path().join(kept)).unwrap();
        assert_eq!(esp.boot_record().unwrap(), FoundRecord::None);
    }
}

#[test]
fn of_two_whole_copies_the_one_with_more_starts_counts_and_of_equals_the_one_written_first() {
    let cases = [
        (record(5, 1), record(4, 2), true),
        (record(4, 1), record(5, 2), false),
        (record(5, 1), record(5, 2), false),
    ];
    for (first, second, first_counts) in cases {
        let (dir, esp) = esp(&[]);
        esp.write_boot_record(&record(1, 1)).unwrap();
        std::fs::write(dir.path().join(FIRST), first.encode().unwrap()).unwrap();
        std::fs::write(dir.path().join(SECOND), second.encode().unwrap()).unwrap();
        let expected = match first_counts {
            true => one_copy(first, SECOND, OtherCopy::Older),
            false => one_copy(second, FIRST, OtherCopy::Older),
        };
        assert_eq!(esp.boot_record().unwrap(), expected);
    }
}

#[test]
fn the_failure_log_is_replaced_whole_and_one_that_is_too_long_is_refused() {
    let (dir, esp) = esp(&[]);
    let path = dir.path().join("bennu/last-failure.log");
    esp.write_failure_log(b"first, longer").unwrap();
    esp.write_failure_log(b"second").unwrap();
    let refused = esp.write_failure_log(&vec![b'x'; failure_log::MAX_BYTES + 1]);
    assert!(matches!(
        refused,
        Err(EspError::TooLong {
            limit: failure_log::MAX_BYTES,
            ..
        })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"second");
    assert_eq!(std::fs::read_dir(dir.path().join("bennu")).unwrap().count(), 1);
}

#[test]
fn a_failure_log_whose_name_a_directory_has_is_an_error_and_leaves_nothing_behind() {
    let (dir, esp) = esp(&[]);
    std::fs::create_dir_all(dir.path().join("bennu/last-failure.log/x")).unwrap();
    assert!(matches!(
        esp.write_failure_log(b"log"),
        Err(EspError::Write { .. })
    ));
    assert_eq!(std::fs::read_dir(dir.path().join("bennu")).unwrap().count(), 1);
}

#[test]
fn a_secret_is_sealed_undone_or_not_there_and_one_that_is_too_long_is_refused_not_cut() {
    let (dir, esp) = esp(&[]);
    let path = dir.path().join("bennu/secrets/a.sealed");
    assert_eq!(esp.sealed_secret("a").unwrap(), FoundSecret::None);
    esp.write_sealed_secret("a", b"blob").unwrap();
    assert_eq!(
        esp.sealed_secret("a").unwrap(),
        FoundSecret::Sealed(b"blob".to_vec())
    );
    assert_eq!(
        std::fs::read_dir(dir.path().join("bennu/secrets"))
            .unwrap()
            .count(),
        1
    );
    std::fs::write(&path, b"b").unwrap();
    assert_eq!(
        esp.sealed_secret("a").unwrap(),
        FoundSecret::Sealed(b"b".to_vec())
    );
    std::fs::write(&path, b"").unwrap();
    assert_eq!(esp.sealed_secret("a").unwrap(), FoundSecret::Undone);
    esp.write_sealed_secret("a", b"other").unwrap();
    assert_eq!(
        esp.sealed_secret("a").unwrap(),
        FoundSecret::Sealed(b"other".to_vec())
    );
    std::fs::write(&path, vec![0; MAX_SEALED_BYTES + 1]).unwrap();
    assert!(matches!(esp.sealed_secret("a"), Err(EspError::TooLong { .. })));
}

#[test]
fn sealed_secrets_of_any_release_are_listed_and_one_that_is_forgotten_is_gone() {
    let (dir, esp) = esp(&[]);
    assert_eq!(esp.sealed_names().unwrap(), Vec::<String>::new());
    for name in ["machine", "tpm.owner"] {
        esp.write_sealed_secret(name, b"sealed").unwrap();
    }
    for foreign in ["NOTES.sealed", "notes.txt", "machine.new"] {
        std::fs::write(
            dir.path().join(paths::ESP_SECRETS_DIRECTORY).join(foreign),
            b"left",
        )
        .unwrap();
    }
    assert_eq!(esp.sealed_names().unwrap(), ["machine", "tpm.owner"]);
    esp.forget_sealed_secret("machine").unwrap();
    assert_eq!(esp.sealed_names().unwrap(), ["tpm.owner"]);
    assert_eq!(esp.sealed_secret("machine").unwrap(), FoundSecret::None);
    // What a cut left beside it is never written to again.
    esp.write_sealed_secret("machine", b"another").unwrap();
    let left = dir.path().join(paths::ESP_SECRETS_DIRECTORY).join("machine.left");
    assert_eq!(std::fs::read(left).unwrap(), b"left");
    assert!(esp.forget_sealed_secret("nobodys").is_err());
}

#[test]
fn a_secret_that_is_replaced_and_the_recovery_blob_are_read_back() {
    let (dir, esp) = esp(&[]);
    for bytes in [&b"first"[..], b"other", b"of another length"] {
        esp.replace_sealed_secret("state.volume", bytes).unwrap();
        let found = esp.sealed_secret("state.volume").unwrap();
        assert_eq!(found, FoundSecret::Sealed(bytes.to_vec()));
    }
    assert_eq!(esp.recovery_blob().unwrap(), None);
    esp.write_recovery_blob(b"blob").unwrap();
    assert_eq!(esp.recovery_blob().unwrap().unwrap(), b"blob");
    std::fs::write(
        dir.path().join(paths::ESP_RECOVERY_BLOB),
        vec![0; MAX_SEALED_BYTES + 1],
    )
    .unwrap();
    assert!(matches!(esp.recovery_blob(), Err(EspError::TooLong { .. })));
}
