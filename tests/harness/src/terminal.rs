//! Raw serial bytes to plain lines.
//!
//! Firmware and systemd write colours, cursor moves and OSC strings between the words. Here a cursor move to
//! another row, a lone carriage return and a line feed end a line; everything else that does not print is
//! dropped. Lines without text are dropped too. The bytes come from the guest and are untrusted: line and
//! string lengths are limited, and no bytes are an error.

/// A line longer than this is cut, in bytes: no guest may make the harness keep a line for ever.
pub(crate) const LINE_LIMIT: usize = 16 * 1024;
/// An OSC or DCS string longer than this was none; the rest is text again. Bytes.
const STRING_LIMIT: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Text,
    /// After a carriage return: a line feed may follow.
    Return,
    /// After ESC.
    Escape,
    /// Inside CSI parameters (ECMA-48 §5.4).
    Control,
    /// Inside an OSC, DCS, SOS, PM or APC string: bytes so far.
    String(usize),
    /// After ESC inside such a string.
    StringEscape(usize),
}

/// Splits a byte stream, fed in any pieces, into lines.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    state: State,
    text: Vec<u8>,
    done: Vec<String>,
}

impl LineSplitter {
    /// Takes the next bytes and returns the lines that they completed.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        for &byte in bytes {
            self.byte(byte);
        }
        std::mem::take(&mut self.done)
    }

    /// The line begun and not ended, as far as it is known.
    pub(crate) fn partial(&self) -> String {
        String::from_utf8_lossy(&self.text).trim_end().to_owned()
    }

    /// The last line of a stream that ended without a line feed.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.end_line();
        self.done.pop()
    }

    fn byte(&mut self, byte: u8) {
        self.state = match self.state {
            State::Text => self.text_byte(byte),
            State::Return if byte == b'\r' => State::Return,
            State::Return => {
                self.end_line();
                if byte == b'\n' {
                    State::Text
                } else {
                    self.text_byte(byte)
                }
            }
            State::Escape => match byte {
                b'[' => State::Control,
                b']' | b'P' | b'X' | b'^' | b'_' => State::String(0),
                // Intermediate bytes of a charset switch; the final byte follows.
                0x20..=0x2f => State::Escape,
                _ => State::Text,
            },
            State::Control => self.control_byte(byte),
            State::String(length) => match byte {
                0x07 => State::Text,
                0x1b => State::StringEscape(length),
                b'\n' => self.text_byte(byte),
                _ if length >= STRING_LIMIT => State::Text,
                _ => State::String(length + 1),
            },
            State::StringEscape(length) => {
                if byte == b'\\' {
                    State::Text
                } else {
                    State::String(length)
                }
            }
        };
    }

    fn text_byte(&mut self, byte: u8) -> State {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => return State::Return,
            0x1b => return State::Escape,
            b'\t' | 0x20..=0x7e | 0x80.. => {
                self.text.push(byte);
                if self.text.len() >= LINE_LIMIT {
                    self.end_line();
                }
            }
            _ => {}
        }
        State::Text
    }

    fn control_byte(&mut self, byte: u8) -> State {
        match byte {
            0x20..=0x3f => return State::Control,
            // Moves to another row, or clears the screen.
            b'A' | b'B' | b'E' | b'F' | b'H' | b'J' | b'd' | b'f' => self.end_line(),
            // Moves within the row: keep the words apart.
            b'C' | b'G' => self.text.push(b' '),
            b'\n' | b'\r' | 0x1b => return self.text_byte(byte),
            _ => {}
        }
        State::Text
    }

    fn end_line(&mut self) {
        let text = std::mem::take(&mut self.text);
        let line = String::from_utf8_lossy(&text);
        if !line.trim().is_empty() {
            self.done.push(line.trim_end().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_LIMIT, LineSplitter};
    use proptest::prelude::*;

    fn lines_of(bytes: &[u8]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = splitter.feed(bytes);
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn firmware_screen_codes_are_stripped_and_cursor_moves_end_a_line() {
        let bytes = b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001\r\n\x1b[04;01H\x1b[1m\x1b[37mmap\x1b[0m: none\r\n\x1b[05;01HPress ESC\x1b[05;01HPress ESC again";
        assert_eq!(
            lines_of(bytes),
            [
                "BdsDxe: loading Boot0001",
                "map: none",
                "Press ESC",
                "Press ESC again"
            ]
        );
    }

    #[test]
    fn systemd_context_strings_are_dropped() {
        assert_eq!(
            lines_of(b"\x1b]3008;start=ab\x1b\\[  \x1b[0;32mOK\x1b[0m  ] done\x07\r\n"),
            ["[  OK  ] done"]
        );
        assert_eq!(lines_of(b"\x1b]0;title\x07text\n\x1b(Bmore"), ["text", "more"]);
    }

    #[test]
    fn an_unfinished_string_ends_at_the_line_feed() {
        assert_eq!(lines_of(b"\x1b]3008;never ended\nnext\n"), ["next"]);
    }

    #[test]
    fn carriage_returns_alone_and_doubled_end_one_line() {
        assert_eq!(lines_of(b"10%\r20%\r\r\nend\r"), ["10%", "20%", "end"]);
    }

    #[test]
    fn a_line_without_end_is_cut_at_the_limit() {
        let lines = lines_of(&vec![b'x'; LINE_LIMIT + 5]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_LIMIT, 5]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..600) {
            let cut = cut.min(bytes.len());
            let mut splitter = LineSplitter::default();
            let mut lines = splitter.feed(&bytes[..cut]);
            lines.extend(splitter.feed(&bytes[cut..]));
            lines.extend(splitter.finish());
            prop_assert_eq!(&lines, &lines_of(&bytes));
            let clean = lines.iter().all(|line| !line.trim().is_empty() && !line.contains('\u{1b}'));
            prop_assert!(clean);
        }
    }
}
