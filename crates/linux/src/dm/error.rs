//! Why a device-mapper act failed.

use std::io;

use super::State;
use super::table::{Name, TableLine};
use crate::block;

/// Why a device-mapper act failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum DmError {
    #[error("device-mapper {what} {text:?} refused: expected 1 to {limit} printable ASCII bytes without '/'")]
    BadText {
        what: &'static str,
        text: String,
        limit: usize,
    },
    #[error("cannot open /dev/mapper/control: {0}; load the module dm_mod first")]
    OpenControl(#[source] io::Error),
    #[error("cannot create device-mapper device {name}: {source}")]
    Create { name: Name, source: io::Error },
    #[error("cannot load the {target} table of device-mapper device {name}: {source}")]
    Load {
        name: Name,
        target: String,
        source: io::Error,
    },
    #[error("cannot resume device-mapper device {name}: {source}")]
    Resume { name: Name, source: io::Error },
    #[error("cannot suspend device-mapper device {name}: {source}")]
    Suspend { name: Name, source: io::Error },
    #[error("cannot read the table of device-mapper device {name}: {source}")]
    ReadTable { name: Name, source: io::Error },
    #[error("cannot read the status of device-mapper device {name}: {source}")]
    ReadStatus { name: Name, source: io::Error },
    #[error("cannot query device-mapper device {name}: {source}")]
    Query { name: Name, source: io::Error },
    #[error("cannot send message to device-mapper device {name}: {source}")]
    Message { name: Name, source: io::Error },
    #[error("cannot remove device-mapper device {name}: {source}")]
    Remove { name: Name, source: io::Error },
    #[error("cannot list device-mapper devices: {0}")]
    List(#[source] io::Error),
    #[error("live table of device-mapper device {name} has {lines} lines, expected one line from sector 0")]
    Shape { name: Name, lines: usize },
    #[error("live table of device-mapper device {name} differs from the one loaded: found {found:?}")]
    ReadBack { name: Name, found: TableLine },
    #[error("device-mapper device {name} is not live and read-only as asked: {state:?}")]
    State { name: Name, state: State },
    #[error("cannot make the node of device-mapper device {name}: {source}")]
    Node { name: Name, source: block::BlockError },
    #[error("{cause}; and its half-made device could not be removed: {cleanup}")]
    Cleanup {
        cause: Box<DmError>,
        cleanup: Box<DmError>,
    },
}

impl DmError {
    /// The kernel's answer to the ioctl that failed (errno(3)); none where no ioctl did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::OpenControl(source)
            | Self::Create { source, .. }
            | Self::Load { source, .. }
            | Self::Resume { source, .. }
            | Self::Suspend { source, .. }
            | Self::ReadTable { source, .. }
            | Self::ReadStatus { source, .. }
            | Self::Query { source, .. }
            | Self::Message { source, .. }
            | Self::Remove { source, .. }
            | Self::List(source) => source.raw_os_error(),
            Self::Cleanup { cause, .. } => cause.errno(),
            Self::BadText { .. }
            | Self::Shape { .. }
            | Self::ReadBack { .. }
            | Self::State { .. }
            | Self::Node { .. } => None,
        }
    }
}
