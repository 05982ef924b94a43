//! A terminal that gives each key at once and shows none of them, until it is put back.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;

/// The settings that were there before; dropping it puts them back.
pub(super) struct Raw {
    terminal: File,
    before: libc::termios,
}

impl Raw {
    /// Makes a terminal raw: no echo, no lines, no signals. What was typed before is dropped.
    pub(super) fn make(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = settings(&terminal)?;
        set(&terminal, &raw(before))?;
        forget_typed(&terminal)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What was typed and not read may be a part of a key. Nobody is left to tell.
        let _stays_raw = forget_typed(&self.terminal).and_then(|()| set(&self.terminal, &self.before));
    }
}

#[allow(unsafe_code)]
fn settings(terminal: &File) -> io::Result<libc::termios> {
    let mut found = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the descriptor is open for as long as `terminal` lives; tcgetattr writes one struct termios to the
    // room that `found` has, and nothing if it fails.
    match unsafe { libc::tcgetattr(terminal.as_raw_fd(), found.as_mut_ptr()) } {
        // SAFETY: tcgetattr has succeeded, so it has written the whole struct.
        0 => Ok(unsafe { found.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// At once, not when all output is gone: a line that nobody answers must not stop PID 1.
#[allow(unsafe_code)]
fn set(terminal: &File, settings: &libc::termios) -> io::Result<()> {
    // SAFETY: the descriptor is open, and tcsetattr reads one struct termios.
    match unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, settings) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[allow(unsafe_code)]
fn forget_typed(terminal: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open; tcflush takes no pointer.
    match unsafe { libc::tcflush(terminal.as_raw_fd(), libc::TCIFLUSH) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As cfmakeraw(3), but output stays as it is: the kernel writes its lines to the same terminal.
fn raw(before: libc::termios) -> libc::termios {
    let mut settings = before;
    settings.c_iflag &= !(libc::IGNBRK
        | libc::BRKINT
        | libc::PARMRK
        | libc::ISTRIP
        | libc::INLCR
        | libc::IGNCR
        | libc::ICRNL
        | libc::IXON);
    settings.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN);
    settings.c_cc[libc::VMIN] = 1;
    settings.c_cc[libc::VTIME] = 0;
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pseudo-terminal: the end of the person, which is a terminal itself on Linux.
    fn terminal() -> File {
        File::options().read(true).write(true).open("/dev/ptmx").unwrap()
    }

    #[test]
    fn a_terminal_echoes_nothing_while_it_is_raw_and_is_put_back() {
        let terminal = terminal();
        let echo = |terminal: &File| settings(terminal).unwrap().c_lflag & (libc::ECHO | libc::ICANON);
        let before = echo(&terminal);
        assert_ne!(before, 0, "positive control");
        let raw = Raw::make(&terminal).unwrap();
        assert_eq!(echo(&terminal), 0);
        drop(raw);
        assert_eq!(echo(&terminal), before);
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(Raw::make(&file).is_err());
    }
}
