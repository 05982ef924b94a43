//! Keys in the kernel's keyrings: how a volume key gets to dm-crypt without standing in a table.
//!
//! Written by: `bennu-init`. Read by: the kernel. `logon` keys cannot be read back by user space. The
//! caller zeroises its own copy.

use std::ffi::{CStr, CString};
use std::io;

/// Longest payload in bytes that we add; the kernel's limit for `user` and `logon` keys is 32,767.
pub const PAYLOAD_LIMIT: usize = 4096;
/// Longest description in bytes that we use (`KEY_MAX_DESC_SIZE` is 4,096).
pub const DESCRIPTION_LIMIT: usize = 255;

/// `KEYCTL_REVOKE` and `KEYCTL_UNLINK` of linux/keyctl.h.
const KEYCTL_REVOKE: libc::c_long = 3;
const KEYCTL_UNLINK: libc::c_long = 9;

/// Why a key was not added or taken away.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum KeyringError {
    #[error("key description refused: expected 1 to {DESCRIPTION_LIMIT} printable ASCII bytes{hint}")]
    BadDescription { hint: &'static str },
    #[error("key payload has {found} bytes, expected 1 to {PAYLOAD_LIMIT}")]
    BadPayload { found: usize },
    #[error("cannot add {kind} key: {source}")]
    Add { kind: &'static str, source: io::Error },
    #[error("cannot revoke key: {0}")]
    Revoke(#[source] io::Error),
    #[error("cannot unlink key from its keyring: {0}")]
    Unlink(#[source] io::Error),
}

/// What a key can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `user`: user space with the right can read it back.
    User,
    /// `logon`: only the kernel reads it. The description must be `prefix:rest`.
    Logon,
}

impl KeyType {
    fn name(self) -> &'static CStr {
        match self {
            Self::User => c"user",
            Self::Logon => c"logon",
        }
    }
}

/// Where a key is put; the `KEY_SPEC_…` numbers of linux/keyctl.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// This thread's; gone with it.
    Thread = -1,
    /// This process's; gone with it and on exec.
    Process = -2,
    /// The session's.
    Session = -3,
    /// The user's, which stays as long as the user has processes.
    User = -4,
}

/// A key's serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySerial(i32);

fn long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Adds a key, or replaces the payload of one with the same type and description in that keyring.
///
/// # Errors
/// [`KeyringError`].
#[allow(unsafe_code)]
pub fn add_key(
    kind: KeyType,
    description: &str,
    payload: &[u8],
    keyring: Keyring,
) -> Result<KeySerial, KeyringError> {
    let printable = description.bytes().all(|b| b.is_ascii_graphic());
    if !printable || !(1..=DESCRIPTION_LIMIT).contains(&description.len()) {
        return Err(KeyringError::BadDescription { hint: "" });
    }
    if kind == KeyType::Logon && description.find(':').is_none_or(|at| at == 0) {
        return Err(KeyringError::BadDescription {
            hint: " with a prefix before a ':' for a logon key",
        });
    }
    if !(1..=PAYLOAD_LIMIT).contains(&payload.len()) {
        return Err(KeyringError::BadPayload { found: payload.len() });
    }
    let description =
        CString::new(description).map_err(|_| KeyringError::BadDescription { hint: " without NUL" })?;
    // SAFETY: add_key(2) reads two NUL-terminated strings and `payload.len()` bytes, all of which
    // outlive the call, and writes no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind.name().as_ptr(),
            description.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            keyring as libc::c_long,
        )
    };
    let name = kind.name().to_str().unwrap_or("?");
    let serial = long(result).map_err(|source| KeyringError::Add { kind: name, source })?;
    let serial = i32::try_from(serial).map_err(|_| KeyringError::Add {
        kind: name,
        source: io::ErrorKind::InvalidData.into(),
    })?;
    Ok(KeySerial(serial))
}

/// Makes a key unusable for everybody, at once.
///
/// # Errors
/// [`KeyringError::Revoke`].
#[allow(unsafe_code)]
pub fn revoke(key: KeySerial) -> Result<(), KeyringError> {
    // SAFETY: keyctl(KEYCTL_REVOKE, serial) takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_REVOKE, libc::c_long::from(key.0)) };
    long(result).map(drop).map_err(KeyringError::Revoke)
}

/// Takes a key out of a keyring; it is destroyed once nothing uses it.
///
/// # Errors
/// [`KeyringError::Unlink`].
#[allow(unsafe_code)]
pub fn unlink(key: KeySerial, keyring: Keyring) -> Result<(), KeyringError> {
    // SAFETY: keyctl(KEYCTL_UNLINK, serial, serial) takes numbers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_UNLINK,
            libc::c_long::from(key.0),
            keyring as libc::c_long,
        )
    };
    long(result).map(drop).map_err(KeyringError::Unlink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_and_payloads_out_of_bounds_are_refused_before_the_kernel_sees_them() {
        let add =
            |kind, description: &str, payload: &[u8]| add_key(kind, description, payload, Keyring::Process);
        for bad in ["", "a b", "a\0", &"d".repeat(256)] {
            assert!(matches!(
                add(KeyType::User, bad, b"x"),
                Err(KeyringError::BadDescription { .. })
            ));
        }
        assert!(matches!(
            add(KeyType::Logon, "bare", b"x"),
            Err(KeyringError::BadDescription { .. })
        ));
        assert!(matches!(
            add(KeyType::User, "d", b""),
            Err(KeyringError::BadPayload { found: 0 })
        ));
        let long = [0; PAYLOAD_LIMIT + 1];
        assert!(matches!(
            add(KeyType::User, "d", &long),
            Err(KeyringError::BadPayload { found: 4097 })
        ));
    }
}
