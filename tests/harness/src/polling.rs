//! Waiting for several sockets at once, for the threads of the fault rigs.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, poll};

/// Waits until one of the sockets has something to read, or has ended; says which have.
pub(crate) fn wait<const N: usize>(sockets: [BorrowedFd<'_>; N]) -> io::Result<[bool; N]> {
    let mut polled = sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN));
    loop {
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(polled.map(|socket| !socket.revents().is_empty())),
        }
    }
}

/// Whether an error only says that the other end has gone, as it does when a machine's power is cut.
pub(crate) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof
    )
}
