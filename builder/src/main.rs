//! `bennu`: builds images, inspects and verifies them, boots them in a virtual machine.
//!
//! Results on standard output, progress and log on standard error. Exit status: 0 yes, 1 refused by
//! verification, 2 could not decide (usage, I/O).

mod cli;
mod cmdline;
mod commands;
mod definition;
mod image;
mod inspect;
mod plan;
mod progress;
mod sentence;
mod size;
mod steps;
mod verify;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(commands::Outcome::Yes) => ExitCode::SUCCESS,
        Ok(commands::Outcome::Refused) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bennu: {}", sentence::sentence(error.as_ref()));
            ExitCode::from(2)
        }
    }
}
