//! Raises the stages of profiles as days pass, and adds directories of interpreters as they turn up.
//!
//! In a thread of its own, every ten seconds. Nothing is ever lowered or taken away, so a thread that ends leaves the gate as
//! strict as it was; that is told.

use super::data;
use super::day::{self, DayError};
use crate::console::Console;
use crate::gate::NoGate;
use bennu_ebpf::live::Adjustments;
use bennu_formats::debug_token::UtcDay;
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
        let mut memory = Memory::open(Path::new(paths::STATE_PROFILE_DAY), &mut console);
        loop {
            let round = round(
                &config,
                set.as_ref(),
                root,
                &mut memory,
                &mut adjustments,
                &mut console,
            );
            if let Err(error) = round {
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

/// The latest day that made a rule stricter, here and on the state volume.
struct Memory<'a> {
    path: &'a Path,
    day: Option<UtcDay>,
    /// Words about the file that were told.
    told: bool,
}

impl<'a> Memory<'a> {
    fn open(path: &'a Path, console: &mut Console) -> Self {
        let mut memory = Self {
            path,
            day: None,
            told: false,
        };
        memory.day = day::kept(path).unwrap_or_else(|error| {
            memory.tell(&error, console);
            None
        });
        memory
    }

    fn keep(&mut self, set: &ProfileSet, now: UtcDay, console: &mut Console) {
        match day::keep(self.path, set, self.day, now) {
            Ok(true) => self.day = Some(now),
            Ok(false) => {}
            Err(error) => self.tell(&error, console),
        }
    }

    /// Once: the gate holds what it was told for as long as the machine runs.
    fn tell(&mut self, error: &DayError, console: &mut Console) {
        if !std::mem::replace(&mut self.told, true) {
            let words = format!("profiles: the day that counts is not kept across a restart: {error}");
            console.say(Level::Warning, &words);
        }
    }
}

fn round(
    config: &GateConfig,
    set: Option<&ProfileSet>,
    root: Device,
    memory: &mut Memory<'_>,
    adjustments: &mut Adjustments,
    console: &mut Console,
) -> Result<(), NoGate> {
    for found in data(config, root)? {
        adjustments.add(&found)?;
    }
    let Some(set) = set else { return Ok(()) };
    let day = day::counts(set, memory.day);
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
    // The gate first: what is kept is for the next start.
    memory.keep(set, day, console);
    Ok(())
}
