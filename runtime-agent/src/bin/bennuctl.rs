//! Shows people what the agents did. Reads only; asks nothing of `bennud`.

use bennu_formats::handover::Handover;
use bennu_runtime::esp::{self, Access};
use bennu_runtime::status::times::BootTimes;
use bennu_runtime::status::why::{History, Why};
use bennu_runtime::status::{Answer, Sources, Status, render, verdict, verity};
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// Shows which slot runs, how it was verified, and why the machine fell back
#[derive(Parser)]
#[command(
    name = "bennuctl",
    version,
    after_help = "Exit status: 0 yes, 1 no, 2 cannot tell."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Slot, root hash, keys, tries, PCRs, health (exit status 0: marked good, 1: not, 2: cannot tell)
    Status {
        /// Wait up to this long for the verdict on the slot's health
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        wait: Option<u32>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// How long each step of the initrd took
    BootTimes {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Why the machine fell back, and what earlier starts left (the latter needs root)
    Why {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Prints the state volume's recovery key, encrypted to the image's escrow key: an age file (needs root; exit status
    /// 1: the ESP has none)
    RecoveryBlob,
}

fn main() -> ExitCode {
    // clap ends usage errors with status 2 by itself.
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            let _lost = writeln!(io::stderr(), "bennuctl: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<Answer, Box<dyn Error>> {
    let sources = Sources::default();
    match command {
        Command::Status { json, wait } => {
            if let Some(seconds) = wait {
                verdict::wait(&sources, Duration::from_secs((*seconds).into()))?;
            }
            let status = Status::gather(&sources, verity::ask)?;
            print(*json, &status, render::status)?;
            Ok(status.answer())
        }
        Command::BootTimes { json } => {
            let times = BootTimes::of(sources.handover()?, sources.health()?.as_ref());
            print(*json, &times, BootTimes::text)?;
            Ok(Answer::Yes)
        }
        Command::Why { json } => {
            let handover = sources.handover()?;
            let history = history(&handover);
            print(*json, &Why::of(handover, history), Why::text)?;
            Ok(Answer::Yes)
        }
        Command::RecoveryBlob => recovery_blob(&sources.handover()?),
    }
}

fn recovery_blob(handover: &Handover) -> Result<Answer, Box<dyn Error>> {
    match esp::with_esp(&handover.esp, Access::ReadOnly, |esp| esp.recovery_blob())? {
        Some(blob) => {
            io::stdout().write_all(&blob)?;
            Ok(Answer::Yes)
        }
        None => {
            writeln!(
                io::stderr(),
                "bennuctl: the ESP has no recovery blob: the image names no escrow key, or the file was removed"
            )?;
            Ok(Answer::No)
        }
    }
}

fn history(handover: &Handover) -> History {
    if !rustix::process::geteuid().is_root() {
        return History::Unknown {
            why: "needs root".to_owned(),
        };
    }
    match esp::with_esp(&handover.esp, Access::ReadOnly, |esp| esp.boot_record()) {
        Ok(found) => found.into(),
        Err(error) => History::Unknown {
            why: error.to_string(),
        },
    }
}

fn print<T: Serialize>(json: bool, value: &T, text: impl Fn(&T) -> String) -> Result<(), Box<dyn Error>> {
    let out = if json {
        serde_json::to_string_pretty(value)? + "\n"
    } else {
        text(value)
    };
    match io::stdout().write_all(out.as_bytes()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
