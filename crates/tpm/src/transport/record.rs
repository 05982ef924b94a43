//! For tests: what a sniffer on the TPM's bus would see.

use super::Transport;
use crate::error::TransportError;

/// One command and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Bytes sent to the TPM.
    pub command: Vec<u8>,
    /// Bytes it answered.
    pub response: Vec<u8>,
}

/// A transport that keeps a copy of everything it carries.
#[derive(Debug)]
pub struct Recorder<T> {
    inner: T,
    exchanges: Vec<Exchange>,
}

impl<T> Recorder<T> {
    /// Records what goes through `inner`.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            exchanges: Vec::new(),
        }
    }

    /// Everything carried since the last [`Recorder::clear`].
    #[must_use]
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// Forgets what was recorded.
    pub fn clear(&mut self) {
        self.exchanges.clear();
    }
}

impl<T: Transport> Transport for Recorder<T> {
    fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let response = self.inner.transact(command)?;
        self.exchanges.push(Exchange {
            command: command.to_vec(),
            response: response.clone(),
        });
        Ok(response)
    }
}
