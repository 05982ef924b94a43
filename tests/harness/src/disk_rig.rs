//! A disk that lies and forgets: an NBD server between QEMU and a raw image.
//!
//! QEMU attaches the disk by `-drive file.driver=nbd` over a unix socket. Reads may change their content from
//! the n-th on, ranges may fail ([`DiskFault`]), and every write since the last flush is held back in memory as
//! in a drive's volatile cache, so that [`DiskRig::cut`] can decide which of them the power cut spared.
//! The image always holds what a flush has promised, and after an orderly end everything.
//!
//! The server is our own, and not Debian's `nbdkit`: no filter of that keeps unflushed writes apart and applies
//! a chosen part of them, a `sh` plugin starts a process for each read, and the state that stories steer and
//! count would live in another process. The protocol's part that QEMU needs is small (`nbd.rs`).
//!
//! A story sets the faults in [`crate::machine::MachineSpec::disk_faults`] or, between power-ons, with
//! [`crate::machine::Machine::set_disk_faults`], asks [`crate::power_on::PowerOn::disk_watch`] how often they
//! struck, and cuts the power with [`crate::faults::power_cut_losing`]. If the server itself fails, the guest
//! gets I/O errors, and [`DiskWatch::trouble`] says why.

mod active;
mod fault;
mod nbd;
mod server;
mod store;

use std::io;
use std::path::PathBuf;

pub use fault::{DiskFault, Lie, Survivors};
pub use server::{DiskRig, DiskWatch};
pub use store::{CutReport, Held};

/// Why a disk rig does not run, or does not run any more.
#[derive(Debug, thiserror::Error)]
pub enum DiskRigError {
    /// The image cannot be opened, read or written.
    #[error("{act} disk image {}: {source}", image.display())]
    Image {
        /// What was tried.
        act: &'static str,
        /// The image.
        image: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The image's size is none that a disk can have.
    #[error("serve disk image {}: expected a multiple of 512 bytes, found {bytes}", image.display())]
    Size {
        /// The image.
        image: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A fault's range does not lie on the disk, or its bytes do not fill the range.
    #[error("set disk fault {number}: {found}")]
    Fault {
        /// Place in the list, from 0.
        number: usize,
        /// What is wrong.
        found: String,
    },
    /// QEMU's socket cannot be offered.
    #[error("offer the disk's socket {}: {source}", socket.display())]
    Listen {
        /// Path of the socket.
        socket: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The client does not speak the protocol, or the connection broke.
    #[error("serve the disk: {0}")]
    Connection(#[from] nbd::NbdError),
    /// The power has been cut already.
    #[error("cut the disk's power: it is off already")]
    Off,
}
