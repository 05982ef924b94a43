//! A line that a person types on one of the consoles: whichever it comes from.
//!
//! Read by: `bennu-init`, when it asks for a PIN, a recovery key or the words of a factory reset. What arrives is
//! untrusted: a line has a greatest length, and everything ends after a time, so that a machine with nobody in front
//! of it goes on. Nothing of what is typed is shown but a `*` for each character, and each copy is zeroised. On
//! failure: a console that cannot be used is passed over; with none left the answer is [`Typed::Nothing`].

mod editor;
mod terminal;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::{Zeroize as _, Zeroizing};

use crate::console::{Console, ConsoleError, ConsoleName};
use crate::time;
use editor::{Editor, Key};
use terminal::Raw;

pub use editor::LINE_LIMIT;

/// How long a console may take for one message.
const MESSAGE_TIME: Duration = Duration::from_secs(5);
/// Bytes that are read at once.
const PIECE: usize = 64;

/// Consoles that show nothing of what is typed, and whose keys raise no signal, until this is dropped.
pub struct Hushed {
    _consoles: Vec<Raw>,
}

/// Makes these consoles show nothing. What is no terminal echoes nothing by itself and is passed over, as is what
/// cannot be opened: it will not be asked either.
#[must_use]
pub fn hush(names: Vec<ConsoleName>) -> Hushed {
    let raw = |name| Raw::make(&open_for_both(name).ok()?).ok();
    Hushed {
        _consoles: names.iter().filter_map(raw).collect(),
    }
}

fn open_for_both(name: &ConsoleName) -> Result<File, ConsoleError> {
    let path = Path::new("/dev").join(name.as_str());
    File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(&path)
        .map_err(|source| ConsoleError::Open { path, source })
}

/// What was typed.
pub enum Typed {
    /// A line that is not empty, without its end, at most [`LINE_LIMIT`] bytes.
    Line(Zeroizing<Vec<u8>>),
    /// More than [`LINE_LIMIT`] bytes.
    TooLong,
    /// Ctrl-C or Ctrl-D: somebody is there and types nothing.
    Declined,
    /// Nobody typed, or nobody finished in time, or no console is left.
    Nothing,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without any key.
    pub silence: Duration,
    /// For the whole line.
    pub line: Duration,
}

/// Consoles that are asked together.
pub struct Asked {
    consoles: Vec<One>,
}

struct One {
    keys: File,
    screen: Console,
    line: Editor,
    _raw: Option<Raw>,
}

impl Asked {
    /// Opens these consoles for both directions: keys come as they are typed and are not echoed. What was typed
    /// before is dropped. Gives besides what cannot be used, and why.
    #[must_use]
    pub fn open(names: Vec<ConsoleName>) -> (Self, Vec<ConsoleError>) {
        let mut consoles = Vec::new();
        let mut errors = Vec::new();
        for name in names {
            match One::open(name) {
                Ok(one) => consoles.push(one),
                Err(error) => errors.push(error),
            }
        }
        (Self { consoles }, errors)
    }

    /// Writes a text on every console. One that takes nothing is passed over.
    pub fn say(&mut self, text: &str) {
        for one in &mut self.consoles {
            // There may be nobody: another console has its turn all the same.
            let _not_listening = one.screen.write_within(text, MESSAGE_TIME);
        }
    }

    /// Whether no console is left to be heard.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.consoles.is_empty()
    }

    /// Waits for a line from any of them.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn line(&mut self, patience: Patience) -> io::Result<Typed> {
        for one in &mut self.consoles {
            one.line = Editor::default();
        }
        let end = time::monotonic() + patience.line;
        let mut quiet_until = time::monotonic() + patience.silence;
        loop {
            let left = end.min(quiet_until).saturating_sub(time::monotonic());
            if left.is_zero() || self.consoles.is_empty() {
                return Ok(Typed::Nothing);
            }
            let ready = self.wait(left)?;
            if ready.iter().any(|ready| *ready) {
                quiet_until = time::monotonic() + patience.silence;
            }
            let mut at = 0;
            for ready in ready {
                match ready.then(|| self.consoles[at].take()) {
                    None | Some(Heard::More) => at += 1,
                    Some(Heard::Gone) => drop(self.consoles.remove(at)),
                    Some(Heard::Answer(typed)) => return Ok(typed),
                }
            }
        }
    }

    /// Which consoles have something to read, or are gone.
    fn wait(&self, most: Duration) -> io::Result<Vec<bool>> {
        let mut waiting: Vec<PollFd<'_>> = self
            .consoles
            .iter()
            .map(|one| PollFd::new(&one.keys, PollFlags::IN))
            .collect();
        let most = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: most.subsec_nanos().into(),
        };
        match poll(&mut waiting, Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(waiting.iter().map(|one| !one.revents().is_empty()).collect())
    }
}

/// What one console said.
enum Heard {
    More,
    Gone,
    Answer(Typed),
}

impl One {
    fn open(name: ConsoleName) -> Result<Self, ConsoleError> {
        Ok(Self::of(open_for_both(&name)?, Console::open(name)?))
    }

    fn of(keys: File, screen: Console) -> Self {
        // What is no terminal (a hypervisor's console) is read as it is.
        let raw = Raw::make(&keys).ok();
        Self {
            keys,
            screen,
            line: Editor::default(),
            _raw: raw,
        }
    }

    fn take(&mut self) -> Heard {
        let mut piece = [0; PIECE];
        let heard = match self.keys.read(&mut piece) {
            Ok(0) => Heard::Gone,
            Ok(count) => self.keys_typed(&piece[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Heard::More
            }
            Err(_) => Heard::Gone,
        };
        piece.zeroize();
        heard
    }

    /// What comes behind the end of a line is dropped: it was typed before the next question.
    fn keys_typed(&mut self, bytes: &[u8]) -> Heard {
        for byte in bytes {
            let typed = match self.line.key(*byte) {
                Key::Nothing => continue,
                Key::Echo(text) => {
                    // A star that a busy line does not take is no loss.
                    let _lost = self.keys.write(text.as_bytes());
                    continue;
                }
                Key::End => match self.line.take() {
                    Some(line) if line.is_empty() => continue,
                    Some(line) => Typed::Line(line),
                    None => Typed::TooLong,
                },
                Key::Decline => Typed::Declined,
            };
            let _lost = self.keys.write(b"\r\n");
            return Heard::Answer(typed);
        }
        Heard::More
    }
}

#[cfg(test)]
mod tests;
