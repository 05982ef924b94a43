//! How long to wait between two reads so that a rate is kept. Pure.

use std::time::Duration;

/// The pause after `bytes` were read within `took`, at `mib_per_s` MiB in a second at most; none at zero, which nobody
/// reads at.
pub fn rest(bytes: u64, mib_per_s: u32, took: Duration) -> Duration {
    let per_second = u64::from(mib_per_s) << 20;
    let due_us = bytes
        .saturating_mul(1_000_000)
        .checked_div(per_second)
        .unwrap_or(0);
    Duration::from_micros(due_us).saturating_sub(took)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
