//! The agent of the running system, started by `bennud.service`.
//!
//! Reads `/run/bennu/boot.json`, `/usr/lib/bennu/health.json` and `/usr/lib/bennu/drift.json`; writes the ESP,
//! `/run/bennu/health.json` and the record log. Without one of the first two inputs, or with a damaged third, it ends with status 2: systemd starts it again, and restarts the machine after the
//! unit's start limit.

use bennu_formats::drift::DriftConfig;
use bennu_formats::handover::Handover;
use bennu_formats::health::{HealthConfig, HealthReport};
use bennu_formats::paths;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_runtime::agent::{Agent, Outcome};
use bennu_runtime::console::Console;
use bennu_runtime::documents::{self, DocumentError};
use bennu_runtime::notify::Notifier;
use bennu_runtime::respond::Warden;
use bennu_runtime::restart::restart;
use bennu_runtime::surroundings::Machine;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// When the agent first started in this boot, in milliseconds of the monotonic clock; ours alone.
const STARTED: &str = "/run/bennu/bennud.started";

struct Inputs {
    handover: Handover,
    config: HealthConfig,
    drift: Option<DriftConfig>,
    previous: Option<HealthReport>,
    started: Duration,
}

fn main() -> ExitCode {
    let mut console = Console::open();
    let notifier = match Notifier::open(std::env::var_os("NOTIFY_SOCKET")) {
        Ok(notifier) => notifier,
        Err(error) => return refuse(&mut console, &error.to_string()),
    };
    let inputs = match read_inputs(&mut console) {
        Ok(inputs) => inputs,
        Err(error) => return refuse(&mut console, &error.to_string()),
    };
    if let Err(error) = notifier.ready() {
        console.say(Level::Warning, &error.to_string());
    }
    let mut machine = Machine::new(console, notifier, inputs.handover.esp.clone());
    let agent = Agent::new(&inputs.handover, inputs.config, inputs.started);
    match agent.run(inputs.previous.as_ref(), &mut machine) {
        Outcome::Good => Warden::new(&inputs.handover, inputs.drift).run(&mut machine),
        Outcome::Restart => restart(&mut machine),
    }
}

fn refuse(console: &mut Console, why: &str) -> ExitCode {
    console.say(Level::Critical, &format!("cannot start: {why}"));
    ExitCode::from(2)
}

/// A report of an earlier agent that cannot be read is one that does not count: the checks are made again.
fn read_inputs(console: &mut Console) -> Result<Inputs, DocumentError> {
    let handover = documents::read(Path::new(paths::RUN_HANDOVER))?;
    let config = documents::read(Path::new(paths::ROOT_HEALTH))?;
    let drift = documents::read_if_there(Path::new(paths::ROOT_DRIFT))?;
    let previous = documents::read_if_there(Path::new(paths::RUN_HEALTH)).unwrap_or_else(|error| {
        console.say(Level::Warning, &format!("{error}; the checks are made again"));
        None
    });
    let now = time::monotonic();
    let started = documents::first_start(Path::new(STARTED), now).unwrap_or_else(|error| {
        console.say(
            Level::Warning,
            &format!("{error}; the deadline is counted from now"),
        );
        now
    });
    Ok(Inputs {
        handover,
        config,
        drift,
        previous,
        started,
    })
}
