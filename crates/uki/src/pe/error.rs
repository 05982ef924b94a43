//! Why bytes are refused as a PE image.

use super::SectionName;

/// Why bytes are not a PE32+ image that this crate works with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// Longer than any UKI: refused before any byte is looked at.
    #[error("PE image: expected at most {limit} bytes, found {found}; this is not a UKI")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// A field or table ends beyond the file.
    #[error("read {field} of the PE image: expected it within {len} bytes; the file is cut short or no PE")]
    Truncated {
        /// What was being read.
        field: &'static str,
        /// Length of the file in bytes.
        len: usize,
    },
    /// A magic number is another one.
    #[error("read {field} of the PE image: expected {expected:#x}, found {found:#x}; give an EFI binary")]
    BadMagic {
        /// Which magic number.
        field: &'static str,
        /// The value of a PE32+ image.
        expected: u32,
        /// The value found.
        found: u32,
    },
    /// An alignment is no power of two, or below 512 (file) or above 64 KiB.
    #[error("read {field} of the PE image: expected a power of two from 512 to 65536, found {found}")]
    BadAlignment {
        /// Which alignment.
        field: &'static str,
        /// The value found, in bytes.
        found: u32,
    },
    /// More sections than [`MAX_SECTIONS`](super::MAX_SECTIONS).
    #[error("count the PE image's sections: expected at most {limit}, found {found}")]
    TooManySections {
        /// Largest permitted number.
        limit: usize,
        /// Number found.
        found: usize,
    },
    /// The optional header is too small to hold the certificate table's directory entry.
    #[error("read the PE image's data directories: expected at least {expected}, found {found}")]
    TooFewDirectories {
        /// Number needed.
        expected: u32,
        /// Number found.
        found: u32,
    },
    /// The section table runs beyond SizeOfHeaders.
    #[error(
        "read the PE section table: expected it to end by {size_of_headers} (SizeOfHeaders), found {end}"
    )]
    HeadersOverrun {
        /// SizeOfHeaders, in bytes.
        size_of_headers: u32,
        /// Where the table ends, as a file offset.
        end: usize,
    },
    /// A section's bytes are not all in the file.
    #[error("read section {name}: expected its bytes {start:#x}+{size:#x} within {len:#x} bytes of file")]
    SectionOutsideFile {
        /// The section.
        name: SectionName,
        /// PointerToRawData.
        start: u32,
        /// SizeOfRawData.
        size: u32,
        /// Length of the file in bytes.
        len: usize,
    },
    /// A section's bytes overlap the headers or another section's: two readers could disagree.
    #[error("read section {name}: expected its bytes after {previous_end:#x}, found them at {start:#x}")]
    SectionsOverlap {
        /// The section.
        name: SectionName,
        /// PointerToRawData.
        start: u32,
        /// End of what lies before, as a file offset.
        previous_end: u32,
    },
}
