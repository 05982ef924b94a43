//! `bennu inspect`.

use super::Outcome;
use crate::cli::ImageArgs;
use anyhow::Result;

/// Runs the command.
pub fn run(_args: &ImageArgs) -> Result<Outcome> {
    anyhow::bail!("inspect: being written")
}
