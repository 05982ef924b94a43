//! From the untrusted slots of a directory to its entries. Part of the reader; never fails.

use super::attribute;
use super::name::{LAST_LONG_NAME_SLOT, LONG_NAME_UNITS, ShortName, checksum};

/// Most slots of a long name.
const MAX_LONG_NAME_SLOTS: u8 = 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// An entry of a directory; untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Long name, or the 8.3 name where there is none. What is not text is U+FFFD.
    pub name: String,
    /// The 8.3 name.
    pub short_name: String,
    /// File or directory.
    pub kind: Kind,
    /// Bytes of a file; 0 for a directory.
    pub bytes: u32,
    pub(crate) first_cluster: u32,
}

impl DirectoryEntry {
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.short_name.eq_ignore_ascii_case(name)
    }
}

/// Collects entries from slots. A long name that is not whole is dropped and its file gets the 8.3 name, as in every
/// other implementation.
#[derive(Default)]
pub(crate) struct Slots {
    entries: Vec<DirectoryEntry>,
    long_name: Vec<u16>,
    /// Order number and checksum of the last long-name slot, while a name is being collected.
    pending: Option<(u8, u8)>,
}

impl Slots {
    pub(crate) fn into_entries(self) -> Vec<DirectoryEntry> {
        self.entries
    }

    /// Takes the next slot (32 bytes, the first not zero).
    pub(crate) fn take(&mut self, slot: &[u8]) {
        const DELETED: u8 = 0xe5;
        if slot[0] == DELETED {
            self.pending = None;
            return;
        }
        let attributes = slot[11];
        if attributes & attribute::LONG_NAME_MASK == attribute::LONG_NAME {
            self.take_long_name(slot);
            return;
        }
        let pending = self.pending.take();
        if attributes & attribute::VOLUME_ID != 0 || slot[0] == b'.' {
            return;
        }
        let mut short: ShortName = [0; 11];
        short.copy_from_slice(&slot[..11]);
        let long_is_whole = pending == Some((1, checksum(&short)));
        let short_name = decode_short_name(&short, slot[12]);
        let name = if long_is_whole {
            self.decode_long_name()
        } else {
            short_name.clone()
        };
        let is_directory = attributes & attribute::DIRECTORY != 0;
        let cluster_high = u32::from(u16::from_le_bytes([slot[20], slot[21]]));
        let cluster_low = u32::from(u16::from_le_bytes([slot[26], slot[27]]));
        let bytes = u32::from_le_bytes([slot[28], slot[29], slot[30], slot[31]]);
        self.entries.push(DirectoryEntry {
            name,
            short_name,
            kind: if is_directory { Kind::Directory } else { Kind::File },
            bytes: if is_directory { 0 } else { bytes },
            first_cluster: cluster_high << 16 | cluster_low,
        });
    }

    fn take_long_name(&mut self, slot: &[u8]) {
        let (order, sum) = (slot[0], slot[13]);
        let number = order & !LAST_LONG_NAME_SLOT;
        if order & LAST_LONG_NAME_SLOT != 0 {
            self.long_name.clear();
        } else if self.pending != Some((number.wrapping_add(1), sum)) {
            self.pending = None;
            return;
        }
        if !(1..=MAX_LONG_NAME_SLOTS).contains(&number) {
            self.pending = None;
            return;
        }
        self.pending = Some((number, sum));
        // The last part comes first.
        let part = LONG_NAME_UNITS
            .into_iter()
            .map(|at| u16::from_le_bytes([slot[at], slot[at + 1]]));
        self.long_name.splice(0..0, part);
    }

    fn decode_long_name(&self) -> String {
        String::from_utf16_lossy(self.long_name.split(|&unit| unit == 0).next().unwrap_or_default())
    }
}

/// `case` is the byte in which Windows NT and Linux note lower-case parts of an 8.3 name.
fn decode_short_name(short: &ShortName, case: u8) -> String {
    const LOWER_BASE: u8 = 0x08;
    const LOWER_EXTENSION: u8 = 0x10;
    let part = |bytes: &[u8], lower: bool| {
        let text: String = bytes
            .iter()
            .map(|&b| if b.is_ascii() { b as char } else { '\u{fffd}' })
            .collect();
        let text = text.trim_end_matches(' ');
        if lower {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let base = part(&short[..8], case & LOWER_BASE != 0);
    let extension = part(&short[8..], case & LOWER_EXTENSION != 0);
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}
