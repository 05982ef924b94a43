//! Event logs, and what is made of them.

use bennu_eventlog::{Event, Expected, MAX_EVENTS, cel, changes, firmware, judge, replay};
use bennu_formats::Sha256Digest;
use bennu_tpm::HashAlg;
use std::collections::BTreeMap;

/// Everything that is done with events; the words stay printable.
fn use_of(events: &[Event]) {
    assert!(events.len() <= MAX_EVENTS, "more events than are looked at");
    for event in events {
        let words = event.meaning.to_string();
        assert!(
            words.bytes().all(|b| matches!(b, b' '..=b'~')),
            "words that steer a console"
        );
    }
    let mut values = BTreeMap::new();
    for alg in HashAlg::ALL {
        for (pcr, value) in replay::values(alg, events) {
            values.extend(
                value
                    .as_bytes()
                    .try_into()
                    .ok()
                    .map(|value| (pcr, Sha256Digest(value))),
            );
        }
    }
    let expected = Expected {
        sections: Sha256Digest::ZERO,
        section_digests: BTreeMap::new(),
        values: [11, 12, 13, 15].map(|pcr| (pcr, Sha256Digest::ZERO)).into(),
    };
    for deviation in judge(&expected, &values, events, true) {
        assert!(
            !deviation.causes.is_empty(),
            "a deviation without a cause: {deviation}"
        );
    }
    if let Ok(version) = "1".parse() {
        let record = changes::record(&version, events, &values);
        assert!(
            changes::changes(&record, &record).is_empty(),
            "a start differs from itself"
        );
    }
}

/// The firmware's log.
pub fn firmware_log(bytes: &[u8]) -> bool {
    let log = firmware::read(bytes);
    use_of(&log.events);
    log.broken.is_none()
}

/// User space's log.
pub fn cel_log(bytes: &[u8]) -> bool {
    let log = cel::read(bytes);
    use_of(&log.events);
    log.broken.is_none() && !log.events.is_empty()
}
