//! Memory that holds secrets.
//!
//! Used by: `bennu-init` before it unseals. Locked memory is never written to a swap device; secrets
//! are wiped when dropped and cannot be printed.

use std::io;

use rustix::mm::MlockAllFlags;
use rustix::process::DumpableBehavior;
use zeroize::{Zeroize, Zeroizing};

/// Why memory is not protected.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// `mlockall(2)` failed.
    #[error("cannot lock this process's memory: {0}")]
    Lock(#[source] io::Error),
    /// `prctl(PR_SET_DUMPABLE)` failed.
    #[error("cannot forbid core dumps of this process: {0}")]
    CoreDumps(#[source] io::Error),
}

/// Locks all present and future memory of this process. The lock ends with exec.
///
/// # Errors
/// [`MemoryError::Lock`].
pub fn lock_all() -> Result<(), MemoryError> {
    rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
        .map_err(|errno| MemoryError::Lock(errno.into()))
}

/// Forbids core dumps, and ptrace by processes without `CAP_SYS_PTRACE`. Ends with exec.
///
/// # Errors
/// [`MemoryError::CoreDumps`].
pub fn forbid_core_dumps() -> Result<(), MemoryError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| MemoryError::CoreDumps(errno.into()))
}

/// Overwrites bytes with zeros in a way that the compiler does not leave out.
pub fn zeroise(bytes: &mut [u8]) {
    bytes.zeroize();
}

/// Bytes that are wiped when dropped. No `Debug`, no `Clone`, no `PartialEq`: it cannot be printed,
/// copied unseen or compared in variable time. It never grows, so no copy is left behind.
pub struct SecretBytes(Zeroizing<Box<[u8]>>);

impl SecretBytes {
    /// Takes a copy of the bytes and wipes the original.
    #[must_use]
    pub fn take(source: &mut [u8]) -> Self {
        let secret = Self(Zeroizing::new(Box::from(&*source)));
        source.zeroize();
        secret
    }

    /// The bytes, named so that each use is seen in review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_a_secret_wipes_the_original_and_keeps_the_bytes() {
        let mut original = *b"volume key";
        let secret = SecretBytes::take(&mut original);
        assert_eq!(secret.expose(), b"volume key");
        assert_eq!(original, [0; 10]);
    }
}
