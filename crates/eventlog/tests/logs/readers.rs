use super::REAL;
use super::writer::*;
use bennu_eventlog::{Event, LogError, MAX_EVENTS, MAX_LOG_BYTES, Meaning, cel, firmware, replay};
use bennu_tpm::{Digest, EventKind, EventRecord, HashAlg};
use proptest::prelude::*;

#[test]
fn the_real_log_replays_to_the_values_that_tpm2_eventlog_calculates() {
    let judged = judged_pcrs(&tpm2_eventlog(REAL));
    let ours: Vec<(u8, String)> = replay::values(HashAlg::Sha256, &events(REAL))
        .iter()
        .map(|(pcr, value)| (*pcr, value.to_string()))
        .collect();
    assert_eq!(ours, judged);
    assert_eq!(ours.len(), 10);
}

#[test]
fn the_real_log_says_what_was_measured() {
    let words: Vec<String> = events(REAL)
        .iter()
        .filter(|event| event.extends().is_some())
        .map(|event| format!("{} {}", event.pcr, event.meaning))
        .collect();
    for line in [
        "0 firmware version",
        "7 variable SecureBoot",
        "7 variable dbx",
        "7 authority of db",
        "1 boot variable BootOrder",
        "5 partition table",
        "4 program \\EFI\\BOOT\\BOOTX64.EFI",
        "4 program \\EFI\\systemd\\systemd-bootx64.efi",
        "5 loader.conf",
        "11 section .initrd",
        "9 kernel's options",
        "9 kernel's initrd",
        "5 Exit Boot Services Returned with Success",
    ] {
        assert!(words.iter().any(|word| word == line), "{line}: {words:#?}");
    }
}

#[test]
fn a_log_cut_off_anywhere_gives_the_events_before_and_says_that_it_is_truncated() {
    let whole = events(REAL);
    let mut clean = 0;
    for length in 0..REAL.len() {
        let log = firmware::read(&REAL[..length]);
        assert!(whole.starts_with(&log.events), "{length}");
        match log.broken {
            Some(LogError::Truncated { at, .. }) => assert!(at <= length, "{length}"),
            None => clean += 1,
            other => panic!("{length}: {other:?}"),
        }
    }
    // Between two events nobody can tell: the PCRs do.
    assert_eq!(clean, whole.len());
}

#[test]
fn each_bank_is_replayed_and_an_algorithm_that_is_not_computed_here_is_passed_over() {
    let algs = [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384];
    let mut log = header(&algs);
    push(&mut log, &algs, 4, EV_SEPARATOR, b"a", &[0; 4]);
    push(&mut log, &algs, 4, EV_SEPARATOR, b"b", &[0; 4]);
    let events = events(&log);
    for alg in algs {
        let expected = Digest::zero(alg)
            .extended_with(&alg.digest(b"a"))
            .extended_with(&alg.digest(b"b"));
        assert_eq!(replay::value(4, alg, &events), expected);
    }
    // SM3 (0x12), declared with 32 bytes.
    let mut log = header(&[HashAlg::Sha256]);
    let at = log
        .windows(2)
        .position(|w| w == HashAlg::Sha256.id().to_le_bytes());
    log[at.unwrap()] = 0x12;
    let first = log.len();
    push(&mut log, &[HashAlg::Sha256], 4, EV_SEPARATOR, b"a", &[0; 4]);
    log[first + 12] = 0x12;
    let read = firmware::read(&log);
    assert_eq!((read.broken, read.events[0].digests.len()), (None, 0));
}

#[test]
fn the_locality_of_the_startup_is_the_last_byte_that_pcr_0_begins_with() {
    let mut log = header(&[HashAlg::Sha256]);
    push(&mut log, &[HashAlg::Sha256], 0, 3, b"", b"StartupLocality\0\x03");
    let events = events(&log);
    let expected = format!("{}03", "00".repeat(31));
    assert_eq!(replay::value(0, HashAlg::Sha256, &events).to_string(), expected);
    assert_eq!(events[0].extends(), None);
}

fn broken(log: &[u8]) -> LogError {
    firmware::read(log).broken.expect("expected a refusal")
}

