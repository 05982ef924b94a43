//! Everything that `bennud` needs of the world outside its own memory, so that its stories can be told in
//! tests with a clock, an ESP and checks that are made up.

use crate::console::Console;
use crate::documents;
use crate::esp::{self, Access, EspAccessError};
use crate::firmware_record;
use crate::health::{self, Unmet};
use crate::kernel_files::{KernelFiles, proc_path};
use crate::notify::Notifier;
use crate::status::measured::Places;
use bennu_esp::{Esp, EspError};
use bennu_formats::ImageVersion;
use bennu_formats::handover::BlockDevice;
use bennu_formats::health::{HealthCheck, HealthReport, HealthState};
use bennu_formats::paths;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest silence towards systemd's watchdog; well below `WatchdogSec=` of the unit.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// In procfs: the kernel's switch that can only be thrown once (`Documentation/admin-guide/sysctl/kernel.rst`).
const MODULES_DISABLED: &str = "sys/kernel/modules_disabled";

/// What is outside.
pub trait Surroundings {
    /// Time since kernel start without suspended time.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn pause(&mut self, time: Duration);
    /// Makes one check within `limit`.
    ///
    /// # Errors
    /// What does not hold.
    fn probe(&mut self, check: &HealthCheck, limit: Duration) -> Result<(), Unmet>;
    /// Opens the ESP for writing, lets `act` work, closes it.
    ///
    /// # Errors
    /// The ESP's, or those of `act`.
    fn on_esp<T>(&mut self, act: impl FnOnce(&Esp) -> Result<T, EspError>) -> Result<T, EspAccessError>;
    /// Keeps what the firmware measured in this start, which became healthy. It explains later starts and decides
    /// nothing, so that it cannot is told and no more.
    fn remember_firmware(&mut self, version: &ImageVersion);
    /// Tells people.
    fn say(&mut self, level: Level, text: &str);
    /// Tells `bennuctl` and systemd.
    fn publish(&mut self, report: &HealthReport);
    /// No kernel module can be loaded or removed from now on, until the next start.
    ///
    /// # Errors
    /// The kernel did not take it.
    fn lock_modules(&mut self) -> std::io::Result<()>;
}

/// The machine.
pub struct Machine {
    console: Console,
    notifier: Notifier,
    esp: BlockDevice,
    kernel: Arc<KernelFiles>,
}

impl Machine {
    /// The machine whose ESP is `esp`.
    pub fn new(console: Console, notifier: Notifier, esp: BlockDevice, kernel: Arc<KernelFiles>) -> Self {
        Self {
            console,
            notifier,
            esp,
            kernel,
        }
    }

    fn alive(&mut self) {
        // systemd is told again soon, and restarts an agent that it does not hear.
        let _lost = self.notifier.alive();
    }
}

impl Surroundings for Machine {
    fn now(&self) -> Duration {
        time::monotonic()
    }

    fn pause(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            self.alive();
            let nap = left.min(HEARTBEAT);
            std::thread::sleep(nap);
            left -= nap;
        }
        self.alive();
    }

    fn probe(&mut self, check: &HealthCheck, limit: Duration) -> Result<(), Unmet> {
        self.alive();
        health::probe(check, limit)
    }

    fn on_esp<T>(&mut self, act: impl FnOnce(&Esp) -> Result<T, EspError>) -> Result<T, EspAccessError> {
        self.alive();
        let done = esp::with_esp(&self.esp, Access::ReadWrite, act);
        self.alive();
        done
    }

    fn remember_firmware(&mut self, version: &ImageVersion) {
        let (places, esp) = (Places::of(self.kernel.clone()), self.esp.clone());
        if let Err(error) = firmware_record::remember(places, &esp, version, &mut || self.alive()) {
            self.console.say(Level::Warning, &error.to_string());
        }
        self.alive();
    }

    fn say(&mut self, level: Level, text: &str) {
        self.console.say(level, text);
    }

    fn publish(&mut self, report: &HealthReport) {
        let status = match &report.health {
            HealthState::Waiting { on } => format!("waiting: {on}"),
            HealthState::Good { .. } => format!("good, marked {}", report.entry),
            HealthState::Unhealthy { failure } => format!("unhealthy: {}", failure.reason),
        };
        // Only `systemctl status` shows it.
        let _lost = self.notifier.status(&status);
        if let Err(error) = documents::write(Path::new(paths::RUN_HEALTH), report) {
            self.console.say(
                Level::Warning,
                &format!("bennuctl will show an old state: {error}"),
            );
        }
    }

    fn lock_modules(&mut self) -> std::io::Result<()> {
        std::fs::write(proc_path(MODULES_DISABLED), "1")
    }
}
