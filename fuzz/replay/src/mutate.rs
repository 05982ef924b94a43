//! Mutation of seeds, the same in every run: what stable Rust has in place of libFuzzer.

/// Values at which length and offset checks go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];
/// Longest input that is made.
const MAX_INPUT: usize = 256 * 1024;

/// xorshift64*: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`; zero is as good as any.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, 0 for an empty range.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            0
        } else {
            (self.next() % end as u64) as usize
        }
    }

    /// One to eight changes of one of `seeds`.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let pick = self.below(seeds.len());
        let mut bytes = seeds.get(pick).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(MAX_INPUT);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        let run = 1 + self.below(64).min(bytes.len().saturating_sub(at + 1));
        match self.below(9) {
            0 => self.set(bytes, at, |b, r| b ^ 1 << r.below(8)),
            1 => self.set(bytes, at, |_, r| r.next() as u8),
            2 => self.set(bytes, at, |b, r| b.wrapping_add(r.below(7) as u8).wrapping_sub(3)),
            3 => {
                let value = EDGES[self.below(EDGES.len())]
                    .wrapping_add(self.below(3) as u64)
                    .wrapping_sub(1);
                let width = [1, 2, 4, 8][self.below(4)];
                let little = value.to_le_bytes();
                let big = value.to_be_bytes();
                let field = if self.below(2) == 0 {
                    &little[..width]
                } else {
                    &big[8 - width..]
                };
                for (byte, new) in bytes.iter_mut().skip(at).zip(field) {
                    *byte = *new;
                }
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..(at + run).min(bytes.len()))),
            6 => {
                let copy: Vec<u8> = bytes.iter().skip(at).take(run).copied().collect();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            7 => {
                let new = self.next().to_le_bytes();
                let count = self.below(8);
                bytes.splice(at..at, new[..count].iter().copied());
            }
            _ => {
                let other = self.below(seeds.len());
                let Some(other) = seeds.get(other) else { return };
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }

    fn set(&mut self, bytes: &mut [u8], at: usize, to: impl FnOnce(u8, &mut Self) -> u8) {
        if let Some(byte) = bytes.get(at).copied() {
            bytes[at] = to(byte, self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_they_differ_from_each_other() {
        let seeds = [b"hello world".to_vec(), vec![0; 100]];
        let inputs = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.mutate(&seeds)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let different: std::collections::BTreeSet<_> = inputs(1).into_iter().collect();
        assert!(different.len() > 80);
    }

    #[test]
    fn no_seeds_or_empty_ones_are_no_trouble() {
        let mut random = Random::new(0);
        for _ in 0..200 {
            random.mutate(&[]);
            random.mutate(&[Vec::new()]);
        }
    }
}
