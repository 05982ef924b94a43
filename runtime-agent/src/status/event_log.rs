//! `bennuctl event-log`: every event of both logs, and whether the PCR that it extends has the value that the logs
//! give.

use super::SCHEMA;
use super::measured::Facts;
use super::render::visible;
use bennu_eventlog::{Event, Meaning};
use bennu_tpm::HashAlg;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// `bennuctl event-log --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLog {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Every event in its order.
    pub events: Vec<Row>,
    /// Why a log was not read to its end.
    pub broken: Vec<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// PCR; none for an event that extends nothing.
    pub pcr: Option<u8>,
    /// Log: `firmware` or `user-space`.
    pub log: String,
    /// What it was.
    pub what: String,
    /// Digest by bank, lower-case hex.
    pub digests: BTreeMap<String, String>,
    /// Whether the PCR has the value that all its events give, in every bank; none where the logs need not account
    /// for it.
    pub matches: Option<bool>,
}

impl EventLog {
    /// The rows of these facts.
    pub fn of(facts: &Facts) -> Self {
        let row = |event: &Event| {
            let pcr = event.extends();
            let read = |pcr: &u8| facts.banks.values().any(|bank| bank.contains_key(pcr));
            Row {
                pcr,
                log: event.origin.name().to_owned(),
                what: match &event.meaning {
                    // Its words are the manifest's digest.
                    Meaning::Record { kind, words } if words.len() > 40 => kind.clone(),
                    other => other.to_string(),
                },
                digests: event
                    .digests
                    .iter()
                    .map(|digest| (digest.alg().to_string(), digest.to_string()))
                    .collect(),
                matches: pcr.filter(read).map(|pcr| facts.accounted(pcr)),
            }
        };
        Self {
            schema: SCHEMA,
            events: facts.events.iter().map(row).collect(),
            broken: facts.broken.clone(),
        }
    }

    /// Whether everything that has to match does.
    pub fn all_match(&self) -> bool {
        self.broken.is_empty() && self.events.iter().all(|row| row.matches != Some(false))
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::from("PCR  MATCHES  SHA-256           LOG         WHAT\n");
        for row in &self.events {
            let pcr = row.pcr.map_or_else(|| "-".to_owned(), |pcr| pcr.to_string());
            let matches = match row.matches {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "-",
            };
            let digest = row.digests.get(HashAlg::Sha256.name());
            let digest = digest.and_then(|digest| digest.get(..16)).unwrap_or("-");
            let _ok = writeln!(
                out,
                "{pcr:>3}  {matches:<7}  {digest:<16}  {:<10}  {}",
                row.log,
                visible(&row.what)
            );
        }
        for why in &self.broken {
            let _ok = writeln!(out, "not read to its end: {}", visible(why));
        }
        out
    }
}
