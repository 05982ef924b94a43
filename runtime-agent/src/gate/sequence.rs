//! Numbers of events, counted on each CPU by itself: what is missing between two of them.

use std::collections::BTreeMap;

/// The last number seen of each CPU.
#[derive(Debug, Default)]
pub struct Sequence(BTreeMap<u32, u64>);

impl Sequence {
    /// How many events of `cpu` are missing before `number`. The first one of a CPU begins the count: what was told
    /// before a start of `bennud` is not known.
    pub fn missing_before(&mut self, cpu: u32, number: u64) -> u64 {
        let before = self.0.insert(cpu, number);
        before.map_or(0, |last| number.saturating_sub(last.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_counts_for_itself() {
        let mut seen = Sequence::default();
        let asked = [(0, 7), (1, 100), (0, 8), (0, 12), (1, 101)];
        let missing = asked.map(|(cpu, number)| seen.missing_before(cpu, number));
        assert_eq!(missing, [0, 0, 0, 3, 0]);
    }
}
