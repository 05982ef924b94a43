//! Progress on standard error: bars with rates on a terminal, one line a step elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// How progress is shown.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// As standard error allows.
    Auto,
    /// Not at all (`--quiet`).
    Quiet,
}

/// A running step.
pub struct Step {
    bar: ProgressBar,
    name: String,
    since: Instant,
    bytes: u64,
    mode: Progress,
}

impl Progress {
    /// A step over `bytes` bytes.
    pub fn bytes(&self, name: &str, bytes: u64) -> Step {
        let bar = ProgressBar::new(bytes);
        let template = "{msg:28} {bar:30} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.step(bar, name, bytes)
    }

    /// A step of unknown length.
    pub fn spinner(&self, name: &str) -> Step {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        self.step(bar, name, 0)
    }

    fn step(&self, bar: ProgressBar, name: &str, bytes: u64) -> Step {
        if matches!(self, Self::Quiet) {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        bar.set_message(name.to_owned());
        Step {
            bar,
            name: name.to_owned(),
            since: Instant::now(),
            bytes,
            mode: *self,
        }
    }
}

impl Step {
    /// `done` bytes in all are done.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Ends the step; without a terminal one line says how long it took.
    pub fn finish(self) {
        let shown = !self.bar.is_hidden();
        if matches!(self.mode, Progress::Quiet) {
            return;
        }
        let took = self.since.elapsed();
        let done = if self.bytes > 0 { self.bar.position() } else { 0 };
        self.bar.finish_and_clear();
        if shown || took > Duration::from_millis(200) {
            let rate = if done > 0 && took.as_millis() > 0 {
                format!(", {:.0} MB/s", done as f64 / 1e6 / took.as_secs_f64())
            } else {
                String::new()
            };
            eprintln!("{}: {:.1} s{rate}", self.name, took.as_secs_f64());
        }
    }
}
