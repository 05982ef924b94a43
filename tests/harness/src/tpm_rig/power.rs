//! The TPM's own power while the machine runs: what a reset pin on a mainboard, or a sleep that nobody asked for, does.
//!
//! swtpm takes `_TPM_Init` as `CMD_INIT` on its control channel (`swtpm_ioctls(3)`), which the proxy's control thread owns;
//! the commands around it go over the data channel. So the data thread asks the control thread and waits for its word.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::channel::{receive, send};
use super::command::{NO_SESSIONS, TpmCommand, message};

/// `CMD_INIT` with no flags: what is volatile is gone.
const INIT: [u8; 8] = [0, 0, 0, 2, 0, 0, 0, 0];
/// Length of its answer: a code.
const INIT_ANSWER: usize = 4;
/// TPM_SU_CLEAR and TPM_SU_STATE (TPM 2.0 part 2, 6.10).
const CLEAR: [u8; 2] = [0, 0];
const STATE: [u8; 2] = [0, 1];
/// How long swtpm has for it.
const WITHIN: Duration = Duration::from_secs(20);

/// What happens to the TPM between two commands of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TpmPower {
    /// It loses its power and starts anew: PCRs as after power-on, reset count one higher.
    Reset,
    /// It saves its state, loses its power and goes on: PCRs kept, restart count one higher.
    Resume,
}

impl TpmPower {
    /// To send before the power goes.
    pub(super) fn before(self) -> Option<Vec<u8>> {
        (self == Self::Resume).then(|| message(NO_SESSIONS, TpmCommand::SHUTDOWN.0, &STATE))
    }

    /// To send when it is back.
    pub(super) fn after(self) -> Vec<u8> {
        let kind = match self {
            Self::Reset => CLEAR,
            Self::Resume => STATE,
        };
        message(NO_SESSIONS, TpmCommand::STARTUP.0, &kind)
    }
}

/// What was asked for, and the way to the control thread.
#[derive(Debug)]
pub(super) struct Power {
    asked: Mutex<Option<TpmPower>>,
    done: Mutex<u32>,
    control: UnixStream,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Power {
    /// Nothing asked for; the second is the control thread's end.
    pub(super) fn new() -> io::Result<(Self, UnixStream)> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_read_timeout(Some(WITHIN))?;
        let power = Self {
            asked: Mutex::default(),
            done: Mutex::default(),
            control,
        };
        Ok((power, theirs))
    }

    pub(super) fn ask(&self, what: TpmPower) {
        *lock(&self.asked) = Some(what);
    }

    pub(super) fn take(&self) -> Option<TpmPower> {
        lock(&self.asked).take()
    }

    pub(super) fn count(&self) {
        *lock(&self.done) += 1;
    }

    pub(super) fn done(&self) -> u32 {
        *lock(&self.done)
    }

    /// Has the control thread initialise the TPM, and waits for it.
    pub(super) fn initialise(&self) -> io::Result<()> {
        (&self.control).write_all(&[1])?;
        let mut answer = [1];
        (&self.control).read_exact(&mut answer)?;
        match answer {
            [0] => Ok(()),
            _ => Err(io::Error::other("swtpm refused CMD_INIT")),
        }
    }
}

/// The control thread's part.
pub(super) fn initialise(swtpm: &UnixStream, asking: &UnixStream) -> io::Result<()> {
    let mut asked = [0];
    (&*asking).read_exact(&mut asked)?;
    send(swtpm, &INIT, None)?;
    let mut answer = [1; INIT_ANSWER];
    let (length, _) = receive(swtpm, &mut answer)?;
    let good = length == INIT_ANSWER && answer == [0; INIT_ANSWER];
    (&*asking).write_all(&[u8::from(!good)])
}
