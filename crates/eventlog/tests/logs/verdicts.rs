use super::REAL;
use super::writer::*;
use bennu_eventlog::{
    Cause, Companion, Deviation, Event, Expected, Meaning, Origin, Reach, judge, other_slot_meets,
};
use bennu_formats::Sha256Digest;
use bennu_tpm::HashAlg;
use std::collections::BTreeMap;

fn phase(word: &str) -> Event {
    Event {
        origin: Origin::UserSpace,
        pcr: 11,
        digests: vec![HashAlg::Sha256.digest(word.as_bytes())],
        meaning: Meaning::Record {
            kind: "phase".into(),
            words: word.into(),
        },
    }
}

/// What the release of the real log expects when secrets are unsealed.
fn expected() -> Expected {
    let mut all = events(REAL);
    let sections = values(&all)[&11];
    let contents = all.iter().filter(|e| e.pcr == 11).skip(1).step_by(2);
    let section_digests = contents
        .map(|event| {
            let Meaning::Section(name) = &event.meaning else {
                panic!("{event:?}")
            };
            let digest = event.digest(HashAlg::Sha256).unwrap();
            (name.clone(), Sha256Digest(digest.as_bytes().try_into().unwrap()))
        })
        .collect();
    all.push(phase("enter-initrd"));
    let zero = Sha256Digest::ZERO;
    Expected {
        sections,
        section_digests,
        values: BTreeMap::from([(11, values(&all)[&11]), (12, zero), (13, zero), (15, zero)]),
    }
}

/// A start in which `more` was measured by the firmware and the stub, honest logs and PCRs.
fn start(more: impl FnOnce(&mut Vec<u8>)) -> Vec<Event> {
    let mut log = REAL.to_vec();
    more(&mut log);
    let mut events = events(&log);
    events.push(phase("enter-initrd"));
    events
}

fn judged(events: &[Event]) -> Vec<Deviation> {
    judge(&expected(), &values(events), events, true)
}

fn sentence(events: &[Event]) -> String {
    let deviations: Vec<String> = judged(events).iter().map(ToString::to_string).collect();
    deviations.join("; ")
}

#[test]
fn a_start_as_predicted_deviates_in_nothing() {
    assert_eq!(judged(&start(|_| ())), []);
}

#[test]
fn an_add_on_is_named_by_its_file_and_says_which_ukis_would_meet_it() {
    for (path, reach) in [
        (
            "\\EFI\\Linux\\small_2+2-1.efi.extra.d\\x.addon.efi",
            Reach::ThisUki,
        ),
        ("\\loader\\addons\\x.addon.efi", Reach::EveryUki),
        ("\\x.addon.efi", Reach::Unknown),
    ] {
        let events = start(|log| {
            program(log, path, b"an add-on");
            ipl(log, 12, "debug=1");
        });
        assert_eq!(
            sentence(&events),
            format!("PCR 12 is not the expected value: a command-line add-on was measured ({path})")
        );
        assert_eq!(other_slot_meets(&judged(&events)), reach, "{path}");
    }
}

#[test]
fn a_command_line_without_an_add_on_is_shown() {
    let events = start(|log| ipl(log, 12, "init=/bin/sh"));
    assert_eq!(
        sentence(&events),
        "PCR 12 is not the expected value: a command line that is not the UKI's was measured (`init=/bin/sh`)"
    );
    assert_eq!(other_slot_meets(&judged(&events)), Reach::Unknown);
}

#[test]
fn each_companion_of_a_uki_is_told_from_the_others() {
    for (pcr, words, companion, reach) in [
        (12, "Credentials initrd", Companion::Credentials, Reach::ThisUki),
        (
            12,
            "Global credentials initrd",
            Companion::GlobalCredentials,
            Reach::EveryUki,
        ),
        (
            13,
            "System extension initrd",
            Companion::SystemExtension,
            Reach::ThisUki,
        ),
        (
            12,
            "Configuration extension initrd",
            Companion::ConfigurationExtension,
            Reach::ThisUki,
        ),
    ] {
        let deviations = judged(&start(|log| ipl(log, pcr, words)));
        let [deviation] = &deviations[..] else {
            panic!("{words}: {deviations:?}")
        };
        assert_eq!(deviation.pcr, u8::try_from(pcr).unwrap());
        assert_eq!(deviation.causes, [Cause::Companion(companion)]);
        assert_eq!(other_slot_meets(&deviations), reach, "{words}");
    }
    for (tag, companion) in [
        (0x6c46_f751_u32, Companion::DeviceTree("x".into())),
        (0x49df_fe0f, Companion::Initrd("x".into())),
        (0xdac0_8e1a, Companion::Microcode("x".into())),
    ] {
        let body = [&tag.to_le_bytes()[..], &4_u32.to_le_bytes(), &utf16("x")].concat();
        let events = start(|log| push(log, &[HashAlg::Sha256], 12, EV_EVENT_TAG, b"x", &body));
        assert_eq!(judged(&events)[0].causes, [Cause::Companion(companion)]);
    }
}

