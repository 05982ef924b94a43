//! The limit of the design, which the checker finds as well.

use super::promises::Promise;
use super::state::TRIES;
use super::world::{Fault, World};
use super::worlds::{Promised, check, world};

const SOUND: &[Fault] = &[];

/// Both slots without tries: systemd-boot takes the newest for ever, and no start reaches the record.
#[test]
fn limit_a_uki_that_never_reaches_the_esp_beside_three_cut_starts_keeps_the_sound_slot_from_starting() {
    const EARLY: [&[Fault]; 3] = [&[Fault::Refused], &[Fault::BeforeEsp], &[Fault::DiesEarly]];
    for newer in EARLY {
        let broken = check(&world(SOUND, newer), Promised::Healthy)
            .map(drop)
            .unwrap_err();
        assert_eq!(broken.promise, Promise::EndsHealthy);
        assert_eq!(
            broken.way.last().unwrap().tries,
            [Some(0), Some(0)],
            "{:#?}",
            broken.way
        );
        let fewer = World {
            cuts: Some(TRIES as u8 - 1),
            ..world(SOUND, newer)
        };
        assert!(
            check(&fewer, Promised::Healthy).is_ok(),
            "positive control: {newer:?}"
        );
    }
}
