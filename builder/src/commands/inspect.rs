//! `bennu inspect`.

use super::Outcome;
use crate::cli::ImageArgs;
use crate::inspect::inspect;
use anyhow::Result;

/// Runs the command.
pub fn run(args: &ImageArgs) -> Result<Outcome> {
    let found = inspect(&args.image)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", found.to_text());
    }
    Ok(Outcome::Yes)
}