#[test]
fn the_command_line_of_the_uki_itself_is_no_deviation_with_systemd_boot_252() {
    let measured = start(|log| ipl(log, 12, "root=x"));
    let mut expected = expected();
    expected.values.insert(12, values(&measured)[&12]);
    assert_eq!(judge(&expected, &values(&measured), &measured, true), []);
    let events = start(|log| {
        ipl(log, 12, "root=x");
        ipl(log, 12, "Credentials initrd");
    });
    let deviations = judge(&expected, &values(&events), &events, true);
    assert_eq!(
        deviations[0].causes,
        [Cause::Companion(Companion::Credentials)],
        "only what came after"
    );
}

#[test]
fn the_section_that_differs_is_named() {
    let (mut own, mut policy) = (start(|_| ()), expected());
    let initrd = own
        .iter()
        .rposition(|e| e.meaning == Meaning::Section(".initrd".into()))
        .unwrap();
    own[initrd].digests = vec![HashAlg::Sha256.digest(b"another initrd")];
    let deviations = judged(&own);
    assert_eq!(
        deviations[0].to_string(),
        "PCR 11 is not the expected value: the UKI's .initrd differs from the release's"
    );
    assert_eq!(other_slot_meets(&deviations), Reach::ThisUki);
    // Where the release does not tell its sections, all that were measured are named.
    policy.section_digests.clear();
    let deviations = judge(&policy, &values(&own), &own, true);
    assert!(
        matches!(&deviations[0].causes[..], [Cause::Sections { names, differ: false }] if names.len() == 7),
        "{deviations:?}"
    );
}

#[test]
fn phases_that_are_missing_or_foreign_are_told() {
    let without = events(REAL);
    assert_eq!(
        sentence(&without),
        "PCR 11 is not the expected value: no boot phase was measured"
    );
    let twice = start(|_| ())
        .into_iter()
        .chain([phase("leave-initrd")])
        .collect::<Vec<_>>();
    assert_eq!(
        sentence(&twice),
        "PCR 11 is not the expected value: the boot phases measured were enter-initrd, leave-initrd"
    );
}

#[test]
fn a_log_from_which_an_event_was_taken_or_that_is_not_whole_is_never_believed() {
    let honest = start(|log| ipl(log, 12, "Credentials initrd"));
    let pcrs = values(&honest);
    let hidden: Vec<Event> = honest.iter().filter(|e| e.pcr != 12).cloned().collect();
    let causes = |events: &[Event], whole| judge(&expected(), &pcrs, events, whole)[0].causes.clone();
    assert_eq!(causes(&hidden, true), [Cause::NotInLog]);
    assert_eq!(
        causes(&hidden, false),
        [Cause::NotInLog],
        "the rest gives the expected value"
    );
    let mut other = honest.clone();
    other.retain(|e| e.pcr != 12);
    let mut wrong = start(|log| ipl(log, 12, "something else"));
    wrong.retain(|e| e.pcr == 12);
    other.extend(wrong);
    assert_eq!(causes(&other, false), [Cause::LogNotWhole]);
    assert_eq!(causes(&other, true), [Cause::NotInLog]);
    let zero: BTreeMap<u8, Sha256Digest> = [(11, Sha256Digest::ZERO)].into();
    assert_eq!(
        judge(&expected(), &zero, &[], true)[0].causes,
        [Cause::Nothing],
        "a stub that measures nothing"
    );
}

#[test]
fn several_causes_are_counted() {
    let events = start(|log| {
        for n in 0..4 {
            ipl(log, 12, &format!("a{n}"));
        }
    });
    let sentence = sentence(&events);
    assert!(sentence.ends_with("(`a1`) and 2 more"), "{sentence}");
}
