//! Raises the stages of profiles as days pass, and adds directories of interpreters as they turn up.
//!
//! In a thread of its own, every ten seconds. Nothing is ever lowered or taken away, so a thread that ends leaves the gate as
//! strict as it was; that is told.

use super::{data, today};
use crate::console::Console;
use crate::gate::NoGate;
use bennu_ebpf::live::Adjustments;
use bennu_formats::gate::GateConfig;
use bennu_formats::paths;
use bennu_formats::profile::ProfileSet;
use bennu_linux::kmsg::Level;
use bennu_policy::gate::Device;
use bennu_policy::profile;
use std::path::Path;
use std::time::Duration;

const ROUND: Duration = Duration::from_secs(10);
/// Names of the rules in the order of [`bennu_formats::profile::Profile::rules`].
const RULES: [&str; 4] = ["no_shells", "executables", "connect", "no_tcp"];
const STAGES: [&str; 4] = ["none", "dry-run", "warn", "deny"];

/// Starts the thread, if there is something to do for it.
///
/// # Errors
/// The gate's maps cannot be opened, or the system has no thread to give.
pub fn start(config: GateConfig, set: Option<ProfileSet>, root: Device) -> Result<(), NoGate> {
    if set.is_none() && config.interpreters.is_empty() {
        return Ok(());
    }
    let mut adjustments = Adjustments::open(Path::new(paths::ROOT_GATE_PINS))?;
    let thread = std::thread::Builder::new().name("profiles".to_owned());
    let work = move || {
        let mut console = Console::open();
        loop {
            if let Err(error) = round(&config, set.as_ref(), root, &mut adjustments, &mut console) {
                console.say(
                    Level::Error,
                    &format!("profiles stay as strict as they are now: {error}"),
                );
                return;
            }
            std::thread::sleep(ROUND);
        }
    };
    // Never joined: it ends with the program.
    let _thread = thread.spawn(work).map_err(NoGate::Thread)?;
    Ok(())
}

fn round(
    config: &GateConfig,
    set: Option<&ProfileSet>,
    root: Device,
    adjustments: &mut Adjustments,
    console: &mut Console,
) -> Result<(), NoGate> {
    for found in data(config, root)? {
        adjustments.add(&found)?;
    }
    let Some(set) = set else { return Ok(()) };
    let day = profile::day(today(), set.built);
    for (index, one) in (1..).zip(&set.profiles) {
        let held = adjustments.stages(index)?;
        let due = profile::tightened(held, one.rules(), day);
        if due != held {
            adjustments.raise(index, due)?;
        }
        for ((name, before), now) in RULES.iter().zip(held).zip(due) {
            if before != now {
                let word = STAGES.get(now as usize).copied().unwrap_or("deny");
                let words = format!("profile {}: {name} holds as {word} since {day}", one.unit);
                console.say(Level::Notice, &words);
            }
        }
    }
    Ok(())
}
