//! Faults that strike a running machine.
//!
//! A power cut is SIGKILL to QEMU: the guest runs no further instruction. With `cache=unsafe` the host's page
//! cache keeps every write that reached QEMU, flushed or not, so [`power_cut`] loses no completed write and
//! tears none. [`power_cut_losing`] does: there the disk goes through [`crate::disk_rig`], which knows what was
//! flushed.

use std::time::Duration;

use crate::disk_rig::{CutReport, Survivors};
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

/// Cuts the power as soon as the marker appears, and of the writes since the last flush only the survivors are
/// on the disk; returns the marker's line and what was lost. A story about loss demands that something was.
///
/// # Errors
/// The marker does not appear, the machine has no [`crate::machine::MachineSpec::disk_faults`], the image
/// cannot be written, or QEMU cannot be killed.
pub fn power_cut_losing(
    mut power_on: PowerOn<'_>,
    at: impl Into<Marker>,
    within: Duration,
    survivors: Survivors,
) -> anyhow::Result<(SerialLine, CutReport)> {
    let line = power_on.wait_for(at, within)?;
    let report = power_on.cut(survivors)?;
    Ok((line, report))
}
