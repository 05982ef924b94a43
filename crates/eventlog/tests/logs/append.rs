use super::REAL;
use super::writer::*;
use bennu_eventlog::{LogError, MAX_EVENTS, MAX_LOG_BYTES, append, cel, replay};
use bennu_tpm::{EventKind, EventRecord, HashAlg};
use proptest::prelude::*;

fn record(algs: &[HashAlg], pcr: u8, kind: EventKind, text: &str) -> EventRecord {
    EventRecord {
        pcr,
        digests: algs.iter().map(|alg| alg.digest(text.as_bytes())).collect(),
        kind,
        text: text.to_owned(),
    }
}

/// Every sort of event that there is.
fn ours(algs: &[HashAlg]) -> Vec<EventRecord> {
    let digest = "ab".repeat(32);
    [
        (11, EventKind::Phase, "enter-initrd"),
        (12, EventKind::DebugToken, digest.as_str()),
        (15, EventKind::Manifest, digest.as_str()),
        (15, EventKind::VolumeKey, "bennu state volume"),
        (11, EventKind::Phase, "leave-initrd"),
        (15, EventKind::FirstBoot, digest.as_str()),
    ]
    .map(|(pcr, kind, text)| record(algs, pcr, kind, text))
    .to_vec()
}

#[test]
fn tpm2_eventlog_calculates_from_the_log_with_ours_what_both_logs_replay_to() {
    let ours = ours(&[HashAlg::Sha1, HashAlg::Sha256]);
    let text = tpm2_eventlog(&append(REAL, &ours).unwrap());
    let json: String = ours.iter().map(|r| r.cel_json(&[7; 16], 1)).collect();
    let mut both = events(REAL);
    both.extend(cel::read(json.as_bytes()).events);
    let expected: Vec<(u8, String)> = replay::values(HashAlg::Sha256, &both)
        .iter()
        .map(|(pcr, value)| (*pcr, value.to_string()))
        .collect();
    assert_eq!(judged_pcrs(&text), expected);
    assert_ne!(
        judged_pcrs(&tpm2_eventlog(REAL)),
        expected,
        "control: without ours"
    );
    for record in &ours {
        let words = format!("{} {}", record.kind.name(), record.text);
        assert!(text.contains(&words), "`{words}` in {text}");
    }
}

#[test]
fn an_event_has_the_digests_that_the_log_declares_in_its_order() {
    let (sha1, sha256, sha384) = (HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384);
    let log = header(&[sha384, sha1]);
    let phase = record(&[sha1, sha256, sha384], 11, EventKind::Phase, "enter-initrd");
    let all = append(&log, std::slice::from_ref(&phase)).unwrap();
    let mut expected = log.clone();
    let text = b"phase enter-initrd\0";
    push(&mut expected, &[sha384, sha1], 11, EV_IPL, b"enter-initrd", text);
    assert_eq!(all, expected);
    // A bank that the log declares and nobody extended has no digest.
    let narrow = record(&[sha1, sha256], 11, EventKind::Phase, "enter-initrd");
    let read = events(&append(&log, &[narrow]).unwrap());
    assert_eq!(read[0].extends(), Some(11));
    assert_eq!(read[0].digests, [sha1.digest(b"enter-initrd")]);
    assert_eq!(append(&log, &[]).unwrap(), log);
}

#[test]
fn an_event_has_the_golden_bytes() {
    let log = header(&[HashAlg::Sha256]);
    let phase = record(&[HashAlg::Sha256], 11, EventKind::Phase, "enter-initrd");
    let all = append(&log, &[phase]).unwrap();
    let expected = "0b0000000d000000010000000b00\
                    51e6b92f405d1f98d96e3de343d61d420ad6923b25de21d766f9298192f14fed\
                    13000000706861736520656e7465722d696e6974726400";
    assert_eq!(hex::encode(&all[log.len()..]), expected);
}

#[test]
fn what_a_reader_would_not_take_is_not_made() {
    let algs = [HashAlg::Sha256];
    let ours = ours(&algs);
    assert!(append(REAL, &ours).is_ok(), "positive control");
    let cut = append(&REAL[..REAL.len() - 1], &ours);
    assert!(matches!(cut, Err(LogError::Truncated { .. })), "{cut:?}");
    assert_eq!(
        append(&header(&[HashAlg::Sha1]), &ours),
        Err(LogError::NoBank { pcr: 11 })
    );
    let mut many = header(&algs);
    for _ in 0..MAX_EVENTS {
        push(&mut many, &algs, 0, EV_SEPARATOR, b"", &[0; 4]);
    }
    assert_eq!(append(&many, &[]).unwrap(), many, "positive control");
    assert_eq!(append(&many, &ours), Err(LogError::TooMany { limit: MAX_EVENTS }));
    let mut long = header(&algs);
    let rest = MAX_LOG_BYTES - long.len() - 50;
    push(&mut long, &algs, 0, EV_SEPARATOR, b"", &vec![0; rest]);
    assert_eq!(long.len(), MAX_LOG_BYTES);
    let found = append(&long, &ours);
    assert!(matches!(found, Err(LogError::TooLong { .. })), "{found:?}");
}

proptest! {
    #[test]
    fn whatever_the_firmware_logged_is_kept_to_the_byte_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..REAL.len(), at in 0..REAL.len(), byte in any::<u8>(),
    ) {
        let ours = ours(&[HashAlg::Sha256]);
        let mut changed = REAL.to_vec();
        changed[at] = byte;
        for log in [&bytes[..], &changed, &[&REAL[..cut], &bytes].concat()] {
            if let Ok(all) = append(log, &ours) {
                prop_assert!(all.starts_with(log));
                prop_assert_eq!(events(&all).len(), events(log).len() + ours.len());
            }
        }
    }
}
