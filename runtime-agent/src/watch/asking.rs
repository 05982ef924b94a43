//! The watch's way to the TPM, with a time limit: one that says nothing must not keep everything else from being watched.
//!
//! The kernel waits two minutes for each answer (`TPM2_DURATION_DEFAULT`, drivers/char/tpm/tpm.h, Linux 6.12), twice as
//! long as the unit's watchdog, and whoever asks meanwhile waits behind that, readers of PCRs in sysfs as well. So each
//! subject asks in a thread of its own, one at a time. An answer that comes late is looked at when it comes: whoever keeps
//! the TPM busy hides nothing in it.

use crate::limit::{Late, TPM_LIMIT, within};
use bennu_linux::time;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

/// For a question that waits behind another one, which has had its time.
const BEHIND: Duration = Duration::from_secs(1);
/// What is said of a TPM that says nothing: the same as long as that lasts.
const SILENT: &str = "the TPM does not answer in time";

/// What all subjects that ask the TPM share.
#[derive(Debug, Clone)]
pub struct Tpm {
    limit: Duration,
    /// Questions without an answer.
    unanswered: Arc<AtomicUsize>,
    /// What asking has cost on a processor since that was last taken, microseconds.
    cost_us: Arc<AtomicU64>,
}

impl Default for Tpm {
    fn default() -> Self {
        Self::within(TPM_LIMIT)
    }
}

impl Tpm {
    /// With another limit.
    pub fn within(limit: Duration) -> Self {
        Self {
            limit,
            unanswered: Arc::default(),
            cost_us: Arc::default(),
        }
    }

    /// What asking has cost on a processor since this was last called.
    pub fn take_cost(&self) -> Duration {
        Duration::from_micros(self.cost_us.swap(0, Ordering::Relaxed))
    }

    fn limit_now(&self) -> Duration {
        match self.unanswered.load(Ordering::Relaxed) {
            0 => self.limit,
            _ => self.limit.min(BEHIND),
        }
    }
}

/// A question that ends with its thread, however that ends.
struct Question {
    tpm: Tpm,
    begun: Duration,
}

impl Question {
    fn begin(tpm: Tpm) -> Self {
        tpm.unanswered.fetch_add(1, Ordering::Relaxed);
        let begun = time::of_thread();
        Self { tpm, begun }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let cost = time::of_thread().saturating_sub(self.begun);
        let us = u64::try_from(cost.as_micros()).unwrap_or(u64::MAX);
        self.tpm.cost_us.fetch_add(us, Ordering::Relaxed);
        self.tpm.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<R> {
    /// To this question.
    InTime(R),
    /// To one of an earlier look.
    Late(R),
}

impl<R> Answer<R> {
    /// Whenever it came.
    pub fn any(self) -> R {
        match self {
            Self::InTime(found) | Self::Late(found) => found,
        }
    }
}

/// How one subject asks the TPM.
#[derive(Debug)]
pub struct Asking<R> {
    tpm: Tpm,
    /// Where the answer comes that an earlier look did not wait for.
    late: Option<Receiver<R>>,
}

impl<R: Send + 'static> Asking<R> {
    /// Nothing asked yet.
    pub fn of(tpm: Tpm) -> Self {
        Self { tpm, late: None }
    }

    /// Gives the answer to an earlier question, or runs `act`, which asks the TPM, unless that one has no answer yet.
    ///
    /// # Errors
    /// There is no answer in time; in words.
    pub fn ask(&mut self, act: impl FnOnce() -> R + Send + 'static) -> Result<Answer<R>, String> {
        if let Some(late) = self.late.take() {
            match late.try_recv() {
                Ok(found) => return Ok(Answer::Late(found)),
                Err(TryRecvError::Empty) => {
                    self.late = Some(late);
                    return Err(SILENT.to_owned());
                }
                // It ended without one.
                Err(TryRecvError::Disconnected) => {}
            }
        }
        let (sender, receiver) = channel();
        let tpm = self.tpm.clone();
        let asked = within(self.tpm.limit_now(), &mut || (), move || {
            let _question = Question::begin(tpm);
            // Who asked listens as long as the watch is there.
            let _unheard = sender.send(act());
        });
        match asked {
            Ok(()) => receiver.try_recv().map(Answer::InTime).map_err(|e| e.to_string()),
            Err(Late::Ended) => Err(format!("ask the TPM: {}", Late::Ended)),
            Err(Late::TimedOut { .. } | Late::Away) => {
                self.late = Some(receiver);
                Err(SILENT.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent<R>() -> Result<Answer<R>, String> {
        Err("the TPM does not answer in time".to_owned())
    }

    #[test]
    fn a_tpm_that_says_nothing_is_asked_once_by_each_and_its_late_answer_is_taken() {
        let tpm = Tpm::within(Duration::from_millis(50));
        let (mut one, mut other) = (Asking::of(tpm.clone()), Asking::of(tpm));
        assert_eq!(one.ask(|| 7), Ok(Answer::InTime(7)), "control");
        let (answer, answers) = channel::<()>();
        assert_eq!(one.ask(move || answers.recv().map_or(1, |()| 2)), silent());
        for _ in 0..3 {
            assert_eq!(one.ask(|| 3), silent(), "not asked again");
        }
        assert_eq!(other.ask(|| 4), Ok(Answer::InTime(4)), "the other subject asks");
        answer.send(()).unwrap();
        let late = loop {
            match one.ask(|| 5) {
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
                found => break found,
            }
        };
        assert_eq!(late, Ok(Answer::Late(2)));
        assert_eq!(one.ask(|| 6), Ok(Answer::InTime(6)));
    }

    #[test]
    fn who_waits_behind_a_question_without_an_answer_waits_a_second() {
        let tpm = Tpm::default();
        assert_eq!(tpm.limit_now(), TPM_LIMIT, "control");
        let question = Question::begin(tpm.clone());
        assert_eq!(tpm.limit_now(), BEHIND);
        drop(question);
        assert_eq!(tpm.limit_now(), TPM_LIMIT);
    }

    #[test]
    fn an_act_that_panics_is_told_and_the_next_one_asks() {
        let mut asking = Asking::of(Tpm::default());
        let failed = asking.ask(|| {
            // The words of this panic are part of the test's output.
            assert!(std::hint::black_box(false), "as intended");
        });
        let words = "ask the TPM: the act ended without a result".to_owned();
        assert_eq!(failed, Err(words));
        assert_eq!(asking.ask(|| ()), Ok(Answer::InTime(())));
        assert_eq!(asking.tpm.limit_now(), TPM_LIMIT);
    }

    #[test]
    fn what_it_costs_is_taken_once() {
        let tpm = Tpm::default();
        let spent = Asking::of(tpm.clone()).ask(|| {
            let begun = time::of_thread();
            while time::of_thread().saturating_sub(begun) < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
        });
        assert_eq!(spent, Ok(Answer::InTime(())));
        assert!(tpm.take_cost() >= Duration::from_millis(5));
        assert_eq!(tpm.take_cost(), Duration::ZERO);
    }
}
