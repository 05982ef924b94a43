//! Faults that strike a running machine.
//!
//! A power cut is SIGKILL to QEMU: the guest runs no further instruction. With `cache=unsafe` the host's page
//! cache keeps every write that reached QEMU, flushed or not, so this cut loses no completed write and tears
//! none. Lost and torn writes are another fault and are not made here.

use std::time::Duration;

use crate::marker::Marker;
use crate::power_on::PowerOn;
use crate::serial::SerialLine;

/// Cuts the power as soon as the marker appears; returns its line.
///
/// # Errors
/// The marker does not appear, or QEMU cannot be killed.
pub fn power_cut(
    mut power_on: PowerOn<'_>,
    at: impl Into<Marker>,
    within: Duration,
) -> anyhow::Result<SerialLine> {
    let line = power_on.wait_for(at, within)?;
    power_on.kill()?;
    Ok(line)
}
