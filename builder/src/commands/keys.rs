//! `bennu keys`.

use super::Outcome;
use crate::cli::KeysCommand;
use crate::definition::AcceptedKeys;
use crate::steps::enrolment;
use crate::steps::keys::{self, KeyPurpose, KeySet};
use anyhow::{Context as _, Result};
use std::time::{SystemTime, UNIX_EPOCH};

/// Certificates of throw-away keys begin here, so that a guest with a wrong clock still takes them: 2025-01-01.
const THROW_AWAY_NOT_BEFORE: u64 = 1_735_689_600;
/// Largest variable store in bytes.
const MAX_STORE_BYTES: u64 = 16 << 20;

/// Runs the command.
pub fn run(command: KeysCommand) -> Result<Outcome> {
    match command {
        KeysCommand::Generate {
            directory,
            throw_away,
        } => {
            let (purpose, not_before) = if throw_away {
                (KeyPurpose::ThrowAway, THROW_AWAY_NOT_BEFORE)
            } else {
                (
                    KeyPurpose::Production,
                    SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
                )
            };
            keys::generate(&directory, purpose, not_before)?;
            println!("{}", directory.display());
        }
        KeysCommand::Enrol {
            directory,
            stock,
            output,
        } => {
            // Enrolling publishes certificates only, so throw-away keys are as good as others here.
            let keys = KeySet::read(&directory, AcceptedKeys::ThrowAway)?;
            let length = std::fs::metadata(&stock)
                .with_context(|| stock.display().to_string())?
                .len();
            anyhow::ensure!(
                length <= MAX_STORE_BYTES,
                "{}: larger than any variable store",
                stock.display()
            );
            let bytes = std::fs::read(&stock).with_context(|| stock.display().to_string())?;
            let store = enrolment::enrolled_variables(&bytes, &keys, THROW_AWAY_NOT_BEFORE)?;
            std::fs::write(&output, store).with_context(|| output.display().to_string())?;
            println!("{}", output.display());
        }
    }
    Ok(Outcome::Yes)
}
