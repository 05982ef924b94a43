//! `bennuctl factory-reset`: both confirmations, then the wish on the ESP.
//!
//! Reads: the hand-over record (which machine this is), the key that `bennu-init` left for root. Writes: the first
//! confirmation to `/run/bennu`, the wish to the ESP. `bennu-init` carries it out at the next start; until then
//! nothing is lost. On failure no wish is written. Normative text: `docs/spec/factory-reset.md`.

use bennu_formats::factory_reset::{KEY_BYTES, NONCE_BYTES, ResetRequest, code};
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::bounded::{self, ReadError};
use bennu_policy::reset::seal_wish;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How long the first confirmation stands, milliseconds: time to read what will be lost.
pub const CONFIRM_WITHIN_MS: u64 = 5 * 60 * 1000;
/// Most bytes of the file with the first confirmation: a nonce in hexadecimal, a space, a number.
const MAX_PENDING_BYTES: usize = 64;

/// Why no wish was made.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Another machine was named.
    #[error("factory reset: expected the name of this machine, {expected}, found {found}")]
    Machine {
        /// What this machine is called.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Nothing to confirm.
    #[error("factory reset: there is nothing to confirm; begin with `bennuctl factory-reset --machine NAME`")]
    NotBegun,
    /// Too late, or from before.
    #[error("factory reset: the code was given out more than {} minutes ago; begin anew", CONFIRM_WITHIN_MS / 60_000)]
    TooLate,
    /// Another code.
    #[error("factory reset: that is not the code; begin anew")]
    Code,
    /// The key or the first confirmation cannot be read.
    #[error("factory reset: {0}")]
    Read(#[from] ReadError),
    /// The key is not one.
    #[error("factory reset: {path}: expected {KEY_BYTES} bytes, found {found}")]
    Key {
        /// File.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The first confirmation cannot be kept or taken back.
    #[error("factory reset: {path}: {source}")]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No random bytes.
    #[error("factory reset: random bytes: {0}")]
    Random(String),
}

impl ResetError {
    /// Whether the user said no; anything else could not be decided.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Machine { .. } | Self::NotBegun | Self::TooLate | Self::Code
        )
    }
}

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The key.
    pub key: PathBuf,
    /// The first confirmation.
    pub pending: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            key: PathBuf::from(paths::RUN_RESET_KEY),
            pending: PathBuf::from(paths::RUN_RESET_PENDING),
        }
    }
}

/// What this machine is called: the UUID of its state volume, and its host name.
pub fn names(handover: &Handover) -> Vec<String> {
    let uuid = handover.state_volume.as_ref().map(|state| state.uuid.clone());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = |name: &String| !name.is_empty() && name != "localhost" && name != "(none)";
    uuid.into_iter().chain([host].into_iter().filter(named)).collect()
}

/// The first confirmation: the machine is named. Gives the code for the second one.
///
/// # Errors
/// See [`ResetError`].
pub fn begin(places: &Places, names: &[String], given: &str, now_ms: u64) -> Result<String, ResetError> {
    if !names.iter().any(|name| name == given) {
        return Err(ResetError::Machine {
            expected: names.join(" or "),
            found: given.to_owned(),
        });
    }
    // Without the key nothing can come of it: said now.
    key(&places.key)?;
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| ResetError::Random(error.to_string()))?;
    forget(&places.pending)?;
    let hex: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&places.pending)
        .and_then(|mut file| write!(file, "{hex} {now_ms}"))
        .map_err(|source| ResetError::Write {
            path: places.pending.clone(),
            source,
        })?;
    Ok(code(&nonce))
}

