//! What `bennud` says: to its standard error (the journal), to the kernel log, and to the console.
//!
//! The kernel log survives a panic in pstore; the console is what a person or a scenario sees. A line that
//! cannot be written is dropped: nothing is left to complain to. The journal alone is told how many it did not take, with
//! the next line that it takes: a journald that somebody stopped must not stop the agent.

use bennu_linux::kmsg::{Kmsg, Level};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// In front of each line; the scenarios look for it.
pub const PREFIX: &str = "bennud";

/// How long a line may take on a console that is busy: 115,200 baud move 22 KiB in that time, five times what the
/// kernel holds for a terminal.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines that the journal did not take, since it was last told of them.
static UNTAKEN: AtomicU64 = AtomicU64::new(0);

/// Where lines go.
pub struct Console {
    kmsg: Option<Kmsg>,
}

impl Console {
    /// Opens the kernel log, if there is one.
    pub fn open() -> Self {
        Self {
            kmsg: Kmsg::open(PREFIX).ok(),
        }
    }

    /// Says `text`. Below [`Level::Notice`] only the journal has it.
    pub fn say(&mut self, level: Level, text: &str) {
        to_journal(std::io::stderr(), &UNTAKEN, level, text);
        if level > Level::Notice {
            return;
        }
        let _lost = self.kmsg.as_mut().map(|kmsg| kmsg.log(level, text));
        let _lost = on_console(text);
    }
}

/// One line, or nothing, and then it is counted.
fn to_journal(journal: impl AsFd, untaken: &AtomicU64, level: Level, text: &str) {
    let before = untaken.swap(0, Ordering::Relaxed);
    let told = match before {
        0 => String::new(),
        lines => format!(
            "<{}>the journal took no line from bennud for a while; lines that it does not have: {lines}\n",
            Level::Warning as u8
        ),
    };
    let line = format!("{told}<{}>{text}\n", level as u8);
    if send_now(journal, line.as_bytes()).is_err() {
        untaken.fetch_add(before.saturating_add(1), Ordering::Relaxed);
    }
}

/// journald's end is a socket that is full when nobody reads it. The flag is of this call alone: O_NONBLOCK would be of
/// everybody who has the socket. What is no socket (a terminal, a file) is written as it is.
fn send_now(journal: impl AsFd, bytes: &[u8]) -> std::io::Result<()> {
    let descriptor = journal.as_fd();
    let taken = match rustix::net::send(descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::NOTSOCK) => rustix::io::write(descriptor, bytes),
        sent => sent,
    };
    match taken? {
        all if all == bytes.len() => Ok(()),
        _part => Err(ErrorKind::WriteZero.into()),
    }
}

/// Not blocking: a serial line whose other end is stopped must not stop the agent. One that is only slow gets the time
/// of [`PATIENCE`].
fn on_console(text: &str) -> std::io::Result<()> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let mut console = File::options()
        .write(true)
        .custom_flags(flags)
        .open("/dev/console")?;
    // "\r" because a serial console may be raw.
    let line = format!("{PREFIX}: {text}\r\n");
    write_within(&mut console, line.as_bytes(), PATIENCE)
}

fn write_within(console: &mut impl Write, mut bytes: &[u8], patience: Duration) -> std::io::Result<()> {
    let end = Instant::now() + patience;
    while !bytes.is_empty() {
        match console.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    /// Takes three bytes, then is busy for some calls, or for ever.
    struct Slow {
        taken: Vec<u8>,
        busy: u32,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if !self.taken.is_empty() && self.busy > 0 {
                self.busy -= 1;
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(3);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_console_gets_the_whole_line_and_a_stopped_one_is_left() {
        let mut slow = Slow {
            taken: Vec::new(),
            busy: 3,
        };
        write_within(&mut slow, b"a whole line", Duration::from_secs(5)).unwrap();
        assert_eq!(slow.taken, b"a whole line");
        let mut stopped = Slow {
            taken: Vec::new(),
            busy: u32::MAX,
        };
        let left = write_within(&mut stopped, b"a whole line", Duration::from_millis(50)).unwrap_err();
        assert_eq!(left.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_journal_that_takes_nothing_stops_nobody_and_is_told_later_what_it_did_not_take() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let untaken = AtomicU64::new(0);
        to_journal(&ours, &untaken, Level::Info, "first");
        let mut read = [0; 1 << 16];
        let length = theirs.read(&mut read).unwrap();
        assert_eq!(&read[..length], b"<6>first\n", "control");
        let line = "x".repeat(4000);
        let said = (0..10_000).take_while(|_| {
            to_journal(&ours, &untaken, Level::Info, &line);
            untaken.load(Ordering::Relaxed) < 3
        });
        assert!(said.count() < 9_999, "a full socket was noticed");
        while theirs.read(&mut read).is_ok() {}
        to_journal(&ours, &untaken, Level::Info, "again");
        let length = theirs.read(&mut read).unwrap();
        let told =
            "<4>the journal took no line from bennud for a while; lines that it does not have: 3\n<6>again\n";
        assert_eq!(String::from_utf8_lossy(&read[..length]), told);
        assert_eq!(untaken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_no_socket_gets_its_lines_as_well() {
        let file = tempfile::NamedTempFile::new().unwrap();
        to_journal(&file, &AtomicU64::new(0), Level::Error, "words");
        assert_eq!(std::fs::read(file.path()).unwrap(), b"<3>words\n");
    }
}
