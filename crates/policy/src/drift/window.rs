//! How long signals count.

use super::Weight;

/// How long a weak signal counts where the image says nothing, in milliseconds: ten minutes.
pub const WEAK_MS: u64 = 10 * 60 * 1000;
/// How long a strong signal counts where the image says nothing, in milliseconds: one hour.
pub const STRONG_MS: u64 = 60 * 60 * 1000;

/// How long signals count. The signed image says it; a longer time joins signals that lie further apart, and holds
/// what was done about them longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// A weak one, in milliseconds.
    pub weak_ms: u64,
    /// A strong one, in milliseconds.
    pub strong_ms: u64,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            weak_ms: WEAK_MS,
            strong_ms: STRONG_MS,
        }
    }
}

impl Windows {
    /// Of signals of this weight, in milliseconds.
    pub fn of(&self, weight: Weight) -> u64 {
        match weight {
            Weight::Weak => self.weak_ms,
            Weight::Strong => self.strong_ms,
        }
    }
}
