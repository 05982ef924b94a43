//! `bennu verify`: the report on standard output; exit status 0 good, 1 refused, 2 no verdict.

use super::Outcome;
use crate::cli::VerifyArgs;
use crate::progress::Progress;
use crate::steps::keys::PublicKeys;
use crate::verify::{Trust, verify};
use anyhow::{Result, ensure};

/// Runs the command.
pub fn run(args: &VerifyArgs, progress: &Progress) -> Result<Outcome> {
    let keys = PublicKeys::read(&args.keys)?;
    ensure!(
        (1..=keys.release.len()).contains(&(args.release_threshold as usize)),
        "--release-threshold: expected 1 to {}, the number of release keys in {}, found {}",
        keys.release.len(),
        args.keys.display(),
        args.release_threshold
    );
    let trust = Trust {
        keys: &keys,
        release_threshold: args.release_threshold,
    };
    let report = verify(&args.image, &trust, progress)?;
    let name = args.image.display().to_string();
    if args.json {
        println!("{}", report.to_json(&name)?);
    } else {
        print!("{}", report.to_text(&name));
    }
    Ok(if report.is_good() {
        Outcome::Yes
    } else {
        Outcome::Refused
    })
}
