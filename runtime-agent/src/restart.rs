//! The restart of a slot that did not become healthy: first asked of systemd, then forced.
//!
//! Whatever else has failed, the machine restarts: `bennu-init` counts the attempts and takes the other slot.

use crate::health::command;
use crate::surroundings::Surroundings;
use bennu_linux::kmsg::Level;
use bennu_linux::reboot::{End, end};
use std::time::Duration;

/// How long services have to stop before the restart is forced.
pub const GRACE: Duration = Duration::from_secs(60);
/// How long systemd has to accept the request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const REQUEST: [&str; 3] = [command::SYSTEMCTL, "--no-block", "reboot"];

/// Restarts the machine. Where even the forced restart is refused, it is tried again each minute.
pub fn restart(world: &mut impl Surroundings) -> ! {
    if let Err(error) = command::run(&REQUEST, REQUEST_LIMIT) {
        world.say(
            Level::Error,
            &format!("systemd does not restart the machine: {error}"),
        );
    }
    loop {
        world.pause(GRACE);
        world.say(
            Level::Critical,
            &format!(
                "the machine did not restart within {} s; forcing it",
                GRACE.as_secs()
            ),
        );
        let Err(error) = end(End::Reboot);
        world.say(Level::Critical, &error.to_string());
    }
}
