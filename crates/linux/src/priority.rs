//! The priority of a thread that works when nobody else does.
//!
//! Used by `bennud` for its background scrub.

use std::io;

/// `IOPRIO_WHO_PROCESS` with id 0: the calling thread (ioprio_set(2)).
const WHO_PROCESS: libc::c_int = 1;
/// `IOPRIO_CLASS_IDLE` in the class bits of a priority (linux/ioprio.h): served when no other thread asks.
const CLASS_IDLE: libc::c_int = 3 << 13;
/// Lowest priority of a processor (setpriority(2)).
const NICEST: libc::c_int = 19;

/// Makes the calling thread the last one to get the disk and the processor. Which I/O schedulers heed it: bfq and
/// mq-deadline.
///
/// # Errors
/// The kernel's.
#[allow(unsafe_code)]
pub fn idle() -> io::Result<()> {
    // SAFETY: both calls take numbers only, and change nothing but how this thread is scheduled.
    let done = unsafe {
        [
            libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE),
            libc::setpriority(libc::PRIO_PROCESS, 0, NICEST).into(),
        ]
    };
    if done == [0, 0] {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_make_itself_the_last_one_and_others_stay_as_they_are() {
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, rest) = stat.rsplit_once(") ").unwrap();
            // Fields from the third on (proc_pid_stat(5)): nice is the nineteenth.
            rest.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = nice();
        std::thread::spawn(move || {
            idle().unwrap();
            assert_eq!(nice(), 19);
        })
        .join()
        .unwrap();
        assert_eq!(nice(), before);
    }
}
