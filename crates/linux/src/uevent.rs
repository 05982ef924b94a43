//! The `KEY=value` text of a sysfs `uevent` file.
//!
//! Written by: the kernel. Read by: callers that need `DEVNAME`, `DISKSEQ`, `PARTN` or `PARTNAME`. A
//! partition's label (`PARTNAME`) is whatever lies on the disk, so values are untrusted.

use std::path::Path;

use crate::bounded::{self, ReadError};

/// Longest uevent text: `UEVENT_BUFFER_SIZE` of linux/kobject.h is 2,048; a sysfs page is 4,096.
pub const UEVENT_LIMIT: usize = 4096;

/// Why a uevent text was refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum UeventError {
    #[error("cannot read uevent: {0}")]
    Read(#[from] ReadError),
    #[error("uevent text has {found} bytes, at most {UEVENT_LIMIT} are allowed")]
    TooLong { found: usize },
    #[error("uevent line {line}: expected KEY=value")]
    Line { line: usize },
    #[error("uevent line {line}: key is given twice")]
    Duplicate { line: usize },
}

/// The keys and values, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent(Vec<(String, Vec<u8>)>);

impl Uevent {
    /// Reads and parses a `uevent` file.
    ///
    /// # Errors
    /// [`UeventError`].
    pub fn read(path: &Path) -> Result<Self, UeventError> {
        Self::parse(&bounded::read(path, UEVENT_LIMIT)?)
    }

    /// Parses a text. Keys are `[A-Z0-9_]`, values any bytes but a newline, each key at most once.
    ///
    /// # Errors
    /// [`UeventError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, UeventError> {
        if bytes.len() > UEVENT_LIMIT {
            return Err(UeventError::TooLong { found: bytes.len() });
        }
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (index, line) in text
            .split(|b| *b == b'\n')
            .enumerate()
            .filter(|_| !text.is_empty())
        {
            let line_number = index + 1;
            let (key, value) = split(line).ok_or(UeventError::Line { line: line_number })?;
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(UeventError::Duplicate { line: line_number });
            }
            pairs.push((key, value.to_vec()));
        }
        Ok(Self(pairs))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_slice())
    }

    /// The value of a key, if it is UTF-8.
    #[must_use]
    pub fn get_text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }
}

fn split(line: &[u8]) -> Option<(String, &[u8])> {
    let at = line.iter().position(|b| *b == b'=')?;
    let (key, value) = (&line[..at], &line[at + 1..]);
    let plain = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
    let good = !key.is_empty() && key.iter().all(plain);
    good.then(|| (key.iter().map(|b| char::from(*b)).collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARTITION: &[u8] =
        b"MAJOR=254\nMINOR=2\nDEVNAME=vda2\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=2\nPARTNAME=a=b\n";

    #[test]
    fn a_partition_s_uevent_gives_its_number_and_label() {
        let uevent = Uevent::parse(PARTITION).unwrap();
        assert_eq!(uevent.get_text("PARTN"), Some("2"));
        assert_eq!(uevent.get_text("PARTNAME"), Some("a=b"));
        assert_eq!(uevent.get("PARTUUID"), None);
        assert_eq!(Uevent::parse(b"").unwrap(), Uevent(vec![]));
    }

    #[test]
    fn malformed_and_doubled_lines_are_refused() {
        assert!(matches!(
            Uevent::parse(b"A=1\nnonsense\n"),
            Err(UeventError::Line { line: 2 })
        ));
        assert!(matches!(
            Uevent::parse(b"=1\n"),
            Err(UeventError::Line { line: 1 })
        ));
        assert!(matches!(
            Uevent::parse(b"A=1\nA=2\n"),
            Err(UeventError::Duplicate { line: 2 })
        ));
        let long = vec![b'A'; UEVENT_LIMIT + 1];
        assert!(matches!(
            Uevent::parse(&long),
            Err(UeventError::TooLong { found: 4097 })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Uevent::parse(&bytes);
        }
    }
}
