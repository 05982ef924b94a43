//! The wall clock against the clock since the start.

use super::{Look, Sighting, Subject};
use crate::records::stamp;
use bennu_policy::drift::Signal;

/// How far the wall clock may move between two looks, in milliseconds: time servers slew, people do not.
const JUMP_MS: u64 = 60_000;

/// The difference at the last look, in milliseconds.
#[derive(Default)]
pub struct Clock {
    last: Option<u64>,
}

impl Clock {
    fn judge(&mut self, offset_ms: u64) -> Vec<Sighting> {
        let last = self.last.replace(offset_ms).unwrap_or(offset_ms);
        let moved = offset_ms.abs_diff(last);
        if moved <= JUMP_MS {
            return Vec::new();
        }
        let way = if offset_ms > last { "forward" } else { "back" };
        let words = format!("the wall clock moved {} s {way}", moved / 1000);
        vec![Sighting::new(Signal::ClockJumped, words)]
    }
}

impl Subject for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn look(&mut self) -> Look {
        let now = stamp();
        Ok(self.judge(now.at_ms.saturating_sub(now.up_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_either_way_is_told_once_and_a_slew_is_not() {
        let mut clock = Clock::default();
        assert_eq!(clock.judge(1_000_000), []);
        assert_eq!(clock.judge(1_059_000), [], "control");
        let forward = clock.judge(2_000_000);
        assert_eq!(forward[0].detail, "the wall clock moved 941 s forward");
        assert_eq!(clock.judge(2_000_000), []);
        assert_eq!(clock.judge(0)[0].signal, Signal::ClockJumped);
    }
}
