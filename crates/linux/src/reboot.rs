//! Ending this boot.
//!
//! Called by: `bennu-init` when its one `boot_action` says so, and `bennud` when it flips a slot. [`end`]
//! writes dirty data out first. A success never returns; a failure (not PID 1's namespace, no
//! `CAP_SYS_BOOT`) does, and the caller has to halt by other means.

use std::convert::Infallible;
use std::io;

use rustix::system::RebootCommand;

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Reset the machine.
    Reboot,
    /// Switch it off.
    PowerOff,
    /// Stop the processors and leave the screen as it is.
    Halt,
}

/// The machine goes on.
#[derive(Debug, thiserror::Error)]
#[error("cannot {end:?} the machine: {source}")]
pub struct RebootError {
    /// What was asked for.
    pub end: End,
    /// The kernel's answer.
    pub source: io::Error,
}

/// Writes dirty data of all file systems out. Waits for the disks.
pub fn sync() {
    rustix::fs::sync();
}

/// Writes dirty data out and ends this boot. No process is told and nothing is unmounted.
///
/// # Errors
/// [`RebootError`].
pub fn end(end: End) -> Result<Infallible, RebootError> {
    sync();
    end_at_once(end)
}

/// Ends this boot without writing anything out: for who has done so, or cannot wait for a disk.
///
/// # Errors
/// [`RebootError`].
pub fn end_at_once(end: End) -> Result<Infallible, RebootError> {
    let command = match end {
        End::Reboot => RebootCommand::Restart,
        End::PowerOff => RebootCommand::PowerOff,
        End::Halt => RebootCommand::Halt,
    };
    let source = match rustix::system::reboot(command) {
        // The kernel does not return from these for PID 1; anything that gets here did not end.
        Ok(()) => io::Error::from(io::ErrorKind::Other),
        Err(errno) => errno.into(),
    };
    Err(RebootError { end, source })
}

/// Makes Ctrl-Alt-Del a signal to PID 1 instead of an immediate reset without writing data out.
///
/// # Errors
/// The kernel's answer.
pub fn catch_ctrl_alt_del() -> io::Result<()> {
    rustix::system::reboot(RebootCommand::CadOff).map_err(io::Error::from)
}
