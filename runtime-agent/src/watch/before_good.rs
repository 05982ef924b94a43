//! The watch while the slot is not marked good yet: its rounds take place in the pauses between health checks.
//!
//! One thread, so that the good mark and what follows from drift never write the ESP at the same time.

use crate::esp::EspAccessError;
use crate::health::Unmet;
use crate::respond::Warden;
use crate::surroundings::Surroundings;
use bennu_esp::{Esp, EspError};
use bennu_formats::ImageVersion;
use bennu_formats::health::{HealthCheck, HealthReport};
use bennu_linux::kmsg::Level;
use std::time::Duration;

/// A machine that is watched while time passes.
pub struct Watched<'a, S> {
    world: &'a mut S,
    warden: &'a mut Warden,
    next: Duration,
}

impl<'a, S: Surroundings> Watched<'a, S> {
    /// Looks for the first time, and then whenever the interval has passed.
    pub fn begin(world: &'a mut S, warden: &'a mut Warden) -> Self {
        warden.begin(world);
        let mut watched = Self {
            world,
            warden,
            next: Duration::ZERO,
        };
        watched.look();
        watched
    }

    fn look(&mut self) {
        self.warden.round(self.world);
        self.next = self.world.now() + self.warden.interval();
    }
}

impl<S: Surroundings> Surroundings for Watched<'_, S> {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn pause(&mut self, time: Duration) {
        let end = self.world.now() + time;
        loop {
            let now = self.world.now();
            if now >= self.next {
                self.look();
            }
            let left = end.saturating_sub(self.world.now());
            if left.is_zero() {
                return;
            }
            let until_next = self.next.saturating_sub(self.world.now());
            self.world
                .pause(left.min(until_next.max(Duration::from_millis(1))));
        }
    }

    fn probe(&mut self, check: &HealthCheck, limit: Duration) -> Result<(), Unmet> {
        self.world.probe(check, limit)
    }

    fn on_esp<T>(&mut self, act: impl FnOnce(&Esp) -> Result<T, EspError>) -> Result<T, EspAccessError> {
        self.world.on_esp(act)
    }

    fn remember_firmware(&mut self, version: &ImageVersion) {
        self.world.remember_firmware(version);
    }

    fn say(&mut self, level: Level, text: &str) {
        self.world.say(level, text);
    }

    fn publish(&mut self, report: &HealthReport) {
        self.world.publish(report);
    }

    fn lock_modules(&mut self) -> std::io::Result<()> {
        self.world.lock_modules()
    }
}
