//! The decision in every state, and a whole reset cut off behind every act.

use super::*;

/// A machine as far as a reset knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    wish: Wish,
    kept_floor: Option<u64>,
    owned: bool,
    floor: Option<u64>,
    /// Files sealed under the seed that the TPM had.
    old_files: bool,
    old_seed: bool,
    old_header: bool,
    shown_dead: bool,
}

const FLOOR: u64 = 7;
const USED: Machine = Machine {
    wish: Wish::Authentic,
    kept_floor: None,
    owned: true,
    floor: Some(FLOOR),
    old_files: true,
    old_seed: true,
    old_header: true,
    shown_dead: false,
};

impl Machine {
    fn facts(&self) -> ResetFacts {
        ResetFacts {
            // The key that a wish is checked with is gone with the seed.
            wish: match self.wish {
                Wish::Authentic if !self.old_seed || !self.old_files => Wish::Planted,
                wish => wish,
            },
            kept_floor: self.kept_floor,
            owned: self.owned,
            floor: self.floor,
        }
    }

    fn perform(&mut self, act: Act, floor: u64) {
        match act {
            Act::KeepFloor => self.kept_floor = Some(floor),
            Act::ClearTpm => {
                assert!(self.kept_floor.is_some(), "the floor would be lost");
                (self.owned, self.floor, self.old_seed) = (false, None, false);
            }
            Act::SetUpFloor => self.floor = Some(floor),
            Act::ShowDead => {
                assert!(!self.old_seed, "shown before it is true");
                self.shown_dead |= self.old_files;
            }
            Act::EraseHeader => self.old_header = false,
            Act::BlankSecrets => self.old_files = false,
            Act::ForgetWish => self.wish = Wish::None,
            Act::ForgetFloor => self.kept_floor = None,
        }
    }

    /// A start: performs until the power is cut behind `acts` acts; whether it came to its end.
    fn start(&mut self, acts: usize) -> bool {
        let decision = decide(&self.facts());
        let floor = match decision {
            ResetDecision::Begin { floor } | ResetDecision::Finish { floor } => floor,
            ResetDecision::None { .. } => 0,
        };
        for (done, act) in decision.acts().iter().enumerate() {
            if done == acts {
                return false;
            }
            self.perform(*act, floor);
        }
        true
    }
}

#[test]
fn cut_off_behind_any_two_acts_it_is_finished_or_nothing_was_touched_and_the_floor_stays() {
    for first in 0..=8 {
        for second in 0..=8 {
            let mut machine = USED;
            machine.start(first);
            machine.start(second);
            assert!(machine.start(usize::MAX));
            assert_eq!(machine.floor, Some(FLOOR), "cut behind {first}, {second}");
            let reset = Machine {
                wish: Wish::None,
                kept_floor: None,
                owned: false,
                old_files: false,
                old_seed: false,
                old_header: false,
                shown_dead: true,
                ..USED
            };
            assert_eq!(machine, reset, "cut behind {first}, {second}");
            // And once more: an ordinary start.
            assert_eq!(
                decide(&machine.facts()),
                ResetDecision::None {
                    forget_floor: false,
                    forget_wish: false
                }
            );
        }
    }
}

#[test]
fn a_wish_that_does_not_count_begins_nothing_and_is_taken_away() {
    let mut machine = Machine {
        wish: Wish::Planted,
        ..USED
    };
    assert!(machine.start(usize::MAX));
    let untouched = Machine {
        wish: Wish::None,
        ..USED
    };
    assert_eq!(machine, untouched);
}

#[test]
fn a_planted_variable_begins_nothing_on_a_provisioned_machine() {
    for wish in [Wish::None, Wish::Planted] {
        let facts = ResetFacts {
            wish,
            kept_floor: Some(0),
            owned: true,
            floor: Some(FLOOR),
        };
        assert_eq!(
            decide(&facts),
            ResetDecision::None {
                forget_floor: true,
                forget_wish: wish == Wish::Planted
            }
        );
    }
}

#[test]
fn a_reset_never_lowers_the_floor_nor_begins_without_one() {
    for kept in [None, Some(0), Some(FLOOR), Some(u64::MAX)] {
        for floor in [None, Some(0), Some(FLOOR)] {
            for owned in [false, true] {
                for wish in [Wish::None, Wish::Planted, Wish::Authentic] {
                    let facts = ResetFacts {
                        wish,
                        kept_floor: kept,
                        owned,
                        floor,
                    };
                    match decide(&facts) {
                        ResetDecision::Begin { floor: to } => {
                            assert!(wish == Wish::Authentic && owned && floor == Some(to), "{facts:?}");
                        }
                        ResetDecision::Finish { floor: to } => {
                            assert!(!owned && kept.is_some() && Some(to) >= floor, "{facts:?}");
                        }
                        ResetDecision::None { .. } => {}
                    }
                }
            }
        }
    }
}

#[test]
fn a_wish_counts_under_its_own_key_and_nonce_only() {
    let key = [1; KEY_BYTES];
    let wish = seal_wish(&key, [2; NONCE_BYTES]);
    assert!(is_authentic(&key, &wish), "positive control");
    assert!(!is_authentic(&[3; KEY_BYTES], &wish));
    for at in 0..NONCE_BYTES {
        let mut other = wish;
        other.nonce[at] ^= 1;
        assert!(!is_authentic(&key, &other), "nonce {at}");
    }
    for at in 0..KEY_BYTES {
        let mut other = wish;
        other.mac[at] ^= 1;
        assert!(!is_authentic(&key, &other), "mac {at}");
    }
}

#[test]
fn the_mac_is_hmac_sha_256_over_the_head() {
    // Computed with Python's hmac module.
    let wish = seal_wish(&[1; KEY_BYTES], [2; NONCE_BYTES]);
    assert_eq!(
        wish.mac.iter().map(|b| format!("{b:02x}")).collect::<String>(),
        "bd4ef05a9ea250b96b52b9efe1f006d8d20c23bae8064bab1d86d3902760a63a"
    );
}
