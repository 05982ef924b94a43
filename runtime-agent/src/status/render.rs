//! `bennuctl status` for people: one line a fact, the layers as a ladder with the first broken one, and a block of its own
//! when the machine fell back.
//!
//! Every text comes through [`visible`]: the record's words can come from whoever had the disk, and must not
//! steer the terminal.

use super::pcrs::{PcrNow, expected_change};
use super::verity::VerityState;
use super::watch::WatchStatus;
use super::{FellBackStatus, Status};
use crate::scrub::words as scrub;
use bennu_formats::gate::{GateMode, GateReport};
use bennu_formats::handover::{FactoryReset, SecureBootState};
use bennu_formats::health::HealthState;
use std::fmt::Write as _;

/// Width of the first column.
const LABEL: usize = 12;

/// `text` without control characters, nor those that change the direction of writing.
pub fn visible(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

/// The whole text.
pub fn status(status: &Status) -> String {
    let mut out = String::new();
    let name = format!(
        "{} {} (security version {})",
        status.image_id, status.version, status.security_version
    );
    line(&mut out, "slot", &name);
    let tries = match status.tries_left {
        Some(1) => "1 try left".to_owned(),
        Some(tries) => format!("{tries} tries left"),
        None => "not counted by the loader".to_owned(),
    };
    line(&mut out, "entry", &format!("{} ({tries})", status.entry));
    line(&mut out, "health", &health(status.health.as_ref()));
    line(
        &mut out,
        "attempts",
        &format!("{} since the last healthy start", status.attempts),
    );
    line(&mut out, "root hash", &status.root_hash.to_string());
    line(
        &mut out,
        "verity",
        &format!("{}, {}", status.verity_device, verity(&status.verity)),
    );
    line(&mut out, "manifest", &status.manifest_sha256.to_string());
    each(
        &mut out,
        "signed by",
        status.verified_by.iter().map(ToString::to_string),
    );
    line(&mut out, "secure boot", secure_boot(status.secure_boot));
    for (label, text) in super::kernel::lines(&status.kernel) {
        line(&mut out, label, &text);
    }
    let secrets = status.secrets.join(", ");
    line(
        &mut out,
        "secrets",
        if secrets.is_empty() { "none" } else { &secrets },
    );
    let state = super::identity::state(status.state_volume.as_ref());
    for (label, text) in state.into_iter().chain(status.identity.lines()) {
        line(&mut out, label, &text);
    }
    line(
        &mut out,
        "floor",
        &format!("{} (security version below which nothing opens)", status.floor),
    );
    if let Some(machine) = &status.machine {
        line(&mut out, "machine", &machine.to_string());
    }
    if let Some(debug) = &status.debug {
        let words = format!(
            "debug start by a token for {}: nothing sealed was opened; {}",
            debug.day, debug.note
        );
        line(&mut out, "DEBUG", &words);
    }
    if let Some(reset) = &status.factory_reset {
        line(&mut out, "reset", &factory_reset(reset));
    }
    gate(&mut out, status.gate.as_ref());
    if let Some(trace) = &status.trace {
        let words = format!("{} records, {} lost", trace.written, trace.lost);
        line(&mut out, "trace", &words);
    }
    not_known(&mut out, status, "trace", "trace");
    watch(&mut out, status.watch.as_ref());
    if !status.in_force.is_empty() {
        line(&mut out, "in force", &status.in_force.join(", "));
    }
    if let Some(bytes) = status.unsent_bytes {
        line(
            &mut out,
            "alerts",
            &format!("{bytes} bytes of the record log wait"),
        );
    }
    not_known(&mut out, status, "unsent_bytes", "alerts");
    for (index, text) in status.scrub.iter().flat_map(scrub::lines).enumerate() {
        line(&mut out, if index == 0 { "scrub" } else { "" }, &text);
    }
    pcrs(&mut out, status);
    if let Some(chain) = &status.chain {
        out.push('\n');
        out.push_str(&chain.text());
    }
    if let Some(fell_back) = &status.fell_back {
        out.push('\n');
        out.push_str(&fell_back_block(fell_back));
    }
    out
}

fn not_known(out: &mut String, status: &Status, member: &str, label: &str) {
    if let Some(why) = status.not_known.get(member) {
        line(out, label, &format!("not known: {why}"));
    }
}

fn factory_reset(reset: &FactoryReset) -> String {
    match reset {
        FactoryReset::Done { refused, .. } => {
            let names: Vec<&str> = refused.iter().map(|secret| secret.name.as_str()).collect();
            format!("done at this start; the TPM refused the old {}", names.join(", "))
        }
        FactoryReset::NotDone { reason } => format!("not done: {reason}"),
    }
}

/// The block for a fall back; also what `bennuctl why` begins with.
pub fn fell_back_block(fell_back: &FellBackStatus) -> String {
    let failure = &fell_back.failure;
    let mut out = format!("FELL BACK from {}\n", fell_back.from_version);
    line(&mut out, "  code", failure.code.as_str());
    line(&mut out, "  meaning", &fell_back.meaning);
    line(&mut out, "  reason", &failure.reason);
    line(&mut out, "  advice", &fell_back.advice);
    out
}

fn line(out: &mut String, label: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ok = writeln!(out, "{label:LABEL$} {}", visible(value));
}

fn each(out: &mut String, label: &str, values: impl Iterator<Item = String>) {
    let mut label = label;
    let mut none = true;
    for value in values {
        line(out, label, &value);
        (label, none) = ("", false);
    }
    if none {
        line(out, label, "nobody");
    }
}

fn health(state: Option<&HealthState>) -> String {
    match state {
        None => "not reported yet".to_owned(),
        Some(HealthState::Waiting { on }) => format!("waiting: {on}"),
        Some(HealthState::Good { at_ms }) => {
            format!(
                "good, marked {}.{} s after kernel start",
                at_ms / 1000,
                at_ms % 1000 / 100
            )
        }
        Some(HealthState::Unhealthy { failure }) => {
            format!("UNHEALTHY: {}: {}", failure.code, failure.reason)
        }
    }
}

fn verity(state: &VerityState) -> String {
    match state {
        VerityState::Verified => "no bad block met".to_owned(),
        VerityState::Corrupted => "CORRUPTED: a block did not match the root hash".to_owned(),
        VerityState::Unknown { why } => format!("unknown ({why})"),
    }
}

fn watch(out: &mut String, watch: Option<&WatchStatus>) {
    let words = match watch {
        None => "has not looked yet".to_owned(),
        Some(watch) if watch.silent => format!("SILENT: {}", watch.words()),
        Some(watch) if watch.clean => format!("clean; {}", watch.words()),
        Some(watch) => format!("DRIFT: {}", watch.words()),
    };
    line(out, "watch", &words);
}

/// Denials that are shown: the newest.
const SHOWN_DENIALS: usize = 3;

fn gate(out: &mut String, report: Option<&GateReport>) {
    let Some(report) = report else {
        return line(out, "gate", "none: any file executes");
    };
    let (mode, word) = match report.mode {
        GateMode::Enforce => ("enforced", "denials"),
        GateMode::DryRun => ("DRY RUN: nothing is denied", "events"),
        GateMode::None => ("none: any file executes", "events"),
    };
    let counts = format!(
        "{} {word}, {} lost, root {}",
        report.events, report.lost, report.root
    );
    line(out, "gate", &format!("{mode}; {counts}"));
    let skipped = report.recent.len().saturating_sub(SHOWN_DENIALS);
    for denial in report.recent.iter().skip(skipped) {
        line(out, "", &crate::gate::report::line(denial));
    }
}

fn secure_boot(state: SecureBootState) -> &'static str {
    match state {
        SecureBootState::Enforced => "enforced",
        SecureBootState::Off => "OFF",
    }
}

/// One line a PCR with its value now, and a second one with the older value where the two differ.
fn pcrs(out: &mut String, status: &Status) {
    for row in &status.pcrs {
        let label = format!("PCR {}", row.pcr);
        match &row.now {
            PcrNow::Same => line(out, &label, &row.at_handover.to_string()),
            PcrNow::Changed { value } => {
                let why = expected_change(row.pcr).unwrap_or("not expected to change in a running system");
                line(out, &label, &format!("{value} ({why})"));
                line(out, "", &format!("{} when bennu-init was done", row.at_handover));
            }
            PcrNow::Unknown { why } => {
                line(
                    out,
                    &label,
                    &format!("{} when bennu-init was done", row.at_handover),
                );
                line(out, "", &format!("now unknown: {why}"));
            }
        }
    }
}
