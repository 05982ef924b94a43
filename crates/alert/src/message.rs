//! One syslog message: RFC 5424 with the frame of RFC 5425. Pure.

use std::time::{Duration, UNIX_EPOCH};

/// Longest message in bytes, without its frame: a record line (16 KiB) and a header.
pub const MAX_MESSAGE_BYTES: usize = 17 * 1024;
/// Facility 13, log audit (RFC 5424, table 1).
const FACILITY: u8 = 13;
/// Largest `sequenceId`, after which it begins at 1 (RFC 5424 §7.3.1).
const MOST_SEQUENCE: u64 = 2_147_483_647;
/// Longest host name (RFC 5424 §6).
const MAX_HOSTNAME: usize = 255;
/// Longest `PROCID`.
const MAX_PROCID: usize = 128;
/// Longest `MSGID`.
const MAX_MSGID: usize = 32;

/// Severity (RFC 5424, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    /// Action must be taken immediately.
    Alert = 1,
    /// Critical.
    Critical = 2,
    /// Error.
    Error = 3,
    /// Warning.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Informational = 6,
}

/// What a message says.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Severity.
    pub severity: Severity,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Milliseconds since the machine started.
    pub up_ms: u64,
    /// Number in the log, from 0.
    pub number: u64,
    /// Host name.
    pub hostname: &'a str,
    /// Boot id, as `PROCID`: the machine's run that the message comes from.
    pub boot: &'a str,
    /// Kind, as `MSGID`.
    pub kind: &'a str,
    /// Text: the record line as it stands in the log.
    pub text: &'a str,
}

/// The message with its frame: length in decimal, a space, the message (RFC 5425 §4.3).
///
/// What is longer than [`MAX_MESSAGE_BYTES`] is cut at a character's end; no record line is.
pub fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut text = format!(
        "<{}>1 {} {} bennud {} {} [meta sequenceId=\"{}\" sysUpTime=\"{}\"] {}",
        FACILITY * 8 + message.severity as u8,
        timestamp(message.at_ms),
        word(message.hostname, MAX_HOSTNAME),
        word(message.boot, MAX_PROCID),
        word(message.kind, MAX_MSGID),
        message.number % MOST_SEQUENCE + 1,
        // Hundredths of a second; 32 bits in the registry's definition.
        message.up_ms / 10 % (1 << 32),
        message.text,
    );
    if text.len() > MAX_MESSAGE_BYTES {
        let mut end = MAX_MESSAGE_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    let mut framed = format!("{} ", text.len()).into_bytes();
    framed.extend(text.into_bytes());
    framed
}

/// Between the two numbers of a message of the kind `gap`.
const GAP_MIDDLE: &str = " lines before number ";
/// Behind them.
const GAP_END: &str = " were removed before they were sent";

/// Text of a message of the kind `gap`: `lost` lines before number `before` were removed before they were sent.
pub(crate) fn gap_text(lost: u64, before: u64) -> String {
    format!("{lost}{GAP_MIDDLE}{before}{GAP_END}")
}

/// The two numbers of such a text, if it is one.
pub(crate) fn read_gap(text: &str) -> Option<(u64, u64)> {
    let (lost, rest) = text.split_once(GAP_MIDDLE)?;
    let numbers = (lost.parse().ok()?, rest.strip_suffix(GAP_END)?.parse().ok()?);
    (gap_text(numbers.0, numbers.1) == text).then_some(numbers)
}

/// RFC 3339 in UTC with milliseconds; NILVALUE for a time beyond the year 9999.
pub fn timestamp(at_ms: u64) -> String {
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    if at_ms >= YEAR_10000_MS {
        return "-".to_owned();
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string()
}

/// A field of the header: visible ASCII, no longer than it may be; NILVALUE if nothing is left.
fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message<'a>(text: &'a str, hostname: &'a str) -> Message<'a> {
        Message {
            severity: Severity::Alert,
            at_ms: 1_767_225_600_007,
            up_ms: 12_345,
            number: 41,
            hostname,
            boot: "b00t",
            kind: "event",
            text,
        }
    }

    #[test]
    fn a_message_has_the_header_of_the_rfc() {
        let framed = frame(&message(r#"{"v":1}"#, "gate-7"));
        let expected = r#"<105>1 2026-01-01T00:00:00.007Z gate-7 bennud b00t event [meta sequenceId="42" sysUpTime="1234"] {"v":1}"#;
        assert_eq!(
            String::from_utf8(framed).unwrap(),
            format!("{} {expected}", expected.len())
        );
    }

    #[test]
    fn what_would_break_the_header_is_left_out_of_it() {
        let framed = String::from_utf8(frame(&message("x", "a b\nc\u{e9}"))).unwrap();
        assert!(framed.contains("Z abc bennud "), "{framed}");
        let framed = String::from_utf8(frame(&message("x", " \n"))).unwrap();
        assert!(framed.contains("Z - bennud "), "{framed}");
        let far = Message {
            at_ms: u64::MAX,
            number: u64::MAX,
            ..message("x", "h")
        };
        assert!(String::from_utf8(frame(&far)).unwrap().contains(" <105>1 - h "));
    }

    #[test]
    fn the_words_of_a_gap_are_read_as_they_are_written() {
        assert_eq!(read_gap(&gap_text(3, 17)), Some((3, 17)));
        for other in [
            "",
            "3 lines before number 17",
            "03 lines before number 17 were removed before they were sent",
        ] {
            assert_eq!(read_gap(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_one_frame_of_the_length_it_says(text in ".{0,300}", host in ".{0,300}", at in any::<u64>()) {
            let framed = frame(&Message { at_ms: at, ..message(&text, &host) });
            let space = framed.iter().position(|b| *b == b' ').unwrap();
            let said: usize = std::str::from_utf8(&framed[..space]).unwrap().parse().unwrap();
            prop_assert_eq!(said, framed.len() - space - 1);
        }

        #[test]
        fn no_message_is_longer_than_the_limit(count in 5_000..20_000_usize, piece in "[a\u{e9}\u{20ac}]{1,3}") {
            let framed = frame(&message(&piece.repeat(count), "h"));
            let space = framed.iter().position(|b| *b == b' ').unwrap();
            prop_assert!(framed.len() - space - 1 <= MAX_MESSAGE_BYTES);
            prop_assert!(std::str::from_utf8(&framed).is_ok());
        }
    }
}
