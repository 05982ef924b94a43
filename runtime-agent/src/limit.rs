//! Time limits: no act that hangs keeps the next one from being taken.
//!
//! A system call that the kernel does not come back from cannot be taken back, so an act runs in a thread of its own,
//! which is left behind when its time is over; what it was given stays with it until it comes back, if it ever does.
//! Meanwhile the watchdog is told that `bennud` lives, since it does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two words to the watchdog.
const BREATH: Duration = Duration::from_secs(1);

/// For whatever the TPM is asked in one go: four looks at three banks of a discrete one take 5 s. Below `WatchdogSec=` of the
/// unit, because not everybody who asks tells the watchdog.
pub const TPM_LIMIT: Duration = Duration::from_secs(15);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Late {
    /// Its time is over; it may still end.
    #[error("timed out after {limit_ms} ms")]
    TimedOut {
        /// Limit.
        limit_ms: u128,
    },
    /// An earlier act did not come back yet with what this one needs.
    #[error("timed out: an earlier act has not come back")]
    Away,
    /// It ended without a result.
    #[error("the act ended without a result")]
    Ended,
}

/// What a thread does.
type Work = Box<dyn FnOnce() + Send>;

/// Runs `act`, for at most `limit`; `alive` is called before and while it runs. Where no thread is to be had, which root
/// can see to, it runs here and without a limit: better than not at all.
///
/// # Errors
/// [`Late`].
pub fn within<R: Send + 'static>(
    limit: Duration,
    alive: &mut dyn FnMut(),
    act: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Late> {
    let spawn = |work: Work| {
        let thread = std::thread::Builder::new().name("act".to_owned());
        // Never joined: it may hang.
        thread.spawn(work).map(drop)
    };
    within_by(spawn, limit, alive, act)
}

fn within_by<R: Send + 'static>(
    spawn: impl FnOnce(Work) -> std::io::Result<()>,
    limit: Duration,
    alive: &mut dyn FnMut(),
    act: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Late> {
    alive();
    let (sender, receiver) = channel();
    let act = Arc::new(Mutex::new(Some(act)));
    let theirs = Arc::clone(&act);
    let work = move || {
        if let Some(act) = taken(&theirs) {
            // Nobody listens any more when the time is over.
            let _unheard = sender.send(act());
        }
    };
    match spawn(Box::new(work)) {
        Ok(()) => wait(&receiver, limit, alive),
        Err(_) => taken(&act).map(|act| act()).ok_or(Late::Ended),
    }
}

fn open<T>(place: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    // Whoever panicked had it taken out: the place is empty or whole.
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn taken<T>(place: &Mutex<Option<T>>) -> Option<T> {
    open(place).take()
}

fn wait<R>(receiver: &Receiver<R>, limit: Duration, alive: &mut dyn FnMut()) -> Result<R, Late> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(BREATH)) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Disconnected) => return Err(Late::Ended),
            Err(RecvTimeoutError::Timeout) if left > BREATH => alive(),
            Err(RecvTimeoutError::Timeout) => {
                return Err(Late::TimedOut {
                    limit_ms: limit.as_millis(),
                });
            }
        }
    }
}

/// Something that acts with a time limit borrow, one at a time: the TPM's key, the record log.
pub struct Lent<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Lent<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> Lent<T> {
    /// To be lent.
    pub fn new(what: T) -> Self {
        Self(Arc::new(Mutex::new(Some(what))))
    }

    /// Puts another in its place; one that is away stays away.
    pub fn replace(&mut self, with: T) {
        self.0 = Arc::new(Mutex::new(Some(with)));
    }

    /// Runs `act` with it, for at most `limit`. When the time is over it comes back as soon as the act ends.
    ///
    /// # Errors
    /// [`Late`].
    pub fn lend<R: Send + 'static>(
        &self,
        limit: Duration,
        alive: &mut dyn FnMut(),
        act: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, Late> {
        let mut what = taken(&self.0).ok_or(Late::Away)?;
        let home = Arc::clone(&self.0);
        within(limit, alive, move || {
            let done = act(&mut what);
            *open(&home) = Some(what);
            done
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    fn hang(until: &Arc<AtomicBool>) {
        while !until.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_act_that_hangs_times_out_and_the_next_one_is_taken() {
        let go = Arc::new(AtomicBool::new(false));
        let there = Arc::clone(&go);
        let late = within(SHORT, &mut || (), move || hang(&there));
        assert!(matches!(late, Err(Late::TimedOut { limit_ms: 20 })), "{late:?}");
        assert_eq!(late.unwrap_err().to_string(), "timed out after 20 ms");
        assert_eq!(within(LONG, &mut || (), || 7).unwrap(), 7);
        go.store(true, Ordering::Relaxed);
    }

    #[test]
    fn without_a_thread_the_act_is_taken_all_the_same_and_nothing_that_was_lent_is_lost() {
        let none = |_: Work| Err(std::io::Error::from(std::io::ErrorKind::WouldBlock));
        assert_eq!(within_by(none, SHORT, &mut || (), || 7).unwrap(), 7);
    }

    #[test]
    fn the_watchdog_hears_of_an_act_that_takes_long() {
        let mut told = 0;
        let done = within(LONG, &mut || told += 1, || std::thread::sleep(BREATH * 2 + SHORT));
        assert!(done.is_ok() && told >= 1, "{told}");
    }

    #[test]
    fn an_act_that_panics_gives_no_result_and_holds_nothing_up() {
        let late = within(LONG, &mut || (), || {
            // The words of this panic are part of the test's output.
            assert!(std::hint::black_box(false), "as intended");
        });
        assert!(matches!(late, Err(Late::Ended)), "{late:?}");
    }

    #[test]
    fn what_is_lent_to_an_act_that_hangs_is_away_until_it_comes_back() {
        let lent = Lent::new(1);
        let go = Arc::new(AtomicBool::new(false));
        let there = Arc::clone(&go);
        let late = lent.lend(SHORT, &mut || (), move |what| {
            hang(&there);
            *what += 1;
        });
        assert!(matches!(late, Err(Late::TimedOut { .. })), "{late:?}");
        assert!(matches!(lent.lend(SHORT, &mut || (), |_| ()), Err(Late::Away)));
        go.store(true, Ordering::Relaxed);
        let found = loop {
            if let Ok(found) = lent.lend(LONG, &mut || (), |what| *what) {
                break found;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(found, 2);
        let mut other = lent.clone();
        other.replace(9);
        assert_eq!(other.lend(LONG, &mut || (), |what| *what).unwrap(), 9);
    }
}
