//! The debug token on the ESP, [`crate::paths::ESP_DEBUG_TOKEN`]: one machine, one day, nothing sealed. Normative text:
//! `docs/spec/debug-token.md`.
//!
//! Written by `bennu debug-token`, read by `bennu-init` only. Whoever has the disk can put one there: it counts only
//! with a signature of a debug key that the signed initrd names (`bennu_policy::debug_token`).

use crate::decode::{DecodeError, Document};
use crate::digest::Sha256Digest;
use crate::names::ImageId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `payloadType` of the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.bennu.debug-token+json";
/// Largest file in bytes.
pub const MAX_FILE_BYTES: usize = 4096;
/// Most bytes of the note.
pub const MAX_NOTE_BYTES: usize = 200;
/// Most debug keys that an image names.
pub const MAX_KEYS: usize = 4;
/// In front of a storage key's Name when it is hashed to a machine's identity.
pub const MACHINE_WORDS: &[u8] = b"bennu-machine-v1\0";

/// The identity of a machine: SHA-256 over [`MACHINE_WORDS`] and the Name of its TPM's storage key. Another one after
/// the TPM was cleared, by a factory reset for instance.
pub fn machine_identity(storage_key_name: &[u8]) -> Sha256Digest {
    Sha256Digest::of(&[MACHINE_WORDS, storage_key_name].concat())
}

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugToken {
    /// Schema number; 1.
    pub schema: u32,
    /// The image that it is for.
    pub image_id: ImageId,
    /// The machine that it is for ([`machine_identity`]).
    pub machine: Sha256Digest,
    /// The day on which it counts, from 0:00 to 24:00 UTC.
    pub day: UtcDay,
    /// Why it was made, for the log: printable ASCII.
    pub note: String,
}

impl Document for DebugToken {
    const NAME: &'static str = "debug token";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), DecodeError> {
        let plain = self.note.bytes().all(|b| (0x20..0x7f).contains(&b));
        if plain && self.note.len() <= MAX_NOTE_BYTES {
            return Ok(());
        }
        Err(Self::bad_value(
            "note",
            "at most 200 printable ASCII characters",
            format!("{} bytes", self.note.len()),
        ))
    }
}

/// A day of the Gregorian calendar in UTC, as days since 1970-01-01; from 1970 to 9999. In JSON `2026-11-21`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UtcDay(u32);

/// 9999-12-31.
const LAST_DAY: u32 = 2_932_896;

impl UtcDay {
    /// The day of a time in seconds since 1970; none after the year 9999.
    pub fn of_seconds(seconds: u64) -> Option<Self> {
        u32::try_from(seconds / 86_400)
            .ok()
            .filter(|days| *days <= LAST_DAY)
            .map(Self)
    }

    /// Year, month and day. A year begins in March here, so that the leap day is its last.
    fn civil(self) -> (u32, u32, u32) {
        let shifted = self.0 + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        (era * 400 + year_of_era + carry, month, day)
    }

    /// The reverse, without a look whether the month has so many days.
    fn days(year: u32, month: u32, day: u32) -> Option<u32> {
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year / 400, year % 400);
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * 146_097 + day_of_era).checked_sub(719_468)
    }
}

impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a day between 1970-01-01 and 9999-12-31 as 2026-11-21, found {0:?}")]
pub struct NoDay(String);

impl FromStr for UtcDay {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let no_day = || NoDay(text.chars().take(20).collect());
        let number = |range: std::ops::Range<usize>| -> Option<u32> {
            let digits = text.get(range)?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        };
        let dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let (Some(year), Some(month), Some(day), true) = (number(0..4), number(5..7), number(8..10), dashes)
        else {
            return Err(no_day());
        };
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(no_day());
        }
        let found = Self::days(year, month, day).map(Self);
        // The 30th of February comes out as a day of March.
        found
            .filter(|found| found.civil() == (year, month, day))
            .ok_or_else(no_day)
    }
}

impl TryFrom<String> for UtcDay {
    type Error = NoDay;

    fn try_from(text: String) -> Result<Self, NoDay> {
        text.parse()
    }
}

impl From<UtcDay> for String {
    fn from(day: UtcDay) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1972-02-29", 789),
            ("2000-02-29", 11_016),
            ("2026-11-21", 20_778),
            ("2100-03-01", 47_541),
            ("9999-12-31", LAST_DAY),
        ] {
            let day: UtcDay = text.parse().unwrap();
            assert_eq!((day.0, day.to_string()), (days, text.to_owned()));
            assert_eq!(UtcDay::of_seconds(u64::from(days) * 86_400 + 86_399), Some(day));
        }
        assert_eq!(UtcDay::of_seconds(u64::from(LAST_DAY) * 86_400 + 86_400), None);
        assert_eq!(UtcDay::of_seconds(u64::MAX), None);
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-2-1",
            "2026-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "2026-04-31",
            "1969-12-31",
            "0000-01-01",
            "+026-01-01",
            "2026-01-1x",
            "2026/01/01",
            "2026-01-011",
            "2026-01-01 ",
            "202\u{e9}-01-01",
        ] {
            assert!(text.parse::<UtcDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_token_has_these_bytes() {
        let token = DebugToken {
            schema: 1,
            image_id: "demo".parse().unwrap(),
            machine: machine_identity(b"name"),
            day: "2026-11-21".parse().unwrap(),
            note: "ticket 7".into(),
        };
        let golden = format!(
            r#"{{"schema":1,"image_id":"demo","machine":"{}","day":"2026-11-21","note":"ticket 7"}}"#,
            token.machine
        );
        assert_eq!(serde_json::to_string(&token).unwrap(), golden);
        assert_eq!(DebugToken::decode(golden.as_bytes()).unwrap(), token);
        let long = golden.replace("ticket 7", &"x".repeat(MAX_NOTE_BYTES + 1));
        assert!(matches!(
            DebugToken::decode(long.as_bytes()),
            Err(DecodeError::BadValue { member: "note", .. })
        ));
        let more = golden.replace("\"day\"", "\"days\":2,\"day\"");
        assert!(matches!(
            DebugToken::decode(more.as_bytes()),
            Err(DecodeError::Malformed { .. })
        ));
    }

    proptest! {
        #[test]
        fn every_day_round_trips(days in 0..=LAST_DAY) {
            let day = UtcDay(days);
            prop_assert_eq!(day.to_string().parse(), Ok(day));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,12}") {
            let _ = DebugToken::decode(&bytes);
            let _ = text.parse::<UtcDay>();
        }
    }
}
