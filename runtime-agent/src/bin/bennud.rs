//! The agent of the running system, started by `bennud.service`.
//!
//! Reads `/run/bennu/boot.json`, `/usr/lib/bennu/health.json` and `/usr/lib/bennu/drift.json`; writes the ESP,
//! `/run/bennu/health.json` and the record log. Without one of the first two inputs, or with a damaged third, it ends with
//! status 2: systemd starts it again, and restarts the machine after the unit's start limit.
//!
//! `bennud gate`, started once by `bennu-gate.service` before it, sets up the execution gate that the image asks for
//! and ends: status 0 when it stands, 1 when it does not. One that the image demands (mode `enforce`) and that does not
//! stand is the slot's end: the verdict is written, and systemd restarts the machine by the unit's `FailureAction=`.
//!
//! `bennud ended`, run by systemd after each end of `bennud`, keeps how that ended for the next one.

use bennu_formats::Code;
use bennu_formats::drift::DriftConfig;
use bennu_formats::gate::GateMode;
use bennu_formats::handover::Handover;
use bennu_formats::health::{HealthConfig, HealthReport};
use bennu_formats::paths;
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_runtime::agent::{Agent, Outcome};
use bennu_runtime::console::Console;
use bennu_runtime::control;
use bennu_runtime::documents::{self, DocumentError};
use bennu_runtime::ended;
use bennu_runtime::gate::{self, NoGate};
use bennu_runtime::kernel_files::KernelFiles;
use bennu_runtime::notify::Notifier;
use bennu_runtime::records::boot_id;
use bennu_runtime::respond::Warden;
use bennu_runtime::restart::restart;
use bennu_runtime::scrub::Scrubber;
use bennu_runtime::status::Sources;
use bennu_runtime::surroundings::Machine;
use bennu_runtime::tracing::file::TraceFile;
use bennu_runtime::watch::{Inbox, Watched};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
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
    match std::env::args_os().nth(1) {
        None => watch(console),
        Some(word) if word == "gate" => set_up_gate(console),
        Some(word) if word == "ended" => ended(&mut console),
        Some(word) => refuse(
            &mut console,
            &format!("expected no argument, `gate` or `ended`, found {word:?}"),
        ),
    }
}