#[test]
fn what_is_no_crypto_agile_log_is_refused_by_its_reason() {
    assert!(matches!(broken(b""), LogError::Truncated { at: 0, .. }));
    let old = [
        &[0_u32, 3].map(u32::to_le_bytes).concat()[..],
        &[0; 20],
        &16_u32.to_le_bytes(),
        b"Spec ID Event02\0",
    ]
    .concat();
    assert!(matches!(broken(&old), LogError::NotCryptoAgile { .. }));
    let long = vec![0; MAX_LOG_BYTES + 1];
    assert_eq!(
        broken(&long),
        LogError::TooLong {
            limit: MAX_LOG_BYTES,
            found: MAX_LOG_BYTES + 1
        }
    );
    let field = |log: &[u8]| match broken(log) {
        LogError::Value { field, .. } => field,
        other => panic!("{other}"),
    };
    let good = header(&[HashAlg::Sha256]);
    assert_eq!(firmware::read(&good).broken, None, "positive control");
    assert_eq!(field(&header(&[])), "count of algorithms");
    assert_eq!(field(&header(&[HashAlg::Sha256; 2])), "algorithm");
    let mut wrong = good.clone();
    let end = wrong.len();
    wrong[end - 3] = 20;
    assert_eq!(field(&wrong), "digest size");
    let mut undeclared = good.clone();
    push(&mut undeclared, &[HashAlg::Sha1], 0, EV_SEPARATOR, b"", &[0; 4]);
    assert_eq!(field(&undeclared), "digest's algorithm");
    let mut many = good;
    push(&mut many, &[HashAlg::Sha256; 17], 0, EV_SEPARATOR, b"", &[0; 4]);
    assert_eq!(field(&many), "count of digests");
}

#[test]
fn more_events_than_are_looked_at_are_refused() {
    let mut log = header(&[HashAlg::Sha256]);
    for _ in 0..=MAX_EVENTS {
        push(&mut log, &[HashAlg::Sha256], 0, EV_SEPARATOR, b"", &[0; 4]);
    }
    let read = firmware::read(&log);
    assert_eq!(read.broken, Some(LogError::TooMany { limit: MAX_EVENTS }));
    assert_eq!(read.events.len(), MAX_EVENTS);
}

fn own(pcr: u8, text: &str) -> String {
    let digests = [HashAlg::Sha1, HashAlg::Sha256].map(|alg| alg.digest(text.as_bytes()));
    let record = EventRecord {
        pcr,
        digests: digests.to_vec(),
        kind: EventKind::Phase,
        text: text.to_owned(),
    };
    record.cel_json(&[7; 16], 12)
}

#[test]
fn our_own_records_are_read_back_and_replayed() {
    let text = own(11, "enter-initrd") + &own(15, "\"quoted\"");
    let log = cel::read(text.as_bytes());
    assert_eq!(log.broken, None);
    let words: Vec<String> = log.events.iter().map(Event::words).collect();
    assert_eq!(words, ["enter-initrd", "\"quoted\""]);
    for alg in [HashAlg::Sha1, HashAlg::Sha256] {
        let expected = Digest::zero(alg).extended_with(&alg.digest(b"enter-initrd"));
        assert_eq!(replay::value(11, alg, &log.events), expected);
    }
    assert_eq!(cel::read(b""), bennu_eventlog::Log::default());
}

#[test]
fn a_record_that_is_none_ends_the_log_with_its_number() {
    let good = own(11, "enter-initrd");
    for (bad, words) in [
        ("\u{1e}{}", "newline"),
        ("\u{1e}{\"pcr\":-1}\n", "invalid value"),
        (
            "\u{1e}{\"pcr\":1,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"00\"}]}\n",
            "digest in hex",
        ),
        ("\u{1e}[]\n", ""),
    ] {
        let log = cel::read((good.clone() + bad).as_bytes());
        assert_eq!(log.events.len(), 1, "{bad}");
        let Some(LogError::Record { record: 1, detail }) = log.broken else {
            panic!("{bad}: {:?}", log.broken);
        };
        assert!(detail.contains(words), "{detail}");
    }
    let long = format!("\u{1e}{}\n", " ".repeat(cel::MAX_RECORD_BYTES));
    assert!(cel::read(long.as_bytes()).broken.is_some());
    assert!(cel::read(b"{}\n").broken.is_some());
    // A record about something that is no PCR extends none.
    let other = cel::read("\u{1e}{\"nv_index\":1,\"digests\":[],\"content_type\":\"systemd\"}\n".as_bytes());
    assert_eq!((other.broken, other.events[0].extends()), (None, None));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_or_its_words_leave_ascii(
        bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0..REAL.len(), at in 0..REAL.len(), byte in any::<u8>(),
    ) {
        let mut changed = REAL.to_vec();
        changed[at] = byte;
        let tail = [&REAL[..cut], &bytes].concat();
        let json = [&[0x1e][..], &bytes, b"\n"].concat();
        let logs = [firmware::read(&bytes), firmware::read(&changed), firmware::read(&tail), cel::read(&bytes), cel::read(&json)];
        for event in logs.iter().flat_map(|log| &log.events) {
            let words = event.meaning.to_string();
            prop_assert!(words.bytes().all(|b| matches!(b, b' '..=b'~')), "{}", words);
            prop_assert!(matches!(event.meaning, Meaning::Record { .. }) || words.len() < 160, "{}", words);
        }
    }
}
