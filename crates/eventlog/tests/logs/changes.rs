use super::REAL;
use super::writer::*;
use bennu_eventlog::changes::{changes, record};
use bennu_formats::decode::Document as _;
use bennu_formats::firmware_record::FirmwareRecord;

fn of(version: &str, log: &[u8]) -> FirmwareRecord {
    let events = events(log);
    record(&version.parse().unwrap(), &events, &values(&events))
}

fn sentences(before: &FirmwareRecord, now: &FirmwareRecord) -> Vec<String> {
    changes(before, now).iter().map(ToString::to_string).collect()
}

#[test]
fn the_record_of_a_real_start_is_small_decodes_and_is_the_same_as_itself() {
    let record = of("2", REAL);
    let bytes = record.encode().unwrap();
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
    assert_eq!(FirmwareRecord::decode(&bytes).unwrap(), record);
    assert_eq!(record.pcrs.len(), 8);
    assert_eq!(sentences(&record, &record), Vec::<String>::new());
}

#[test]
fn what_changed_is_named() {
    let mut before = header(&[bennu_tpm::HashAlg::Sha256]);
    let mut now = before.clone();
    variable(&mut before, "db", b"our key");
    variable(&mut now, "db", b"our key");
    variable(&mut before, "dbx", b"");
    variable(&mut now, "dbx", b"a revoked loader");
    program(&mut before, "\\EFI\\BOOT\\BOOTX64.EFI", b"ours");
    program(&mut now, "\\EFI\\BOOT\\BOOTX64.EFI", b"theirs");
    program(&mut now, "\\EFI\\tool.efi", b"a tool");
    assert_eq!(
        sentences(&of("2", &before), &of("2", &now)),
        [
            "PCR 4 changed: program \\EFI\\BOOT\\BOOTX64.EFI is another one, program \\EFI\\tool.efi is new",
            "PCR 7 changed: variable dbx is another one",
        ]
    );
    assert_eq!(
        sentences(&of("2", &now), &of("2", &before))[0],
        "PCR 4 changed: program \\EFI\\BOOT\\BOOTX64.EFI is another one, program \\EFI\\tool.efi is gone"
    );
}

#[test]
fn another_releases_uki_is_no_news_and_tries_are_not_part_of_its_name() {
    let with = |path: &str, content: &[u8]| {
        let mut log = header(&[bennu_tpm::HashAlg::Sha256]);
        program(&mut log, path, content);
        log
    };
    let before = of("1", &with("\\EFI\\Linux\\demo_1+2-1.efi", b"one"));
    let now = of("2", &with("\\EFI\\Linux\\demo_2+2-1.efi", b"two"));
    assert_eq!(sentences(&before, &now), Vec::<String>::new());
    let again = of("1", &with("\\EFI\\Linux\\demo_1.efi", b"changed"));
    assert_eq!(
        sentences(&before, &again),
        ["PCR 4 changed: program \\EFI\\Linux\\demo_1.efi is another one"]
    );
}

#[test]
fn a_value_that_no_event_explains_is_said_so() {
    let before = of("1", REAL);
    let mut now = before.clone();
    now.pcrs.insert(7, bennu_formats::Sha256Digest::ZERO);
    assert_eq!(
        sentences(&before, &now),
        ["PCR 7 changed: the log does not say what"]
    );
}
