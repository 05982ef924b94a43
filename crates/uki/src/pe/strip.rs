//! Removing the COFF symbol table that GNU ld leaves behind the sections of Debian 12's stub and systemd-boot.
//!
//! Firmware and `sbverify` disagree on hashing it, so a signature over it does not hold everywhere; nothing at
//! boot time reads it.

use super::{PeError, PeImage, coff};
use crate::bytes;

/// Why a symbol table cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripError {
    /// The bytes are no PE32+ image.
    #[error("strip the COFF symbols")]
    Pe(#[from] PeError),
    /// The image carries a signature that stripping would break.
    #[error("strip the COFF symbols: the image is signed; strip before signing")]
    Signed,
    /// A section's name lies in the string table that would go with the symbols.
    #[error(
        "strip the COFF symbols: section {index} has its name in the string table; link it again without"
    )]
    LongSectionName {
        /// Index in the section table, from zero.
        index: usize,
    },
    /// The symbol table does not start where the sections end.
    #[error("strip the COFF symbols: expected the symbol table at {expected:#x}, found it at {found:#x}")]
    NotAtEnd {
        /// Where the sections end, as a file offset.
        expected: u32,
        /// PointerToSymbolTable.
        found: u32,
    },
}

/// Returns the image without its trailing COFF symbol and string tables; unchanged if it has none.
///
/// # Errors
/// [`StripError`] if the bytes are no PE image, or if the tables are not at its end.
pub fn strip_coff_symbols(image: &[u8]) -> Result<Vec<u8>, StripError> {
    let pe = PeImage::parse(image)?;
    let (pointer, _) = pe.symbol_table();
    if pointer == 0 {
        return Ok(image.to_vec());
    }
    if pe.certificate_table() != (0, 0) {
        return Err(StripError::Signed);
    }
    if let Some(index) = pe.sections().iter().position(|s| s.name.0[0] == b'/') {
        return Err(StripError::LongSectionName { index });
    }
    let end = pe.end_of_sections();
    if pointer != end {
        return Err(StripError::NotAtEnd {
            expected: end,
            found: pointer,
        });
    }
    let mut out = image[..end as usize].to_vec();
    for field in [coff::POINTER_TO_SYMBOL_TABLE, coff::NUMBER_OF_SYMBOLS] {
        let field_at = pe.coff_offset() + field;
        bytes::put(&mut out, field_at, &[0; 4]).ok_or(PeError::Truncated {
            field: "the COFF header",
            len: end as usize,
        })?;
    }
    Ok(out)
}
