//! Which day counts for the stages of profiles, and the memory of it across restarts: a clock that went back, or one whose
//! battery is empty, makes no rule milder.
//!
//! Read and written: `/var/lib/bennu/profile-day`, on the state volume; an image without one begins anew at each start. A file
//! that is no day is told of and passed over. Root can remove it, and can also start what it likes outside of the unit.

use crate::documents::{self, DocumentError};
use bennu_formats::debug_token::UtcDay;
use bennu_formats::profile::ProfileSet;
use bennu_linux::bounded::{self, ReadError};
use bennu_linux::found;
use bennu_policy::profile;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest file that is read: a day has ten characters.
const MAX_BYTES: usize = 16;

/// Why the day is not kept, or what is kept is none.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// Reading.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The content.
    #[error("{path}: expected a day as 2026-01-31, found `{found}`; it is passed over")]
    NoDay {
        /// File.
        path: String,
        /// What is there, printable.
        found: String,
    },
    /// Writing.
    #[error("{0}")]
    Write(#[from] DocumentError),
    /// The medium.
    #[error("{path}: cannot be made durable: {source}")]
    Flush {
        /// File.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Today by the system's clock.
fn today() -> Option<UtcDay> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    UtcDay::of_seconds(since.as_secs())
}

/// The day that is kept in `path`.
///
/// # Errors
/// [`DayError::Read`], [`DayError::NoDay`].
pub fn kept(path: &Path) -> Result<Option<UtcDay>, DayError> {
    let text = match bounded::read_text(path, MAX_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let day = text.trim_end().parse().map_err(|_| DayError::NoDay {
        path: path.display().to_string(),
        found: text.escape_debug().to_string(),
    })?;
    Ok(Some(day))
}

/// The day that counts now: the latest of the clock's, the build's, and the one that is kept.
pub fn counts(set: &ProfileSet, kept: Option<UtcDay>) -> UtcDay {
    profile::day(today(), set.built, kept)
}

/// Keeps `day` in `path`, durably, where it makes a rule stricter than what is kept already does.
///
/// # Errors
/// [`DayError::Write`], [`DayError::Flush`].
pub fn keep(path: &Path, set: &ProfileSet, kept: Option<UtcDay>, day: UtcDay) -> Result<bool, DayError> {
    let before = kept.map_or(set.built, |kept| kept.max(set.built));
    if !profile::is_stricter(set.profiles.iter().map(|one| one.rules()), before, day) {
        return Ok(false);
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let failed = |source| DayError::Flush {
        path: path.display().to_string(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    documents::replace(path, format!("{day}\n").as_bytes())?;
    found::sync_file_system(directory).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::decode::Document as _;

    fn set() -> ProfileSet {
        let text = r#"{"schema":1,"built":"2026-05-05","profiles":[{"unit":"a.service",
            "no_shells":{"stage":"dry-run","warn_from":"2026-06-01","deny_from":"2026-07-01"}}]}"#;
        ProfileSet::decode(text.as_bytes()).unwrap()
    }

    fn on(text: &str) -> UtcDay {
        text.parse().unwrap()
    }

    #[test]
    fn only_a_day_that_makes_a_rule_stricter_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/profile-day");
        let set = set();
        assert_eq!(kept(&path).unwrap(), None);
        for (day, is_kept) in [
            ("2026-05-31", None),
            ("2026-06-01", Some("2026-06-01")),
            ("2026-06-30", Some("2026-06-01")),
            ("2026-07-02", Some("2026-07-02")),
            ("2026-07-03", Some("2026-07-02")),
            ("1970-01-01", Some("2026-07-02")),
        ] {
            let before = kept(&path).unwrap();
            let written = keep(&path, &set, before, on(day)).unwrap();
            let now = kept(&path).unwrap();
            assert_eq!(now, is_kept.map(on), "{day}");
            assert_eq!(written, now != before, "{day}");
        }
        assert_eq!(counts(&set, Some(on("9999-01-01"))), on("9999-01-01"));
    }

    #[test]
    fn a_file_that_is_no_day_is_named_with_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile-day");
        for text in ["", "tomorrow", "2026-13-01\n", "2026-01-01 and more\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(kept(&path).is_err(), "{text}");
        }
        std::fs::write(&path, "\u{1b}[2J").unwrap();
        let words = kept(&path).unwrap_err().to_string();
        assert!(
            words.contains("expected a day") && !words.contains('\u{1b}'),
            "{words}"
        );
    }
}
