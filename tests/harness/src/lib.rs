//! Virtual machines, disks, serial consoles and the story runner of the scenarios.
//!
//! A story (`tests/scenarios/`) makes a [`Machine`](machine::Machine) from a product disk image, edits the
//! disk, powers the machine on, and waits for markers on its serial console. The product's programs are black
//! boxes here: this crate depends on none of ours. Everything that a story leaves behind lies under
//! `target/vm/<story>/` (see [`artefacts`]).
//!
//! Host tools: `qemu-system-x86_64`, OVMF, `swtpm`, `swtpm_setup`, `setpriv`, `cp`, `sfdisk`, `sgdisk`, mtools.
//! This crate's own tests also run tpm2-tools. A missing tool is an error that names it, never a skip.

pub mod accelerator;
mod arguments;
pub mod artefacts;
pub mod console;
mod controls;
pub mod disk;
pub mod disk_rig;
pub mod ending;
pub mod esp;
pub mod faults;
pub mod journal;
pub mod machine;
pub mod marker;
pub mod offline_tpm;
pub mod options;
pub mod partitions;
mod polling;
pub mod power_on;
mod process;
pub mod qmp;
pub mod results;
mod rigs;
pub mod runner;
pub mod serial;
pub mod stepper;
pub mod story;
mod terminal;
pub mod tool;
pub mod tpm;
pub mod tpm_rig;
pub mod tpm_state;
pub mod trouble;

/// What nearly every story needs.
pub mod prelude {
    pub use crate::disk::Disk;
    pub use crate::disk_rig::{CutReport, DiskFault, DiskWatch, Lie, Survivors};
    pub use crate::machine::{DiskSource, Machine, MachineSpec, Resets, SecondDisk, SecondDiskPlace};
    pub use crate::marker::Marker;
    pub use crate::power_on::{Ending, PowerOn, ShutdownReason};
    pub use crate::serial::{SerialError, SerialLine};
    pub use crate::stepper::Account;
    pub use crate::story::{Context, Story, Tier};
    pub use crate::tpm::PcrBank;
    pub use crate::tpm_rig::{
        ExtendInstead, ResponseCode, TpmCommand, TpmFault, TpmPower, TpmWatch, pcr_extend,
    };
    pub use anyhow::{Context as _, Result, bail, ensure};
    pub use std::time::Duration;
}
