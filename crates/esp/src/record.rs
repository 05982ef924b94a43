//! The two copies of the boot record: how they are written, and which one counts (docs/spec/boot-record.md §2).
//!
//! Written by `bennu-init` and `bennud`, read by both and `bennuctl`. The second copy is written first: at each moment
//! one of them is whole. Two that cannot be read are [`FoundRecord::Damaged`]; the caller begins a new one.

use crate::error::EspError;
use crate::files;
use crate::volume::Volume;
use bennu_formats::boot_record::BootRecord;
use bennu_formats::decode::{DecodeError, Document};
use bennu_formats::paths;
use std::fmt;
use std::path::Path;

/// The boot record as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundRecord {
    /// Both copies are there and equal.
    Whole(BootRecord),
    /// The two copies are not equal, as after a power cut while they were written; this one counts.
    OneCopy {
        /// The copy that counts.
        record: BootRecord,
        /// File name of the other one on the ESP.
        other: &'static str,
        /// What is wrong with the other one.
        trouble: OtherCopy,
    },
    /// There is none: a freshly flashed disk.
    None,
    /// There is at least one file, and none that is a boot record; the reason. The caller starts from an empty one
    /// and says so.
    Damaged(DecodeError),
}

/// What is wrong with the copy that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherCopy {
    /// Not there, or empty.
    Missing,
    /// No boot record.
    Damaged(DecodeError),
    /// A boot record with other content, written earlier.
    Older,
}

impl fmt::Display for OtherCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "is missing or empty"),
            Self::Damaged(why) => write!(f, "is damaged: {why}"),
            Self::Older => write!(f, "is older"),
        }
    }
}

/// Writes both copies, each as long as a record may be: what fits once fits always, and is overwritten where it lies.
/// The second is written first, unless it is the only one that counts.
pub(crate) fn write(volume: &impl Volume, root: &Path, record: &BootRecord) -> Result<(), EspError> {
    let mut bytes = record.encode().map_err(EspError::Encode)?;
    if bytes.len() > BootRecord::MAX_BYTES {
        return Err(EspError::TooLong {
            path: root.join(paths::ESP_BOOT_RECORD),
            limit: BootRecord::MAX_BYTES,
        });
    }
    bytes.resize(BootRecord::MAX_BYTES, b' ');
    let order = match read(volume, root)? {
        FoundRecord::OneCopy {
            other: paths::ESP_BOOT_RECORD,
            ..
        } => [paths::ESP_BOOT_RECORD, paths::ESP_BOOT_RECORD_2],
        _ => [paths::ESP_BOOT_RECORD_2, paths::ESP_BOOT_RECORD],
    };
    order
        .iter()
        .try_for_each(|copy| files::write(volume, &root.join(copy), &bytes))
}

/// Reads both copies and chooses.
pub(crate) fn read(volume: &impl Volume, root: &Path) -> Result<FoundRecord, EspError> {
    Ok(choose(
        copy(volume, &root.join(paths::ESP_BOOT_RECORD))?,
        copy(volume, &root.join(paths::ESP_BOOT_RECORD_2))?,
    ))
}

/// `None` for a file that is not there or empty.
type Copy = Option<Result<BootRecord, DecodeError>>;

fn copy(volume: &impl Volume, path: &Path) -> Result<Copy, EspError> {
    // One byte more than allowed, so that the decoder sees the excess and says so.
    let bytes = files::read(volume, path, BootRecord::MAX_BYTES + 1)?;
    Ok(bytes.filter(|b| !b.is_empty()).map(|b| BootRecord::decode(&b)))
}

/// The copy with more starts counts; the second where they are equal, since it is written first.
fn choose(first: Copy, second: Copy) -> FoundRecord {
    let one = |record, other, trouble| FoundRecord::OneCopy {
        record,
        other,
        trouble,
    };
    match (first, second) {
        (None, None) => FoundRecord::None,
        (Some(Ok(first)), Some(Ok(second))) if first == second => FoundRecord::Whole(first),
        (Some(Ok(first)), Some(Ok(second))) if first.starts > second.starts => {
            one(first, paths::ESP_BOOT_RECORD_2, OtherCopy::Older)
        }
        (Some(Ok(_)), Some(Ok(second))) => one(second, paths::ESP_BOOT_RECORD, OtherCopy::Older),
        (Some(Ok(first)), second) => one(first, paths::ESP_BOOT_RECORD_2, trouble(second)),
        (first, Some(Ok(second))) => one(second, paths::ESP_BOOT_RECORD, trouble(first)),
        (Some(Err(why)), _) | (None, Some(Err(why))) => FoundRecord::Damaged(why),
    }
}

fn trouble(copy: Copy) -> OtherCopy {
    match copy {
        None => OtherCopy::Missing,
        Some(Ok(_)) => OtherCopy::Older,
        Some(Err(why)) => OtherCopy::Damaged(why),
    }
}
