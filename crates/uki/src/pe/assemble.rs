//! Turning a systemd stub into a UKI: sections are appended, nothing that is there is changed but the headers.
//!
//! `.linux` is always put last, since a kernel that unpacks in place may use the memory behind it. The content
//! of each section is embedded unchanged; a changed inner kernel would lose its own signature.

use super::{AssembleError::*, MAX_IMAGE_BYTES, PeError, PeImage, SectionHeader, SectionName, StripError};
use super::{MAX_SECTIONS, SECTION_HEADER_BYTES, coff, optional, strip_coff_symbols};
use crate::bytes;

/// Smallest distance between sections in memory, in bytes: a page, so that firmware can protect each one.
const PAGE_BYTES: u32 = 4096;

/// IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_READ: the kernel. Not executable in place; the stub loads it anew.
const KERNEL_CHARACTERISTICS: u32 = 0x4000_0020;

/// IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ: everything else.
const DATA_CHARACTERISTICS: u32 = 0x4000_0040;

/// A section to append.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    /// Name with its dot, at most eight characters: `.cmdline`.
    pub name: &'a str,
    /// Content, embedded as it is.
    pub data: &'a [u8],
}

/// Why no UKI can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The stub's symbol table cannot be removed, or the stub is no PE image.
    #[error("assemble the UKI: read the stub")]
    Stub(#[from] StripError),
    /// The stub is signed; a changed image would carry a signature that does not hold.
    #[error("assemble the UKI: the stub is signed already; give the unsigned linuxx64.efi.stub")]
    StubSigned,
    /// The stub has bytes behind its sections.
    #[error("assemble the UKI: expected the stub to end at {expected:#x}, found {found:#x} bytes")]
    TrailingBytes {
        /// Where its sections end, as a file offset.
        expected: u32,
        /// Its length in bytes.
        found: usize,
    },
    /// A section name that the format cannot hold.
    #[error("assemble the UKI: expected a section name of 1 to 8 printable ASCII characters, found {name:?}")]
    BadName {
        /// The name given.
        name: String,
    },
    /// A name that is there already: readers would disagree on which one counts.
    #[error("assemble the UKI: section {name} is there already; name each section once")]
    DuplicateSection {
        /// The name.
        name: SectionName,
    },
    /// An empty section: the stub would treat it as absent and not measure it.
    #[error("assemble the UKI: section {name} is empty; leave it out")]
    EmptySection {
        /// The name.
        name: SectionName,
    },
    /// No `.linux` section was given.
    #[error("assemble the UKI: expected a .linux section, found none; give the kernel")]
    NoKernel,
    /// The section table cannot grow as far as needed.
    #[error(
        "assemble the UKI: expected room for {needed:#x} bytes of headers, found {room:#x}; use fewer sections"
    )]
    HeaderRoom {
        /// Bytes of headers needed.
        needed: usize,
        /// Bytes that there are.
        room: usize,
    },
    /// The image would be longer than [`MAX_IMAGE_BYTES`].
    #[error("assemble the UKI: expected at most {limit} bytes; make the initrd smaller")]
    TooLong {
        /// Largest permitted length in bytes.
        limit: usize,
    },
}

