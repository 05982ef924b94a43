//! How long to wait between two reads so that two bounds are kept: bytes in a second, and time on a processor. Pure.

use std::time::Duration;

/// What a scrub may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// MiB in a second, at most. Nobody reads at zero.
    pub mib_per_s: u32,
    /// Thousandths of one processor, at most.
    pub processor_permille: u32,
}

/// What a read has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Bytes.
    pub bytes: u64,
    /// By the clock.
    pub time: Duration,
    /// On a processor.
    pub processor: Duration,
}

impl Pace {
    /// The pause after a read: until both bounds are kept again.
    pub fn rest(self, taken: Taken) -> Duration {
        let per_second = u64::from(self.mib_per_s) << 20;
        let by_bytes = (taken.bytes.saturating_mul(1_000_000))
            .checked_div(per_second)
            .map_or(Duration::ZERO, Duration::from_micros);
        let by_processor = (taken.processor.saturating_mul(1000))
            .checked_div(self.processor_permille)
            .unwrap_or(Duration::ZERO);
        by_bytes.max(by_processor).saturating_sub(taken.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(bytes: u64, mib_per_s: u32, time: Duration) -> Duration {
        let pace = Pace {
            mib_per_s,
            processor_permille: 1000,
        };
        pace.rest(Taken {
            bytes,
            time,
            processor: time.min(Duration::from_millis(1)),
        })
    }

    #[test]
    fn a_read_and_its_pause_take_as_long_as_the_rate_says() {
        let half = Duration::from_millis(500);
        assert_eq!(rest(1 << 19, 1, Duration::ZERO), half);
        assert_eq!(
            rest(1 << 19, 1, Duration::from_millis(200)),
            Duration::from_millis(300)
        );
        assert_eq!(
            rest(1 << 19, 1, half * 3),
            Duration::ZERO,
            "a slow disk is not waited for"
        );
        assert_eq!(rest(1 << 20, 64, Duration::ZERO), Duration::from_micros(15_625));
        assert_eq!(rest(u64::MAX, 0, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_slow_processor_is_spared_more_than_the_rate_says() {
        let ms = Duration::from_millis;
        let pace = Pace {
            mib_per_s: 1,
            processor_permille: 2,
        };
        let half_a_mib = |processor| {
            pace.rest(Taken {
                bytes: 1 << 19,
                time: ms(30),
                processor,
            })
        };
        assert_eq!(
            half_a_mib(ms(20)),
            ms(10_000 - 30),
            "20 ms are two thousandths of 10 s"
        );
        assert_eq!(half_a_mib(ms(1)), ms(500 - 30));
        assert_eq!(half_a_mib(Duration::ZERO), ms(500 - 30), "the bytes alone");
        assert_eq!(
            half_a_mib(Duration::MAX),
            Duration::MAX / 2 - ms(30),
            "no overflow"
        );
    }
}
