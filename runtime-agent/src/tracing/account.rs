//! What became of every record of the trace: written, or told as lost. Pure.
//!
//! The kernel counts for each CPU its records and those that found the ring full. What came out of the ring is counted here
//! and kept, so that a `bennud` that is started again knows what the one before it took and did not write. The records'
//! numbers are no measure: the ring may have two of one CPU in the other order.

use bennu_formats::decode::Document as _;
use bennu_formats::trace::{TraceLine, TraceReport, TracedCpu};
use std::collections::BTreeMap;

/// Of each CPU, from 0: the number of its last record, and how many of them were lost.
pub type Counters = [(u64, u64)];

/// Records of one CPU that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub cpu: u32,
    /// They have smaller numbers.
    pub before: u64,
    /// How many.
    pub missing: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    counted: TracedCpu,
    /// Number of the last record when this `bennud` began.
    last_before: u64,
    /// Of those up to it: how many should still come out of the ring.
    owed: u64,
}

/// Since the gate was set up.
#[derive(Debug)]
pub struct Account {
    cpus: Vec<Cpu>,
    /// Losses that no line tells yet, by CPU.
    gaps: BTreeMap<u32, Loss>,
    /// The ring was empty once. What is owed then may still be on its way from a CPU, and is lost if it does not come until
    /// the ring is empty again.
    was_empty: bool,
}

impl Account {
    /// Goes on from what an earlier `bennud` of this boot kept; without that nothing is written or told yet. `counters`
    /// are those of before the first look at the ring.
    pub fn new(kept: Option<TraceReport>, counters: &Counters) -> Self {
        let kept = kept.map(|report| report.cpus).unwrap_or_default();
        let cpu = |(index, (last, lost)): (usize, &(u64, u64))| {
            let mut counted = kept.get(index).copied().unwrap_or_default();
            // More than the kernel's number would hide what is lost from now on.
            counted.lost = counted.lost.min(*lost);
            let settled = counted.written.saturating_add(counted.unwritten);
            Cpu {
                counted,
                last_before: *last,
                owed: last.saturating_sub(*lost).saturating_sub(settled),
            }
        };
        Self {
            cpus: counters.iter().enumerate().map(cpu).collect(),
            gaps: BTreeMap::new(),
            was_empty: false,
        }
    }

    /// A record came out of the ring, and will be written.
    pub fn take(&mut self, cpu: u32, number: u64) {
        let Some(of) = self.cpus.get_mut(cpu as usize) else {
            return;
        };
        of.counted.written = of.counted.written.saturating_add(1);
        if number <= of.last_before {
            of.owed = of.owed.saturating_sub(1);
        }
    }

    /// What is lost and was not told yet. `later` are the counters read once more: a loss is counted after its number.
    /// `emptied`: nothing is left in the ring.
    pub fn losses(&mut self, counters: &Counters, later: &Counters, emptied: bool) -> Vec<Loss> {
        let mut losses = Vec::new();
        let owing = emptied && std::mem::replace(&mut self.was_empty, true);
        let counters = counters.iter().zip(later);
        for (index, (cpu, ((_, lost), (last, _)))) in (0_u32..).zip(self.cpus.iter_mut().zip(counters)) {
            let mut missing = lost.saturating_sub(cpu.counted.lost);
            cpu.counted.lost = cpu.counted.lost.max(*lost);
            if owing {
                let unwritten = std::mem::take(&mut cpu.owed);
                cpu.counted.unwritten = cpu.counted.unwritten.saturating_add(unwritten);
                missing = missing.saturating_add(unwritten);
            }
            if missing > 0 {
                losses.push(Loss {
                    cpu: index,
                    before: last.saturating_add(1),
                    missing,
                });
            }
        }
        for loss in &losses {
            let gap = self.gaps.entry(loss.cpu).or_insert(Loss { missing: 0, ..*loss });
            gap.before = loss.before;
            gap.missing = gap.missing.saturating_add(loss.missing);
        }
        losses
    }

