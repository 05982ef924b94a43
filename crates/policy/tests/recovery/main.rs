//! The recovery key: when it is asked for, and that a power cut at any step leaves a machine that goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod power_cuts;

use bennu_formats::Code;
use bennu_formats::state::StatePin;
use bennu_policy::state::recovery::{
    MOST_KEYS, Offer, SealedFact, Step, TpmFacts, Trouble, is_forgotten, offer, pause_after, steps, take,
};
use bennu_policy::state::{KeyFact, PinFact, VolumeFact};

const UUID: [u8; 16] = [7; 16];
const DIGEST: [u8; 32] = [9; 32];
const GOOD: KeyFact = KeyFact {
    authenticates: true,
    digest: DIGEST,
};

fn pin(generation: u64) -> StatePin {
    StatePin {
        uuid: UUID,
        generation,
        key_digest: DIGEST,
    }
}

fn header(generation: u64) -> VolumeFact {
    VolumeFact::Header {
        uuid: UUID,
        generation,
        key: None,
    }
}

fn new_tpm() -> TpmFacts {
    TpmFacts {
        pin: PinFact::None,
        floor: false,
        owned: false,
    }
}

fn own_tpm(generation: u64) -> TpmFacts {
    TpmFacts {
        pin: PinFact::Pinned(pin(generation)),
        floor: true,
        owned: true,
    }
}

#[test]
fn a_key_is_asked_for_where_the_tpm_lost_or_never_had_what_opens_the_volume() {
    for trouble in [Trouble::FloorMissing, Trouble::OtherTpm] {
        assert_eq!(offer(trouble, &new_tpm(), &header(40)), Offer::Ask);
    }
    for trouble in [Trouble::KeyMissing, Trouble::KeyUnopenable, Trouble::Guarded] {
        for generation in [5, 6] {
            assert_eq!(offer(trouble, &own_tpm(5), &header(generation)), Offer::Ask);
        }
    }
    assert_eq!(offer(Trouble::Other, &new_tpm(), &header(40)), Offer::NotCurable);
}

#[test]
fn no_key_is_asked_for_where_the_volume_is_not_the_one_that_the_tpm_knows() {
    let strange = VolumeFact::Header {
        uuid: [8; 16],
        generation: 5,
        key: None,
    };
    let volumes = [
        strange,
        header(4),
        header(7),
        VolumeFact::Blank,
        VolumeFact::NotOurs("ext4".into()),
        VolumeFact::Deviates("cipher_null".into()),
    ];
    for volume in volumes {
        for trouble in [Trouble::FloorMissing, Trouble::KeyMissing, Trouble::KeyUnopenable] {
            let offered = offer(trouble, &own_tpm(5), &volume);
            assert!(matches!(offered, Offer::Refused(_)), "{volume:?}: {offered:?}");
        }
    }
}

#[test]
fn a_tpm_with_a_strange_owner_has_to_be_cleared_first() {
    let mut tpm = new_tpm();
    tpm.owned = true;
    assert!(matches!(
        offer(Trouble::FloorMissing, &tpm, &header(3)),
        Offer::Refused(words) if words.contains("clear it first")
    ));
    tpm.floor = true;
    assert!(matches!(
        offer(Trouble::OtherTpm, &tpm, &header(3)),
        Offer::Refused(_)
    ));
}

#[test]
fn what_a_new_tpm_pins_is_the_header_that_the_key_authenticated() {
    assert_eq!(take(&PinFact::None, UUID, 40, GOOD), Ok(pin(40)));
    let forged = KeyFact {
        authenticates: false,
        ..GOOD
    };
    let refused = take(&PinFact::None, UUID, 40, forged).unwrap_err();
    assert_eq!(refused.code, Code::StateForged);
}

#[test]
fn a_pin_that_is_there_is_never_replaced_whatever_key_opens_the_volume() {
    let pinned = PinFact::Pinned(pin(5));
    for generation in [5, 6] {
        assert_eq!(take(&pinned, UUID, generation, GOOD), Ok(pin(5)), "{generation}");
    }
    let planted = KeyFact {
        authenticates: true,
        digest: [1; 32],
    };
    for (uuid, generation, key, code) in [
        ([8; 16], 5, GOOD, Code::StateSwapped),
        (UUID, 4, GOOD, Code::StateRolledBack),
        (UUID, 1, GOOD, Code::StateRolledBack),
        (UUID, 7, GOOD, Code::StateRolledBack),
        (UUID, 5, planted, Code::StateForged),
    ] {
        assert_eq!(take(&pinned, uuid, generation, key).unwrap_err().code, code);
    }
}

#[test]
fn the_tpm_that_always_was_this_machines_gets_only_the_key_sealed_anew() {
    assert_eq!(steps(&own_tpm(5)), [Step::Forget, Step::Seal]);
    assert_eq!(
        steps(&new_tpm()),
        [Step::Forget, Step::Pin, Step::Floor, Step::Seal]
    );
}

#[test]
fn only_what_nothing_can_open_any_more_is_forgotten() {
    for (file, on_new, on_own) in [
        (SealedFact::OfThisTpm, false, false),
        (SealedFact::OfAnotherTpm, true, true),
        (SealedFact::Malformed, true, false),
    ] {
        assert_eq!(is_forgotten(file, &new_tpm()), on_new, "{file:?}");
        assert_eq!(is_forgotten(file, &own_tpm(5)), on_own, "{file:?}");
    }
}

#[test]
fn the_pause_grows_and_the_keys_come_to_an_end() {
    let pauses: Vec<u64> = (1..)
        .map_while(|wrong| pause_after(wrong).map(|pause| pause.as_secs()))
        .collect();
    assert_eq!(pauses, [2, 4, 8, 16]);
    assert_eq!(pauses.len() as u32 + 1, MOST_KEYS);
}

#[test]
fn a_slot_is_not_blamed_for_the_starts_before_its_machine_was_taken_over() {
    use bennu_formats::boot_record::{BootRecord, Failure};
    let mut record = BootRecord::default();
    let this = "5".parse().unwrap();
    let slot = record.slot_mut(&this);
    slot.attempts = 3;
    slot.last_failure = Some(Failure::new(Code::FloorMissing, "none"));
    bennu_policy::boot::on_recovered(&mut record, &this);
    let slot = record.slot_mut(&this);
    assert_eq!((slot.attempts, &slot.last_failure), (0, &None));
}
