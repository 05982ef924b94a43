//! The signer's own clock against what the lines say of their time.
//!
//! A TPM signs whatever root asks it to, also a log that replaces the past. But each signature has the TPM's clock and its
//! count of resets in it, and nobody sets those back: a head that was signed later than its line says gives the
//! replacement away. `docs/spec/records.md` §8.

use crate::fault::Fault;

/// When a signature was made, as the signer itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignerTime {
    /// Milliseconds on a clock that only goes forward for as long as `resets` stays the same.
    pub clock_ms: u64,
    /// Grows by one at each start of the machine; its zero means nothing, and it may wrap.
    pub resets: u32,
    /// Changes when the machine slept: then the clock and the machine's may have gone apart.
    pub restarts: u32,
}

/// How far both clocks may be apart however little time has passed, in milliseconds: a round of the watch and a slow TPM.
const SLACK_MS: u64 = 60_000;
/// And beyond that the share of the time that has passed: a TPM's clock is allowed to be a third off (TPM 2.0 Part 1,
/// 36.4, and Part 3, TPM2_ClockRateAdjust).
const SLACK_SHARE: u64 = 3;

/// A head of which the others of its boot are judged.
struct First {
    boot: String,
    time: SignerTime,
    up_ms: u64,
}

/// The heads so far.
#[derive(Default)]
pub(crate) struct Clocks {
    first: Option<First>,
    last: Option<SignerTime>,
}

impl Clocks {
    /// Whether a head that says it was made in `boot` at `up_ms`, and was signed at `time`, can be as old as it says.
    /// Gives what is only told.
    pub(crate) fn check(&mut self, boot: &str, up_ms: u64, time: SignerTime) -> Result<Option<Fault>, Fault> {
        if let Some(last) = self.last {
            let later = time.resets.wrapping_sub(last.resets);
            let back = later > u32::MAX / 2 || (later == 0 && time.clock_ms < last.clock_ms);
            if back {
                return Err(Fault::SignedBefore);
            }
        }
        let first = match &self.first {
            Some(first) if first.boot == boot => first,
            Some(first) if first.time.resets == time.resets => {
                return Err(Fault::SignedInAnotherBoot);
            }
            _ => {
                self.begin(boot, up_ms, time);
                return Ok(None);
            }
        };
        if first.time.resets != time.resets {
            self.begin(boot, up_ms, time);
            return Ok(Some(Fault::SignerReset));
        }
        if first.time.restarts != time.restarts {
            self.begin(boot, up_ms, time);
            return Ok(None);
        }
        let signer = time.clock_ms.saturating_sub(first.time.clock_ms);
        let Some(machine) = up_ms.checked_sub(first.up_ms) else {
            return Err(Fault::SignedLate { apart_ms: signer });
        };
        let apart_ms = signer.abs_diff(machine);
        if apart_ms > SLACK_MS + machine.min(signer) / SLACK_SHARE {
            return Err(Fault::SignedLate { apart_ms });
        }
        self.last = Some(time);
        Ok(None)
    }

    fn begin(&mut self, boot: &str, up_ms: u64, time: SignerTime) {
        self.last = Some(time);
        self.first = Some(First {
            boot: boot.to_owned(),
            time,
            up_ms,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(clock_ms: u64, resets: u32) -> SignerTime {
        SignerTime {
            clock_ms,
            resets,
            restarts: 0,
        }
    }

    /// Heads in their order; gives what the last one comes to, all before being good.
    fn last(heads: &[((&str, u64), SignerTime)]) -> Result<Option<Fault>, Fault> {
        let mut clocks = Clocks::default();
        let (last, before) = heads.split_last().unwrap();
        for ((boot, up), time) in before {
            assert_eq!(clocks.check(boot, *up, *time), Ok(None), "up {up}");
        }
        let ((boot, up), time) = last;
        clocks.check(boot, *up, *time)
    }

    #[test]
    fn heads_as_a_machine_signs_them_are_good_also_over_a_restart_and_a_counter_that_wraps() {
        let good = [
            (("a", 9000), signed(500_000, u32::MAX)),
            (("a", 7_209_000), signed(7_700_900, u32::MAX)),
            // The clock may fall back at a power cut.
            (("b", 8000), signed(7_400_000, 0)),
            (("b", 9000), signed(7_401_000, 0)),
        ];
        assert_eq!(last(&good), Ok(None));
    }

    #[test]
    fn the_past_signed_anew_later_is_found() {
        // Two hours of lines, signed within a second.
        let forged = [
            (("a", 9000), signed(7_700_000, 1)),
            (("a", 7_209_000), signed(7_700_900, 1)),
        ];
        let apart_ms = 7_199_100;
        assert_eq!(last(&forged), Err(Fault::SignedLate { apart_ms }));
        // One old head that was made now, in an honest log: the next one is from before it.
        let one = [
            (("a", 9000), signed(500_000, 1)),
            (("a", 19_000), signed(7_700_000, 1)),
        ];
        assert!(matches!(last(&one), Err(Fault::SignedLate { .. })));
        let backwards = [
            (("a", 9000), signed(500_000, 1)),
            (("a", 19_000), signed(499_000, 1)),
        ];
        assert_eq!(last(&backwards), Err(Fault::SignedBefore));
    }

    #[test]
    fn an_earlier_boot_cannot_be_signed_in_a_later_one() {
        let forged = [
            (("a", 9000), signed(500_000, 7)),
            (("b", 9000), signed(510_000, 7)),
        ];
        assert_eq!(last(&forged), Err(Fault::SignedInAnotherBoot));
        let older = [
            (("a", 9000), signed(500_000, 7)),
            (("b", 9000), signed(10_000, 6)),
        ];
        assert_eq!(last(&older), Err(Fault::SignedBefore));
    }

    #[test]
    fn a_tpm_that_was_reset_while_the_machine_ran_is_told_and_one_that_slept_is_not() {
        let reset = [
            (("a", 9000), signed(500_000, 7)),
            (("a", 19_000), signed(500_100, 8)),
        ];
        assert_eq!(last(&reset), Ok(Some(Fault::SignerReset)));
        let mut slept = signed(9_500_000, 7);
        slept.restarts = 1;
        assert_eq!(
            last(&[(("a", 9000), signed(500_000, 7)), (("a", 19_000), slept)]),
            Ok(None)
        );
    }
}
