//! Records of pax extended headers: `length key=value\n`, length in decimal and counting itself.

use super::TarError;
use crate::tree::{Timestamp, Xattrs};

/// What pax records override in the header that follows. Keys not known here are ignored when they do
/// not change what a file is (times of access, names of owners, comments) and refused when they do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PaxRecords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Xattrs,
}

impl PaxRecords {
    /// Reads the records in `data` on top of what is there; `offset` is for errors.
    pub(super) fn read(&mut self, data: &[u8], offset: u64) -> Result<(), TarError> {
        let mut at = 0;
        while at < data.len() {
            let (key, value, length) = record(&data[at..]).ok_or(TarError::PaxRecord { offset, at })?;
            self.set(key, value, offset)?;
            at += length;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], offset: u64) -> Result<(), TarError> {
        let malformed = || TarError::PaxValue {
            offset,
            key: key.escape_ascii().to_string(),
        };
        let number = || -> Result<Option<u64>, TarError> {
            if value.is_empty() {
                return Ok(None);
            }
            decimal(value).map(Some).ok_or_else(malformed)
        };
        match key {
            // An empty value takes the record back (POSIX pax, "pax Extended Header").
            b"path" => self.path = (!value.is_empty()).then(|| value.to_vec()),
            b"linkpath" => self.link_path = (!value.is_empty()).then(|| value.to_vec()),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or_else(malformed)?),
            b"RHT.security.selinux" => {
                self.xattrs.insert(b"security.selinux".to_vec(), value.to_vec());
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let name = percent_decoded(name).ok_or_else(malformed)?;
                    let value = base64_decoded(value).ok_or_else(malformed)?;
                    // libarchive writes both forms; they agree, and the plain one is kept.
                    self.xattrs.entry(name).or_insert(value);
                } else {
                    refuse_if_meant(key, offset)?;
                }
            }
        }
        Ok(())
    }
}

/// Refuses records that change content or access in ways not carried over.
fn refuse_if_meant(key: &[u8], offset: u64) -> Result<(), TarError> {
    let remedy = if key.starts_with(b"GNU.sparse.") {
        "make the archive without sparse files"
    } else if key.starts_with(b"SCHILY.acl.") {
        "make the archive without textual ACLs, or with them as xattrs"
    } else {
        return Ok(());
    };
    Err(TarError::Unsupported {
        offset,
        feature: format!("pax record {}", key.escape_ascii()),
        remedy,
    })
}

/// Key, value and length of the first record.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    // 20 digits hold any u64.
    let space = data.iter().take(21).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let body = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then(|| (&body[..equals], &body[equals + 1..], length))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `[-]seconds[.fraction]`; digits behind the ninth are cut off, downwards for times before 1970.
fn time(value: &[u8]) -> Option<Timestamp> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum: u32, digit| sum * 10 + u32::from(digit - b'0'));
    let rest = fraction
        .get(9..)
        .is_some_and(|rest| rest.iter().any(|digit| *digit != b'0'));
    Some(match (negative, nanoseconds + u32::from(negative && rest)) {
        (false, nanoseconds) => Timestamp {
            seconds: whole,
            nanoseconds,
        },
        (true, 0) => Timestamp {
            seconds: -whole,
            nanoseconds: 0,
        },
        (true, nanoseconds) => Timestamp {
            seconds: -whole - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn percent_decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            decoded.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    Some(decoded)
}

/// Standard base64 with or without padding (libarchive writes it without).
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    if text.len() % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = (bits << 6) | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        decoded.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_fractions_round_down_on_both_sides_of_1970() {
        let at = |seconds, nanoseconds| Some(Timestamp { seconds, nanoseconds });
        assert_eq!(time(b"12"), at(12, 0));
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.0000000019"), at(12, 1));
        assert_eq!(time(b"-1.25"), at(-2, 750_000_000));
        assert_eq!(time(b"-0.9999999999"), at(-1, 0));
        assert_eq!(time(b"-3"), at(-3, 0));
        for malformed in [
            b"".as_slice(),
            b"1.",
            b".5",
            b"+1",
            b"1e3",
            b"99999999999999999999",
        ] {
            assert_eq!(time(malformed), None);
        }
    }

    #[test]
    fn base64_and_percent_decode_as_libarchive_encodes() {
        assert_eq!(
            base64_decoded(b"AQAAAgAkAAA").as_deref(),
            Some([1, 0, 0, 2, 0, 36, 0, 0].as_slice())
        );
        assert_eq!(base64_decoded(b"QQ==").as_deref(), Some(b"A".as_slice()));
        assert_eq!(base64_decoded(b"A"), None);
        assert_eq!(base64_decoded(b"A*AA"), None);
        assert_eq!(
            percent_decoded(b"user.a%20b").as_deref(),
            Some(b"user.a b".as_slice())
        );
        assert_eq!(percent_decoded(b"user.%2"), None);
    }

    #[test]
    fn malformed_records_are_refused_where_they_begin() {
        let read = |data: &[u8]| PaxRecords::default().read(data, 7);
        assert!(read(b"9 path=a\n").is_ok());
        for (data, at) in [
            (b"9 path=a\n5 a=".as_slice(), 9),
            (b"x path=a\n", 0),
            (b"8 path=a\n", 0),
            (b"0 \n", 0),
            (b"4 =\n", 0),
        ] {
            let error = read(data).unwrap_err();
            assert!(
                matches!(error, TarError::PaxRecord { offset: 7, at: found } if found == at),
                "{error}"
            );
        }
        assert!(matches!(read(b"10 size=x\n"), Err(TarError::PaxValue { .. })));
        assert!(matches!(
            read(b"22 GNU.sparse.major=1\n"),
            Err(TarError::Unsupported { .. })
        ));
    }

    #[test]
    fn an_empty_value_takes_a_record_back() {
        let mut records = PaxRecords::default();
        records.read(b"9 path=a\n8 path=\n", 0).unwrap();
        assert_eq!(records, PaxRecords::default());
    }
}
