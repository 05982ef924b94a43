//! Events in order: told, kept for `bennuctl`, and those that were lost counted. Pure.

use crate::tracing::record;
use crate::watch::Inbox;
use bennu_ebpf::interface::Event;
use bennu_formats::gate::{Denial, DenialKind, GateMode, GateReport, MAX_RECENT, Outcome};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;

/// Lines about events of one kind in one round, at most; what is beyond is counted. A flood of one kind hides no other.
pub const MAX_LINES: usize = 4;

/// What was seen so far.
#[derive(Debug)]
pub struct Ledger {
    mode: GateMode,
    root: String,
    /// Units with profiles; the number of the first is 1.
    units: Vec<String>,
    recent: VecDeque<Denial>,
    /// The kernel's count of lost events as it was told last.
    lost: u64,
}

impl Ledger {
    /// Nothing seen yet, of a gate in `mode` on the root's device number, with these units' profiles.
    pub fn new(mode: GateMode, root_dev: u32, units: Vec<String>) -> Self {
        Self {
            mode,
            root: device(root_dev),
            units,
            recent: VecDeque::new(),
            lost: 0,
        }
    }

    /// Goes on from what an earlier `bennud` of this start reported: losses of before are told already.
    pub fn resume(&mut self, before: &GateReport) {
        self.lost = before.lost;
    }

    /// How many events were lost since the last call, by the kernel's count: also those after which none came.
    pub fn newly_lost(&mut self, lost: u64) -> u64 {
        let before = std::mem::replace(&mut self.lost, lost);
        lost.saturating_sub(before)
    }

    /// Takes the events of one round; gives the lines to tell.
    pub fn take(&mut self, events: Vec<Event>, denied: &Inbox) -> Vec<String> {
        let mut lines = Vec::new();
        let mut told: BTreeMap<u32, usize> = BTreeMap::new();
        let mut untold = 0_usize;
        for event in events {
            let denial = denial(event, &self.units);
            denied.put(&denial);
            let of_kind = told.entry(denial.kind.number()).or_default();
            *of_kind += 1;
            if *of_kind <= MAX_LINES {
                lines.push(line(&denial));
            } else {
                untold += 1;
            }
            if self.recent.len() == MAX_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(denial);
        }
        if untold > 0 {
            lines.push(format!("{untold} more of the gate's events in the same moment"));
        }
        lines
    }

    /// The report with the kernel's own counts.
    pub fn report(&self, events: u64, lost: u64) -> GateReport {
        GateReport {
            schema: 1,
            mode: self.mode,
            root: self.root.clone(),
            events,
            lost,
            recent: self.recent.iter().cloned().collect(),
        }
    }
}

fn denial(event: Event, units: &[String]) -> Denial {
    let profile = (event.profile as usize).checked_sub(1);
    Denial {
        peer: peer(&event),
        profile: profile.and_then(|index| units.get(index)).cloned(),
        kind: event.kind,
        outcome: event.outcome,
        at_ms: event.time_ns / 1_000_000,
        device: device(event.device),
        inode: event.inode,
        pid: event.pid,
        uid: event.uid,
        comm: visible(&event.comm),
        cgroup: event.cgroup,
        detail: event.detail,
    }
}

/// Whom it was to connect to; AF_UNIX is 1.
fn peer(event: &Event) -> Option<String> {
    if event.kind != DenialKind::Connect {
        return None;
    }
    let (family, rest) = (event.detail >> 16, event.detail & 0xffff);
    if family == 1 {
        let end = event.peer.iter().position(|byte| *byte == 0);
        let name = event
            .peer
            .get(..end.unwrap_or(event.peer.len()))
            .unwrap_or_default();
        let mark = if rest == 0 { "" } else { "@" };
        return Some(visible(&format!("unix:{mark}{}", String::from_utf8_lossy(name))));
    }
    let address = <[u8; 16]>::try_from(event.peer.get(..16)?).ok()?;
    let port = u16::try_from(rest).ok()?;
    Some(record::inet(family, Ipv6Addr::from(address), port, 0))
}

fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// One line of the log.
pub fn line(denial: &Denial) -> String {
    let did = match denial.outcome {
        Outcome::Denied => "DENIED",
        Outcome::DryRun => "WOULD DENY",
        Outcome::Warned => "WARNED",
    };
    let profile = denial.profile.iter().map(|unit| format!(", profile {unit}"));
    let peer = denial.peer.iter().map(|peer| format!(", to {peer}"));
    let more: String = profile.chain(peer).collect();
    format!(
        "{did} {}: {} ({}:{}), by {} (process {}, user {}, cgroup {}), detail {:#x}{more}",
        denial.kind.as_str(),
        denial.kind.meaning(),
        denial.device,
        denial.inode,
        denial.comm,
        denial.pid,
        denial.uid,
        denial.cgroup,
        denial.detail,
    )
}

/// `major:minor` of a kernel's device number.
pub fn device(number: u32) -> String {
    format!("{}:{}", number >> 20, number & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cpu: u32, number: u64) -> Event {
        Event {
            number,
            time_ns: 5_000_000_000,
            inode: 77,
            cgroup: 1,
            cpu,
            kind: DenialKind::Exec,
            device: 5 << 20 | 3,
            pid: 42,
            uid: 0,
            detail: 0,
            outcome: Outcome::Denied,
            profile: 0,
            peer: [0; 64],
            comm: "sh\n".into(),
        }
    }

    #[test]
    fn an_event_becomes_one_line_without_control_characters() {
        let mut ledger = Ledger::new(GateMode::Enforce, 253 << 20 | 1, vec![]);
        let lines = ledger.take(vec![event(0, 9)], &Inbox::default());
        assert_eq!(
            lines,
            [
                "DENIED exec: execute a file that is not verified (5:3:77), by sh\u{fffd} (process 42, user 0, cgroup 1), detail 0x0"
            ]
        );
        let report = ledger.report(9, 0);
        assert_eq!(
            (report.root.as_str(), report.events, report.recent.len()),
            ("253:1", 9, 1)
        );
        assert_eq!(report.recent[0].at_ms, 5_000);
    }

    #[test]
    fn losses_are_told_once_also_across_a_restart_and_without_a_later_event() {
        let mut ledger = Ledger::new(GateMode::Enforce, 0, vec![]);
        assert_eq!([0, 7, 7, 9].map(|lost| ledger.newly_lost(lost)), [0, 7, 0, 2]);
        let mut again = Ledger::new(GateMode::Enforce, 0, vec![]);
        again.resume(&ledger.report(100, 9));
        assert_eq!([9, 12].map(|lost| again.newly_lost(lost)), [0, 3]);
    }

    #[test]
    fn a_connection_against_a_profile_names_the_unit_and_the_other_side() {
        let mut ledger = Ledger::new(GateMode::Enforce, 0, vec!["web.service".into()]);
        let mut peer = [0; 64];
        peer[10..16].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
        let inet = Event {
            kind: DenialKind::Connect,
            outcome: Outcome::Warned,
            profile: 1,
            detail: 2 << 16 | 443,
            peer,
            ..event(0, 1)
        };
        let mut peer = [0; 64];
        peer[..3].copy_from_slice(b"app");
        let unix = Event {
            kind: DenialKind::Connect,
            outcome: Outcome::DryRun,
            profile: 1,
            detail: 1 << 16 | 1,
            peer,
            ..event(0, 2)
        };
        let lines = ledger.take(vec![inet, unix], &Inbox::default());
        assert!(
            lines[0].starts_with("WARNED connect: ")
                && lines[0].ends_with(", profile web.service, to 10.0.0.1:443"),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with("WOULD DENY connect: ") && lines[1].ends_with(", to unix:@app"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_flood_is_told_in_few_lines_and_the_newest_are_kept() {
        let mut ledger = Ledger::new(GateMode::DryRun, 0, vec![]);
        let mut flood: Vec<Event> = (1..=1000).map(|number| event(0, number)).collect();
        flood.push(Event {
            kind: DenialKind::Pin,
            ..event(0, 1001)
        });
        let lines = ledger.take(flood, &Inbox::default());
        assert_eq!(lines.len(), MAX_LINES + 2);
        assert!(lines[MAX_LINES].starts_with("DENIED pin: "), "{lines:?}");
        assert_eq!(
            lines[MAX_LINES + 1],
            "996 more of the gate's events in the same moment"
        );
        assert_eq!(ledger.report(1001, 0).recent.len(), MAX_RECENT);
    }
}