/// Keeps how `bennud` ended, by systemd's word.
fn ended(console: &mut Console) -> ExitCode {
    // Under another boot id than this one's the sign would count for nothing.
    let _kernel = kernel_files(console);
    let result = std::env::var("SERVICE_RESULT").unwrap_or_default();
    let handover = match documents::read(Path::new(paths::RUN_HANDOVER)) {
        Ok(handover) => handover,
        Err(error) => return refuse(console, &error.to_string()),
    };
    match ended::note(
        ended::place(&handover),
        &result,
        &boot_id(),
        time::since_boot_ms(),
    ) {
        Ok(words) => {
            if let Some(words) = words {
                console.say(Level::Critical, &words);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            console.say(Level::Error, &error.to_string());
            ExitCode::from(2)
        }
    }
}

/// What the image asks for, done; told on the console, since nothing else may be up yet.
fn set_up_gate(mut console: Console) -> ExitCode {
    let wanted = gate::wanted();
    // A document that cannot be read may have demanded one.
    let mode = wanted.as_ref().map_or(GateMode::Enforce, |config| config.mode);
    let done = wanted.map_err(NoGate::from).and_then(|config| {
        if config.mode == GateMode::None {
            return Ok("no gate: the image asks for none".to_owned());
        }
        let handover = documents::read(Path::new(paths::RUN_HANDOVER))?;
        gate::set_up(&config, &handover)
    });
    let Err(error) = done.map(|words| console.say(Level::Notice, &words)) else {
        return ExitCode::SUCCESS;
    };
    tell_no_gate(&mut console, &error);
    if mode == GateMode::Enforce {
        give_up_without_gate(console, &error);
    }
    ExitCode::from(1)
}

fn tell_no_gate(console: &mut Console, error: &NoGate) {
    let code = Code::Gate;
    console.say(Level::Critical, &format!("FAILED {code}: {error}"));
    console.say(Level::Critical, &format!("{}: {}", code.meaning(), code.advice()));
}

/// Writes the verdict before the machine restarts. Without it bennu-init counts the attempt all the same.
fn give_up_without_gate(mut console: Console, error: &NoGate) {
    let inputs = match read_inputs(&mut console) {
        Ok(inputs) => inputs,
        Err(error) => return console.say(Level::Critical, &format!("no verdict is written: {error}")),
    };
    // Of a oneshot unit systemd wants no notifications.
    let notifier = match Notifier::open(None) {
        Ok(notifier) => notifier,
        Err(error) => return console.say(Level::Critical, &format!("no verdict is written: {error}")),
    };
    let kernel = kernel_files(&mut console);
    let mut machine = Machine::new(console, notifier, inputs.handover.esp.clone(), kernel);
    let agent = Agent::new(&inputs.handover, inputs.config, inputs.started);
    agent.run_without_gate(&error.to_string(), &mut machine);
}

/// The gate that the image asks for, with its events watched from now on. One that would deny nothing is told when it does
/// not stand, and no more.
fn watch_gate(console: &mut Console, denied: Inbox, trace: TraceFile) -> Result<(), NoGate> {
    let config = gate::wanted()?;
    let mode = config.mode;
    if mode == GateMode::None {
        return Ok(());
    }
    let gate = match gate::adopt(mode) {
        Err(error) if mode == GateMode::DryRun => {
            tell_no_gate(console, &error);
            return Ok(());
        }
        found => found?,
    };
    console.say(Level::Info, &format!("gate: {}", mode.as_str()));
    for fault in gate::followers::start(gate, config, denied, trace) {
        console.say(Level::Error, &fault);
    }
    Ok(())
}

/// What the kernel tells, out of everybody's way. The watch says it when it has no mounts of its own.
fn kernel_files(console: &mut Console) -> Arc<KernelFiles> {
    let kernel = KernelFiles::own();
    if let Err(error) = kernel.enter() {
        console.say(
            Level::Error,
            &format!("/proc is used as everybody sees it: no way into a procfs of bennud's own: {error}"),
        );
    }
    Arc::new(kernel)
}

fn watch(mut console: Console) -> ExitCode {
    let kernel = kernel_files(&mut console);
    let notifier = match Notifier::open(std::env::var_os("NOTIFY_SOCKET")) {
        Ok(notifier) => notifier,
        Err(error) => return refuse(&mut console, &error.to_string()),
    };
    let inputs = match read_inputs(&mut console) {
        Ok(inputs) => inputs,
        Err(error) => return refuse(&mut console, &error.to_string()),
    };
    let (denied, scrubber, trace) = (Inbox::default(), Scrubber::default(), TraceFile::default());
    let gate = watch_gate(&mut console, denied.clone(), trace.clone());
    if let Err(error) = notifier.ready() {
        console.say(Level::Warning, &error.to_string());
    }
    if let Err(error) = control::start(
        Path::new(paths::RUN_CONTROL),
        Sources::default(),
        scrubber.clone(),
    ) {
        console.say(Level::Warning, &format!("control socket: {error}"));
    }
    let mut machine = Machine::new(console, notifier, inputs.handover.esp.clone(), kernel.clone());
    let agent = Agent::new(&inputs.handover, inputs.config, inputs.started);
    let mut warden = Warden::new(&inputs.handover, inputs.drift, kernel, denied, scrubber, trace);
    let mut watched = Watched::begin(&mut machine, &mut warden);
    let outcome = match gate {
        Ok(()) => agent.run(inputs.previous.as_ref(), &mut watched),
        Err(error) => agent.run_without_gate(&error.to_string(), &mut watched),
    };
    match outcome {
        Outcome::Good => warden.run(&mut machine),
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
