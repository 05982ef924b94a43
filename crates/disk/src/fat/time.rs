//! Times as FAT stores them: local time without a zone; we write UTC.

/// A time of day and date in steps of two seconds, 1980 to 2107.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DosTime {
    pub(crate) date: u16,
    pub(crate) time: u16,
}

const EARLIEST_SECONDS: u64 = 315_532_800; // 1980-01-01T00:00:00Z
const LATEST_SECONDS: u64 = 4_354_819_198; // 2107-12-31T23:59:58Z
const SECONDS_PER_DAY: u64 = 86_400;

impl DosTime {
    /// The time `seconds` after 1970-01-01T00:00:00Z (as in `SOURCE_DATE_EPOCH`), rounded down to two seconds. Times
    /// that FAT cannot hold become the nearest that it can.
    pub fn from_unix_clamped(seconds: u64) -> Self {
        let seconds = seconds.clamp(EARLIEST_SECONDS, LATEST_SECONDS);
        let mut day = (seconds - EARLIEST_SECONDS) / SECONDS_PER_DAY;
        let mut year = 1980;
        while day >= days_in_year(year) {
            day -= days_in_year(year);
            year += 1;
        }
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        let second = seconds % SECONDS_PER_DAY;
        Self {
            date: ((year - 1980) << 9 | month << 5 | (day + 1)) as u16,
            time: ((second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2)) as u16,
        }
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(seconds: u64) -> (u16, u16, u16, u16, u16, u16) {
        let DosTime { date, time } = DosTime::from_unix_clamped(seconds);
        (
            1980 + (date >> 9),
            date >> 5 & 15,
            date & 31,
            time >> 11,
            time >> 5 & 63,
            (time & 31) * 2,
        )
    }

    #[test]
    fn known_times_convert() {
        assert_eq!(fields(1_709_210_096), (2024, 2, 29, 12, 34, 56));
        assert_eq!(fields(946_684_799), (1999, 12, 31, 23, 59, 58));
        assert_eq!(fields(4_107_542_400), (2100, 3, 1, 0, 0, 0));
    }

    #[test]
    fn times_out_of_range_become_the_nearest() {
        assert_eq!(fields(0), (1980, 1, 1, 0, 0, 0));
        assert_eq!(fields(u64::MAX), (2107, 12, 31, 23, 59, 58));
    }
}
