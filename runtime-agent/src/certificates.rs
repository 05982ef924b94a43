//! `bennuctl certificates`: what earlier lives of this machine saw and did, as the TPM signed it.
//!
//! Reads the ESP and the state volume, and asks the TPM for the key, unless one is given: the same TPM always makes the
//! same key, so the reborn system checks what the one before it signed. Writes nothing. Every text of a certificate is
//! made printable.

use crate::log::printable;
use crate::records::HeadKey;
use crate::respond::certificates::Found;
use crate::status::Answer;
use bennu_formats::Sha256Digest;
use bennu_records::certificate::{Certificate, Outcome, check_chain};
use serde::Serialize;
use std::fmt::Write as _;

/// All certificates, judged.
#[derive(Debug, Serialize)]
pub struct Certificates {
    schema: u32,
    verdict: &'static str,
    /// The key that they were checked with, hex.
    key: String,
    certificates: Vec<Certificate>,
    /// What was refused, and why.
    refused: Vec<String>,
}

impl Certificates {
    /// Judges what was found by the key.
    pub fn of(found: &Found, key: &HeadKey) -> Self {
        let mut refused: Vec<String> = found.troubles.iter().map(|text| printable(text)).collect();
        let mut whole: Vec<(Certificate, Sha256Digest)> = Vec::new();
        for (number, bytes) in &found.envelopes {
            match Certificate::open(bytes, key) {
                Ok(opened) => whole.push(opened),
                Err(error) => refused.push(printable(&format!("number {number}: {error}"))),
            }
        }
        if let Err(error) = check_chain(&whole) {
            refused.push(error.to_string());
        }
        Self {
            schema: 1,
            verdict: if refused.is_empty() { "good" } else { "refused" },
            key: key.to_hex(),
            certificates: whole.into_iter().map(|(certificate, _)| certificate).collect(),
            refused,
        }
    }

    /// Exit status.
    pub fn answer(&self) -> Answer {
        if self.refused.is_empty() {
            Answer::Yes
        } else {
            Answer::No
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for certificate in &self.certificates {
            one(&mut out, certificate);
        }
        for why in &self.refused {
            // Writing to a string does not fail.
            let _infallible = writeln!(out, "REFUSED: {why}");
        }
        let (count, key) = (self.certificates.len(), &self.key);
        let _infallible = match self.refused.is_empty() {
            true => writeln!(
                out,
                "good: {count} certificates, signed by the TPM with the key {key}"
            ),
            false => writeln!(
                out,
                "REFUSED: {count} certificates are signed by the key {key}, others are not"
            ),
        };
        out
    }
}

fn one(out: &mut String, certificate: &Certificate) {
    let c = certificate;
    let _infallible = writeln!(
        out,
        "certificate {} of {} {}, boot {}: {}",
        c.number,
        c.image_id,
        c.version,
        printable(&c.boot),
        printable(&c.reason)
    );
    for seen in &c.seen {
        let _infallible = writeln!(
            out,
            "  seen at {} ms: {} ({}, {}): {}",
            seen.up_ms,
            printable(&seen.signal),
            printable(&seen.source),
            printable(&seen.weight),
            printable(&seen.detail)
        );
    }
    for act in &c.acts {
        let word = match act.outcome {
            Outcome::Planned => "planned",
            Outcome::Done => "done",
            Outcome::Failed => "FAILED",
            Outcome::Withheld => "withheld",
        };
        let when = act.done_up_ms.map_or_else(String::new, |ms| {
            format!(
                " at {ms} ms, {} ms after the first signal",
                ms.saturating_sub(c.first_up_ms)
            )
        });
        let _infallible = writeln!(
            out,
            "  {} {word}{when}: {}",
            printable(&act.action),
            printable(&act.words)
        );
    }
}
