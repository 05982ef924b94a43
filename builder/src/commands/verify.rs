//! `bennu verify`.

use super::Outcome;
use crate::cli::VerifyArgs;
use crate::progress::Progress;
use anyhow::Result;

/// Runs the command.
pub fn run(_args: &VerifyArgs, _progress: &Progress) -> Result<Outcome> {
    anyhow::bail!("verify: being written")
}
