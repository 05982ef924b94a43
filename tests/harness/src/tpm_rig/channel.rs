//! The two channels between QEMU and swtpm, as bytes and descriptors.
//!
//! Source: swtpm 0.7, `swtpm_ioctls(3)`: QEMU sends `CMD_SET_DATAFD` on the control channel, with one end of a
//! socket pair as ancillary data, and speaks TPM commands on the other end. Nothing else on the control
//! channel carries a descriptor, so its commands need not be understood to be passed on.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::command::HEADER;

/// Largest command and response of the TPM interfaces that QEMU has, in bytes (`tpm-crb`: 3968).
const LARGEST: usize = 4096;

/// Reads what is there, at most the buffer's length, and a descriptor that came with it. 0 bytes: the end.
pub(crate) fn receive(socket: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptor = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last();
        }
    }
    Ok((received.bytes, descriptor))
}

/// Sends all of `bytes`, the descriptor with the first of them.
pub(crate) fn send(socket: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("one descriptor does not fit its buffer"));
    }
    let sent = loop {
        match sendmsg(
            socket,
            &[IoSlice::new(bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut rest = socket;
    rest.write_all(&bytes[sent..])
}

/// One TPM message, as long as its header says; `None` at the channel's end.
///
/// A guest's header may say anything: a message that claims less than a header or more than QEMU can send is
/// passed on as it came.
pub(crate) fn read_message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; LARGEST];
    let mut filled = 0;
    loop {
        let wanted = match buffer[..filled].get(2..6) {
            Some(size) if filled >= HEADER => {
                let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
                size.min(LARGEST)
            }
            _ => HEADER,
        };
        if filled >= wanted {
            return Ok(Some(buffer[..filled].to_vec()));
        }
        // Without MSG_WAITALL: QEMU and swtpm wait for each other, so no two messages are ever in the channel.
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(None),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for `time`, or less if the other end goes; whether it has gone.
pub(crate) fn gone_within(socket: &UnixStream, time: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::RDHUP)];
    match poll(&mut polled, Some(&timeout)) {
        Err(error) => Err(error.into()),
        Ok(ready) => Ok(ready > 0),
    }
}
