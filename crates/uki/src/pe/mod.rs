//! PE32+ images: a bounded parser and the assembler that turns a stub into a UKI.
//!
//! The builder writes UKIs with [`assemble`]; [`PeImage::parse`] is what every reader here goes through first,
//! so it takes bytes that nobody has verified: it checks lengths before it looks and never panics.
//! Layout after Microsoft's "PE Format" (section names in the doc comments are its own).

mod assemble;
mod error;
mod parse;
mod section;
mod strip;

pub use assemble::{AssembleError, Section, assemble};
pub use error::PeError;
pub use parse::PeImage;
pub use section::{SectionHeader, SectionName};
pub use strip::{StripError, strip_coff_symbols};

/// Longest image that is looked at, in bytes: 512 MiB. The ESP holds three UKIs in far less.
pub const MAX_IMAGE_BYTES: usize = 512 << 20;

/// Most sections a PE image may have here. The Windows loader takes 96, and no UKI comes near.
pub const MAX_SECTIONS: usize = 96;

/// Size of one section header, in bytes (PE Format, "Section Table").
pub(crate) const SECTION_HEADER_BYTES: usize = 40;

/// Offset of `e_lfanew`, the pointer to the PE signature, in the MS-DOS header.
pub(crate) const DOS_PE_OFFSET: usize = 0x3c;

/// Offsets of fields from the start of the optional header of a PE32+ image ("Optional Header").
pub(crate) mod optional {
    pub(crate) const SIZE_OF_INITIALIZED_DATA: usize = 8;
    pub(crate) const SECTION_ALIGNMENT: usize = 32;
    pub(crate) const FILE_ALIGNMENT: usize = 36;
    pub(crate) const SIZE_OF_IMAGE: usize = 56;
    pub(crate) const SIZE_OF_HEADERS: usize = 60;
    pub(crate) const CHECKSUM: usize = 64;
    pub(crate) const SUBSYSTEM: usize = 68;
    pub(crate) const NUMBER_OF_RVA_AND_SIZES: usize = 108;
    pub(crate) const DATA_DIRECTORIES: usize = 112;
    /// Data directory 4: the attribute certificate table; its "address" is a file offset.
    pub(crate) const CERTIFICATE_DIRECTORY: usize = DATA_DIRECTORIES + 4 * 8;
    /// Data directory 6: debug entries, which hold file offsets of their own.
    pub(crate) const DEBUG_DIRECTORY: usize = DATA_DIRECTORIES + 6 * 8;
}

/// Offsets of fields from the start of the COFF file header ("COFF File Header").
pub(crate) mod coff {
    pub(crate) const MACHINE: usize = 0;
    pub(crate) const NUMBER_OF_SECTIONS: usize = 2;
    pub(crate) const POINTER_TO_SYMBOL_TABLE: usize = 8;
    pub(crate) const NUMBER_OF_SYMBOLS: usize = 12;
    pub(crate) const SIZE_OF_OPTIONAL_HEADER: usize = 16;
    pub(crate) const BYTES: usize = 20;
}