/// The second confirmation: gives the wish. A wrong code takes the first confirmation back.
///
/// # Errors
/// See [`ResetError`].
pub fn confirm(places: &Places, given: &str, now_ms: u64) -> Result<ResetRequest, ResetError> {
    let text = match bounded::read_text(&places.pending, MAX_PENDING_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Err(ResetError::NotBegun),
        Err(error) => return Err(error.into()),
    };
    forget(&places.pending)?;
    let (nonce, begun_ms) = parse(&text).ok_or(ResetError::NotBegun)?;
    match now_ms.checked_sub(begun_ms) {
        Some(passed) if passed <= CONFIRM_WITHIN_MS => {}
        _ => return Err(ResetError::TooLate),
    }
    if given != code(&nonce) {
        return Err(ResetError::Code);
    }
    Ok(seal_wish(&key(&places.key)?, nonce))
}

fn key(path: &Path) -> Result<[u8; KEY_BYTES], ResetError> {
    let bytes = bounded::read(path, KEY_BYTES)?;
    bytes.as_slice().try_into().map_err(|_| ResetError::Key {
        path: path.to_owned(),
        found: bytes.len(),
    })
}

fn parse(text: &str) -> Option<([u8; NONCE_BYTES], u64)> {
    let (hex, begun) = text.split_once(' ')?;
    let mut nonce = [0; NONCE_BYTES];
    if hex.len() != 2 * NONCE_BYTES || !hex.is_ascii() {
        return None;
    }
    for (at, byte) in nonce.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((nonce, begun.parse().ok()?))
}

fn forget(path: &Path) -> Result<(), ResetError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ResetError::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_policy::reset::is_authentic;

    const KEY: [u8; KEY_BYTES] = [5; KEY_BYTES];

    fn world() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            key: dir.path().join("key"),
            pending: dir.path().join("pending"),
        };
        fs::write(&places.key, KEY).unwrap();
        (dir, places)
    }

    fn begun(places: &Places) -> String {
        begin(places, &["box".to_owned()], "box", 1000).unwrap()
    }

    #[test]
    fn both_confirmations_make_a_wish_that_counts_once() {
        let (_dir, places) = world();
        let code = begun(&places);
        let wish = confirm(&places, &code, 1000 + CONFIRM_WITHIN_MS).unwrap();
        assert!(is_authentic(&KEY, &wish));
        assert_eq!(wish.code(), code);
        let again = confirm(&places, &code, 1000);
        assert!(matches!(again, Err(ResetError::NotBegun)));
    }

    #[test]
    fn each_wrong_confirmation_has_its_reason_and_makes_no_wish() {
        let (_dir, places) = world();
        let other = begin(&places, &["box".to_owned(), "uuid".to_owned()], "boxes", 0).unwrap_err();
        assert!(matches!(&other, ResetError::Machine { expected, .. } if expected == "box or uuid"));
        assert!(matches!(
            confirm(&places, "00000000", 0),
            Err(ResetError::NotBegun)
        ));

        let code = begun(&places);
        let wrong = if code == "00000000" {
            "00000001"
        } else {
            "00000000"
        };
        assert!(matches!(confirm(&places, wrong, 1000), Err(ResetError::Code)));
        let after_a_wrong_one = confirm(&places, &code, 1000);
        assert!(matches!(after_a_wrong_one, Err(ResetError::NotBegun)));

        for now in [999, 1001 + CONFIRM_WITHIN_MS] {
            let code = begun(&places);
            assert!(matches!(confirm(&places, &code, now), Err(ResetError::TooLate)));
        }
        let first = begun(&places);
        let second = begun(&places);
        assert_ne!(first, second);
        assert!(matches!(confirm(&places, &first, 1000), Err(ResetError::Code)));
    }

    #[test]
    fn without_the_key_it_is_not_even_begun() {
        let (_dir, places) = world();
        fs::write(&places.key, [1; 31]).unwrap();
        let short = begin(&places, &["box".to_owned()], "box", 0);
        assert!(matches!(short, Err(ResetError::Key { found: 31, .. })));
        fs::remove_file(&places.key).unwrap();
        let absent = begin(&places, &["box".to_owned()], "box", 0);
        assert!(matches!(absent, Err(ResetError::Read(_))));
        assert!(!places.pending.exists());
    }
}
