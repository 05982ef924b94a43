//! The line that is being typed: pure, a key at a time.

use zeroize::Zeroizing;

/// Most bytes of a line. A recovery key has 64 digits; there is room for other passphrases.
pub const LINE_LIMIT: usize = 256;

const INTERRUPT: u8 = 0x03;
const END_OF_TEXT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;
/// Takes a star back.
const RUB_OUT: &str = "\u{8} \u{8}";

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Nothing to be seen.
    Nothing,
    /// This is shown.
    Echo(&'static str),
    /// The line ends.
    End,
    /// The question is declined.
    Decline,
}

/// Within a sequence that a function key sends (ECMA-48, 5.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    Escape,
    Control,
}

/// A line and the state of its keyboard.
pub(super) struct Editor {
    line: Zeroizing<Vec<u8>>,
    too_long: bool,
    sequence: Sequence,
}

impl Default for Editor {
    fn default() -> Self {
        Self {
            // Never grows: a copy that a larger buffer leaves behind would not be zeroised.
            line: Zeroizing::new(Vec::with_capacity(LINE_LIMIT)),
            too_long: false,
            sequence: Sequence::None,
        }
    }
}

impl Editor {
    pub(super) fn key(&mut self, byte: u8) -> Key {
        match std::mem::take(&mut self.sequence) {
            Sequence::None => self.plain(byte),
            Sequence::Escape if byte == b'[' => self.within(Sequence::Control),
            // Alt and a key, or Escape alone before it.
            Sequence::Escape => self.plain(byte),
            Sequence::Control if (0x20..=0x3f).contains(&byte) => self.within(Sequence::Control),
            Sequence::Control if (0x40..=0x7e).contains(&byte) => Key::Nothing,
            Sequence::Control => self.plain(byte),
        }
    }

    fn within(&mut self, sequence: Sequence) -> Key {
        self.sequence = sequence;
        Key::Nothing
    }

    fn plain(&mut self, byte: u8) -> Key {
        match byte {
            b'\r' | b'\n' => Key::End,
            INTERRUPT | END_OF_TEXT => Key::Decline,
            ESCAPE => self.within(Sequence::Escape),
            BACKSPACE | DELETE => match self.line.pop() {
                Some(_) => Key::Echo(RUB_OUT),
                None => Key::Nothing,
            },
            KILL_LINE => {
                *self = Self::default();
                Key::Echo("\r\n")
            }
            0x20..=0x7e if self.line.len() < LINE_LIMIT => {
                self.line.push(byte);
                Key::Echo("*")
            }
            0x20..=0x7e => {
                self.too_long = true;
                Key::Nothing
            }
            // No control character and nothing beyond ASCII is part of a key.
            _ => Key::Nothing,
        }
    }

    /// The line, and a new one is begun; `None` for one that was too long.
    pub(super) fn take(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let Self { line, too_long, .. } = std::mem::take(self);
        (!too_long).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(keys: &[u8]) -> (String, Vec<Key>) {
        let mut editor = Editor::default();
        let done = keys.iter().map(|key| editor.key(*key)).collect();
        let line = editor.take().map_or("too long".into(), |line| line.to_vec());
        (String::from_utf8(line).unwrap(), done)
    }

    #[test]
    fn each_character_shows_a_star_and_backspace_takes_one_back() {
        let (line, keys) = typed(b"ab\x7fc");
        assert_eq!(line, "ac");
        let star = Key::Echo("*");
        assert_eq!(keys, [star, star, Key::Echo(RUB_OUT), star]);
        assert_eq!(typed(b"\x08\x7f").1, [Key::Nothing, Key::Nothing]);
    }

    #[test]
    fn arrow_keys_and_control_characters_are_no_part_of_the_line() {
        assert_eq!(typed(b"a\x1b[Ab\x1b[3~c\x00\xc3\x1bd").0, "abcd");
        assert_eq!(typed(b"wrong\x15right").0, "right");
    }

    #[test]
    fn return_ends_it_and_control_c_and_d_decline() {
        for (key, expected) in [
            (b'\r', Key::End),
            (b'\n', Key::End),
            (3, Key::Decline),
            (4, Key::Decline),
        ] {
            assert_eq!(Editor::default().key(key), expected, "{key}");
        }
    }

    #[test]
    fn a_line_longer_than_the_limit_is_none_and_the_next_one_is_fresh() {
        let mut editor = Editor::default();
        for _ in 0..LINE_LIMIT {
            assert_eq!(editor.key(b'x'), Key::Echo("*"));
        }
        assert_eq!(editor.key(b'x'), Key::Nothing);
        assert!(editor.take().is_none());
        assert!(editor.take().is_some_and(|line| line.is_empty()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_line_longer_than_its_limit(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut editor = Editor::default();
            for byte in bytes {
                editor.key(byte);
                prop_assert!(editor.line.len() <= LINE_LIMIT && editor.line.capacity() == LINE_LIMIT);
            }
        }
    }
}
