//! Reading a PE32+ image that nobody has verified.

use super::{DOS_PE_OFFSET, MAX_IMAGE_BYTES, MAX_SECTIONS, PeError, SECTION_HEADER_BYTES, SectionHeader};
use super::{coff, optional};
use crate::bytes;

/// A parsed PE32+ image over borrowed bytes. Its section ranges are known to lie inside the file, after the
/// headers, without overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeImage<'a> {
    bytes: &'a [u8],
    coff: usize,
    optional: usize,
    section_table: usize,
    size_of_headers: u32,
    file_alignment: u32,
    section_alignment: u32,
    sections: Vec<SectionHeader>,
}

impl<'a> PeImage<'a> {
    /// Parses headers and section table.
    ///
    /// # Errors
    /// [`PeError`] for anything but a PE32+ image whose tables and sections lie inside the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        if bytes.len() > MAX_IMAGE_BYTES {
            return Err(PeError::TooLong {
                limit: MAX_IMAGE_BYTES,
                found: bytes.len(),
            });
        }
        let short = |field| PeError::Truncated {
            field,
            len: bytes.len(),
        };
        let expect = |field, expected: u32, found: Option<u32>| match found {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(PeError::BadMagic {
                field,
                expected,
                found,
            }),
            None => Err(short(field)),
        };
        expect("the MS-DOS magic", 0x5a4d, bytes::u16_le(bytes, 0).map(u32::from))?;
        let pe = bytes::u32_le(bytes, DOS_PE_OFFSET).ok_or(short("e_lfanew"))? as usize;
        expect("the PE signature", 0x4550, bytes::u32_le(bytes, pe))?;
        let coff = pe + 4;
        let optional = coff + coff::BYTES;
        expect(
            "the optional header's magic",
            0x20b,
            bytes::u16_le(bytes, optional).map(u32::from),
        )?;
        let optional_size = bytes::u16_le(bytes, coff + coff::SIZE_OF_OPTIONAL_HEADER)
            .ok_or(short("SizeOfOptionalHeader"))? as usize;
        bytes::slice(bytes, optional, optional_size).ok_or(short("the optional header"))?;
        let section_table = optional + optional_size;

        let mut image = Self {
            bytes,
            coff,
            optional,
            section_table,
            size_of_headers: 0,
            file_alignment: 0,
            section_alignment: 0,
            sections: Vec::new(),
        };
        image.read_optional(optional_size)?;
        image.read_sections()?;
        Ok(image)
    }

    fn short(&self, field: &'static str) -> PeError {
        PeError::Truncated {
            field,
            len: self.bytes.len(),
        }
    }

    fn optional_u32(&self, field: usize, name: &'static str) -> Result<u32, PeError> {
        bytes::u32_le(self.bytes, self.optional + field).ok_or(self.short(name))
    }

    fn read_optional(&mut self, optional_size: usize) -> Result<(), PeError> {
        let alignment = |field, found: u32| match found {
            512..=65536 if found.is_power_of_two() => Ok(found),
            _ => Err(PeError::BadAlignment { field, found }),
        };
        let directories = self.optional_u32(optional::NUMBER_OF_RVA_AND_SIZES, "NumberOfRvaAndSizes")?;
        let room = optional_size.saturating_sub(optional::DATA_DIRECTORIES) / 8;
        if directories < 7 || room < 7 {
            let found = directories.min(u32::try_from(room).unwrap_or(u32::MAX));
            return Err(PeError::TooFewDirectories { expected: 7, found });
        }
        let file = self.optional_u32(optional::FILE_ALIGNMENT, "FileAlignment")?;
        self.file_alignment = alignment("FileAlignment", file)?;
        let section = self.optional_u32(optional::SECTION_ALIGNMENT, "SectionAlignment")?;
        self.section_alignment = alignment("SectionAlignment", section)?;
        self.size_of_headers = self.optional_u32(optional::SIZE_OF_HEADERS, "SizeOfHeaders")?;
        bytes::slice(self.bytes, 0, self.size_of_headers as usize).ok_or(self.short("the headers"))?;
        Ok(())
    }

    fn read_sections(&mut self) -> Result<(), PeError> {
        let count = bytes::u16_le(self.bytes, self.coff + coff::NUMBER_OF_SECTIONS)
            .ok_or(self.short("NumberOfSections"))? as usize;
        if count > MAX_SECTIONS {
            return Err(PeError::TooManySections {
                limit: MAX_SECTIONS,
                found: count,
            });
        }
        let end = self.section_table + count * SECTION_HEADER_BYTES;
        if end > self.size_of_headers as usize {
            return Err(PeError::HeadersOverrun {
                size_of_headers: self.size_of_headers,
                end,
            });
        }
        self.sections = (0..count)
            .map(|i| SectionHeader::read(self.bytes, self.section_table + i * SECTION_HEADER_BYTES))
            .collect::<Option<_>>()
            .ok_or(self.short("the section table"))?;
        self.check_raw_ranges()
    }

    fn check_raw_ranges(&self) -> Result<(), PeError> {
        let mut previous_end = self.size_of_headers;
        for section in self.sections_by_offset() {
            let SectionHeader {
                name,
                raw_pointer: start,
                raw_size: size,
                ..
            } = section;
            let end = start
                .checked_add(size)
                .filter(|&end| end as usize <= self.bytes.len());
            let end = end.ok_or(PeError::SectionOutsideFile {
                name,
                start,
                size,
                len: self.bytes.len(),
            })?;
            if start < previous_end {
                return Err(PeError::SectionsOverlap {
                    name,
                    start,
                    previous_end,
                });
            }
            previous_end = end;
        }
        Ok(())
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// IMAGE_FILE_MACHINE_*: 0x8664 for x86-64.
    pub fn machine(&self) -> u16 {
        bytes::u16_le(self.bytes, self.coff + coff::MACHINE).unwrap_or(0)
    }

    /// Subsystem: 10 for an EFI application.
    pub fn subsystem(&self) -> u16 {
        bytes::u16_le(self.bytes, self.optional + optional::SUBSYSTEM).unwrap_or(0)
    }

    /// SizeOfHeaders, in bytes.
    pub fn size_of_headers(&self) -> u32 {
        self.size_of_headers
    }

    /// SizeOfImage, in bytes: how much memory the loaded image takes.
    pub fn size_of_image(&self) -> u32 {
        bytes::u32_le(self.bytes, self.optional + optional::SIZE_OF_IMAGE).unwrap_or(0)
    }

    /// FileAlignment, in bytes.
    pub fn file_alignment(&self) -> u32 {
        self.file_alignment
    }

    /// SectionAlignment, in bytes.
    pub fn section_alignment(&self) -> u32 {
        self.section_alignment
    }

    /// The section table, in its own order.
    pub fn sections(&self) -> &[SectionHeader] {
        &self.sections
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<&SectionHeader> {
        self.sections.iter().find(|s| s.name == *name)
    }

    /// The content of a section of this image: VirtualSize bytes, or what the file has of them.
    pub fn data(&self, section: &SectionHeader) -> &'a [u8] {
        let len = section.virtual_size.min(section.raw_size) as usize;
        bytes::slice(self.bytes, section.raw_pointer as usize, len).unwrap_or_default()
    }

    /// The content of the first section of this name.
    pub fn section_data(&self, name: &str) -> Option<&'a [u8]> {
        self.section(name).map(|section| self.data(section))
    }

    /// Sections that have bytes in the file, in the order of those bytes.
    pub(crate) fn sections_by_offset(&self) -> Vec<SectionHeader> {
        let mut sorted: Vec<_> = self.sections.iter().copied().filter(|s| s.raw_size > 0).collect();
        sorted.sort_by_key(|s| s.raw_pointer);
        sorted
    }

    /// File offset at which the last section's bytes (or the headers) end.
    pub(crate) fn end_of_sections(&self) -> u32 {
        let last = self
            .sections_by_offset()
            .last()
            .map(|s| s.raw_pointer.saturating_add(s.raw_size));
        last.unwrap_or(self.size_of_headers)
    }

    /// File offset of the COFF file header.
    pub(crate) fn coff_offset(&self) -> usize {
        self.coff
    }

    /// File offset of the optional header.
    pub(crate) fn optional_offset(&self) -> usize {
        self.optional
    }

    /// File offset of the section table.
    pub(crate) fn section_table_offset(&self) -> usize {
        self.section_table
    }

    /// File offset and size of the attribute certificate table; both zero if the image is not signed.
    pub(crate) fn certificate_table(&self) -> (u32, u32) {
        let at = self.optional + optional::CERTIFICATE_DIRECTORY;
        let read = |at| bytes::u32_le(self.bytes, at).unwrap_or(0);
        (read(at), read(at + 4))
    }

    /// Size of the debug directory, whose entries hold file offsets.
    pub(crate) fn debug_directory_size(&self) -> u32 {
        bytes::u32_le(self.bytes, self.optional + optional::DEBUG_DIRECTORY + 4).unwrap_or(0)
    }

    /// File offset and number of entries of the COFF symbol table; both zero if there is none.
    pub(crate) fn symbol_table(&self) -> (u32, u32) {
        let read = |field| bytes::u32_le(self.bytes, self.coff + field).unwrap_or(0);
        (read(coff::POINTER_TO_SYMBOL_TABLE), read(coff::NUMBER_OF_SYMBOLS))
    }
}
