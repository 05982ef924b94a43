//! `bennu generate`: man pages and completions, from the command line's own definition.

use super::Outcome;
use crate::cli::{Cli, GenerateCommand};
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

/// Runs the command.
pub fn run(command: GenerateCommand) -> Result<Outcome> {
    match command {
        GenerateCommand::Man { directory } => {
            std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
            clap_mangen::generate_to(Cli::command(), &directory)
                .with_context(|| directory.display().to_string())?;
        }
        GenerateCommand::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bennu", &mut std::io::stdout());
        }
    }
    Ok(Outcome::Yes)
}
