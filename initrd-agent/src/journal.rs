//! What the initrd says: to the kernel log (so that the journal has it), to the console, and into memory for the
//! log of a start that failed; and how long each step took.

use bennu_formats::ReleaseName;
use bennu_formats::failure_log::FailureLog;
use bennu_formats::handover::StepTime;
use bennu_linux::kmsg::{Kmsg, Level};
use bennu_linux::time;
use std::io::Write as _;

/// In front of each line; the scenarios look for it.
const PREFIX: &str = "bennu-init";

/// The log of this boot.
pub struct Journal {
    kmsg: Option<Kmsg>,
    steps: Vec<StepTime>,
    said: FailureLog,
}

impl Journal {
    /// Begins. `/dev/kmsg` is opened when `/dev` is there.
    pub fn start() -> Self {
        Self {
            kmsg: None,
            steps: Vec::new(),
            said: FailureLog::default(),
        }
    }

    /// `/dev` and `/proc` are mounted now.
    pub fn open_kmsg(&mut self) {
        self.kmsg = Kmsg::open(PREFIX).ok();
        if Kmsg::lift_rate_limit().is_err() {
            self.warn("the kernel log may drop lines");
        }
    }

    /// Ends the step before and begins the next one; no time lies between them.
    pub fn step(&mut self, name: &str) {
        let now_ms = time::since_boot_ms();
        self.end_step_at(now_ms);
        self.steps.push(StepTime {
            step: name.to_owned(),
            start_ms: now_ms,
            took_ms: 0,
        });
    }

    /// The steps so far; of the one under way, what it took until now.
    pub fn steps(&self) -> Vec<StepTime> {
        let mut steps = self.steps.clone();
        if let Some(last) = steps.last_mut().filter(|last| last.took_ms == 0) {
            last.took_ms = took_ms(last, time::since_boot_ms());
        }
        steps
    }

    /// Ends the step under way, which has none after it.
    pub fn end_step(&mut self) {
        self.end_step_at(time::since_boot_ms());
    }

    fn end_step_at(&mut self, now_ms: u64) {
        let Some(last) = self.steps.last_mut() else { return };
        if last.took_ms == 0 {
            last.took_ms = took_ms(last, now_ms);
            let line = format!("[{} ms] {}: {} ms", last.start_ms, last.step, last.took_ms);
            self.log(Level::Info, &line);
        }
    }

    /// Something a user wants to know.
    pub fn say(&mut self, text: &str) {
        self.log(Level::Notice, text);
        self.console(text);
    }

    /// Something that was said on the consoles already.
    pub fn note(&mut self, text: &str) {
        self.log(Level::Notice, text);
    }

    /// Something that is not as it should be, and does not stop the boot.
    pub fn warn(&mut self, text: &str) {
        self.log(Level::Warning, text);
        self.console(&format!("warning: {text}"));
    }

    /// A failure.
    pub fn error(&mut self, text: &str) {
        self.log(Level::Critical, text);
        self.console(text);
    }

    /// Something that is shown on the console and kept nowhere.
    pub fn show_once(&mut self, text: &str) {
        self.console(text);
    }

    /// All that was said so far and `events`, as the bytes of the failure log.
    pub fn failure_log(&self, release: Option<&ReleaseName>, events: &[String]) -> Vec<u8> {
        self.said.encode(release, events)
    }

    fn log(&mut self, level: Level, text: &str) {
        let mark = if level == Level::Warning { "warning: " } else { "" };
        self.said.push(time::since_boot_ms(), &format!("{mark}{text}"));
        // The log is all there is to complain to; a boot does not fail for want of it.
        let _lost = self.kmsg.as_mut().map(|kmsg| kmsg.log(level, text));
    }

    fn console(&mut self, text: &str) {
        // As above. "\r" because the serial console may be raw; "\n" first because the kernel or the
        // firmware may have left half a line.
        let _lost =
            write!(std::io::stdout(), "{PREFIX}: {text}\r\n").and_then(|()| std::io::stdout().flush());
    }
}

/// From the step's beginning until now, at least 1.
fn took_ms(step: &StepTime, now_ms: u64) -> u64 {
    now_ms.saturating_sub(step.start_ms).max(1)
}
