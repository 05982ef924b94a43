//! Checked names and table lines: what the kernel takes, and what fits a request.

use std::fmt;

use super::error::DmError;

/// Longest device name in bytes: `DM_NAME_LEN` (128) of linux/dm-ioctl.h less the final NUL.
pub const NAME_LIMIT: usize = 127;
/// Longest device UUID in bytes: `DM_UUID_LEN` (129) of linux/dm-ioctl.h less the final NUL.
pub const UUID_LIMIT: usize = 128;
/// Longest target type in bytes: `DM_MAX_TYPE_NAME` (16) of linux/dm-ioctl.h less the final NUL.
pub const TARGET_LIMIT: usize = 15;
/// Longest target parameters in bytes. Ours stay under 1 KiB; a request has room for 64 KiB.
pub const PARAMS_LIMIT: usize = 8 * 1024;

fn check_text(what: &'static str, text: &str, limit: usize) -> Result<(), DmError> {
    let fits = (1..=limit).contains(&text.len());
    if fits && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        return Ok(());
    }
    let shown = text.chars().take(limit).collect();
    Err(DmError::BadText {
        what,
        text: shown,
        limit,
    })
}

/// The name of a device: 1 to [`NAME_LIMIT`] printable ASCII bytes without `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The UUID of a device in device-mapper's sense: any text of 1 to [`UUID_LIMIT`] printable ASCII
/// bytes without `/`, by convention `SUBSYSTEM-rest` (`CRYPT-VERITY-…`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uuid(String);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`DmError::BadText`].
    pub fn new(text: &str) -> Result<Self, DmError> {
        check_text("name", text, NAME_LIMIT)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Uuid {
    /// Checks a device-mapper UUID.
    ///
    /// # Errors
    /// [`DmError::BadText`].
    pub fn new(text: &str) -> Result<Self, DmError> {
        check_text("uuid", text, UUID_LIMIT)?;
        Ok(Self(text.to_owned()))
    }

    /// The UUID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One table line that starts at sector 0, to be loaded or as read back (then without the blanks that
/// some targets leave at its end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLine {
    length_sectors512: u64,
    target: String,
    params: String,
}

impl TableLine {
    /// A line for `target` (`verity`, `crypt`, …) of `length_sectors512` sectors of 512 bytes.
    ///
    /// # Errors
    /// [`DmError::BadText`] for a target type over [`TARGET_LIMIT`], or parameters that are over
    /// [`PARAMS_LIMIT`] or hold anything but printable ASCII and blanks.
    pub fn new(length_sectors512: u64, target: &str, params: &str) -> Result<Self, DmError> {
        check_text("target type", target, TARGET_LIMIT)?;
        let printable = params.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if params.len() > PARAMS_LIMIT || !printable {
            let text = params.chars().take(64).collect();
            return Err(DmError::BadText {
                what: "table parameters",
                text,
                limit: PARAMS_LIMIT,
            });
        }
        Ok(Self {
            length_sectors512,
            target: target.to_owned(),
            params: params.trim_end().to_owned(),
        })
    }

    /// Length in sectors of 512 bytes.
    #[must_use]
    pub fn length_sectors512(&self) -> u64 {
        self.length_sectors512
    }

    /// The target type, such as `verity`.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target's parameters (or its status, when read by [`DeviceMapper::status`]).
    #[must_use]
    pub fn params(&self) -> &str {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_up_to_127_printable_bytes_are_taken_and_others_refused() {
        assert_eq!(Name::new("root-verity").unwrap().as_str(), "root-verity");
        assert!(Name::new(&"n".repeat(127)).is_ok());
        for bad in ["", "a/b", "a b", "a\0", "é", &"n".repeat(128)] {
            assert!(
                matches!(Name::new(bad), Err(DmError::BadText { what: "name", .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_target_type_of_16_bytes_is_refused() {
        assert!(TableLine::new(8, &"t".repeat(15), "").is_ok());
        let refused = TableLine::new(8, &"t".repeat(16), "");
        assert!(matches!(
            refused,
            Err(DmError::BadText {
                what: "target type",
                ..
            })
        ));
    }

    #[test]
    fn parameters_with_a_newline_or_nul_are_refused() {
        assert!(TableLine::new(8, "verity", "1 254:2 254:3 4096").is_ok());
        for bad in ["1\n2", "1\0", "\u{a0}"] {
            let refused = TableLine::new(8, "verity", bad);
            assert!(matches!(
                refused,
                Err(DmError::BadText {
                    what: "table parameters",
                    ..
                })
            ));
        }
    }
}
