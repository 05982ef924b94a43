//! The scrub in words, and as signals. Pure.

use super::report::{Area, BadBlock, BadKind, ScrubReport, SlotReport};
use crate::watch::Sighting;
use bennu_policy::drift::Signal;
use std::fmt::Write as _;

/// Linux's number of an input/output error (asm-generic/errno-base.h).
const EIO: i32 = 5;
/// Bad blocks that `bennuctl status` shows of a slot.
const SHOWN: usize = 4;

/// Where a block is: partition, block, byte.
pub fn place(bad: &BadBlock) -> String {
    let what = match (bad.area, bad.level) {
        (Area::Tree, Some(level)) => format!("tree block {} of level {level}", bad.block),
        _ => format!("root block {}", bad.block),
    };
    format!("{what} (byte {} of partition {})", bad.offset, bad.partition)
}

fn fault(bad: &BadBlock) -> String {
    match (bad.kind, bad.errno) {
        (BadKind::Wrong, _) => "wrong bytes".to_owned(),
        (BadKind::Unreadable, Some(EIO)) => "cannot be read (EIO)".to_owned(),
        (BadKind::Unreadable, Some(errno)) => format!("cannot be read (error {errno})"),
        (BadKind::Unreadable, None) => "cannot be read".to_owned(),
    }
}

/// One bad block.
pub fn block(slot: &SlotReport, bad: &BadBlock) -> String {
    format!(
        "slot {} ({}): {}: {}",
        slot.version,
        slot.which().words(),
        place(bad),
        fault(bad)
    )
}

/// What a slot's bad blocks say to the decision: one signal for all of them, so that a repair is asked for once.
/// Unreadable blocks of the running slot are no sign of an intruder and have a signal of their own.
pub fn sightings(slot: &SlotReport) -> Vec<Sighting> {
    let mut seen = Vec::new();
    let mut see = |signal, kind: Option<BadKind>| {
        let of_kind = |bad: &&BadBlock| kind.is_none_or(|kind| bad.kind == kind);
        let mut bad = slot.bad.iter().filter(of_kind);
        let Some(first) = bad.next() else { return };
        let mut words = block(slot, first);
        let more = bad.count() as u64 + if kind.is_none() { slot.more_bad } else { 0 };
        if more > 0 {
            words.push_str(&format!("; {more} more"));
        }
        seen.push(Sighting::new(signal, words));
    };
    if slot.running {
        see(Signal::VerityCorruptActive, Some(BadKind::Wrong));
        see(Signal::ActiveUnreadable, Some(BadKind::Unreadable));
    } else {
        see(Signal::VerityCorruptInactive, None);
    }
    seen
}

/// Of `bennuctl status`: a label and a text for each line.
pub fn lines(report: &ScrubReport) -> Vec<String> {
    if report.mib_per_s == 0 {
        return vec!["OFF: blocks that nobody reads are not checked".to_owned()];
    }
    let mut lines = Vec::new();
    for slot in &report.slots {
        lines.push(slot_line(slot, report.mib_per_s));
        for bad in slot.bad.iter().take(SHOWN) {
            let left = bad.left.as_ref().map(|left| format!("; not repaired: {left}"));
            lines.push(format!(
                "{}: {}{}",
                place(bad),
                fault(bad),
                left.unwrap_or_default()
            ));
        }
        let more = slot.bad.len().saturating_sub(SHOWN) as u64 + slot.more_bad;
        if more > 0 {
            lines.push(format!("{more} more"));
        }
    }
    lines.extend(report.troubles.iter().map(|words| format!("NOT JUDGED: {words}")));
    if lines.is_empty() {
        lines.push("nothing read yet".to_owned());
    }
    lines
}

fn slot_line(slot: &SlotReport, mib_per_s: u32) -> String {
    let mut text = format!("slot {} ({}): ", slot.version, slot.which().words());
    let bad = slot.bad.len() as u64 + slot.more_bad;
    let word = match (bad, slot.unrepairable) {
        (0, _) => "no bad block".to_owned(),
        (bad, false) => format!("BAD BLOCKS: {bad}"),
        (bad, true) => format!("UNREPAIRABLE, BAD BLOCKS: {bad}"),
    };
    // Writing to a string cannot fail.
    let _ok = write!(text, "{word}");
    if slot.mended > 0 {
        let _ok = write!(text, ", {} mended", slot.mended);
    }
    match &slot.last_pass {
        Some(pass) => {
            let _ok = write!(
                text,
                "; pass {} ended {} s after start: {} MiB in {} s",
                slot.passes,
                pass.ended_ms / 1000,
                pass.bytes >> 20,
                pass.took_ms / 1000,
            );
        }
        None => text.push_str("; no whole pass yet"),
    }
    if slot.next_group < slot.groups && slot.next_group > 0 {
        let percent = slot.next_group.saturating_mul(100) / slot.groups.max(1);
        let _ok = write!(text, "; now at {percent} %");
    }
    let _ok = write!(text, "; at most {mib_per_s} MiB/s");
    text
}
