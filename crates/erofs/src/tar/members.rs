//! The entries of an archive, one after the other, with their extended headers taken in.

use std::os::unix::fs::FileExt;

use tar::{EntryType, Header};

use super::TarError;
use super::pax::PaxRecords;
use crate::tree::{OpenFile, PATH_MAX, Timestamp, Xattrs};

/// Bytes of a header and unit of data (POSIX ustar).
const RECORD: u64 = 512;
/// Most bytes of one pax header: room for over a dozen xattrs of the largest size.
const PAX_MAX: u64 = 1 << 20;
/// Most bytes of a GNU long name: a path, its zero, and slack for the block.
const LONG_NAME_MAX: u64 = PATH_MAX as u64 + RECORD;

/// One entry.
#[derive(Debug)]
pub(super) struct Member {
    /// Offset of its header, for errors.
    pub(super) offset: u64,
    pub(super) entry_type: EntryType,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) data_offset: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) xattrs: Xattrs,
    /// Major, minor.
    pub(super) device: (u32, u32),
}

/// Extended headers waiting for their entry.
#[derive(Default)]
struct Pending {
    pax: Option<PaxRecords>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// Reads entry by entry.
pub(super) struct Members<'f> {
    file: &'f OpenFile,
    length: u64,
    position: u64,
    global: PaxRecords,
}

impl<'f> Members<'f> {
    pub(super) fn new(file: &'f OpenFile, length: u64) -> Self {
        Self {
            file,
            length,
            position: 0,
            global: PaxRecords::default(),
        }
    }

    /// The next entry; `None` at the zero block that ends the archive.
    pub(super) fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut pending = Pending::default();
        loop {
            let offset = self.position;
            let mut raw = [0; RECORD as usize];
            self.read(offset, &mut raw)?;
            self.position += RECORD;
            if raw.iter().all(|byte| *byte == 0) {
                if pending.is_empty() {
                    return Ok(None);
                }
                return Err(TarError::DanglingExtension { offset });
            }
            let header = Header::from_byte_slice(&raw);
            check_sum(header, offset)?;
            let size = header.entry_size().map_err(|_| TarError::HeaderNumber {
                offset,
                field: "size",
            })?;
            let entry_type = header.entry_type();
            match entry_type {
                EntryType::XHeader => {
                    let data = self.extension(offset, size, PAX_MAX)?;
                    let mut records = self.global.clone();
                    records.read(&data, offset)?;
                    pending.pax = Some(records);
                }
                EntryType::XGlobalHeader => {
                    let data = self.extension(offset, size, PAX_MAX)?;
                    self.global.read(&data, offset)?;
                }
                EntryType::GNULongName => {
                    pending.long_name = Some(until_zero(self.extension(offset, size, LONG_NAME_MAX)?));
                }
                EntryType::GNULongLink => {
                    pending.long_link = Some(until_zero(self.extension(offset, size, LONG_NAME_MAX)?));
                }
                _ => return self.member(header, offset, size, pending).map(Some),
            }
        }
    }

    fn member(
        &mut self,
        header: &Header,
        offset: u64,
        size: u64,
        pending: Pending,
    ) -> Result<Member, TarError> {
        let number = |field| TarError::HeaderNumber { offset, field };
        let pax = pending.pax.unwrap_or_else(|| self.global.clone());
        let path = pax
            .path
            .or(pending.long_name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.link_path.or(pending.long_link);
        let link = link
            .or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
            .unwrap_or_default();
        let size = pax.size.unwrap_or(size);
        let uid = pax
            .uid
            .map_or_else(|| header.uid().map_err(|_| number("uid")), Ok)?;
        let gid = pax
            .gid
            .map_or_else(|| header.gid().map_err(|_| number("gid")), Ok)?;
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => {
                let seconds = header.mtime().map_err(|_| number("mtime"))?;
                let seconds = i64::try_from(seconds).map_err(|_| number("mtime"))?;
                Timestamp::from_seconds(seconds)
            }
        };
        let member = Member {
            offset,
            entry_type: kind_of(header.entry_type(), &path),
            path,
            link,
            data_offset: self.position,
            size,
            mode: header.mode().map_err(|_| number("mode"))?,
            uid: owner(uid).ok_or_else(|| number("uid"))?,
            gid: owner(gid).ok_or_else(|| number("gid"))?,
            mtime,
            xattrs: pax.xattrs,
            device: device(header).ok_or_else(|| number("device"))?,
        };
        if size != 0 && !has_data(member.entry_type) {
            return Err(TarError::UnexpectedData { offset, found: size });
        }
        self.skip(size)?;
        Ok(member)
    }

    /// The data of an extended header, which the position then stands behind.
    fn extension(&mut self, offset: u64, size: u64, limit: u64) -> Result<Vec<u8>, TarError> {
        if size > limit {
            return Err(TarError::ExtensionTooLong {
                offset,
                found: size,
                limit,
            });
        }
        let mut data = vec![0; size as usize];
        self.read(self.position, &mut data)?;
        self.skip(size)?;
        Ok(data)
    }

    /// Moves behind `size` bytes of data and its padding, which have to be there.
    fn skip(&mut self, size: u64) -> Result<(), TarError> {
        let end = size
            .checked_next_multiple_of(RECORD)
            .and_then(|padded| self.position.checked_add(padded));
        match end {
            Some(end) if end <= self.length => {
                self.position = end;
                Ok(())
            }
            _ => Err(TarError::Truncated {
                offset: self.position,
                length: self.length,
                expected: size,
            }),
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), TarError> {
        let length = buffer.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(TarError::Truncated {
                offset,
                length: self.length,
                expected: length,
            });
        }
        self.file
            .file()
            .read_exact_at(buffer, offset)
            .map_err(|source| TarError::Read {
                offset,
                length,
                source,
            })
    }
}

/// Sum of the header's bytes with its checksum field taken as spaces.
fn check_sum(header: &Header, offset: u64) -> Result<(), TarError> {
    let bytes = header.as_bytes();
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let found = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
    let expected = header.cksum().map_err(|_| TarError::HeaderNumber {
        offset,
        field: "checksum",
    })?;
    if expected != found {
        return Err(TarError::HeaderChecksum {
            offset,
            expected,
            found,
        });
    }
    Ok(())
}

/// Seventh-edition tar marks a directory by a slash behind the name of a regular file.
fn kind_of(recorded: EntryType, path: &[u8]) -> EntryType {
    match recorded {
        EntryType::Regular if path.ends_with(b"/") => EntryType::Directory,
        // "Contiguous" files are regular files everywhere today.
        EntryType::Continuous => EntryType::Regular,
        other => other,
    }
}

/// All but these have no data; types that are not known are refused later, whatever follows them.
fn has_data(entry_type: EntryType) -> bool {
    !matches!(
        entry_type,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// Owners are 32 bits; all ones means "no owner" to Linux.
fn owner(id: u64) -> Option<u32> {
    u32::try_from(id).ok().filter(|id| *id != u32::MAX)
}

/// The device number of a device entry; other entries may have anything in these fields.
fn device(header: &Header) -> Option<(u32, u32)> {
    match header.entry_type() {
        EntryType::Char | EntryType::Block => Some((
            header.device_major().ok().flatten()?,
            header.device_minor().ok().flatten()?,
        )),
        _ => Some((0, 0)),
    }
}

fn until_zero(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}
