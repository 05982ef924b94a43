//! For tests: the raw command protocol of `swtpm socket --server type=unixio|tcp`. Commands and responses
//! follow each other without framing; the size in the TPM header tells where a response ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Transport, check_length};
use crate::error::TransportError;

/// A software TPM that answers later than this has died.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a TPM response header: tag, size, code (Part 1, 18.1).
const HEADER: usize = 10;

/// A connection to a software TPM.
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
}

impl Socket<UnixStream> {
    /// Connects to a Unix socket.
    ///
    /// # Errors
    ///
    /// [`TransportError::Open`].
    pub fn unix(path: &Path) -> Result<Self, TransportError> {
        let open = |source| TransportError::Open {
            path: path.display().to_string(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(open)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(open)?;
        Ok(Self { stream })
    }
}

impl Socket<TcpStream> {
    /// Connects to a TCP port of this machine.
    ///
    /// # Errors
    ///
    /// [`TransportError::Open`].
    pub fn tcp(port: u16) -> Result<Self, TransportError> {
        let open = |source| TransportError::Open {
            path: format!("127.0.0.1:{port}"),
            source,
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(open)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(open)?;
        Ok(Self { stream })
    }
}

impl<S: Read + Write> Transport for Socket<S> {
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        check_length(command.len())?;
        let size = command.len();
        self.stream
            .write_all(command)
            .map_err(|source| TransportError::Write { size, source })?;
        let mut response = vec![0; HEADER];
        self.stream
            .read_exact(&mut response)
            .map_err(|source| TransportError::Read { source })?;
        let size = u32::from_be_bytes([response[2], response[3], response[4], response[5]]);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        check_length(size)?;
        response.resize(size.max(HEADER), 0);
        self.stream
            .read_exact(&mut response[HEADER..])
            .map_err(|source| TransportError::Read { source })?;
        Ok(response)
    }
}
