//! Events in order: told, kept for `bennuctl`, and gaps between their numbers shown. Pure.

use bennu_ebpf::interface::Event;
use bennu_formats::gate::{Denial, GateMode, GateReport, MAX_RECENT};
use std::collections::{BTreeMap, VecDeque};

/// Lines about events of one kind in one round, at most; what is beyond is counted. A flood of one kind hides no other.
pub const MAX_LINES: usize = 4;

/// What was seen so far.
#[derive(Debug)]
pub struct Ledger {
    mode: GateMode,
    root: String,
    /// The last number seen of each CPU.
    last: BTreeMap<u32, u64>,
    recent: VecDeque<Denial>,
}

impl Ledger {
    /// Nothing seen yet, of a gate in `mode` on the root's device number.
    pub fn new(mode: GateMode, root_dev: u32) -> Self {
        Self {
            mode,
            root: device(root_dev),
            last: BTreeMap::new(),
            recent: VecDeque::new(),
        }
    }

    /// Takes the events of one round; gives the lines to tell. A gap in a CPU's numbers stands where it was noticed.
    /// The first event of a CPU after a start of `bennud` begins the count: what was told before is not known.
    pub fn take(&mut self, events: Vec<Event>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut told: BTreeMap<u32, usize> = BTreeMap::new();
        let mut untold = 0_usize;
        for event in events {
            let before = self.last.insert(event.cpu, event.number);
            let missing = before.map_or(0, |last| event.number.saturating_sub(last.saturating_add(1)));
            if missing > 0 {
                lines.push(format!("GAP: {missing} events of CPU {} were lost", event.cpu));
            }
            let denial = denial(event);
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

fn denial(event: Event) -> Denial {
    Denial {
        kind: event.kind,
        denied: event.denied,
        at_ms: event.time_ns / 1_000_000,
        device: device(event.device),
        inode: event.inode,
        pid: event.pid,
        uid: event.uid,
        comm: event
            .comm
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
        cgroup: event.cgroup,
        detail: event.detail,
    }
}

/// One line of the log.
pub fn line(denial: &Denial) -> String {
    let did = if denial.denied { "DENIED" } else { "WOULD DENY" };
    format!(
        "{did} {}: {} ({}:{}), by {} (process {}, user {}, cgroup {}), detail {:#x}",
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
    use bennu_formats::gate::DenialKind;

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
            denied: true,
            comm: "sh\n".into(),
        }
    }

    #[test]
    fn an_event_becomes_one_line_without_control_characters() {
        let mut ledger = Ledger::new(GateMode::Enforce, 253 << 20 | 1);
        let lines = ledger.take(vec![event(0, 9)]);
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
    fn a_gap_in_a_cpus_numbers_is_shown_and_two_cpus_count_for_themselves() {
        let mut ledger = Ledger::new(GateMode::Enforce, 0);
        assert_eq!(
            ledger.take(vec![event(0, 7), event(1, 100), event(0, 8)]).len(),
            3
        );
        let lines = ledger.take(vec![event(0, 12), event(1, 101)]);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "GAP: 3 events of CPU 0 were lost");
    }

    #[test]
    fn a_flood_is_told_in_few_lines_and_the_newest_are_kept() {
        let mut ledger = Ledger::new(GateMode::DryRun, 0);
        let mut flood: Vec<Event> = (1..=1000).map(|number| event(0, number)).collect();
        flood.push(Event {
            kind: DenialKind::Pin,
            ..event(0, 1001)
        });
        let lines = ledger.take(flood);
        assert_eq!(lines.len(), MAX_LINES + 2);
        assert!(lines[MAX_LINES].starts_with("DENIED pin: "), "{lines:?}");
        assert_eq!(
            lines[MAX_LINES + 1],
            "996 more of the gate's events in the same moment"
        );
        assert_eq!(ledger.report(1001, 0).recent.len(), MAX_RECENT);
    }
}
