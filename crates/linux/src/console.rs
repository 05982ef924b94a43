//! The consoles of this machine, all of them.
//!
//! `/dev/console` is only the preferred one; a message that a person must see goes to each. Written by:
//! `bennu-init`, when it halts. Read by: a person. A serial line that nobody answers (flow control) must
//! not stop PID 1 or keep the other consoles dark, so no write here waits for longer than it is told to.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::ioctl::{self, Getter, Opcode};

use crate::bounded::{self, ReadError};
use crate::time;

/// The kernel's list of consoles (Documentation/ABI/testing/sysfs-tty).
pub const ACTIVE: &str = "/sys/class/tty/console/active";
/// Longest list in bytes; the kernel prints at most 16 names.
const ACTIVE_LIMIT: usize = 1024;
/// Longest name in bytes: a driver's name and an index.
const NAME_LIMIT: usize = 32;
/// `TIOCGWINSZ` of asm-generic/ioctls.h: gives a `struct winsize`.
const GET_WINDOW_SIZE: Opcode = 0x5413;
/// Pause before a full line is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// Why a console was not found or not written to.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum ConsoleError {
    #[error("cannot read the list of consoles: {0}")]
    List(#[from] ReadError),
    #[error("cannot open console {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write to the console: {0}")]
    Write(#[source] io::Error),
    #[error("console takes nothing: expected {expected} bytes to go out within {seconds} s, found {written}")]
    Deadline {
        expected: usize,
        written: usize,
        seconds: u64,
    },
}

/// Name of a console's device in `/dev`, for instance `tty0` or `ttyS0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleName(String);

impl ConsoleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a screen with a keyboard (`tty0`, the one in front), not a line to somewhere else.
    #[must_use]
    pub fn is_virtual_terminal(&self) -> bool {
        self.0
            .strip_prefix("tty")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// Columns and rows of a console that knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// The active consoles in the kernel's order, the preferred one last.
///
/// # Errors
/// [`ConsoleError::List`].
pub fn active(list: &Path) -> Result<Vec<ConsoleName>, ConsoleError> {
    Ok(names(&bounded::read_text(list, ACTIVE_LIMIT)?))
}

/// The names in a list; what could not be the name of a device in `/dev` is left out.
fn names(list: &str) -> Vec<ConsoleName> {
    list.split_ascii_whitespace()
        .filter(|n| n.len() <= NAME_LIMIT && n.bytes().all(|b| b.is_ascii_alphanumeric()))
        .map(|n| ConsoleName(n.to_owned()))
        .collect()
}

/// An open console.
#[derive(Debug)]
pub struct Console {
    file: File,
    name: ConsoleName,
}

impl Console {
    /// Opens `/dev/<name>` for writing. It does not become the controlling terminal.
    ///
    /// # Errors
    /// [`ConsoleError::Open`].
    pub fn open(name: ConsoleName) -> Result<Self, ConsoleError> {
        let path = Path::new("/dev").join(name.as_str());
        let file = File::options()
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(&path)
            .map_err(|source| ConsoleError::Open { path, source })?;
        Ok(Self { file, name })
    }

    /// A stand-in, for tests.
    #[cfg(test)]
    pub(crate) fn of(file: File) -> Self {
        Self {
            file,
            name: ConsoleName("test".into()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ConsoleName {
        &self.name
    }

    /// Its size; `None` where the kernel does not know it, as on a serial line.
    #[must_use]
    pub fn window_size(&self) -> Option<WindowSize> {
        window_size(&self.file)
    }

    /// Writes a text and waits for at most `limit`.
    ///
    /// # Errors
    /// [`ConsoleError::Deadline`] when it took only a part; [`ConsoleError::Write`].
    pub fn write_within(&mut self, text: &str, limit: Duration) -> Result<(), ConsoleError> {
        write_within(&mut self.file, text.as_bytes(), limit)
    }
}

#[allow(unsafe_code)]
fn window_size(file: &File) -> Option<WindowSize> {
    // SAFETY: TIOCGWINSZ writes one struct winsize (four unsigned shorts), for which `Getter` keeps room, and
    // reads nothing. A file that is not a terminal refuses the number.
    let size = unsafe { ioctl::ioctl(file, Getter::<GET_WINDOW_SIZE, libc::winsize>::new()) }.ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(WindowSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}

fn write_within(sink: &mut impl Write, bytes: &[u8], limit: Duration) -> Result<(), ConsoleError> {
    let deadline = time::monotonic() + limit;
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err(ConsoleError::Write(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(error) => return Err(ConsoleError::Write(error)),
        }
        if written < bytes.len() && time::monotonic() >= deadline {
            return Err(ConsoleError::Deadline {
                expected: bytes.len(),
                written,
                seconds: limit.as_secs(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_kernels_list_gives_the_consoles_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("active");
        std::fs::write(&list, "tty0 ttyS0\n").unwrap();
        let found = active(&list).unwrap();
        let names: Vec<&str> = found.iter().map(ConsoleName::as_str).collect();
        assert_eq!(names, ["tty0", "ttyS0"]);
        assert!(found[0].is_virtual_terminal() && !found[1].is_virtual_terminal());
        assert!(matches!(
            active(&dir.path().join("none")),
            Err(ConsoleError::List(error)) if error.is_absent()
        ));
    }

    #[test]
    fn a_window_size_is_given_by_terminals_that_know_one_and_by_nothing_else() {
        assert_eq!(window_size(&tempfile::tempfile().unwrap()), None);
        // A new pseudo-terminal has 0 columns and 0 rows, as a serial line has.
        let terminal = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        assert_eq!(window_size(&terminal), None);
        let known = libc::winsize {
            ws_row: 48,
            ws_col: 128,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        set_window_size(&terminal, known);
        assert_eq!(
            window_size(&terminal),
            Some(WindowSize {
                columns: 128,
                rows: 48
            })
        );
    }

    /// TIOCSWINSZ of asm-generic/ioctls.h.
    #[allow(unsafe_code)]
    fn set_window_size(terminal: &File, size: libc::winsize) {
        const SET_WINDOW_SIZE: Opcode = 0x5414;
        // SAFETY: TIOCSWINSZ reads one struct winsize, which is what `Setter` passes.
        unsafe {
            ioctl::ioctl(
                terminal,
                ioctl::Setter::<SET_WINDOW_SIZE, libc::winsize>::new(size),
            )
        }
        .unwrap();
    }

    #[test]
    fn a_console_that_takes_nothing_ends_the_write_at_its_deadline_and_one_that_does_gets_all() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        write_within(&mut ours, b"screen", Duration::from_secs(5)).unwrap();
        let mut got = [0; 6];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"screen");

        let much = vec![b'x'; 8 << 20];
        let refused = write_within(&mut ours, &much, Duration::from_millis(100));
        assert!(
            matches!(refused, Err(ConsoleError::Deadline { expected, written, .. })
                if expected == much.len() && written < expected),
            "{refused:?}"
        );
    }

    #[test]
    fn a_console_that_hangs_up_is_an_error_not_a_wait() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        drop(theirs);
        let refused = write_within(&mut ours, b"screen", Duration::from_secs(60));
        assert!(matches!(refused, Err(ConsoleError::Write(_))), "{refused:?}");
    }

    proptest! {
        #[test]
        fn no_list_gives_a_name_that_leads_out_of_dev(list in "\\PC{0,100}|[a-z0-9./ ]{0,60}") {
            for name in names(&list) {
                prop_assert!(!name.as_str().is_empty() && name.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
            }
        }
    }
}