/// Appends `sections` to `stub`, in the order given but `.linux` last, and returns the unsigned UKI.
///
/// The stub's COFF symbol table is removed first. The PE checksum is zero; [`crate::authenticode::sign`] sets it.
///
/// # Errors
/// [`AssembleError`]; nothing about the sections' content is checked.
pub fn assemble(stub: &[u8], sections: &[Section<'_>]) -> Result<Vec<u8>, AssembleError> {
    let stub = strip_coff_symbols(stub)?;
    let pe = PeImage::parse(&stub).map_err(StripError::Pe)?;
    if pe.certificate_table() != (0, 0) {
        return Err(StubSigned);
    }
    if pe.end_of_sections() as usize != stub.len() {
        return Err(TrailingBytes {
            expected: pe.end_of_sections(),
            found: stub.len(),
        });
    }
    let ordered = ordered(&pe, sections)?;
    let mut image = grow_headers(&pe, ordered.len())?;
    let layout = append(&pe, &mut image, &ordered)?;
    patch_headers(&pe, &mut image, &layout)?;
    Ok(image)
}

/// The sections with checked names, the kernel last.
fn ordered<'a>(
    pe: &PeImage<'_>,
    sections: &[Section<'a>],
) -> Result<Vec<(SectionName, &'a [u8])>, AssembleError> {
    let mut out: Vec<(SectionName, &[u8])> = Vec::with_capacity(sections.len());
    for section in sections {
        let name = SectionName::new(section.name).ok_or(BadName {
            name: section.name.to_owned(),
        })?;
        if pe.section(section.name).is_some() || out.iter().any(|(other, _)| *other == name) {
            return Err(DuplicateSection { name });
        }
        if section.data.is_empty() {
            return Err(EmptySection { name });
        }
        out.push((name, section.data));
    }
    out.sort_by_key(|(name, _)| *name == *".linux");
    if out.last().is_none_or(|(name, _)| *name != *".linux") {
        return Err(NoKernel);
    }
    Ok(out)
}

/// The stub's bytes with room for `extra` more section headers. If the gap between table and first section is
/// too small, everything behind the headers moves by a multiple of FileAlignment.
fn grow_headers(pe: &PeImage<'_>, extra: usize) -> Result<Vec<u8>, AssembleError> {
    let count = pe.sections().len() + extra;
    let old_end = pe.section_table_offset() + pe.sections().len() * SECTION_HEADER_BYTES;
    let needed = pe.section_table_offset() + count * SECTION_HEADER_BYTES;
    let old_size = pe.size_of_headers() as usize;
    let first_address = pe
        .sections()
        .iter()
        .map(|s| s.virtual_address as usize)
        .min()
        .unwrap_or(old_size);
    let gap = pe.bytes().get(old_end..old_size).unwrap_or_default();
    let new_size = needed
        .max(old_size)
        .next_multiple_of(pe.file_alignment() as usize);
    let moved = new_size > old_size;
    if count > MAX_SECTIONS
        || gap.iter().any(|&b| b != 0)
        || (moved && (new_size > first_address || pe.debug_directory_size() != 0))
    {
        return Err(HeaderRoom {
            needed,
            room: first_address.min(old_size),
        });
    }
    let mut out = pe.bytes()[..old_size].to_vec();
    out.resize(new_size.max(old_size), 0);
    for (index, section) in pe.sections().iter().enumerate() {
        let mut header = *section;
        if header.raw_size > 0 {
            header.raw_pointer += (out.len() - old_size) as u32;
        }
        let at = pe.section_table_offset() + index * SECTION_HEADER_BYTES;
        bytes::put(&mut out, at + 20, &header.raw_pointer.to_le_bytes()).ok_or(HeaderRoom {
            needed,
            room: old_size,
        })?;
    }
    out.extend_from_slice(&pe.bytes()[old_size..]);
    Ok(out)
}

/// What the headers must say about the appended sections.
struct Layout {
    headers: Vec<SectionHeader>,
    size_of_image: u32,
    initialized_data: u32,
}

fn append(
    pe: &PeImage<'_>,
    image: &mut Vec<u8>,
    sections: &[(SectionName, &[u8])],
) -> Result<Layout, AssembleError> {
    let too_long = TooLong {
        limit: MAX_IMAGE_BYTES,
    };
    let step = pe.section_alignment().max(PAGE_BYTES);
    let ends = pe
        .sections()
        .iter()
        .map(|s| s.virtual_address.checked_add(s.virtual_size.max(s.raw_size)));
    let mut end = ends
        .collect::<Option<Vec<_>>>()
        .and_then(|e| e.into_iter().max())
        .ok_or(too_long.clone())?;
    let mut layout = Layout {
        headers: Vec::new(),
        size_of_image: 0,
        initialized_data: 0,
    };
    for (name, data) in sections {
        let fits = image.len().saturating_add(data.len()) <= MAX_IMAGE_BYTES - (1 << 20);
        let virtual_size = u32::try_from(data.len())
            .ok()
            .filter(|_| fits)
            .ok_or(too_long.clone())?;
        let header = SectionHeader {
            name: *name,
            virtual_size,
            virtual_address: bytes::align_up(end, step).ok_or(too_long.clone())?,
            raw_size: bytes::align_up(virtual_size, pe.file_alignment()).ok_or(too_long.clone())?,
            raw_pointer: image.len() as u32,
            characteristics: if *name == *".linux" {
                KERNEL_CHARACTERISTICS
            } else {
                DATA_CHARACTERISTICS
            },
        };
        end = header
            .virtual_address
            .checked_add(virtual_size)
            .ok_or(too_long.clone())?;
        image.extend_from_slice(data);
        image.resize(header.raw_pointer as usize + header.raw_size as usize, 0);
        if header.characteristics == DATA_CHARACTERISTICS {
            layout.initialized_data += header.raw_size;
        }
        layout.headers.push(header);
    }
    layout.size_of_image = bytes::align_up(end, pe.section_alignment()).ok_or(too_long)?;
    Ok(layout)
}

fn patch_headers(pe: &PeImage<'_>, image: &mut [u8], layout: &Layout) -> Result<(), AssembleError> {
    let len = image.len();
    let old_count = pe.sections().len();
    let table_end = pe.section_table_offset() + old_count * SECTION_HEADER_BYTES;
    let size_of_headers = {
        let needed = table_end + layout.headers.len() * SECTION_HEADER_BYTES;
        needed
            .max(pe.size_of_headers() as usize)
            .next_multiple_of(pe.file_alignment() as usize) as u32
    };
    let initialized = bytes::u32_le(image, pe.optional_offset() + optional::SIZE_OF_INITIALIZED_DATA);
    let initialized = initialized.unwrap_or(0).saturating_add(layout.initialized_data);
    let count = (old_count + layout.headers.len()) as u16;
    let opt = pe.optional_offset();
    let mut patches: Vec<(usize, Vec<u8>)> = vec![
        (
            pe.coff_offset() + coff::NUMBER_OF_SECTIONS,
            count.to_le_bytes().to_vec(),
        ),
        (
            opt + optional::SIZE_OF_INITIALIZED_DATA,
            initialized.to_le_bytes().to_vec(),
        ),
        (
            opt + optional::SIZE_OF_IMAGE,
            layout.size_of_image.to_le_bytes().to_vec(),
        ),
        (
            opt + optional::SIZE_OF_HEADERS,
            size_of_headers.to_le_bytes().to_vec(),
        ),
        (opt + optional::CHECKSUM, vec![0; 4]),
    ];
    for (i, header) in layout.headers.iter().enumerate() {
        patches.push((table_end + i * SECTION_HEADER_BYTES, header.to_bytes().to_vec()));
    }
    for (at, value) in patches {
        bytes::put(image, at, &value).ok_or(StripError::Pe(PeError::Truncated {
            field: "the headers",
            len,
        }))?;
    }
    Ok(())
}
