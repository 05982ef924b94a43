//! What a story waits for on the serial console.

use std::fmt;

use anyhow::Context as _;
use regex::Regex;

/// A substring or a regular expression that a serial line may hold.
#[derive(Debug, Clone)]
pub enum Marker {
    /// This text anywhere in the line.
    Text(String),
    /// A match of this expression anywhere in the line; `^` and `$` are the line's ends.
    Regex(Regex),
}

impl Marker {
    /// A regular expression in the syntax of the `regex` crate.
    ///
    /// # Errors
    /// The expression does not parse.
    pub fn regex(expression: &str) -> anyhow::Result<Self> {
        let regex =
            Regex::new(expression).with_context(|| format!("parse marker expression {expression:?}"))?;
        Ok(Self::Regex(regex))
    }

    /// Capture group `group` of the first match in `line`; group 0 is the match, the only one a text has.
    #[must_use]
    pub fn capture(&self, line: &str, group: usize) -> Option<String> {
        match self {
            Self::Text(text) => (group == 0 && line.contains(text.as_str())).then(|| text.clone()),
            Self::Regex(regex) => Some(regex.captures(line)?.get(group)?.as_str().to_owned()),
        }
    }

    /// Where the first match at or after byte `from` ends.
    pub(crate) fn find_end(&self, line: &str, from: usize) -> Option<usize> {
        match self {
            Self::Text(text) => line
                .get(from..)?
                .find(text.as_str())
                .map(|start| from + start + text.len()),
            Self::Regex(regex) if line.is_char_boundary(from) => {
                regex.find_at(line, from).map(|found| found.end())
            }
            Self::Regex(_) => None,
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

impl From<&str> for Marker {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&Marker> for Marker {
    fn from(marker: &Marker) -> Self {
        marker.clone()
    }
}

impl From<String> for Marker {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