    /// The lines for losses that have none yet.
    pub fn gaps(&mut self) -> Vec<TraceLine> {
        let gaps = std::mem::take(&mut self.gaps).into_values();
        gaps.map(|loss| TraceLine::Gap {
            cpu: loss.cpu,
            before: loss.before,
            missing: loss.missing,
        })
        .collect()
    }

    /// To keep, once all lines are written.
    pub fn report(&self) -> TraceReport {
        TraceReport {
            schema: TraceReport::SCHEMA,
            cpus: self.cpus.iter().map(|cpu| cpu.counted).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(cpu: u32, before: u64, missing: u64) -> Loss {
        Loss { cpu, before, missing }
    }

    #[test]
    fn what_was_lost_before_the_first_start_and_what_no_record_follows_is_told_once() {
        // Ten records, three of them lost, before anybody read; the ring has the others.
        let mut account = Account::new(None, &[(10, 3), (0, 0)]);
        for number in 1..=7 {
            account.take(0, number);
        }
        let at = [(10, 3), (0, 0)];
        assert_eq!(account.losses(&at, &at, true), [loss(0, 11, 3)]);
        assert_eq!(account.losses(&at, &at, true), []);
        // At the end of a flood, and nothing after it.
        let at = [(10, 3), (9, 9)];
        assert_eq!(account.losses(&at, &at, true), [loss(1, 10, 9)]);
        assert_eq!(account.report().sums(), (7, 12));
        assert_eq!(account.gaps().len(), 2);
        assert_eq!(account.gaps(), []);
    }

    #[test]
    fn what_a_bennud_that_was_killed_told_is_not_told_again_and_what_it_did_not_write_is_told() {
        let mut before = Account::new(None, &[(0, 0)]);
        for number in 1..=5 {
            before.take(0, number);
        }
        assert_eq!(before.losses(&[(7, 2)], &[(7, 2)], true), [loss(0, 8, 2)]);
        let kept = before.report();
        // Three more were taken and not written, two are in the ring, one was lost meanwhile.
        let mut after = Account::new(Some(kept.clone()), &[(13, 3)]);
        after.take(0, 12);
        assert_eq!(
            after.losses(&[(13, 3)], &[(13, 3)], false),
            [loss(0, 14, 1)],
            "the ring is not empty yet"
        );
        after.take(0, 13);
        after.take(0, 14);
        assert_eq!(after.losses(&[(14, 3)], &[(14, 3)], true), []);
        assert_eq!(after.losses(&[(14, 3)], &[(14, 3)], true), [loss(0, 15, 3)]);
        assert_eq!(after.report().sums(), (8, 6));
        // The control: of what is only in the ring nothing is lost.
        let mut sound = Account::new(Some(kept), &[(9, 2)]);
        sound.take(0, 9);
        assert_eq!(sound.losses(&[(9, 2)], &[(9, 2)], true), []);
        sound.take(0, 8);
        assert_eq!(sound.losses(&[(9, 2)], &[(9, 2)], true), []);
    }

    #[test]
    fn losses_wait_in_one_gap_while_the_file_cannot_be_written() {
        let mut account = Account::new(None, &[(0, 0)]);
        account.losses(&[(5, 2)], &[(6, 3)], false);
        account.losses(&[(9, 4)], &[(9, 4)], false);
        let gap = TraceLine::Gap {
            cpu: 0,
            before: 10,
            missing: 4,
        };
        assert_eq!(account.gaps(), [gap]);
    }

    #[test]
    fn a_report_with_numbers_beyond_the_kernels_hides_no_later_loss() {
        let kept = TraceReport {
            schema: 1,
            cpus: vec![TracedCpu {
                written: u64::MAX,
                lost: u64::MAX,
                unwritten: 1,
            }],
        };
        let mut account = Account::new(Some(kept), &[(9, 2)]);
        assert_eq!(account.losses(&[(10, 3)], &[(10, 3)], true), [loss(0, 11, 1)]);
        assert_eq!(account.losses(&[(11, 4)], &[(11, 4)], true), [loss(0, 12, 1)]);
    }
}
