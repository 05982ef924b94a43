//! What the syslog server hands over: a JSON object a message, as its template makes it (`docs/howto/send-records.md`).
//!
//! The machine's name is what the template takes it from, and no more trusted than that; the text is what came from the
//! network.

use serde::Deserialize;

/// Longest line that is taken from the syslog server, in bytes: a message of 17 KiB, escaped, with a name.
pub const MAX_INPUT_BYTES: usize = 128 * 1024;
/// Longest name of a machine: what a file system takes.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a line is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Too long.
    #[error(
        "expected at most {MAX_INPUT_BYTES} bytes of the syslog server, found more; compare the template"
    )]
    TooLong,
    /// Not of the shape.
    #[error(
        "expected a JSON object with `machine` and `line` of the syslog server, found: {0}; compare the template"
    )]
    Shape(String),
    /// No name.
    #[error(
        "expected a machine's name of 1 to {MAX_NAME_BYTES} letters, digits and . _ : - that does not begin with a dot, \
         found {0:?}; compare the template"
    )]
    Name(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Whose: a name that is safe as a folder's.
    pub machine: String,
    /// What came, without the blank that rsyslog keeps before it.
    pub line: String,
}

impl Input {
    /// Decodes a line of the syslog server, without its line feed.
    ///
    /// # Errors
    /// See [`InputError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InputError> {
        if bytes.len() > MAX_INPUT_BYTES {
            return Err(InputError::TooLong);
        }
        let mut input: Self =
            serde_json::from_slice(bytes).map_err(|error| InputError::Shape(error.to_string()))?;
        if !is_name(&input.machine) {
            let shown = input.machine.chars().take(64).collect();
            return Err(InputError::Name(shown));
        }
        if input.line.starts_with(' ') {
            input.line.remove(0);
        }
        Ok(input)
    }
}

/// Letters, digits and four signs; nothing that leads out of a directory, and nothing that hides.
fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('.') && name.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_of_the_template_is_taken_apart() {
        let input = Input::decode(br#"{"machine":"10.0.0.7_gate-7","line":" {\"v\":1}"}"#).unwrap();
        assert_eq!((&*input.machine, &*input.line), ("10.0.0.7_gate-7", r#"{"v":1}"#));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let long = "a".repeat(256);
        for name in [
            "", ".", "..", "../x", "a/b", ".hidden", "a b", "a\\u0000", "\u{e9}", &long,
        ] {
            let text = format!(r#"{{"machine":"{name}","line":""}}"#);
            let refused = Input::decode(text.as_bytes());
            assert!(matches!(refused, Err(InputError::Name(_))), "{name}: {refused:?}");
        }
        let longest = format!(r#"{{"machine":"{}","line":""}}"#, "a".repeat(255));
        assert!(Input::decode(longest.as_bytes()).is_ok(), "positive control");
    }

    #[test]
    fn what_is_too_long_or_of_another_shape_is_refused() {
        let long = format!(r#"{{"machine":"m","line":"{}"}}"#, "x".repeat(MAX_INPUT_BYTES));
        assert_eq!(Input::decode(long.as_bytes()), Err(InputError::TooLong));
        for other in [
            &b""[..],
            b"COMMIT TRANSACTION",
            b"{}",
            b"{\"machine\":\"m\",\"line\":\"\",\"x\":1}",
            b"\xff",
        ] {
            assert!(
                matches!(Input::decode(other), Err(InputError::Shape(_))),
                "{other:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in ".{0,20}") {
            let _any = Input::decode(&bytes);
            let text = serde_json::json!({"machine": name, "line": "x"}).to_string();
            if let Ok(input) = Input::decode(text.as_bytes()) {
                prop_assert!(std::path::Path::new(&input.machine).file_name().is_some_and(|n| n == name.as_str()));
            }
        }
    }
}
