//! Bytes on their way from the thread that makes them to the one that writes them.
//!
//! [`Sink`] gathers them in buffers of 1 MiB and hands full ones over; [`Source`] writes them out and
//! hands the empty ones back. Either end going away stops the other.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::WriteError;
use crate::tree::{ContentError, ContentReader};

/// Bytes of a buffer: large enough that calls cost nothing, small enough to stay in the cache between
/// the reading and the writing of it.
const BUFFER_LEN: usize = 1 << 20;
/// Full buffers waiting at most; two more are being filled and written.
const QUEUE: usize = 2;

/// The two ends.
pub(super) fn pipe() -> (Sink, Source) {
    let (full, filled) = sync_channel(QUEUE);
    let (empty, emptied) = channel();
    (
        Sink {
            buffer: vec![0; BUFFER_LEN],
            used: 0,
            sent: 0,
            full,
            emptied,
        },
        Source { filled, empty },
    )
}

/// A buffer and how much of it counts.
type Filled = (Vec<u8>, usize);

/// Where the image is made.
pub(super) struct Sink {
    buffer: Vec<u8>,
    used: usize,
    sent: u64,
    full: SyncSender<Filled>,
    emptied: Receiver<Vec<u8>>,
}

/// Why making the image ends early.
#[derive(Debug)]
pub(super) enum SinkError {
    /// The other end is gone; it has the error to report.
    Stopped,
    /// Something to report.
    Failed(WriteError),
}

impl From<WriteError> for SinkError {
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

impl From<ContentError> for SinkError {
    fn from(error: ContentError) -> Self {
        Self::Failed(error.into())
    }
}

impl Sink {
    /// Bytes of the image made so far.
    pub(super) fn position(&self) -> u64 {
        self.sent + self.used as u64
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), SinkError> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.used += count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Zeros up to `position` of the image.
    pub(super) fn pad_to(&mut self, position: u64) -> Result<(), SinkError> {
        let missing = position.checked_sub(self.position()).ok_or(WriteError::Overrun {
            position: self.position(),
            expected: position,
        })?;
        self.each_space(missing, |space, _| {
            space.fill(0);
            Ok(())
        })
    }

    /// `len` bytes of `content` from `offset` on, read straight into the buffer.
    pub(super) fn copy(
        &mut self,
        content: &ContentReader<'_>,
        offset: u64,
        len: u64,
    ) -> Result<(), SinkError> {
        self.each_space(
            len,
            |space, done| Ok(content.read_exact_at(space, offset + done)?),
        )
    }

    /// Hands over what is left.
    pub(super) fn finish(mut self) -> Result<(), SinkError> {
        self.hand_over()
    }

    fn each_space(
        &mut self,
        len: u64,
        mut fill: impl FnMut(&mut [u8], u64) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let mut done = 0;
        while done < len {
            let space = self.space()?;
            let count = space.len().min(usize::try_from(len - done).unwrap_or(usize::MAX));
            fill(&mut space[..count], done)?;
            self.used += count;
            done += count as u64;
        }
        Ok(())
    }

    /// The free part of the buffer, never empty.
    fn space(&mut self) -> Result<&mut [u8], SinkError> {
        if self.used == self.buffer.len() {
            self.hand_over()?;
        }
        Ok(&mut self.buffer[self.used..])
    }

    fn hand_over(&mut self) -> Result<(), SinkError> {
        let next = self.emptied.try_recv().unwrap_or_else(|_| vec![0; BUFFER_LEN]);
        let full = std::mem::replace(&mut self.buffer, next);
        self.full
            .send((full, self.used))
            .map_err(|_| SinkError::Stopped)?;
        self.sent += self.used as u64;
        self.used = 0;
        Ok(())
    }
}

/// Where the image goes out.
pub(super) struct Source {
    filled: Receiver<Filled>,
    empty: Sender<Vec<u8>>,
}

impl Source {
    /// Writes all buffers until the sink is gone.
    pub(super) fn drain_to<W: Write + ?Sized>(
        self,
        out: &mut W,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), WriteError> {
        let mut offset = 0;
        for (buffer, used) in &self.filled {
            out.write_all(&buffer[..used])
                .map_err(|source| WriteError::Output { offset, source })?;
            offset += used as u64;
            progress(offset);
            // The sink may be done and gone; then nobody needs the buffer.
            self.empty.send(buffer).ok();
        }
        Ok(())
    }
}
