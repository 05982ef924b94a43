//! One file a command.

mod build;
mod debug_token;
mod first_boot;
mod generate;
mod index;
mod inspect;
mod keys;
mod sign;
mod verify;
mod vm;

use crate::cli::{Cli, Command};
use crate::progress::Progress;

/// How a command ended.
pub enum Outcome {
    /// Exit status 0.
    Yes,
    /// Exit status 1.
    Refused,
}

/// Runs the command.
///
/// # Errors
/// It could not be decided (exit status 2).
pub fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let progress = if cli.quiet {
        Progress::Quiet
    } else {
        Progress::Auto
    };
    match cli.command {
        Command::Keys(command) => keys::run(command),
        Command::Build(args) => build::build(&args, &progress),
        Command::Sign(args) => sign::run(&args),
        Command::DebugToken(args) => debug_token::run(&args),
        Command::Disk(args) => build::disk(&args, &progress),
        Command::FirstBoot(command) => first_boot::run(&command),
        Command::Inspect(args) => inspect::run(&args),
        Command::Index(args) => index::run(&args),
        Command::Verify(args) => verify::run(&args, &progress),
        Command::Vm(command) => vm::run(command),
        Command::Generate(command) => generate::run(command),
    }
}
