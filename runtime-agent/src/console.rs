//! What `bennud` says: to its standard error (the journal), to the kernel log, and to the console.
//!
//! The kernel log survives a panic in pstore; the console is what a person or a scenario sees. A line that
//! cannot be written is dropped: nothing is left to complain to.

use bennu_linux::kmsg::{Kmsg, Level};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

/// In front of each line; the scenarios look for it.
pub const PREFIX: &str = "bennud";

/// How long a line may take on a console that is busy: 115,200 baud move 22 KiB in that time, five times what the
/// kernel holds for a terminal.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

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
        let _lost = writeln!(std::io::stderr(), "<{}>{text}", level as u8);
        if level > Level::Notice {
            return;
        }
        let _lost = self.kmsg.as_mut().map(|kmsg| kmsg.log(level, text));
        let _lost = on_console(text);
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
}
