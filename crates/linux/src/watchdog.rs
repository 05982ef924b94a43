//! The hardware watchdog.
//!
//! Written by: `bennu-init`, which arms it first of all, so that a boot that hangs ends in a reset and
//! costs the slot a try; then systemd takes over. No watchdog is not an error, one that cannot be used
//! is.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::ioctl::{self, Updater, opcode};

/// `WDIOC_SETTIMEOUT` of linux/watchdog.h: takes and returns seconds as an int.
const SET_TIMEOUT: ioctl::Opcode = opcode::read_write::<libc::c_int>(b'W', 6);
/// The byte that announces an orderly close (Documentation/watchdog/watchdog-api.rst).
const MAGIC_CLOSE: &[u8] = b"V";

/// Why the watchdog is not in the state asked for.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum WatchdogError {
    #[error("cannot open watchdog {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("watchdog timeout of {seconds} s refused: expected 1 to 65535")]
    BadTimeout { seconds: u32 },
    #[error("cannot set the watchdog's timeout to {seconds} s: {source}")]
    SetTimeout { seconds: u32, source: io::Error },
    #[error("cannot keep the watchdog alive: {0}")]
    KeepAlive(#[source] io::Error),
    #[error("cannot stop the watchdog: {0}")]
    Stop(#[source] io::Error),
}

/// An armed watchdog. Dropping it, or dying, leaves it running: that is its purpose.
#[derive(Debug)]
pub struct Watchdog(File);

impl Watchdog {
    /// Opens, and thereby arms, `/dev/watchdog0`; none if there is no such device.
    ///
    /// # Errors
    /// [`WatchdogError::Open`], also if another process has it.
    pub fn open() -> Result<Option<Self>, WatchdogError> {
        let path = Path::new("/dev/watchdog0");
        match File::options().write(true).open(path) {
            Ok(file) => Ok(Some(Self(file))),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(WatchdogError::Open {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Sets the time after which the machine is reset; gives the time that the hardware took, in
    /// seconds.
    ///
    /// # Errors
    /// [`WatchdogError::BadTimeout`], [`WatchdogError::SetTimeout`].
    #[allow(unsafe_code)]
    pub fn set_timeout(&mut self, seconds: u32) -> Result<u32, WatchdogError> {
        if !(1..=65_535).contains(&seconds) {
            return Err(WatchdogError::BadTimeout { seconds });
        }
        let mut value = libc::c_int::try_from(seconds).map_err(|_| WatchdogError::BadTimeout { seconds })?;
        // SAFETY: WDIOC_SETTIMEOUT is _IOWR('W', 6, int): the kernel reads and writes one int, which is
        // what `value` is, and it lives until the call is over. On a file that is not a watchdog the
        // number is not used by any other driver that could be behind /dev/watchdog0.
        let result = unsafe { ioctl::ioctl(&self.0, Updater::<SET_TIMEOUT, libc::c_int>::new(&mut value)) };
        result.map_err(|errno| WatchdogError::SetTimeout {
            seconds,
            source: errno.into(),
        })?;
        Ok(u32::try_from(value).unwrap_or(seconds))
    }

    /// Starts the time anew.
    ///
    /// # Errors
    /// [`WatchdogError::KeepAlive`].
    pub fn keep_alive(&mut self) -> Result<(), WatchdogError> {
        self.0.write_all(b"\0").map_err(WatchdogError::KeepAlive)
    }

    /// Closes it and leaves it running, for the next owner to open.
    pub fn leave_armed(self) {
        drop(self.0);
    }

    /// Stops it. Hardware and kernels that are set so (`nowayout`) go on all the same.
    ///
    /// # Errors
    /// [`WatchdogError::Stop`].
    pub fn stop(mut self) -> Result<(), WatchdogError> {
        self.0.write_all(MAGIC_CLOSE).map_err(WatchdogError::Stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ioctl_number_is_that_of_linux_watchdog_h() {
        assert_eq!(SET_TIMEOUT, 0xc004_5706);
    }

    #[test]
    fn a_timeout_of_zero_is_refused_and_a_file_that_is_no_watchdog_refuses_the_ioctl() {
        let mut watchdog = Watchdog(tempfile::tempfile().unwrap());
        assert!(matches!(
            watchdog.set_timeout(0),
            Err(WatchdogError::BadTimeout { seconds: 0 })
        ));
        assert!(matches!(
            watchdog.set_timeout(60),
            Err(WatchdogError::SetTimeout { seconds: 60, .. })
        ));
    }
}
