//! PCR 12, as far as the UKI itself decides it. Add-ons, credentials and edited command lines come on top,
//! and then the value differs from the prediction: that is what it is compared for.

use super::{Bank, MAX_CMDLINE_BYTES, MeasureError, PcrValue, StubVersion};

/// Predicts PCR 12 for a UKI started by the systemd-boot of the same version, with Secure Boot on and the
/// menu untouched. `cmdline` is the content of `.cmdline`, if there is one.
///
/// systemd-boot 252 (`src/boot/efi/boot.c`, `config_entry_add_unified`, `image_start`) converts the command
/// line to UCS-2 up to the first NUL, leaving out what lies beyond U+FFFF, turns control characters into
/// spaces, cuts spaces off the end, and measures the result with its 16-bit terminator. The stub, with Secure
/// Boot on, ignores what it is passed and measures nothing more. systemd-boot 257 passes and measures no
/// command line that is the UKI's own, so the value stays zero.
///
/// # Errors
/// [`MeasureError::CmdlineTooLong`], [`MeasureError::CmdlineNotUtf8`].
pub fn predict_pcr12(
    version: StubVersion,
    cmdline: Option<&[u8]>,
    bank: Bank,
) -> Result<PcrValue, MeasureError> {
    let zero = PcrValue::zero(bank);
    match (version, cmdline.filter(|cmdline| !cmdline.is_empty())) {
        (StubVersion::V257, _) | (StubVersion::V252, None) => Ok(zero),
        (StubVersion::V252, Some(cmdline)) => Ok(zero.measure(&load_options_252(cmdline)?)),
    }
}

/// The bytes that systemd-boot 252 measures: UTF-16LE with terminator.
fn load_options_252(cmdline: &[u8]) -> Result<Vec<u8>, MeasureError> {
    let text = cmdline.split(|&b| b == 0).next().unwrap_or_default();
    if text.len() > MAX_CMDLINE_BYTES {
        return Err(MeasureError::CmdlineTooLong {
            limit: MAX_CMDLINE_BYTES,
            found: text.len(),
        });
    }
    let text = std::str::from_utf8(text).map_err(|error| MeasureError::CmdlineNotUtf8 {
        at: error.valid_up_to(),
    })?;
    let mangled: String = text
        .chars()
        .filter(|c| u32::from(*c) <= 0xffff)
        .map(|c| if u32::from(c) <= 0x1f { ' ' } else { c })
        .collect();
    let units = mangled.trim_end_matches(' ').encode_utf16().chain([0]);
    Ok(units.flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn systemd_boot_252_measures_utf_16_with_terminator_and_without_the_newline() {
        assert_eq!(load_options_252(b"quiet a=b\n").unwrap(), utf16("quiet a=b\0"));
        assert_eq!(
            load_options_252(b" a\tb\n\n \0ignored").unwrap(),
            utf16(" a b\0"),
            "leading space stays"
        );
        assert_eq!(load_options_252("ä€🦀x".as_bytes()).unwrap(), utf16("ä€x\0"));
        assert_eq!(load_options_252(b"\n").unwrap(), utf16("\0"));
    }

    #[test]
    fn the_pcr_12_of_each_version_is_pinned() {
        let predict = |version, cmdline| predict_pcr12(version, cmdline, Bank::Sha256).unwrap().to_string();
        let zero = "0".repeat(64);
        assert_eq!(predict(StubVersion::V257, Some(&b"quiet"[..])), zero);
        assert_eq!(predict(StubVersion::V252, None), zero);
        // printf 'q\0u\0i\0e\0t\0\0\0' | sha256sum, then sha256sum of 32 zeros and that digest.
        assert_eq!(
            predict(StubVersion::V252, Some(b"quiet\n")),
            "f04f2f39d747478ae9de1d1976be8fde626487c0ec0407a26836a08c6a4a1b5c"
        );
    }

    #[test]
    fn a_command_line_that_cannot_be_predicted_is_refused() {
        let predict = |cmdline: &[u8]| predict_pcr12(StubVersion::V252, Some(cmdline), Bank::Sha256);
        assert!(predict(&[b'a'; MAX_CMDLINE_BYTES]).is_ok(), "positive control");
        let limit = MAX_CMDLINE_BYTES;
        assert_eq!(
            predict(&[b'a'; 2048]),
            Err(MeasureError::CmdlineTooLong { limit, found: 2048 })
        );
        assert_eq!(predict(b"ab\xff"), Err(MeasureError::CmdlineNotUtf8 { at: 2 }));
    }
}
