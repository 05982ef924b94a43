//! A TPM that says nothing while the machine runs: one that hangs, or that somebody else keeps busy. A command stays on the
//! wire until it answers again; then the TPM gets it, and its answer goes to whoever still waits for it.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::channel::gone_within;

/// Between two looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the TPM says nothing, and how many commands that has met.
#[derive(Debug, Default)]
pub(super) struct Silence {
    on: AtomicBool,
    held: AtomicU32,
}

impl Silence {
    pub(super) fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    pub(super) fn held(&self) -> u32 {
        self.held.load(Ordering::SeqCst)
    }

    /// Holds a command as long as it lasts; whether the guest has gone meanwhile.
    pub(super) fn hold(&self, guest: &UnixStream) -> io::Result<bool> {
        let lasts = || self.on.load(Ordering::SeqCst);
        if lasts() {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        while lasts() {
            if gone_within(guest, LOOK)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
