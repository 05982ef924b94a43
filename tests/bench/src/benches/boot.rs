//! From the start of the kernel to switch_root, our initrd against dracut's.

use super::{Session, dracut};
use crate::report::Row;
use anyhow::Result;

/// The peer needs a UKI of its own and a root that it can open; nobody makes those yet.
pub fn rows(_: &Session) -> Result<Vec<Row>> {
    Ok(vec![Row::not_run(
        "boot-to-switch-root",
        dracut::PEER,
        "not built yet",
    )])
}
