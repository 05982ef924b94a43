//! Carrying command bytes to a TPM and response bytes back.
//!
//! [`Device`] is the kernel's character device: `/dev/tpmrm0` (resource manager; sessions and objects vanish
//! when it is closed) or `/dev/tpm0`. A transport neither reads nor trusts what it carries.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use crate::error::TransportError;
use crate::wire::MAX_FRAME;

#[cfg(any(test, feature = "fake"))]
mod record;
#[cfg(any(test, feature = "fake"))]
mod socket;
#[cfg(any(test, feature = "fake"))]
pub use record::{Exchange, Recorder};
#[cfg(any(test, feature = "fake"))]
pub use socket::Socket;

/// A way to one TPM.
pub trait Transport {
    /// Sends one whole command and gives the whole response, each at most [`MAX_FRAME`] bytes.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when the bytes cannot be carried. The state of the TPM is then unknown.
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transact(command)
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transact(command)
    }
}

pub(crate) fn check_length(found: usize) -> Result<(), TransportError> {
    if found <= MAX_FRAME {
        Ok(())
    } else {
        Err(TransportError::TooLong {
            limit: MAX_FRAME,
            found,
        })
    }
}

/// A TPM character device.
#[derive(Debug)]
pub struct Device {
    file: File,
}

impl Device {
    /// Opens `/dev/tpmrm0` or another TPM device node.
    ///
    /// # Errors
    ///
    /// [`TransportError::Open`].
    pub fn open(path: &Path) -> Result<Self, TransportError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| TransportError::Open {
                path: path.display().to_string(),
                source,
            })?;
        Ok(Self { file })
    }
}

impl Transport for Device {
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        check_length(command.len())?;
        // The driver takes a command in one write only and runs it there. An interrupted write is not
        // repeated: whether the TPM has run the command is not known.
        let taken = self.file.write(command).map_err(|source| TransportError::Write {
            size: command.len(),
            source,
        })?;
        if taken != command.len() {
            return Err(TransportError::ShortWrite {
                expected: command.len(),
                found: taken,
            });
        }
        let mut response = vec![0; MAX_FRAME];
        loop {
            match self.file.read(&mut response) {
                Ok(size) => {
                    response.truncate(size);
                    return Ok(response);
                }
                Err(source) if source.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(TransportError::Read { source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_an_open_error() {
        let error = Device::open(Path::new("/nonexistent/tpmrm0")).unwrap_err();
        assert!(
            matches!(error, TransportError::Open { ref source, .. } if source.kind() == ErrorKind::NotFound)
        );
        assert!(Device::open(Path::new("/dev/null")).is_ok());
    }

    #[test]
    fn an_oversized_command_is_not_sent() {
        let mut device = Device::open(Path::new("/dev/null")).unwrap();
        let error = device.transact(&[0; MAX_FRAME + 1]).unwrap_err();
        assert!(
            matches!(error, TransportError::TooLong { limit: MAX_FRAME, found } if found == MAX_FRAME + 1)
        );
        assert!(device.transact(&[0; MAX_FRAME]).is_ok());
    }
}
