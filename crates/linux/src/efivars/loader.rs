//! The variables of systemd's Boot Loader Interface and of Secure Boot.

use super::{EfiVarError, EfiVars, GLOBAL, LOADER, Variable};

/// Longest loader string in bytes: 512 UTF-16 units. Paths on the ESP and entry names are far shorter.
const STRING_LIMIT: usize = 1024;

/// Why bytes are not a UTF-16 string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum LoaderStringError {
    #[error("{found} bytes, at most {limit} are allowed")]
    TooLong { found: usize, limit: usize },
    #[error("odd number of bytes ({found}) for UTF-16")]
    Odd { found: usize },
    #[error("unpaired surrogate in UTF-16")]
    Surrogate,
    #[error("text goes on after its final NUL")]
    AfterNul,
    #[error("control character in text")]
    Control,
}

/// Decodes little-endian UTF-16 of at most `limit` bytes, with or without final NULs. Empty text is
/// allowed; control characters and anything after the first NUL but NULs are refused.
///
/// # Errors
/// [`LoaderStringError`].
pub fn decode_utf16(bytes: &[u8], limit: usize) -> Result<String, LoaderStringError> {
    if bytes.len() > limit {
        return Err(LoaderStringError::TooLong {
            found: bytes.len(),
            limit,
        });
    }
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(LoaderStringError::Odd { found: bytes.len() });
    }
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    if units[end..].iter().any(|unit| *unit != 0) {
        return Err(LoaderStringError::AfterNul);
    }
    let text = String::from_utf16(&units[..end]).map_err(|_| LoaderStringError::Surrogate)?;
    if text.chars().any(char::is_control) {
        return Err(LoaderStringError::Control);
    }
    Ok(text)
}

/// Encodes text as little-endian UTF-16 with one final NUL, as the loader interface asks for.
#[must_use]
pub fn encode_utf16(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// The firmware's `SecureBoot` variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureBoot {
    /// Images are verified.
    Enforcing,
    /// They are not.
    Disabled,
    /// The firmware has no such variable.
    Unsupported,
}

/// The firmware's `SetupMode` variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupMode {
    /// No platform key: anybody may enrol keys.
    Setup,
    /// A platform key is enrolled.
    User,
    /// The firmware has no such variable.
    Unsupported,
}

impl EfiVars {
    /// Reads a text variable of the loader, such as `LoaderEntrySelected`; none if it is absent.
    ///
    /// # Errors
    /// [`EfiVarError`].
    pub fn loader_string(&self, name: &str) -> Result<Option<String>, EfiVarError> {
        let Some(variable) = self.read(LOADER, name, STRING_LIMIT)? else {
            return Ok(None);
        };
        decode_utf16(&variable.value, STRING_LIMIT)
            .map(Some)
            .map_err(|source| EfiVarError::Text {
                name: name.to_owned(),
                source,
            })
    }

    /// Writes a text variable of the loader, such as `LoaderEntryOneShot`, to outlive the reset.
    ///
    /// # Errors
    /// [`EfiVarError`].
    pub fn set_loader_string(&self, name: &str, text: &str) -> Result<(), EfiVarError> {
        let variable = Variable {
            attributes: super::PERSISTENT,
            value: encode_utf16(text),
        };
        self.write(LOADER, name, &variable, STRING_LIMIT)
    }

    /// `LoaderDevicePartUUID`: the GUID of the ESP that the loader came from, in lower case.
    ///
    /// # Errors
    /// [`EfiVarError`], also [`EfiVarError::NotAGuid`].
    pub fn loader_device_part_uuid(&self) -> Result<Option<String>, EfiVarError> {
        let name = "LoaderDevicePartUUID";
        let Some(text) = self.loader_string(name)? else {
            return Ok(None);
        };
        let guid = text.to_ascii_lowercase();
        if is_guid(&guid) {
            Ok(Some(guid))
        } else {
            Err(EfiVarError::NotAGuid {
                name: name.to_owned(),
                text,
            })
        }
    }

    /// `LoaderEntrySelected`: the id (file name) of the entry that was booted.
    ///
    /// # Errors
    /// [`EfiVarError`].
    pub fn loader_entry_selected(&self) -> Result<Option<String>, EfiVarError> {
        self.loader_string("LoaderEntrySelected")
    }

    /// `LoaderBootCountPath`: the path on the ESP of the entry that was booted, with its counter; absent
    /// if it is not counted.
    ///
    /// # Errors
    /// [`EfiVarError`].
    pub fn loader_boot_count_path(&self) -> Result<Option<String>, EfiVarError> {
        self.loader_string("LoaderBootCountPath")
    }

    /// `SecureBoot` (UEFI 2.10, 3.3).
    ///
    /// # Errors
    /// [`EfiVarError`], also [`EfiVarError::Flag`].
    pub fn secure_boot(&self) -> Result<SecureBoot, EfiVarError> {
        Ok(match self.flag("SecureBoot")? {
            Some(true) => SecureBoot::Enforcing,
            Some(false) => SecureBoot::Disabled,
            None => SecureBoot::Unsupported,
        })
    }

    /// `SetupMode` (UEFI 2.10, 3.3).
    ///
    /// # Errors
    /// [`EfiVarError`], also [`EfiVarError::Flag`].
    pub fn setup_mode(&self) -> Result<SetupMode, EfiVarError> {
        Ok(match self.flag("SetupMode")? {
            Some(true) => SetupMode::Setup,
            Some(false) => SetupMode::User,
            None => SetupMode::Unsupported,
        })
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, EfiVarError> {
        let Some(variable) = self.read(GLOBAL, name, 16)? else {
            return Ok(None);
        };
        match variable.value[..] {
            [0] => Ok(Some(false)),
            [1] => Ok(Some(true)),
            _ => Err(EfiVarError::Flag {
                name: name.to_owned(),
                found: variable.value,
            }),
        }
    }
}

/// 8-4-4-4-12 lower-case hexadecimal digits, not all zero.
fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let mut parts = text.split('-');
    let digits = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = lengths
        .iter()
        .all(|length| parts.next().is_some_and(|part| digits(part, *length)));
    shaped && parts.next().is_none() && text.bytes().any(|b| !matches!(b, b'0' | b'-'))
}
