//! Clocks that never go backwards.
//!
//! Read by: deadlines (monotonic) and the boot time-line (since boot, suspended time included).
//! Neither clock can fail on Linux.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time since boot without suspended time (`CLOCK_MONOTONIC`): for deadlines.
#[must_use]
pub fn monotonic() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

/// Time that this thread has spent on a processor (`CLOCK_THREAD_CPUTIME_ID`).
#[must_use]
pub fn of_thread() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Time since boot with suspended time (`CLOCK_BOOTTIME`).
#[must_use]
pub fn since_boot() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

/// [`monotonic`] in milliseconds.
#[must_use]
pub fn monotonic_ms() -> u64 {
    u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// [`since_boot`] in milliseconds.
#[must_use]
pub fn since_boot_ms() -> u64 {
    u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX)
}

fn duration(time: Timespec) -> Duration {
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_run_and_boot_time_is_never_behind_monotonic_time() {
        let earlier = monotonic();
        let boot = since_boot();
        assert!(earlier > Duration::ZERO && monotonic() >= earlier && boot >= earlier);
    }
}
