//! What people are shown of it.

use super::Contents;
use crate::documents::{self, DocumentError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Names of the actions that are in force, for people; what cannot be told is an error.
///
/// # Errors
/// The file is there and cannot be read.
pub fn in_force(path: &Path) -> Result<Vec<String>, DocumentError> {
    let contents: Option<Contents> = documents::read_if_there(path)?;
    Ok(contents.map_or_else(Vec::new, |contents| contents.in_force.into_iter().collect()))
}

/// What was seen and done in this start, by the stable names of signals and actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sightings that are remembered.
    pub sightings: BTreeMap<String, u64>,
    /// How often each action was taken.
    pub actions: BTreeMap<String, u32>,
}

/// The counts; none before anything was seen.
///
/// # Errors
/// The file is there and cannot be read.
pub fn counts(path: &Path) -> Result<Counts, DocumentError> {
    let contents: Contents = documents::read_if_there(path)?.unwrap_or_default();
    let mut sightings = BTreeMap::new();
    for kept in contents.seen {
        *sightings.entry(kept.signal).or_default() += 1;
    }
    Ok(Counts {
        sightings,
        actions: contents.spent,
    })
}
